# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The teleop node over real DDS: an arm follows a leader, by a clutch, and holds without one."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import LOSSLESS, FakeArm, assert_safe
from geometry_msgs.msg import Twist
from planar_arm import planar_urdf
from rclpy.parameter import Parameter
from ros_testing import Bench
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import SetBool

from motion_policy.errors import UserError
from motion_policy.nodes.leading import changed_speed
from motion_policy.nodes.teleop_node import TeleopNode
from motion_policy.nodes.teleop_sources import other_actions, teleop_of
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

pytestmark = pytest.mark.slow

LEADER = {'topic': 'leader/joint_states', 'type': 'sensor_msgs/msg/JointState', 'max_age': 1.0}
JAW = {'joint3': {'leader': [0.0, 1.0], 'arm': [-0.5, 0.5]}}


def led_arm(**teleop: Any) -> RobotSpec:
    values = yaml.safe_load(formula_arm().to_yaml())
    values['teleop'] = {'leader': LEADER, 'ranges': JAW, **teleop}
    return robot_spec_from_yaml(yaml.safe_dump(values), 'led.yaml')


ROBOT = led_arm()


class Leader:
    """A leader arm that says 100 times a second where it is."""

    def __init__(self, bench: Bench, position: list[float]) -> None:
        self.position, self.speaks = np.array(position), True
        self._publisher = bench.client.create_publisher(JointState, LEADER['topic'], 10)
        self._clock = bench.client.get_clock()
        bench.client.create_timer(0.01, self._speak)

    def _speak(self) -> None:
        if self.speaks:
            message = JointState(name=list(ROBOT.joints.names), position=self.position.tolist())
            message.header.stamp = self._clock.now().to_msg()
            self._publisher.publish(message)


@pytest.fixture
def arm(bench: Bench) -> FakeArm:
    return FakeArm(bench, ROBOT, 'teleop_node')


def make_node(
    bench: Bench, folder: Path, robot: RobotSpec = ROBOT, **parameters: Any
) -> TeleopNode:
    path = folder / 'led.yaml'
    path.write_text(robot.to_yaml())
    values = {
        **LOSSLESS, 'robot': str(path), 'autostart': True, 'diagnostics_period': 0.1,
        'auto_resume': 0.2, **parameters,
    }  # fmt: skip
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = TeleopNode(context=bench.context, parameter_overrides=overrides)
    bench.add(node)
    return node


def comes_to(arm: FakeArm, position: list[float]) -> None:
    arm.bench.spin_until(
        lambda: arm.commands and np.allclose(arm.commands[-1], position, rtol=0, atol=1e-6),
        f'the arm at {position}', lambda: str(arm.commands[-1:]),
    )  # fmt: skip


def clutch(bench: Bench, pressed: bool) -> Any:
    return bench.call(SetBool, 'teleop_node/clutch', SetBool.Request(data=pressed))


def test_an_arm_goes_to_its_leader_follows_it_and_holds_when_it_is_silent(
    bench: Bench, arm: FakeArm, tmp_path: Path
) -> None:
    leader = Leader(bench, [0.1, 0.9, 0.6])
    node = make_node(bench, tmp_path)
    try:
        arm.wait_for_diagnostic('leader', 'joint2 off [rad or m]', '0.8')
        refused = arm.enable()
        assert not refused.success
        assert refused.message == (
            "not enabled: the leader is too far off: joint 'joint2' is at 0.900, the arm's at "
            '0.100, expected at most 0.45 apart'
        )
        leader.position = np.array([0.3, 0.2, 0.6])
        arm.wait_for_diagnostic('leader', 'joint2 off [rad or m]', '0.1')
        arm.enable_when_ready()
        arm.wait_for_diagnostic('leader', 'state', 'following')
        comes_to(arm, [0.3, 0.2, 0.1])
        assert clutch(bench, False).message == 'clutch released: the arm stands'
        leader.position = np.array([0.1, 0.2, 0.6])
        arm.hear(20)
        np.testing.assert_allclose(arm.commands[-1], [0.3, 0.2, 0.1], atol=1e-6)
        leader.position = np.array([-0.9, 0.2, 0.6])
        arm.wait_for_diagnostic('leader', 'joint1 off [rad or m]', '-1.2')
        assert "joint 'joint1' is at -0.900" in clutch(bench, True).message
        leader.position = np.array([0.4, 0.2, 0.6])
        arm.wait_for_diagnostic('leader', 'joint1 off [rad or m]', '0.1')
        assert clutch(bench, True).success
        comes_to(arm, [0.4, 0.2, 0.1])
        leader.speaks = False
        arm.wait_for_diagnostic('control', 'reason', 'leader: stale')
        arm.wait_for_idle()
        np.testing.assert_allclose(arm.commands[-2:], [[0.4, 0.2, 0.1]] * 2, atol=1e-6)
        assert_safe(arm.commands, ROBOT)
    finally:
        node.close()


def test_a_leader_that_jumps_disables_the_arm_by_name(
    bench: Bench, arm: FakeArm, tmp_path: Path
) -> None:
    leader = Leader(bench, [0.1, 0.1, 0.6])
    node = make_node(bench, tmp_path)
    try:
        arm.enable_when_ready()
        arm.wait_for_diagnostic('leader', 'state', 'following')
        leader.position = leader.position + [2 * np.pi, 0, 0]
        arm.wait_for_diagnostic('control', 'reason', "joint 'joint1' of the leader jumped")
        arm.wait_for_idle()
        np.testing.assert_allclose(arm.commands[-1], [0.1, 0.1, 0.1], atol=1e-6)
    finally:
        node.close()


def test_a_button_is_the_clutch_and_indexes(bench: Bench, arm: FakeArm, tmp_path: Path) -> None:
    leader, held = Leader(bench, [0.8, 0.1, 0.6]), False
    publisher = bench.client.create_publisher(Joy, 'pedal', 10)
    bench.client.create_timer(0.02, lambda: publisher.publish(Joy(buttons=[0, int(held)])))
    names = {'clutch.topic': 'pedal', 'clutch.button': 1, 'clutch.kind': 'relative'}
    node = make_node(bench, tmp_path, **names)
    try:
        arm.enable_when_ready()
        arm.hear(5)
        assert 'the clutch is a button: /pedal, button 1' in clutch(bench, True).message
        held = True
        arm.wait_for_diagnostic('leader', 'state', 'following')
        np.testing.assert_allclose(arm.hear(1)[-1], [0.1, 0.1, 0.1], atol=1e-6)
        leader.position = leader.position + [0.1, 0.05, 0.0]
        comes_to(arm, [0.2, 0.15, 0.1])
        held = False
        arm.wait_for_diagnostic('leader', 'state', 'released')
        assert_safe(arm.commands, ROBOT)
    finally:
        node.close()


SPEAKS = """
import sys, rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
rclpy.init()
node = Node('leader')
publisher = node.create_publisher(JointState, 'leader/joint_states', 10)
def speak():
    message = JointState(name=['joint1', 'joint2', 'joint3'], position=[0.2, 0.1, 0.6])
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
node.create_timer(0.01, speak)
rclpy.spin(node)
"""


def test_a_leader_that_is_killed_lets_the_arm_hold_where_it_is(
    bench: Bench, arm: FakeArm, tmp_path: Path
) -> None:
    node = make_node(bench, tmp_path)
    environment = {**os.environ, 'ROS_LOG_DIR': str(tmp_path)}
    with subprocess.Popen([sys.executable, '-c', SPEAKS], env=environment) as process:
        try:
            arm.enable_when_ready()
            comes_to(arm, [0.2, 0.1, 0.1])
            process.send_signal(signal.SIGKILL)
            arm.wait_for_diagnostic('control', 'reason', 'leader: stale')
            arm.wait_for_idle()
            np.testing.assert_allclose(arm.commands[-2:], [[0.2, 0.1, 0.1]] * 2, atol=1e-6)
            assert_safe(arm.commands, ROBOT)
        finally:
            process.kill()
            node.close()


def test_what_leads_is_the_spec_of_teleop_or_else_its_leader() -> None:
    values = yaml.safe_load(formula_arm().to_yaml())

    def robot(**joints: Any) -> RobotSpec:
        changed = {**values, 'joints': {**values['joints'], **joints}}
        return robot_spec_from_yaml(yaml.safe_dump(changed), 'arm.yaml')

    [command] = values['joints']['command']
    with pytest.raises(UserError, match=r'teleop\.leader is missing, expected the topic'):
        teleop_of(robot())
    with pytest.raises(UserError, match=r'teleop\.leader is missing'):
        teleop_of(robot(leader=command))
    assert teleop_of(robot(leader=LEADER)).leader[0].topic == LEADER['topic']
    assert teleop_of(ROBOT).leader[0].topic == LEADER['topic']
    assert other_actions(robot(leader=command)) == other_actions(robot()) == []
    [line] = other_actions(robot(leader=LEADER))
    assert line.startswith('joints.leader is leader/joint_states: what is recorded')
    chunks = {'topic': 'c', 'type': 'trajectory_msgs/msg/JointTrajectory', 'send': 'chunk'}
    with pytest.raises(UserError, match=r"c has send 'chunk', expected 'tick'"):
        teleop_of(robot(leader=LEADER, command=chunks))


def test_a_twist_moves_the_tool_and_silence_lets_it_stand(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip('pinocchio')
    values = yaml.safe_load(formula_arm(4).to_yaml())
    planar_urdf(tmp_path / 'planar.urdf')
    values['tool'] = {'link': 'tool', 'urdf': str(tmp_path / 'planar.urdf')}
    values['teleop'] = {
        'twist': {'topic': 'keys', 'type': 'geometry_msgs/msg/Twist', 'max_age': 0.3},
        'gripper': {'joint': 'joint4', 'open': 0.5, 'closed': 0.0},
    }
    robot = robot_spec_from_yaml(yaml.safe_dump(values), 'planar.yaml')
    arm, twist = FakeArm(bench, robot, 'teleop_node'), Twist()
    publisher, speaks = bench.client.create_publisher(Twist, 'keys', 10), True
    bench.client.create_timer(0.02, lambda: publisher.publish(twist) if speaks else None)
    node = make_node(bench, tmp_path, robot)
    try:
        twist.linear.x = -0.05
        arm.wait_for_diagnostic('twist', 'wanted speed [m/s]', '0.05')
        refused = arm.enable().message
        assert 'wants the tool to move at [-0.05, 0.0' in refused and '/keys' in refused
        twist.linear.x = 0.0
        arm.enable_when_ready()
        arm.hear(5)
        np.testing.assert_allclose(arm.commands[-1], [0.1] * 4, atol=1e-9)
        twist.linear.x, twist.linear.y = -0.05, 0.02
        bench.spin_until(lambda: abs(arm.commands[-1][0] - 0.1) > 0.05, 'the arm on its way')
        other = bench.client.create_publisher(Twist, 'keys', 10)
        others = bench.client.create_timer(0.02, lambda: other.publish(Twist()))
        arm.wait_for_diagnostic('twist', 'twist fault', 'several publishers say how the tool')
        bench.spin_until(lambda: (arm.hear(2)[0] == arm.commands[-1]).all(), 'an arm that stands')
        bench.client.destroy_timer(others)
        there = arm.commands[-1][0]
        bench.spin_until(lambda: arm.commands[-1][0] != there, 'the arm on its way again')
        speaks = False
        arm.wait_for_diagnostic('twist', 'twist fault', 'stale')
        bench.spin_until(lambda: (arm.hear(2)[0] == arm.commands[-1]).all(), 'an arm that stands')
        assert arm.diagnostic('control', 'state') == 'run'
        twist.linear.x, twist.linear.y, speaks = math.nan, 0.0, True
        arm.wait_for_diagnostic('twist', 'twist newest unusable', 'nan')
        twist.linear.x = 0.0
        request = SetBool.Request(data=False)
        assert bench.call(SetBool, 'teleop_node/gripper', request).message == 'opening joint4'
        bench.spin_until(lambda: abs(arm.commands[-1][3] - 0.5) < 1e-6, 'the open gripper')
        assert_safe(arm.commands, robot)
    finally:
        node.close()


@pytest.mark.parametrize(
    ('speed', 'slower', 'faster'),
    [(1.0, 0.9, 1.0), (0.95, 0.85, 1.0), (0.1, 0.1, 0.2), (0.05, 0.05, 0.15), (0.0, 0.0, 0.1)],
)
def test_a_button_for_slower_makes_nothing_faster(
    speed: float, slower: float, faster: float
) -> None:
    assert changed_speed(speed, 'slower') == slower
    assert changed_speed(speed, 'faster') == faster


def test_a_gamepad_moves_joints_while_its_dead_man_button_is_held(
    bench: Bench, tmp_path: Path
) -> None:
    values = yaml.safe_load(formula_arm().to_yaml())
    values['home'] = [0.0, 0.0, 0.0]
    values['teleop'] = {
        'joy': {'axes': {'joint1': 0}, 'dead_man': 0, 'toggle': 1, 'home': 2, 'slower': 3},
        'gripper': {'joint': 'joint3', 'open': 0.5, 'closed': 0.2},
    }
    robot = robot_spec_from_yaml(yaml.safe_dump(values), 'joy.yaml')
    arm, axis, speaks = FakeArm(bench, robot, 'teleop_node'), 0.0, True
    buttons = [0, 0, 0, 0]
    publisher = bench.client.create_publisher(Joy, 'joy', 10)

    def speak() -> None:
        if speaks:
            publisher.publish(Joy(axes=[axis], buttons=buttons))

    def stands() -> bool:
        return bool((arm.hear(2)[0] == arm.commands[-1]).all())

    bench.client.create_timer(0.02, speak)
    node = make_node(bench, tmp_path, robot)
    try:
        arm.wait_for_diagnostic('joy', 'moving', 'False')
        buttons[0] = 1  # what is pressed moves nothing that is not enabled
        bench.spin_for(0.1)
        buttons[1] = buttons[2] = buttons[3] = 1
        bench.spin_until(lambda: node.get_parameter('speed').value == 0.9, 'a lower speed')
        bench.spin_for(0.2)
        assert not arm.commands
        buttons[:] = [0] * 4
        node.set_parameters([Parameter('speed', value=1.0)])
        arm.enable_when_ready()
        axis = 1.0
        arm.hear(10)
        np.testing.assert_allclose(arm.commands[-1], [0.1] * 3, atol=1e-9)  # nobody holds it
        buttons[0] = 1
        bench.spin_until(lambda: arm.commands[-1][0] > 0.15, 'the arm on its way')
        axis = math.nan
        bench.spin_until(stands, 'an arm that stands')
        arm.wait_for_diagnostic('joy', 'moving', 'False')
        axis = -1.0
        bench.spin_until(lambda: arm.commands[-1][0] < 0.1, 'the arm on its way back')
        speaks = False
        bench.spin_until(stands, 'an arm that stands')
        axis, speaks, buttons[0] = 0.0, True, 0
        bench.spin_for(0.1)
        buttons[0] = buttons[1] = 1
        bench.spin_until(lambda: abs(arm.commands[-1][2] - 0.2) < 1e-6, 'the closed gripper')
        buttons[1] = 0
        bench.spin_for(0.1)
        buttons[1] = buttons[3] = 1
        bench.spin_until(lambda: abs(arm.commands[-1][2] - 0.5) < 1e-6, 'the open gripper')
        bench.spin_until(lambda: node.get_parameter('speed').value == 0.9, 'a lower speed')
        buttons[2] = 1
        bench.spin_until(lambda: arm.commands[-1][2] < 0.45, 'the arm on its way home')
        buttons[0] = 0
        arm.wait_for_idle()
        assert arm.commands[-1][2] > 0.05  # it was let go
        assert_safe(arm.commands, robot)
    finally:
        node.close()
