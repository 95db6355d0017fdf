# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A motion as somebody would demonstrate it: smooth, inside all limits, out and back again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from motion_policy.robot import LimitsSpec

Float64Array = npt.NDArray[np.float64]

PERIODS_S = (6.0, 3.0, 2.0)  # of the joints in turn; all are back after the longest
REACH = 0.25  # of the range
SHARE = 0.3  # of the limits of velocity and acceleration


class Guide:
    """Begins and ends at rest at `start` (J,), and begins anew every 6 s."""

    def __init__(self, limits: LimitsSpec, start: Float64Array) -> None:
        low, high = limits.position_array().T
        joints = len(low)
        self._period_s = np.array([PERIODS_S[j % len(PERIODS_S)] for j in range(joints)])
        most = np.minimum(
            SHARE * limits.velocity_array() * self._period_s / np.pi,
            SHARE * limits.acceleration_array() * self._period_s**2 / (2 * np.pi**2),
        )
        inwards = np.where(start > (low + high) / 2, -1.0, 1.0)
        self._reach = inwards * np.minimum(REACH * (high - low), most)
        self._start = np.array(start)

    def position(self, since_s: float) -> Float64Array:
        """Where it leads `since_s` seconds after its begin, (J,)."""
        phase = 2 * np.pi * since_s / self._period_s
        way: Float64Array = self._start + self._reach * (1 - np.cos(phase)) / 2
        return way
