# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""cv_bridge for raw images, used only where it gives the same arrays as our decoder.

It is tried in a process of its own: one that was built for another numpy ends the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.streams.errors import StreamError

ASKED_BY = 'MOTION_POLICY_CV_BRIDGE'  # an environment variable; 1: use it
TRIAL_S = 30.0

HEIGHT, WIDTH = 6, 8
PADDINGS = (0, 2, 5)  # bytes; not only multiples of a pixel

Convert = Callable[[Any], npt.NDArray[np.uint8]]


def bridge_for(encoding: str) -> Convert | None:
    """Return how cv_bridge makes RGB (H, W, 3) of this encoding.

    None: it is not asked for, or its arrays are not ours.
    """
    return _by_cv_bridge if encoding in _equal_encodings() else None


@cache
def _equal_encodings() -> frozenset[str]:
    return equal_encodings() if os.environ.get(ASKED_BY, '') == '1' else frozenset()


def equal_encodings() -> frozenset[str]:
    """Return the encodings for which cv_bridge gives our arrays; none where there is none."""
    try:
        trial = subprocess.run(
            [sys.executable, '-m', __name__],
            capture_output=True,
            timeout=TRIAL_S,
            check=True,
            env={**os.environ, ASKED_BY: '0'},
        )
        return frozenset(trial.stdout.decode('ascii').split())
    except (subprocess.SubprocessError, OSError, ValueError):
        return frozenset()


@cache
def _bridge() -> Any:
    from cv_bridge import CvBridge  # type: ignore[import-not-found, unused-ignore]

    return CvBridge()


def _by_cv_bridge(message: Any) -> npt.NDArray[np.uint8]:
    try:
        return np.asarray(_bridge().imgmsg_to_cv2(message, 'rgb8'), dtype=np.uint8)
    except Exception as error:  # cv_bridge lets errors of OpenCV and C++ through
        raise StreamError(
            f"cv_bridge cannot make RGB of an image with encoding '{message.encoding}': {error}"
        ) from None


def _trial_messages(encoding: str, size: int, channels: int) -> list[Any]:
    """Images of noise in every padding and byte order."""
    draw = np.random.default_rng(0)
    messages = []
    for padding in PADDINGS:
        for big_endian in (0, 1):
            step = WIDTH * channels * size + padding
            messages.append(
                SimpleNamespace(
                    height=HEIGHT,
                    width=WIDTH,
                    encoding=encoding,
                    is_bigendian=big_endian,
                    step=step,
                    data=draw.integers(0, 256, HEIGHT * step, dtype=np.uint8).tobytes(),
                )
            )
    return messages


def _main() -> None:
    from motion_policy.streams.images import ENCODINGS, image_to_rgb

    equal = []
    for encoding, (size, channels, _) in ENCODINGS.items():
        try:
            messages = _trial_messages(encoding, size, channels)
            if all(np.array_equal(_by_cv_bridge(m), image_to_rgb(m)) for m in messages):
                equal.append(encoding)
        except StreamError:
            continue
    print(*equal)


if __name__ == '__main__':
    _main()
