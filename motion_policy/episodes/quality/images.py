# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of an episode's cameras: frozen, black or white, damaged.

Images come one by one, as they are written or read; of each camera the last one is kept.
"""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.episodes.images import decode_jpeg
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.episodes.quality.verdict import QualityVerdict, verdict_on

Image = npt.NDArray[Any]

BLACK, WHITE = 8.0, 247.0  # mean brightness, of 255
FLAT = 2.0  # the deviation of the brightness of large parts: of a covered lens
PARTS = 16  # along each side; in them the noise of pixels is gone


class ImageWatch:
    """Looks at the images of the cameras as they come."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def add(self, camera: str, image: Image | None, exposure: str | None = None) -> None:
        """Take in the image of the next row: (H, W, 3) uint8, a JPEG (n,) uint8; None: damaged.

        A slow camera's, the same array again, is looked at once; `exposure` is that of
        `exposure_of`, where it is known.
        """
        self._cameras.setdefault(camera, _Camera()).add(image, exposure)

    def verdicts(self, numbers: EpisodeNumbers) -> list[QualityVerdict]:
        """What is to be said of every camera."""
        found = []
        for name, camera in self._cameras.items():
            found += camera.verdicts(name, numbers)
        return found


class _Camera:
    """What was seen of one camera: rows in which its image is that of the row before."""

    def __init__(self) -> None:
        self.rows = self.damaged = self.black = self.white = self.flat = 0
        self.repeats = array('b')
        self.last: Image | None = None
        self.kind = ''

    def add(self, image: Image | None, exposure: str | None) -> None:
        self.rows += 1
        if image is None:
            self.damaged += 1
            self.last, self.kind = None, ''
            self.repeats.append(0)
            return
        again = self.last is not None and (self.last is image or _equal(self.last, image))
        self.repeats.append(again)
        if not again:
            self.last = image
            self.kind = exposure_of(image) if exposure is None else exposure
        self.black += self.kind == 'black'
        self.white += self.kind == 'white'
        self.flat += self.kind == 'flat'

    def verdicts(self, name: str, numbers: EpisodeNumbers) -> list[QualityVerdict]:
        robot = numbers.robot
        frozen_s = self._frozen_s(name, numbers)
        bad = self.black + self.white + self.flat
        words = [
            f'{word} in {count} of {self.rows} rows'
            for word, count in (('black', self.black), ('white', self.white),
                                ('of one colour', self.flat))
            if count
        ]  # fmt: skip
        return [
            *verdict_on(
                robot, 'frozen', frozen_s, 's',
                f"camera '{name}' sent one and the same image for {frozen_s:.2f} s of motion",
                of=name,
            ),
            *verdict_on(
                robot, 'exposure', bad / max(1, self.rows), '',
                f"camera '{name}' is {' and '.join(words) or 'neither black nor white'}",
                of=name,
            ),
            *verdict_on(
                robot, 'damaged', float(self.damaged), 'rows',
                f"camera '{name}' has damaged images in {self.damaged} of {self.rows} rows",
                of=name,
            ),
        ]  # fmt: skip

    def _frozen_s(self, name: str, numbers: EpisodeNumbers) -> float:
        """The longest time in which new messages held the same image while something moved."""
        stamps = numbers.streams[name]
        same = np.array(self.repeats, dtype=bool)[: numbers.length]
        new = np.diff(stamps.receive_ns, prepend=0) != 0
        longest = 0
        edges = np.flatnonzero(np.diff(np.pad(same, 1).astype(np.int8)))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            if new[begin:end].any():
                longest = max(longest, int(numbers.moving[begin:end].sum()))
        return longest * numbers.period_s


def _equal(one: Image, other: Image) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other))


def exposure_of(image: Image) -> str:
    """How an image (H, W, 3) uint8, or a JPEG (n,) uint8, is exposed.

    'black', 'white' or 'flat'; '' for what shows something.
    """
    if image.ndim == 1:
        decoded = decode_jpeg(image)
        return '' if decoded is None else exposure_of(decoded)
    parts = cv2.resize(image, (PARTS, PARTS), interpolation=cv2.INTER_AREA).astype(np.float64)
    mean = parts.mean()
    if mean < BLACK:
        return 'black'
    if mean > WHITE:
        return 'white'
    return 'flat' if parts.std(axis=(0, 1)).max() < FLAT else ''
