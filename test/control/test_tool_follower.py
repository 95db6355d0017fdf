# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A tool goes straight where a person wants it, slower as a whole where one joint is too slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from chain_arm import chain_urdf
from planar_arm import planar_urdf

pytest.importorskip('pinocchio')

from motion_policy.control import Controller
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.control.tool_follower import ToolFollower
from motion_policy.errors import UserError
from motion_policy.rehearsal.judge import Drive, Limits, breaches
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

SIX = np.array([0.2, 0.5, 0.7, 0.1, 0.8, 0.3, 0.0])


def robot(folder: Path, joints: int = 6, **twist: Any) -> RobotSpec:
    """Six joints in a chain and a gripper, or a planar arm of two with a lift."""
    six = joints == 6
    urdf = chain_urdf(folder / 'arm.urdf') if six else planar_urdf(folder / 'arm.urdf')
    names = [f'joint{number + 1}' for number in range(joints)] + ['gripper'] * six
    count = len(names)
    values = {
        'name': 'arm', 'rate': 50.0,
        'joints': {
            'names': names,
            'state': {'topic': 'joint_states', 'type': 'sensor_msgs/msg/JointState'},
            'command': {'topic': 'commands', 'type': 'std_msgs/msg/Float64MultiArray'},
            'limits': {
                'position': [[-2.5, 2.5]] * (count - six) + [[0.0, 0.04]] * six,
                'velocity': [2.0] * count, 'acceleration': [10.0] * count,
            },
        },
        'tool': {'link': 'tool', 'urdf': str(urdf)},
        'teleop': {
            'twist': {'topic': 'twist', **twist},
            **({'gripper': {'joint': 'gripper', 'open': 0.04, 'closed': 0.0}} if six else {}),
        },
    }  # fmt: skip
    return robot_spec_from_yaml(yaml.safe_dump(values), 'arm.yaml')


class Stick:
    """A person with a stick, and an arm that is where it is sent; every command is judged."""

    def __init__(self, arm: RobotSpec, start: np.ndarray) -> None:
        assert arm.teleop is not None
        self.robot, self.arm = arm, start
        self.controller = Controller(arm, arm.period_ns, interpolation='hold')
        twist = arm.teleop.twist
        assert twist is not None
        self.follower = ToolFollower(
            arm, arm.teleop, twist.linear, twist.angular, in_tool=twist.axes == 'tool'
        )
        self.teleoperation = Teleoperation(self.controller, self.follower)
        self.now_ns, self.drive = 10**9, Drive(start.copy())
        self.controller.enable(self.now_ns, start)
        self.follower.stop(self.teleoperation.rest)

    def push(self, *twist: float, ticks: int = 50) -> np.ndarray:
        """Want this velocity for so many ticks; return where the tool was (n, 3) [m]."""
        tool = []
        for _ in range(ticks):
            self.now_ns += self.robot.period_ns
            self.follower.see(np.array(twist))
            self.controller.look(self.now_ns, {})
            self.teleoperation.give(self.now_ns)
            self.controller.policy_due(self.now_ns)
            command = self.controller.command(self.now_ns, self.arm)
            assert command is not None
            self.arm = command.position
            self.drive.add(self.now_ns, self.arm)
            tool.append(self.follower._kinematics.position(self.follower._link, self.arm))
        limits = self.robot.joints.limits
        judge = Limits(
            limits.position_array(), limits.velocity_array(), limits.acceleration_array(),
            self.robot.period_ns,
        )  # fmt: skip
        assert breaches(self.drive, judge) == {}
        return np.array(tool)


def test_the_tool_goes_straight_at_the_speed_that_is_wanted_and_stands(tmp_path: Path) -> None:
    stick = Stick(robot(tmp_path), SIX)
    way = stick.push(0.1, -0.05, 0.08, 0, 0, 0, ticks=60)
    speed = np.diff(way, axis=0)[20:] * 50
    np.testing.assert_allclose(speed, np.tile([0.1, -0.05, 0.08], (len(speed), 1)), atol=0.003)
    moved = way - way[0]
    across = moved - np.outer(moved @ [0.1, -0.05, 0.08], [0.1, -0.05, 0.08]) / 0.0189
    assert np.abs(across).max() < 0.002
    stick.push(*[0.0] * 6, ticks=30)
    assert stick.controller.guard.limiter.at_rest
    assert (stick.drive.positions[-1] == stick.drive.positions[-2]).all()
    assert stick.arm[6] == 0.0  # the gripper


def test_speeds_end_at_those_of_the_spec_in_the_same_direction(tmp_path: Path) -> None:
    stick = Stick(robot(tmp_path, linear=0.05, axes='tool'), SIX)
    kinematics, link = stick.follower._kinematics, stick.follower._link
    _, (rotation,) = kinematics.poses(link, SIX[None])
    way = stick.push(0.0, 0.0, 9.0, 0, 0, 0, ticks=40)
    velocity = (way[-1] - way[-2]) * 50
    np.testing.assert_allclose(velocity, 0.05 * rotation[:, 2], atol=0.002)
    stick.push(0, 0, np.nan, 0, 0, 0, ticks=20)
    assert stick.controller.guard.limiter.at_rest


def test_a_joint_at_its_limit_stops_the_tool_and_is_named(tmp_path: Path) -> None:
    stick = Stick(robot(tmp_path, joints=3), np.array([0.3, 0.8, 2.4]))
    way = stick.push(-0.1, 0.0, 0.2, 0, 0, 0, ticks=80)
    assert "joint 'joint3' is at a limit" in stick.follower.slowed
    moved = way[1:] - way[0]
    np.testing.assert_allclose(moved[5:, 0], -0.5 * moved[5:, 2], atol=0.002)  # it kept its way
    assert stick.arm[2] <= 2.5
    back = stick.push(-0.1, 0.0, -0.2, 0, 0, 0, ticks=40)
    assert back[-1, 2] < way[-1, 2] - 0.05 and stick.follower.slowed == ''


def test_near_a_singularity_the_tool_is_slower_and_that_is_told(tmp_path: Path) -> None:
    stick = Stick(robot(tmp_path, joints=3), np.array([0.0, 0.5, 0.0]))
    stick.push(0.25, 0.0, 0.0, 0, 0, 0, ticks=100)  # until the arm is stretched
    assert 'near a singularity' in stick.follower.slowed
    assert abs(stick.arm[1]) < 0.5


def test_at_the_end_of_its_reach_the_tool_stands_rather_than_goes_aside(tmp_path: Path) -> None:
    stick = Stick(robot(tmp_path), SIX)
    way = stick.push(0.2, 0.0, 0.0, 0, 0, 0, ticks=400)
    assert 'near a singularity' in stick.follower.slowed
    assert way[-1, 0] - way[0, 0] > 0.15
    assert np.abs(way[:, 1:] - way[0, 1:]).max() < 0.01
    back = stick.push(-0.2, 0.0, 0.0, 0, 0, 0, ticks=150)
    assert back[-1, 0] < way[-1, 0] - 0.1  # and comes back from there


def test_a_gripper_stays_until_it_is_told(tmp_path: Path) -> None:
    stick = Stick(robot(tmp_path), SIX)
    stick.push(*[0.0] * 6, ticks=5)
    assert stick.arm[6] == 0.0
    assert stick.follower.grip(False) == 'opening gripper'
    stick.push(0.05, *[0.0] * 5, ticks=40)
    assert stick.arm[6] == pytest.approx(0.04)
    assert stick.follower.grip(True) == 'closing gripper'
    stick.push(*[0.0] * 6, ticks=40)
    assert stick.arm[6] == pytest.approx(0.0)
    with pytest.raises(UserError, match=r'expected joints\.grippers or teleop\.gripper'):
        Stick(robot(tmp_path, joints=3), np.zeros(3)).follower.grip(True)


@pytest.mark.parametrize('size', [5e-324, 1e-200, 1e-9])
def test_a_velocity_that_fades_away_is_none(tmp_path: Path, size: float) -> None:
    stick = Stick(robot(tmp_path), SIX)
    tool = stick.push(size, -size, 0, 0, size, 0, ticks=5)
    assert (tool == tool[0]).all() and not stick.follower.moving
    assert stick.controller.state == 'run'


def test_random_pushes_keep_every_limit(tmp_path: Path) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        stick = Stick(robot(tmp_path, axes='tool' if seed % 2 else 'root'), SIX)
        for _ in range(15):
            stick.controller.speed = float(rng.choice((0.0, 0.3, 1.0, 1.0)))
            stick.push(*rng.uniform(-2, 2, 6), ticks=int(rng.integers(1, 20)))
