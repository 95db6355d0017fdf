# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The box in which the tip of a planar arm stays, judged from outside as the limits are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motion_policy.rehearsal.judge import SLACK, BoolArray, Float64Array


@dataclass(frozen=True)
class Box:
    """Where the tip of a planar chain of `links` [m] (J,) stays: x and y, `middle` +- `half`."""

    links: Float64Array
    middle: complex
    half: complex

    def outside(self, positions: Float64Array) -> BoolArray:
        """Which of the joint positions (N, J) have the tip outside."""
        angles = np.cumsum(positions, axis=1)
        away = (self.links * np.exp(1j * angles)).sum(axis=1) - self.middle
        far = (np.abs(away.real) > self.half.real + SLACK) | (
            np.abs(away.imag) > self.half.imag + SLACK
        )
        return np.asarray(far)
