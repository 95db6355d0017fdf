# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Velocities of a base stand in rows as twists say them, beside the joints of the arm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mobile_robots import mobile_robot
from recordings import joint_message

from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Sample, Sampler, StreamError, observation_from_row
from motion_policy.streams.joints import read_joint_message

ROBOT = mobile_robot()
NAN = float('nan')


def twist(*numbers: float) -> Any:
    six = (*numbers, *[0.0] * (6 - len(numbers)))
    of = [SimpleNamespace(x=x, y=y, z=z) for x, y, z in (six[:3], six[3:])]
    return SimpleNamespace(linear=of[0], angular=of[1])


def odometry(*numbers: float) -> Any:
    return SimpleNamespace(twist=SimpleNamespace(twist=twist(*numbers)))


def observed(robot: RobotSpec, arm: Any, *odometries: Any) -> Any:
    """The observation half a second after these messages, 20 ms apart; no leader."""
    joints = robot.joints.model_copy(update={'leader': ()})
    robot = robot.model_copy(update={'joints': joints})
    sampler = Sampler(robot.streams())
    begin_ns = 10 * NANOSECONDS_PER_S
    sampler.push('state_0', Sample(0, begin_ns, arm))
    for number, message in enumerate(odometries):
        sampler.push('state_1', Sample(0, begin_ns + number * 20_000_000, message))
    return observation_from_row(sampler.observe(begin_ns + 500_000_000), robot)


def test_a_row_has_the_velocities_as_positions_and_as_velocities() -> None:
    arm = joint_message(['elbow', 'lift'], [2.0, 1.0], velocity=[0.2, 0.1], effort=[20.0, 10.0])
    found = observed(ROBOT, arm, odometry(0.3, 9.0, 9.0, 9.0, 9.0, -0.4))
    np.testing.assert_array_equal(found.qpos, np.float32([1.0, 2.0, 0.3, -0.4]))
    np.testing.assert_array_equal(found.qvel, np.float32([0.1, 0.2, 0.3, -0.4]))
    # Nobody measures the effort of a base; that of the arm is not lost for it.
    np.testing.assert_array_equal(found.effort, np.float32([10.0, 20.0, 0.0, 0.0]))
    assert found.has_qvel and not found.lacking


def test_an_arm_that_reports_neither_is_not_said_to_lack_what_the_base_has() -> None:
    found = observed(ROBOT, joint_message(['elbow', 'lift'], [2.0, 1.0]), odometry(0.3))
    assert found.effort is None and not found.has_qvel and not found.lacking


def test_what_is_no_velocity_is_not_taken_and_the_one_before_stands() -> None:
    arm = joint_message(['elbow', 'lift'], [2.0, 1.0])
    found = observed(ROBOT, arm, odometry(0.3, 0, 0, 0, 0, 0.1), odometry(NAN), odometry(1e39))
    np.testing.assert_array_equal(found.qpos[2:], np.float32([0.3, 0.1]))
    with pytest.raises(StreamError, match=r"stream 'state_1' \(odom\).*'base_turn'.*nan"):
        observed(ROBOT, arm, odometry(0.3, 0, 0, 0, 0, NAN))


def test_a_velocity_may_go_to_and_fro_as_no_position_may() -> None:
    arm = joint_message(['elbow', 'lift'], [2.0, 1.0])
    shaking = [odometry(0.3 * (-1) ** number) for number in range(20)]
    assert observed(ROBOT, arm, *shaking).qpos[2] == np.float32(-0.3)


def test_the_fields_are_those_of_the_spec_whatever_the_type() -> None:
    sideways = mobile_robot(
        '{topic: odom, type: nav_msgs/msg/Odometry, max_age: 1.0}',
        '{topic: odom, type: geometry_msgs/msg/Twist, fields: [linear.y, linear.z]}',
    )
    (_, topic) = sideways.joints.state
    found = read_joint_message(twist(1, 2, 3, 4, 5, 6), topic)
    np.testing.assert_array_equal(found.position, [2, 3])
    slow = mobile_robot('/cmd_vel, type: geometry_msgs/msg/Twist',
                        '/cmd_vel, type: geometry_msgs/msg/Twist, scale: [0.5, -1.0]')  # fmt: skip
    found = read_joint_message(twist(0.4, 0, 0, 0, 0, 0.3), slow.joints.leader[1])
    np.testing.assert_allclose(found.position, [0.2, -0.3])
