# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Optional velocity and effort columns that a robot reports only in part.

Rule: an episode has them of every row or not at all; a row without never costs its positions and
images. Until the file is finished, rows without hold NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.streams.buffers import named_joints

Array = npt.NDArray[Any]


def reported(values: Array | None, row: int) -> Array | None:
    """What a file of another tool reports in a row of `values` (T, J); None: NaN, or no values."""
    return None if values is None or np.isnan(values[row]).any() else values[row]


def nowhere(values: Array | None) -> bool:
    """Whether a file has such values (T, J), but reports them in no row."""
    return values is not None and bool(np.isnan(values).any(axis=1).all())


class Reported:
    """What became of one of these columns in the rows so far.

    Attributes:
        lacking: the joints that do not report it, in some row in which others do.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lacking: dict[str, None] = {}
        self._rows = self._without = self._first_without = self._held = self._first_held = 0

    def stored(self, values: Array, there: bool, held: bool = False) -> Array:
        """What to store of the values (J,) of the next row.

        `there`: whether they are reported; `held`: whether by an earlier message only.
        """
        if held:
            self._first_held = self._first_held if self._held else self._rows
            self._held += 1
        if not there:
            self._first_without = self._first_without if self._without else self._rows
            self._without += 1
        self._rows += 1
        missing_later = not there and self._first_without > 0
        return np.full_like(values, np.nan) if missing_later else values

    @property
    def left_out(self) -> bool:
        """Whether some rows have it and others have not."""
        return 0 < self._without < self._rows

    @property
    def told(self) -> str:
        """A line on rows without it, or with values of earlier messages, if there are any."""
        if self.left_out or (self._without and self.lacking):
            return str(self)
        if not self._held or self._without:
            return ''
        return (
            f"'/{self.name}' is that of an earlier message in {self._held} of {self._rows} rows, "
            f'the first is row {self._first_held}: messages come without'
        )

    def __str__(self) -> str:
        what = 'is zero' if self.name == layout.QVEL else 'is left out'
        whose = f'of {named_joints(tuple(self.lacking))} ' if self.lacking else ''
        return (
            f"'/{self.name}' {what}: not reported {whose}in {self._without} of {self._rows} rows, "
            f'the first is row {self._first_without}'
        )


def leave_out(file: h5py.File, names: Iterable[str]) -> None:
    """Leave these columns out of a file; velocities, which every episode has, are zero."""
    for name in names:
        if name == layout.QVEL:
            file[name][...] = 0
        elif name in file:
            del file[name]
