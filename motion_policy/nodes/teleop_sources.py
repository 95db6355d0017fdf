# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Which source of `teleop` a robot spec names, made for a node that a person may lead.

One rule: every node that lets a person drive makes it here.
"""

from __future__ import annotations

from rclpy.node import Node

from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.tool_follower import JointFollower, ToolFollower
from motion_policy.errors import UserError
from motion_policy.nodes.joy_source import JoySource
from motion_policy.nodes.leader_source import LeaderSource
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import read_group
from motion_policy.nodes.parameters.teleop import ClutchParameters
from motion_policy.nodes.teleop_source import TeleopSource
from motion_policy.nodes.twist_source import TwistSource
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import TeleopSpec


def make_source(
    node: Node, robot: RobotSpec, teleop: TeleopSpec, clutch: ClutchParameters
) -> TeleopSource:
    """Make the source that hears what a spec's `teleop` names; UserError where it cannot."""
    control = read_group(node, ControlParameters)
    joy = teleop.joy
    if joy is not None and joy.of_tool:
        in_tool = joy.frame == 'tool'
        tool = ToolFollower(robot, teleop, joy.linear, joy.angular, in_tool=in_tool)
        return JoySource(node, robot, joy, tool)
    if joy is not None:
        return JoySource(node, robot, joy, JointFollower(robot, teleop, tuple(joy.axes)))
    if teleop.twist is not None:
        twist = teleop.twist
        tool = ToolFollower(
            robot, teleop, twist.linear, twist.angular, in_tool=twist.axes == 'tool'
        )
        return TwistSource(node, robot, twist, tool, reliable=control.reliable)
    follower = LeaderFollower(robot, teleop, control.ramp_speed, indexes=clutch.kind == 'relative')
    return LeaderSource(node, robot, teleop, follower, clutch, reliable=control.reliable)


def teleop_of(robot: RobotSpec) -> TeleopSpec:
    """What leads a robot: `teleop`, and where that names no leader `joints.leader`.

    UserError for a robot that nothing leads, or that is sent whole chunks.
    """
    teleop = robot.teleop or TeleopSpec()
    by_stick = teleop.twist or teleop.joy
    if not teleop.leader and by_stick is None:
        commands = {topic.topic for topic in robot.joints.command}
        leader = tuple(t for t in robot.joints.leader if t.topic not in commands)
        teleop = teleop.model_copy(update={'leader': leader})
    if not teleop.leader and by_stick is None:
        raise UserError(
            f"robot '{robot.name}': teleop.leader is missing, expected the topic of the leader, "
            'or teleop.twist or teleop.joy'
        )
    for topic in robot.joints.command:
        if topic.send == 'chunk':
            raise UserError(
                f"robot '{robot.name}': {topic.topic} has send 'chunk', expected 'tick' to be "
                'led: nothing is planned ahead'
            )
    return teleop


def leaders(teleop: TeleopSpec) -> str:
    """The topics of the leader in words."""
    stick = teleop.twist or teleop.joy
    topics = [topic.topic for topic in teleop.leader]
    return ', '.join(topics if stick is None else [stick.topic])


def other_actions(robot: RobotSpec) -> list[str]:
    """A line if what is recorded as the action of this robot is not what it is sent."""
    commands = {topic.topic for topic in robot.joints.command}
    others = [topic.topic for topic in robot.joints.leader if topic.topic not in commands]
    if not others:
        return []
    return [
        f'joints.leader is {", ".join(others)}: what is recorded as the action is the leader, not '
        'what the arm is sent; name the command topics there, and the leader in teleop.leader'
    ]
