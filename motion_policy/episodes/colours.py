# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Detection of images without colour: a grey camera on a colour topic, or a black image.

It is told by their pixels, wherever they come from: a grey image is stored as RGB, too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.episodes.images import decode_jpeg

Image = npt.NDArray[Any]

GREY_SPREAD = 2  # between the channels of a pixel, as videos round them
SAMPLED = 8  # only one pixel of so many is looked at in each direction, where these have colours


def has_colours(image: Image) -> bool:
    """Whether any pixel of an image (H, W, 3) uint8, or of a JPEG (n,) uint8, is not grey.

    True for bytes that are no JPEG, of which others tell.
    """
    if image.ndim == 1:
        decoded = decode_jpeg(image)
        return decoded is None or has_colours(decoded)
    return _coloured(image[::SAMPLED, ::SAMPLED]) or _coloured(image)


def _coloured(image: Image) -> bool:
    first, second, third = (np.ascontiguousarray(image[..., channel]) for channel in range(3))
    return any(
        bool((cv2.absdiff(one, other) > GREY_SPREAD).any())
        for one, other in ((first, second), (second, third))
    )


class ColourCount:
    """Counts the images of each camera that have no colours."""

    def __init__(self) -> None:
        self._grey: dict[str, list[int]] = {}  # the rows
        self._count: Counter[str] = Counter()
        self._last: dict[str, tuple[Image, bool]] = {}

    def add(self, camera: str, row: int, image: Image, known: bool | None = None) -> None:
        """Take in the image of a row, as of `has_colours`: (H, W, 3) uint8, or a JPEG (n,) uint8.

        A slow camera's, the same array again, is looked at once; one of which it is known, never.
        """
        last, coloured = self._last.get(camera, (None, True))
        if last is not image:
            coloured = has_colours(image) if known is None else known
            self._last[camera] = image, coloured
        self._count[camera] += 1
        if not coloured:
            self._grey.setdefault(camera, []).append(row)

    def found(self) -> list[tuple[str, int, str]]:
        """Each camera with such images: its name, the first such row, and a line."""
        return [
            (
                camera,
                rows[0],
                f'images have no colours in {len(rows)} of {self._count[camera]} rows, the '
                f'first is row {rows[0]}',
            )
            for camera, rows in self._grey.items()
        ]
