# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Robots by formula for the tests of control and of the nodes that drive an arm."""

from __future__ import annotations

from motion_policy.robot import RobotSpec, robot_spec_from_yaml

SPEC = """
name: formula_arm
rate: {rate}
joints:
  names: [{names}]
  state: {{topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 1.0}}
  command: {command}
  grippers: {grippers}
  limits:
    position: {position}
    velocity: {velocity}
    acceleration: {acceleration}
cameras:
  top: {{topic: top/image_raw, type: sensor_msgs/msg/Image, width: 32, height: 24, max_age: 1.0}}
"""
FORWARD = '{topic: forward_position_controller/commands, type: std_msgs/msg/Float64MultiArray}'


def formula_arm(
    joints: int = 3, rate: float = 50.0, command: str = FORWARD, grippers: str = '{}'
) -> RobotSpec:
    """Joint j: limits [-1 - j/4, 1 + j/2], 1 + j/2 per second, 4 + j per second squared."""
    numbers = range(joints)
    text = SPEC.format(
        rate=float(rate),
        names=', '.join(f'joint{j + 1}' for j in numbers),
        command=command,
        grippers=grippers,
        position=[[-1 - j / 4, 1 + j / 2] for j in numbers],
        velocity=[1 + j / 2 for j in numbers],
        acceleration=[4.0 + j for j in numbers],
    )
    return robot_spec_from_yaml(text, 'formula_arm.yaml')
