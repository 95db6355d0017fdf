# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every command topic gets its own joints, under its names, in its order and message type."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from ros_testing import Bench
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from motion_policy.nodes.commands import CommandPublishers

TWO_ARMS = """[
  {topic: left/commands, type: std_msgs/msg/Float64MultiArray, joints: [joint3, joint1]},
  {topic: right/joint_trajectory, type: trajectory_msgs/msg/JointTrajectory,
   joints: [joint2], message_names: [right_elbow]},
  {topic: gripper/target_joint, type: sensor_msgs/msg/JointState,
   joints: [joint4], message_names: [finger]}]"""
POSITION = np.array([0.1, 0.2, 0.3, 0.4])


def test_one_command_becomes_one_message_per_topic(bench: Bench) -> None:
    heard: dict[str, object] = {}
    for topic, kind in (
        ('left/commands', Float64MultiArray),
        ('right/joint_trajectory', JointTrajectory),
        ('gripper/target_joint', JointState),
    ):
        bench.client.create_subscription(kind, topic, lambda m, t=topic: heard.update({t: m}), 1)
    publishers = CommandPublishers(bench.client, formula_arm(4, 50.0, TWO_ARMS))

    def all_heard() -> bool:
        publishers.send(POSITION)
        return len(heard) == 3

    bench.spin_until(all_heard, 'all three messages')
    assert list(heard['left/commands'].data) == [0.3, 0.1]
    trajectory = heard['right/joint_trajectory']
    assert trajectory.joint_names == ['right_elbow']
    (point,) = trajectory.points
    assert list(point.positions) == [0.2] and not point.velocities
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 20_000_000)
    assert (trajectory.header.stamp.sec, trajectory.header.stamp.nanosec) == (0, 0)
    state = heard['gripper/target_joint']
    assert (list(state.name), list(state.position)) == (['finger'], [0.4])
    assert state.header.stamp.sec > 0
