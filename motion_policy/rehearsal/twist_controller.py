# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A model of a Cartesian velocity controller, such as MoveIt Servo, that integrates.

It knows of the commands what their messages say, and moves the joints by the Jacobian of the URDF.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot import JointTopic, RobotSpec
from motion_policy.robot.kinematics import commanded_tool
from motion_policy.streams import StreamError

Float64Array = npt.NDArray[np.float64]

TIMEOUT_NS = 100_000_000  # incoming_command_timeout of MoveIt Servo, by default


class TwistController:
    """Follows velocities of the tool of `robot` as a Cartesian controller does.

    By the Jacobian where its joints are, damped near a singularity; and no longer than
    `TIMEOUT_NS` after the last message, as MoveIt Servo does by default.
    """

    def __init__(self, robot: RobotSpec, topic: JointTopic) -> None:
        self._kinematics, self._link = commanded_tool(topic, robot)
        self._frame_id = topic.frame or self._kinematics.root()
        self._frame = self._kinematics.link(self._frame_id, 'frame')
        self._columns = [robot.joints.names.index(joint) for joint in topic.joints]
        self.velocity: Float64Array = np.zeros(len(topic.joints))
        self._lasts_ns = max(TIMEOUT_NS, 2 * robot.period_ns)
        self._until_ns = 0
        self._at_ns = 0

    def receive(self, message: Any, joints: Float64Array, now_ns: int) -> None:
        """Take a TwistStamped for an arm whose joints are there (J,).

        Raises:
            StreamError: it is no velocity, or one of another frame.
        """
        linear, angular = message.twist.linear, message.twist.angular
        numbers = np.array([*_xyz(linear), *_xyz(angular)])
        if not np.isfinite(numbers).all():
            raise StreamError(f'{numbers.tolist()} is no velocity, expected finite numbers')
        if message.header.frame_id != self._frame_id:
            raise StreamError(
                f"the velocity is one in '{message.header.frame_id}', expected '{self._frame_id}'"
            )
        _, (rotation,) = self._kinematics.poses(self._frame, joints[None])
        twist = np.concatenate((rotation @ numbers[:3], rotation @ numbers[3:]))
        self.velocity = self._kinematics.joint_velocity(self._link, joints, twist, self._columns)
        self._until_ns = now_ns + self._lasts_ns

    def moved(self, now_ns: int) -> Float64Array:
        """Return how far the topic's joints (n,) have moved since this was asked last."""
        lasted_ns = min(now_ns, self._until_ns) - self._at_ns
        self._at_ns = now_ns
        return self.velocity * max(0, lasted_ns) * 1e-9

    def forget(self) -> None:
        """Follow nothing."""
        self._until_ns = 0


def _xyz(vector: Any) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z
