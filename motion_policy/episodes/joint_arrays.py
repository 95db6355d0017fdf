# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the readers of our episodes and of ALOHA's: an open file and its joint arrays.

Rule: whoever derives from it has checked the shapes of the arrays when the file was opened.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.hdf5.file import HdfFile

if TYPE_CHECKING:
    from typing_extensions import Self

Float32Array = npt.NDArray[np.float32]


class JointArrays:
    """The joint arrays of an open HDF5 file of T rows and J joints; a context manager."""

    _file: HdfFile

    def close(self) -> None:
        """Close the file; no array can be read after it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    @cached_property
    def qpos(self) -> Float32Array:
        """Measured joint positions (T, J) [rad or m]."""
        return self._floats(layout.QPOS)

    @cached_property
    def effort(self) -> Float32Array | None:
        """Measured efforts (T, J) [N m or N]; None where the file has none."""
        return self._floats(layout.EFFORT) if self._file.has(layout.EFFORT) else None

    @cached_property
    def action(self) -> Float32Array:
        """Leader or commanded joint positions (T, J) [rad or m]."""
        return self._floats(layout.ACTION)

    def _floats(self, name: str) -> Float32Array:
        return self._file.floats(name)
