# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Monotone cubic interpolation (Fritsch and Carlson) between rows of a plan, without overshoot.

Fritsch and Carlson: doi:10.1137/0717021. The slopes are those of Fritsch and Butland,
doi:10.1137/0905021: between two rows the curve rises or falls as they do, so a limit that the rows
keep is kept by every point between.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.motion_limiter import Float64Array

STEEPEST = 3.0  # times the straight line: below it a piece has no turning point


def monotone_slopes(spans: Float64Array, rows: Float64Array, first: Float64Array) -> Float64Array:
    """Return the slope (n, A) of the curve at each of n >= 2 rows (n, A).

    `spans` (n - 1,) are the times between them. The curve begins with the slope `first` (A,), as
    far as it leads to the second row, and ends with that of its last straight line.
    """
    secants = np.diff(rows, axis=0) / spans[:, None]
    slopes = np.empty_like(rows)
    slopes[0] = _towards(first, secants[0])
    slopes[-1] = secants[-1]
    before, after = secants[:-1], secants[1:]
    turns = np.sign(before) * np.sign(after) <= 0
    # Any number will do where the curve turns: its slope there is 0.
    before, after = np.where(turns, 1.0, before), np.where(turns, 1.0, after)
    # The harmonic mean: a steep line beside a flat one must not tilt it.
    heavy_before = (spans[:-1] + 2 * spans[1:])[:, None]
    heavy_after = (2 * spans[:-1] + spans[1:])[:, None]
    mean = (heavy_before + heavy_after) * before * after
    mean /= heavy_before * after + heavy_after * before
    slopes[1:-1] = np.where(turns, 0.0, mean)
    return slopes


def piece(
    share: float, span: float, ends: tuple[Float64Array, ...], slopes: tuple[Float64Array, ...]
) -> tuple[Float64Array, Float64Array]:
    """Return position and slope (A,) after a share, 0 to 1, of the way between two rows."""
    (begin, end), (leaving, arriving) = ends, slopes
    rest = 1 - share
    rise = share * share * (3 - 2 * share)
    position = (1 - rise) * begin + rise * end
    position = position + span * share * rest * (rest * leaving - share * arriving)
    # Rounding must not lead out of the rows' range either.
    position = np.clip(position, np.minimum(begin, end), np.maximum(begin, end))
    slope = 6 * share * rest * (end - begin) / span
    slope = slope + rest * (1 - 3 * share) * leaving + share * (3 * share - 2) * arriving
    return position, slope


def _towards(slope: Float64Array, secant: Float64Array) -> Float64Array:
    """The slope, as far as a curve along the straight line may have it without turning."""
    least = np.minimum(0.0, STEEPEST * secant)
    most = np.maximum(0.0, STEEPEST * secant)
    return np.clip(slope, least, most)
