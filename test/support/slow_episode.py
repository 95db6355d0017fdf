# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode of the formula arm that keeps every limit, so that a replay can follow it exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import recordings
from control_robots import formula_arm

from motion_policy.episodes import EpisodeWriter
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation

ROWS = 120
RISE = 0.004  # rad per row
FIRST = 0.2


def action(row: int) -> np.ndarray:
    """Two joints swing; the third rises steadily, so that it tells the row of a command."""
    swing = 0.15 * np.array([np.cos(0.05 * row), np.sin(0.05 * row)])
    return np.array([*(0.3 + swing), FIRST + RISE * row], dtype=np.float32)


def write_slow_episode(path: Path, rows: int = ROWS, robot: RobotSpec | None = None) -> Path:
    """Write the episode and return its path."""
    robot = robot or formula_arm()
    image = np.zeros((24, 32, 3), np.uint8)
    with EpisodeWriter(path, robot) as writer:
        for index in range(rows):
            row = recordings.row_at(index, robot)
            qpos = action(index)
            seen = Observation(qpos, 0 * qpos, None, {'top': image}, qpos)
            writer.append(row.time_ns, seen, row)
    return path
