# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A mobile manipulator by formula: an arm of two joints on a base that drives and turns."""

from __future__ import annotations

from motion_policy.robot import RobotSpec, robot_spec_from_yaml

MOBILE = """
name: mobile
rate: 50.0
joints:
  names: [lift, elbow, base_forward, base_turn]
  velocities: [base_forward, base_turn]
  state:
    - {topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 1.0}
    - {topic: odom, type: nav_msgs/msg/Odometry, max_age: 1.0}
  leader:
    - {topic: leader/joint_states, type: sensor_msgs/msg/JointState}
    - {topic: teleop/cmd_vel, type: geometry_msgs/msg/Twist}
  command:
    - {topic: arm/commands, type: std_msgs/msg/Float64MultiArray}
    - {topic: cmd_vel, type: geometry_msgs/msg/TwistStamped, frame: base_link}
  limits:
    position: [[-1.0, 1.0], [-1.0, 1.0], [-0.2, 0.5], [-1.0, 1.0]]
    velocity: [1.0, 1.0, 1.0, 2.0]
    acceleration: [5.0, 5.0, 10.0, 20.0]
home: [0.1, 0.2, 0.0, 0.0]
"""


def mobile_robot(old: str = '', new: str = '') -> RobotSpec:
    """The robot; `old` in its text is `new`."""
    assert old in MOBILE
    return robot_spec_from_yaml(MOBILE.replace(old, new, 1), 'mobile.yaml')
