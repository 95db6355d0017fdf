# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Velocities of a base in a robot spec: what carries them, and what is no such thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from mobile_robots import MOBILE, mobile_robot

from motion_policy.robot import RobotSpecError, robot_spec_from_yaml

NAMES = ('base_forward', 'base_turn')
ODOM = '{topic: odom, type: nav_msgs/msg/Odometry, max_age: 1.0}'
CMD_VEL = '{topic: cmd_vel, type: geometry_msgs/msg/TwistStamped, frame: base_link}'
ARM = '{topic: arm/commands, type: std_msgs/msg/Float64MultiArray}'


def test_topics_of_twists_carry_the_velocities_and_the_others_the_positions() -> None:
    robot = mobile_robot()
    for topics in (robot.joints.state, robot.joints.leader, robot.joints.command):
        arm, base = topics
        assert (arm.joints, arm.fields) == (('lift', 'elbow'), None)
        assert (base.joints, base.fields) == (NAMES, ('linear.x', 'angular.z'))
    assert robot.joints.are_velocities.tolist() == [False, False, True, True]
    assert robot_spec_from_yaml(robot.to_yaml(), 'again') == robot


def test_a_spec_without_velocities_says_nothing_of_them() -> None:
    text = mobile_robot().to_yaml()
    assert 'velocities: [base_forward, base_turn]' in text
    lines = MOBILE.replace('base_turn]\n  velocities', 'base_turn]\n  #').splitlines()
    kept = [line for line in lines if 'cmd_vel' not in line and 'odom' not in line]
    plain = robot_spec_from_yaml('\n'.join(kept), 'plain.yaml').to_yaml()
    assert 'velocities' not in plain and 'fields' not in plain


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('[base_forward, base_turn]\n  s', '[base_sideways]\n  s', ["'base_sideways'", 'names']),
        (ODOM, ODOM[:-1] + ', joints: [base_turn, elbow]}', ["'base_turn'", "'elbow'", 'own']),
        (ODOM, ODOM.replace('nav_msgs/msg/Odometry', 'sensor_msgs/msg/JointState')[:-1]
         + ', joints: [base_forward, base_turn]}', ['state', "'base_forward'", 'Odometry']),
        (ODOM, ODOM[:-1] + ', fields: [linear.x]}', ['fields', '1 entries', 'expected 2']),
        (ODOM, ODOM[:-1] + ', fields: [linear.x, yaw]}', ["'yaw'", 'angular.z']),
        (ODOM, ODOM[:-1] + ', fields: [linear.x, linear.x]}', ['linear.x', 'once']),
        (ODOM, f'{ODOM[:-1]}, joints: [base_turn]}}', ['odom', 'fields: [linear.x]']),
        (ARM, ARM[:-1] + ', fields: [linear.x, angular.z]}', ['fields', 'Float64MultiArray']),
        (ARM, '{topic: t, type: geometry_msgs/msg/Twist, joints: [lift, elbow]}',
         ["'lift'", 'Twist', 'joints.velocities']),
        (CMD_VEL, '{topic: c, type: nav_msgs/msg/Odometry}', ['command', 'state only']),
        ('/cmd_vel, type: geometry_msgs/msg/Twist}',
         '/cmd_vel, type: geometry_msgs/msg/Twist, offset: [0.1, 0.0]}', ['offset', 'expected 0']),
        (ARM, '{topic: t, type: trajectory_msgs/msg/JointTrajectory, send: chunk}',
         ['chunk', 'velocities', "'tick'"]),
        ('[-0.2, 0.5]', '[0.1, 0.5]', ['base_forward', '[0.1, 0.5]', 'expected 0 within']),
        ('home: [0.1, 0.2, 0.0, 0.0]', 'home: [0.1, 0.2, 0.3, 0.0]', ['home', '0.3', 'is']),
        ('home: [0.1, 0.2, 0.0, 0.0]', 'effort_limits: [1, 1, 1, 0]', ['effort', 'base_forward']),
        ('    position: [[', '    urdf: arm.urdf\n    #: [[', ['base_forward', 'no URDF']),
    ],
)  # fmt: skip
def test_what_is_no_velocity_is_one_line(old: str, new: str, words: list[str]) -> None:
    with pytest.raises(RobotSpecError) as caught:
        mobile_robot(old, new)
    line = str(caught.value)
    assert '\n' not in line
    assert [word for word in ['mobile.yaml', *words] if word not in line] == [], line


def test_the_urdf_is_that_of_the_arm_only(tmp_path: Path) -> None:
    joint = (
        '<joint name="{0}" type="prismatic"><parent link="{1}"/><child link="{0}_link"/>'
        '<axis xyz="0 0 1"/><limit lower="-1" upper="1" velocity="1" effort="1"/></joint>'
    )
    links = ''.join(f'<link name="{name}_link"/>' for name in ('lift', 'elbow'))
    joints = joint.format('lift', 'root') + joint.format('elbow', 'lift_link')
    (tmp_path / 'arm.urdf').write_text(
        f'<robot name="r"><link name="root"/>{links}{joints}</robot>'
    )
    text = (
        MOBILE.replace('    position:', '    urdf: arm.urdf\n    position:') + 'tool: elbow_link\n'
    )
    robot = robot_spec_from_yaml(text, tmp_path / 'mobile.yaml')
    assert robot.tool is not None and robot.joints.names[2:] == NAMES
