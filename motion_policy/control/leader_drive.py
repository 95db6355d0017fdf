# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Where a leader that can be driven is sent while a policy drives the arm: to where the arm is.

Rule: it goes there within the limits that the arm has, slowly until it is there, and it is sent
nowhere once somebody holds it.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.monitors import TrackingMonitor
from motion_policy.control.motion_limiter import Float64Array, MotionLimiter
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import APART_S, TeleopSpec

NEAR_PERIODS = 2.0  # of travel at full speed: there the leader is where the arm is


class LeaderDrive:
    """Commands for the leader of `teleop`, one per control tick.

    Attributes:
        held: which joint is held, or pushed, away from its commands, until `stop`; ''.
    """

    def __init__(self, robot: RobotSpec, teleop: TeleopSpec, ramp_speed: float) -> None:
        assert teleop.takeover is not None
        names = robot.joints.names
        velocity = robot.joints.limits.velocity_array()
        driven = {joint for topic in teleop.takeover.leader_command for joint in topic.joints}
        self._driven = np.array([name in driven for name in names])
        moved = np.array(teleop.takeover.moved or np.zeros(len(names)))
        limits = np.where(self._driven, np.where(moved > 0, moved, APART_S * velocity), 0.0)
        watched = robot.model_copy(update={'tracking_error': tuple(limits.tolist())})
        self._monitor = TrackingMonitor(watched)
        self._limiter = MotionLimiter(robot.joints.limits, 0.0, robot.period_ns)
        self._near = NEAR_PERIODS * velocity * robot.period_ns * 1e-9
        self._ramp_speed, self._period_ns = ramp_speed, robot.period_ns
        self._scale, self._offset = np.ones(len(names)), np.zeros(len(names))
        for topic in teleop.leader:
            columns = [names.index(joint) for joint in topic.joints]
            self._scale[columns], self._offset[columns] = topic.scale, topic.offset
        for joint, span in teleop.ranges.items():
            (one, other), (at_one, at_other) = span.leader, span.arm
            column = names.index(joint)
            self._scale[column] = (at_other - at_one) / (other - one)
            self._offset[column] = at_one - self._scale[column] * one
        self._follows, self._met = False, False
        self.held = ''

    def stop(self) -> None:
        """Send it nowhere; what comes next begins where it is."""
        self._follows, self._met, self.held = False, False, ''

    def command(
        self, arm: Float64Array, leader: Float64Array, age_ns: int = 0
    ) -> Float64Array | None:
        """Return where to send the leader (J,), as it calls that, of an arm that was sent to (J,).

        The leader was seen at (J,), as ours, `age_ns` ago. None: it is let go, since it is held,
        or nobody knows where it is.
        """
        if self.held or not np.isfinite(leader[self._driven]).all():
            return None
        limiter = self._limiter
        if not self._follows:
            start = np.where(self._driven, leader, arm)
            limiter.start(start)
            self._monitor.start(start)
            self._follows = True
        measured = np.where(self._driven, leader, limiter.position)
        self.held = self._monitor.check(measured, age_ns)
        if self.held:
            return None
        target = np.clip(np.where(self._driven, arm, limiter.position), *self._limits)
        limiter.step(target, self._period_ns, 1.0 if self._met else self._ramp_speed)
        self._met = self._met or bool((np.abs(limiter.position - target) <= self._near).all())
        self._monitor.sent(limiter.position)
        theirs: Float64Array = (limiter.position - self._offset) / self._scale
        return theirs

    @property
    def _limits(self) -> tuple[Float64Array, Float64Array]:
        return self._limiter.lower, self._limiter.upper
