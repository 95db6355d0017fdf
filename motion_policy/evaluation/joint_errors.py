# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""RMSE of predicted joint positions per joint, in robot units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class JointErrors:
    """Errors per joint, each (J,) [rad, or m for a sliding joint], over `steps` steps."""

    names: tuple[str, ...]
    rmse: Float64Array
    mae: Float64Array
    largest: Float64Array
    steps: int

    def to_json(self) -> dict[str, Any]:
        """Plain values: `{'steps': N, 'joints': {name: {'rmse', 'mae', 'max'}}}`."""
        joints = {
            name: {
                'rmse': float(self.rmse[index]),
                'mae': float(self.mae[index]),
                'max': float(self.largest[index]),
            }
            for index, name in enumerate(self.names)
        }
        return {'steps': self.steps, 'joints': joints}


def joint_errors(
    names: Sequence[str], predicted: npt.ArrayLike, truth: npt.ArrayLike
) -> JointErrors:
    """Compare (N, J) predictions with (N, J) truths; N must be at least 1."""
    difference = np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)
    if difference.ndim != 2 or difference.shape[1] != len(names) or not len(difference):
        raise ValueError(f'expected (steps >= 1, {len(names)}) values, found {difference.shape}')
    return JointErrors(
        tuple(names),
        np.sqrt((difference**2).mean(axis=0)),
        np.abs(difference).mean(axis=0),
        np.abs(difference).max(axis=0),
        len(difference),
    )
