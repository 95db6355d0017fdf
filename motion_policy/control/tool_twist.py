# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Commands as velocities of the tool, for controllers that take nothing else.

Rule: the guarded joints decide. A velocity follows their way, and what is added to it brings the
tool back to that way; it is exactly zero where the arm has to stand.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.command import CommandMotion
from motion_policy.control.guard import all_finite
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot import JointTopic, RobotSpec
from motion_policy.robot.kinematics import commanded_tool

# So near to where its commands stand a tool is left in peace.
SETTLED_M, SETTLED_RAD = 1e-3, 2e-3
OLDEST_S = 0.1  # what was measured before says nothing of where the tool is by now
PARTS = (slice(0, 3), slice(3, 6))  # of a twist: [m/s] and [rad/s]


class ToolTwist:
    """Velocities of the tool for the commands of one topic.

    Raises:
        UserError: the URDF has no link `frame`, or not all joints of the topic move the tool.
    """

    def __init__(self, topic: JointTopic, robot: RobotSpec) -> None:
        self._kinematics, self._link = commanded_tool(topic, robot)
        self._frame: int | None = None
        if topic.frame is not None:
            self._frame = self._kinematics.link(topic.frame, 'frame')
        self.frame = topic.frame or self._kinematics.root()
        self._columns = [robot.joints.names.index(joint) for joint in topic.joints]
        self._gain = topic.gain
        self._period_s = robot.period_ns * 1e-9
        limits = robot.joints.limits
        self._max_velocity = limits.velocity_array()[self._columns]
        self._rise = limits.acceleration_array()[self._columns] * self._period_s
        self._added = np.zeros(len(self._columns))  # by the correction before: joint velocities

    def twist(self, position: Float64Array, motion: CommandMotion) -> Float64Array:
        """Return the velocity (6,) that leads to a command (J,) within a period.

        That is x, y, z [m/s] of the tool's origin, then of its rotation [rad/s], along the axes of
        `frame`. It takes the tool from the command before to this one, and is corrected in
        proportion to how far it is from the command before; as far as the joints of the topic do
        that, while others are moved by others. To be called once for each command: a correction
        sets in no faster than the joints may speed up.
        """
        before = position - motion.velocity * self._period_s  # where the joints are to be by now
        measured = self._by_now(motion)
        here = before if measured is None else measured
        before, position = self._among(here, before), self._among(here, position)
        along = np.zeros(6)
        if motion.velocity[self._columns].any():
            along = self._kinematics.difference(self._link, before, position) / self._period_s
        twist = along
        if measured is not None:
            twist = along + self._correction(before, measured, motion, stands=not along.any())
        if measured is None or motion.braking:
            self._added = np.zeros(len(self._columns))
        if motion.braking:
            twist = np.concatenate([_slower(twist[part], along[part]) for part in PARTS])
        if not twist.any():
            return np.zeros(6)
        return self._in_frame(self._bounded(twist, here, motion.tool_speed_limit), here)

    def _by_now(self, motion: CommandMotion) -> Float64Array | None:
        """Where the joints (J,) are by now if they go on like the commands; None: not known."""
        if motion.measured is None or not all_finite(motion.measured):
            return None
        age_s = np.maximum(np.broadcast_to(motion.age_s, motion.measured.shape), 0.0)
        if age_s[self._columns].max() > OLDEST_S:
            return None
        measured: Float64Array = motion.measured + motion.velocity * np.minimum(age_s, OLDEST_S)
        return measured

    def _correction(
        self, before: Float64Array, measured: Float64Array, motion: CommandMotion, *, stands: bool
    ) -> Float64Array:
        """What to add (6,) where joints are `measured` (J,) that are to be at `before` (J,)."""
        missing = self._kinematics.difference(self._link, measured, before)
        linear, angular = (float(np.linalg.norm(missing[part])) for part in PARTS)
        if stands and linear <= SETTLED_M and angular <= SETTLED_RAD:
            self._added = np.zeros(len(self._columns))
            return np.zeros(6)
        # The joints that do it move like this, beside their motion to the command.
        added = self._gain * (before - measured)[self._columns]
        own = motion.velocity[self._columns] * np.sign(added)
        room = motion.speed * self._max_velocity - own
        if not motion.braking:  # which it can only slow down
            room = np.minimum(room, np.maximum(self._added * np.sign(added), 0.0) + self._rise)
        share = np.divide(room, np.abs(added), out=np.ones(len(added)), where=added != 0)
        part = np.clip(share.min(initial=1.0), 0.0, 1.0)
        self._added = part * added
        correction: Float64Array = self._gain * missing * part
        return correction

    def _among(self, here: Float64Array, joints: Float64Array) -> Float64Array:
        """Return `here` (J,) with the joints of the topic at `joints` (J,)."""
        among = here.copy()
        among[self._columns] = joints[self._columns]
        return among

    def _bounded(self, twist: Float64Array, joints: Float64Array, limit: float) -> Float64Array:
        """Return it no faster than joints that are there (J,), and the tool, may be.

        Near a singularity, or off the way of the commands, it may take joints more than theirs.
        """
        needed = self._kinematics.joint_velocity(self._link, joints, twist, self._columns)
        excess = float((np.abs(needed) / self._max_velocity).max())
        if limit:
            excess = max(excess, float(np.linalg.norm(twist[:3])) / limit)
        return twist / excess if excess > 1.0 else twist

    def _in_frame(self, twist: Float64Array, joints: Float64Array) -> Float64Array:
        if self._frame is None:
            return twist
        _, (rotation,) = self._kinematics.poses(self._frame, joints[None])
        turned: Float64Array = np.concatenate([twist[part] @ rotation for part in PARTS])
        return turned


def _slower(one: Float64Array, other: Float64Array) -> Float64Array:
    """Return the shorter of two vectors (3,); nothing where one is against the other."""
    if one @ other < 0:
        return np.zeros(3)
    return one if np.linalg.norm(one) < np.linalg.norm(other) else other
