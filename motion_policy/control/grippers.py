# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Grippers that are either open or closed, whatever a policy predicts between the two.

Rule: what changes one must reach the threshold beyond; a prediction that wavers about one of the
two changes nothing.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.motion_limiter import BoolArray, Float64Array
from motion_policy.robot import RobotSpec


class Grippers:
    """Which of the robot's `joints.grippers` are open, in the order of the joints."""

    def __init__(self, robot: RobotSpec) -> None:
        names, specs = robot.joints.names, robot.joints.grippers
        self.columns = [index for index, name in enumerate(names) if name in specs]
        mine = [specs[names[column]] for column in self.columns]
        self._open = np.array([gripper.open for gripper in mine])
        self._closed = np.array([gripper.closed for gripper in mine])
        self._open_at = np.array([gripper.open_at for gripper in mine])
        self._close_at = np.array([gripper.close_at for gripper in mine])
        self._direction = np.sign(self._open - self._closed)
        self.opened: BoolArray = np.zeros(len(mine), dtype=np.bool_)

    def start(self, position: Float64Array) -> None:
        """Take each for open if it stands nearer to that at `position` (J,)."""
        stands = position[self.columns]
        self.opened = np.abs(stands - self._open) < np.abs(stands - self._closed)

    def decide(
        self, target: Float64Array, lower: Float64Array, upper: Float64Array
    ) -> Float64Array:
        """Return the target (J,) with every gripper at one of its two positions.

        Margins may have left less room between `lower` and `upper` (J,): then it stays there.
        """
        if not self.columns:
            return target
        wanted = target[self.columns]
        opens = self._direction * (wanted - self._open_at) >= 0
        closes = self._direction * (wanted - self._close_at) <= 0
        self.opened = opens | (self.opened & ~closes)
        decided = target.copy()
        position = np.where(self.opened, self._open, self._closed)
        decided[self.columns] = np.clip(position, lower[self.columns], upper[self.columns])
        return decided
