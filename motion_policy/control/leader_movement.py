# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether somebody moves a leader while the policy drives: that is how a person takes over.

A leader that sinks slowly is moved by nobody, nor one whose encoder goes round.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from motion_policy.control.leader_follower import jump_limits
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import TeleopSpec

WINDOW_NS = 1_000_000_000


class LeaderMovement:
    """Compares where the leader is with where it was within the last second.

    `moved` of `teleop.takeover` are the limits [rad or m]; without any, nothing is a movement.
    """

    def __init__(self, robot: RobotSpec, teleop: TeleopSpec) -> None:
        joints = len(robot.joints.names)
        self._names = robot.joints.names
        moved = None if teleop.takeover is None else teleop.takeover.moved
        self._moved = np.array([each or np.inf for each in moved or [np.inf] * joints])
        self._jump = jump_limits(robot, teleop)
        self._seen: deque[tuple[int, Float64Array]] = deque()

    @property
    def watches(self) -> bool:
        """Whether any joint is watched."""
        return bool(np.isfinite(self._moved).any())

    def forget(self) -> None:
        """Begin anew: where it was before says nothing."""
        self._seen.clear()

    def see(self, leader: Float64Array, now_ns: int) -> str:
        """Take where the leader is (J,), NaN of joints that it has not; say what moved, or ''."""
        seen = self._seen
        if seen and now_ns < seen[-1][0]:
            self.forget()
        while seen and now_ns - seen[0][0] > WINDOW_NS:
            seen.popleft()
        if seen and (np.abs(leader - seen[-1][1]) > self._jump).any():
            self.forget()
        before = np.array([position for _, position in seen]).reshape(-1, len(leader))
        seen.append((now_ns, leader))
        if not len(before):
            return ''
        away = np.nan_to_num(np.abs(before - leader).max(axis=0))
        joint = int((away - self._moved).argmax())
        if away[joint] <= self._moved[joint]:
            return ''
        return f"joint '{self._names[joint]}' of the leader was moved by {away[joint]:.3f}"
