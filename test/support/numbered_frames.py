# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A simulation whose images tell when they were taken, for tests of timing."""

from __future__ import annotations

import numpy as np

from motion_policy.simulation import TabletopSim

MS = 1_000_000


class NumberedFrames(TabletopSim):
    """The simulation, whose images tell when they were taken, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.rendered_ms: list[int] = []

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """Return an image that holds its time."""
        time_ms = self.time_ns // MS
        self.rendered_ms.append(time_ms)
        image = np.zeros((height, width, 3), np.uint8)
        image[0, 0] = (time_ms // 65536, time_ms // 256 % 256, time_ms % 256)
        return image


def time_of(image: np.ndarray) -> int:
    """When a numbered frame was taken, in ms."""
    high, middle, low = (int(value) for value in image[0, 0])
    return high * 65536 + middle * 256 + low
