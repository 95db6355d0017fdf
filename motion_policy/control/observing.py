# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Measured joint positions and stream faults of a row, for a control tick."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot import RobotSpec
from motion_policy.streams import Row
from motion_policy.streams.joint_values import Float32Array, JointValues, JointVectors
from motion_policy.streams.joints import Int64Array


def robot_as_seen(
    robot: RobotSpec, cameras: Iterable[str], vectors: Iterable[str] = ()
) -> RobotSpec:
    """Return the robot with only these cameras and vectors, and no leader: what a policy sees.

    `cameras` are named by their streams, depth cameras too.
    """
    return robot.with_images(cameras).model_copy(
        update={
            'vectors': {name: robot.vectors[name] for name in vectors},
            'joints': robot.joints.model_copy(update={'leader': ()}),
        }
    )


def in_plan_time(position: Float32Array, robot: RobotSpec, pace: float) -> Float32Array:
    """Measured positions (J,) as those of a plan that is played at `pace`, > 0, of its speed.

    A base that is sent half of a velocity is seen with the whole of it. Else a policy that goes on
    as it moves would answer half of that, be sent a quarter, and come to a stand.
    """
    if pace >= 1.0 or not robot.joints.velocities:
        return position
    low, high = robot.joints.limits.position_array().T
    faster = np.clip(position / pace, low, high).astype(np.float32)
    return np.where(robot.joints.are_velocities, faster, position)


class MeasuredJoints:
    """The joints of the row that was read last."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._state = JointValues(robot, 'state')

    def read(self, row: Row) -> tuple[Float64Array | None, dict[str, str]]:
        """Return the measured position (J,), None if there is none, and the faults by stream."""
        self._state.update(row.samples)
        topics = self._state.topics
        unusable = {n: f'{topics[n].topic}: {fault}' for n, fault in self._state.faults.items()}
        faults = {**unusable, **row.faults}
        if any(name in faults for name in topics):
            return None, faults
        return self._state.position, faults

    def joints(self, pace: float = 1.0) -> JointVectors:
        """Positions, velocities and efforts (J,) as the observation of that row has them.

        `pace` as in `in_plan_time`.
        """
        position, velocity, effort = self._state.arrays()
        return in_plan_time(position, self._robot, pace), velocity, effort

    def ages_ns(self, row: Row) -> Int64Array:
        """How long before that row each joint (J,) was measured."""
        return self._state.ages_ns(row.ages_ns)

    def effort(self) -> Float64Array | None:
        """Efforts (J,) [N m or N], NaN for joints without one; None where no joint has one."""
        return self._state.efforts
