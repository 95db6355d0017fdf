# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The statistics that LeRobot's data sets carry, of each episode and of all together.

Every feature has min, max, mean, std, count and five quantiles, those of images per channel in
[0, 1]. They are exact for vectors; for images they are those of a grid of pixels of every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FeatureStatistics = dict[str, list[Any]]

QUANTILES = {'q01': 0.01, 'q10': 0.1, 'q50': 0.5, 'q90': 0.9, 'q99': 0.99}

# Pixels of an image that count, at most, along each side.
GRID = 120
LEVELS = 256


def vector_statistics(values: Array) -> FeatureStatistics:
    """Return those of a feature (N,), (N, D) or (N, k, D): lists of one, of D, of k times D."""
    shape = values.shape[1:] or (1,)
    columns = np.asarray(values, dtype=np.float64).reshape(len(values), *shape)
    return {
        'min': columns.min(axis=0).tolist(),
        'max': columns.max(axis=0).tolist(),
        'mean': columns.mean(axis=0).tolist(),
        'std': columns.std(axis=0).tolist(),
        'count': [len(columns)],
        **{name: np.quantile(columns, q, axis=0).tolist() for name, q in QUANTILES.items()},
    }


class ImageCounts:
    """How often each channel had each of the 256 levels, in the frames counted so far."""

    def __init__(self, parts: Sequence[ImageCounts] = ()) -> None:
        self.frames: int = sum(part.frames for part in parts)
        self._counts = np.zeros((3, LEVELS), np.int64)
        for part in parts:
            self._counts += part._counts

    def add(self, image: Array) -> None:
        """Count an image (H, W, 3) uint8."""
        step = max(1, min(image.shape[:2]) // GRID)
        pixels = image[::step, ::step].reshape(-1, 3)
        for channel in range(3):
            self._counts[channel] += np.bincount(pixels[:, channel], minlength=LEVELS)
        self.frames += 1

    def statistics(self) -> FeatureStatistics:
        """Return the statistics, as lists of shape (3, 1, 1)."""
        levels = np.arange(LEVELS) / (LEVELS - 1)
        shares = self._counts / self._counts.sum(axis=1, keepdims=True)
        mean = shares @ levels
        variance = shares @ levels**2 - mean**2
        up_to = shares.cumsum(axis=1)
        values = {
            'min': levels[(self._counts > 0).argmax(axis=1)],
            'max': levels[LEVELS - 1 - (self._counts[:, ::-1] > 0).argmax(axis=1)],
            'mean': mean,
            'std': np.sqrt(np.maximum(0, variance)),
            **{name: levels[(up_to >= q - 1e-12).argmax(axis=1)] for name, q in QUANTILES.items()},
        }
        listed = {name: one.reshape(3, 1, 1).tolist() for name, one in values.items()}
        return {**listed, 'count': [self.frames]}
