# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of an episode's cameras: frozen, black or white, damaged, depth that was not measured.

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
from motion_policy.robot import depth_stream

Image = npt.NDArray[Any]

BLACK, WHITE = 8.0, 247.0  # mean brightness, of 255
FLAT = 2.0  # the deviation of the brightness of large parts: of a covered lens
LEAST_MEASURED = 10  # percentile of the rows, which tells of a lens covered for a while
PARTS = 16  # along each side; in them the noise of pixels is gone


class ImageWatch:
    """Looks at the images of the cameras as they come."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}
        self._depth: dict[str, _DepthCamera] = {}

    def add(self, camera: str, image: Image | None, exposure: str | None = None) -> None:
        """Take in the image of the next row: (H, W, 3) uint8, a JPEG (n,) uint8; None: damaged.

        A slow camera's, the same array again, is looked at once; `exposure` is that of
        `exposure_of`, where it is known.
        """
        self._cameras.setdefault(camera, _Camera()).add(image, exposure)

    def add_depth(self, name: str, image: Image | None) -> None:
        """Take in the next row, (H, W) uint16 [mm], 0: not measured; None: it is damaged."""
        self._depth.setdefault(name, _DepthCamera()).add(image)

    def verdicts(self, numbers: EpisodeNumbers) -> list[QualityVerdict]:
        """What is to be said of every camera."""
        found = []
        for name, camera in self._cameras.items():
            found += camera.verdicts(name, numbers)
        for name, depth in self._depth.items():
            found += depth.verdicts(name, numbers)
        return found


class _Repeats:
    """Rows in which an image is that of the row before."""

    def __init__(self) -> None:
        self.last: Image | None = None
        self._repeats = array('b')

    def add(self, image: Image | None) -> bool:
        """Whether this is the image of the row before; None: there is none."""
        again = False
        if image is not None and self.last is not None:
            again = self.last is image or _equal(self.last, image)
        self._repeats.append(again)
        if not again:
            self.last = image
        return again

    def frozen(self, stream: str, what: str, numbers: EpisodeNumbers) -> list[QualityVerdict]:
        """The longest time in which new messages held the same image while something moved."""
        stamps = numbers.streams[stream]
        same = np.array(self._repeats, dtype=bool)[: numbers.length]
        new = np.diff(stamps.receive_ns, prepend=0) != 0
        longest = 0
        edges = np.flatnonzero(np.diff(np.pad(same, 1).astype(np.int8)))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            if new[begin:end].any():
                longest = max(longest, int(numbers.moving[begin:end].sum()))
        frozen_s = longest * numbers.period_s
        return verdict_on(
            numbers.robot, 'frozen', frozen_s, 's',
            f'{what} sent one and the same image for {frozen_s:.2f} s of motion',
            of=stream,
        )  # fmt: skip


class _DepthCamera:
    """What was seen of one depth camera: how much of its image was measured in each row."""

    def __init__(self) -> None:
        self._repeats = _Repeats()
        self._shares = array('d')

    def add(self, image: Image | None) -> None:
        again = self._repeats.add(image)
        if image is not None:
            self._shares.append(self._shares[-1] if again else measured_share(image))

    def verdicts(self, name: str, numbers: EpisodeNumbers) -> list[QualityVerdict]:
        stream, what = depth_stream(name), f"depth camera '{name}'"
        found = self._repeats.frozen(stream, what, numbers)
        if len(self._shares):
            least = float(np.percentile(self._shares, LEAST_MEASURED))
            found += verdict_on(
                numbers.robot, 'coverage', least, '',
                f'{what} measured {100 * least:.0f} % of its image or less in a tenth of the rows',
                of=stream,
            )  # fmt: skip
        return found


class _Camera:
    """What was seen of one camera."""

    def __init__(self) -> None:
        self.rows = self.damaged = self.black = self.white = self.flat = 0
        self._repeats = _Repeats()
        self.kind = ''

    def add(self, image: Image | None, exposure: str | None) -> None:
        self.rows += 1
        again = self._repeats.add(image)
        if image is None:
            self.damaged += 1
            self.kind = ''
            return
        if not again:
            self.kind = exposure_of(image) if exposure is None else exposure
        self.black += self.kind == 'black'
        self.white += self.kind == 'white'
        self.flat += self.kind == 'flat'

    def verdicts(self, name: str, numbers: EpisodeNumbers) -> list[QualityVerdict]:
        robot = numbers.robot
        bad = self.black + self.white + self.flat
        words = [
            f'{word} in {count} of {self.rows} rows'
            for word, count in (('black', self.black), ('white', self.white),
                                ('of one colour', self.flat))
            if count
        ]  # fmt: skip
        return [
            *self._repeats.frozen(name, f"camera '{name}'", numbers),
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


def measured_share(image: Image) -> float:
    """The share of a depth image (H, W) uint16 [mm] that was measured, in [0, 1]."""
    return float(cv2.countNonZero(image)) / image.size


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
