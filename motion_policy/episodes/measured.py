# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Detection of depth images in which nothing was measured: a covered or failing depth camera."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

DepthImage = npt.NDArray[np.uint16]  # (H, W) [mm]


class EmptyDepthCount:
    """Counts the images of each depth camera that are zero everywhere."""

    def __init__(self) -> None:
        self._empty: dict[str, list[int]] = {}  # the rows
        self._count: Counter[str] = Counter()
        self._last: dict[str, tuple[DepthImage, bool]] = {}

    def add(self, name: str, row: int, image: DepthImage) -> None:
        """Take in the image of a row, (H, W) uint16 [mm]; the same again is looked at once."""
        last, empty = self._last.get(name, (None, False))
        if last is not image:
            empty = not image.any()
            self._last[name] = image, empty
        self._count[name] += 1
        if empty:
            self._empty.setdefault(name, []).append(row)

    def found(self) -> list[tuple[str, int, str]]:
        """Each depth camera with such images: its name, the first such row, and a line."""
        return [
            (
                name,
                rows[0],
                f'nothing was measured in {len(rows)} of {self._count[name]} rows, the first is '
                f'row {rows[0]}',
            )
            for name, rows in self._empty.items()
        ]
