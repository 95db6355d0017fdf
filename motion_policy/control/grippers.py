# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Grippers that are either open or closed, whatever a policy predicts between the two.

Rule: what changes one must reach the threshold beyond; a prediction that wavers about one of the
two changes nothing, and until the first such prediction a gripper stays where it is.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot import RobotSpec


class Grippers:
    """Where the robot's `joints.grippers` are sent, `targets` (G,) in the order of the joints."""

    def __init__(self, robot: RobotSpec) -> None:
        names, specs = robot.joints.names, robot.joints.grippers
        self.columns = [index for index, name in enumerate(names) if name in specs]
        mine = [specs[names[column]] for column in self.columns]
        self._open = np.array([gripper.open for gripper in mine])
        self._closed = np.array([gripper.closed for gripper in mine])
        self._open_at = np.array([gripper.open_at for gripper in mine])
        self._close_at = np.array([gripper.close_at for gripper in mine])
        self._direction = np.sign(self._open - self._closed)
        self.targets: Float64Array = np.zeros(len(mine))

    def start(self, position: Float64Array) -> None:
        """Let each stay where it is at `position` (J,) until a prediction reaches a threshold.

        One that holds an object stands between its two positions, and must not let go of it.
        """
        self.targets = position[self.columns]

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
        self.targets = np.where(opens, self._open, np.where(closes, self._closed, self.targets))
        decided = target.copy()
        decided[self.columns] = np.clip(self.targets, lower[self.columns], upper[self.columns])
        return decided
