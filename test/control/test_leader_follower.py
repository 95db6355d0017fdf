# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm goes slowly to its leader, follows it without a lag, and never jumps with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from control_robots import formula_arm
from mobile_robots import mobile_robot

from motion_policy.control import Controller
from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.rehearsal.judge import Drive, Limits, breaches
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

LEADER = {'topic': 'leader/joint_states', 'type': 'sensor_msgs/msg/JointState'}
RAMP = 0.25
GRIPPER = '{joint3: {closed: -1.0, close_at: -0.4, open_at: 0.4, open: 1.0}}'
HALF = {'joint1': {'leader': [0.0, 1.0], 'arm': [0.5, -0.5]}}


def led(arm: RobotSpec | None = None, **teleop: Any) -> RobotSpec:
    """An arm with `teleop` in its spec."""
    values = yaml.safe_load((arm or formula_arm()).to_yaml())
    values['teleop'] = {'leader': LEADER, **teleop}
    return robot_spec_from_yaml(yaml.safe_dump(values), 'led.yaml')


class Hands:
    """A person with a leader, and an arm that is where it is sent; every command is judged."""

    def __init__(self, robot: RobotSpec, start: float = 0.1, **options: Any) -> None:
        self.robot = robot
        self.controller = Controller(robot, robot.period_ns, interpolation='hold')
        self.follower = LeaderFollower(robot, robot.teleop or pytest.fail(), RAMP, **options)
        self.teleoperation = Teleoperation(self.controller, self.follower)
        self.arm = np.full(len(robot.joints.names), start)
        self.leader = self.arm.copy()
        self.now_ns = 10**9
        self.follower.see(self.leader, self.now_ns)

    def enable(self, *, pressed: bool = True) -> None:
        """As the node does after it asked `too_far`."""
        self.controller.enable(self.now_ns, self.arm)
        self.follower.start(self.teleoperation.rest, pressed=pressed)
        self.drive = Drive(self.arm.copy())

    def tick(self, count: int = 1, faults: dict[str, str] | None = None) -> np.ndarray:
        """Let so many control periods pass; return the commands (n, J)."""
        sent = []
        for _ in range(count):
            self.now_ns += self.robot.period_ns
            self.follower.see(self.leader, self.now_ns)
            fault = {'leader': self.follower.fault} if self.follower.fault else {}
            self.controller.look(self.now_ns, {**fault, **(faults or {})})
            self.teleoperation.give(self.now_ns)
            self.controller.policy_due(self.now_ns)
            command = self.controller.command(self.now_ns, self.arm)
            if command is not None:
                self.arm = command.position
                self.drive.add(self.now_ns, self.arm)
            sent.append(self.arm)
        limits = self.robot.joints.limits
        judge = Limits(
            limits.position_array(), limits.velocity_array(), limits.acceleration_array(),
            self.robot.period_ns,
        )  # fmt: skip
        assert breaches(self.drive, judge) == {}
        return np.array(sent)


def test_the_arm_goes_to_the_leader_at_ramp_speed_and_then_follows_without_a_lag() -> None:
    hands = Hands(led())
    hands.leader = np.array([0.3, 0.2, -0.1])
    hands.enable()
    way = hands.tick(5)
    assert hands.follower.state == 'meeting'
    assert hands.follower.told(hands.arm).startswith('meeting the leader: joint1 +0.1')
    way = np.concatenate((way, hands.tick(60)))
    assert hands.follower.state == 'following'
    velocity = np.diff(way, axis=0) / (hands.robot.period_ns * 1e-9)
    full = hands.robot.joints.limits.velocity_array()
    ramp = np.abs(velocity[:30]).max(axis=0)
    assert (ramp <= 1.02 * RAMP * full).all() and ramp[0] > 0.9 * RAMP * full[0]
    np.testing.assert_allclose(hands.arm, hands.leader, atol=1e-9)
    beyond = np.sign(hands.leader - way[0]) * (way - hands.leader)
    acceleration = hands.robot.joints.limits.acceleration_array()
    assert (beyond <= acceleration * (hands.robot.period_ns * 1e-9) ** 2).all()
    for number in range(150):
        hands.leader = np.array([0.3, 0.2, -0.1]) + 0.3 * np.sin(0.02 * number)
        hands.tick()
        if number > 50:  # that begins at speed, which the arm has to gain
            np.testing.assert_allclose(hands.arm, hands.leader, atol=1e-6)


def test_a_leader_that_is_too_far_off_is_refused_by_joint() -> None:
    hands = Hands(led())
    hands.leader = np.array([0.1, 0.9, 0.1])
    hands.follower.see(hands.leader, hands.now_ns)
    assert hands.follower.too_far(hands.arm) == (
        "the leader is too far off: joint 'joint2' is at 0.900, the arm's at 0.100, expected at "
        'most 0.45 apart'
    )
    hands = Hands(led(apart=[1.0, 1.0, 0.0]))
    hands.leader = np.array([0.1, 0.9, 5.0])
    hands.follower.see(hands.leader, hands.now_ns)
    assert hands.follower.too_far(hands.arm) == ''


@pytest.mark.parametrize('indexes', [False, True])
def test_a_clutch_lets_the_leader_go_and_takes_it_up_again(indexes: bool) -> None:
    hands = Hands(led(), indexes=indexes)
    hands.enable()
    hands.tick(10)
    hands.leader = hands.leader + 0.02
    hands.tick(2)
    hands.follower.release(hands.teleoperation.rest)
    hands.tick(20)
    stands = hands.arm
    hands.leader = hands.leader - 0.2
    np.testing.assert_array_equal(hands.tick(10)[-1], stands)
    assert hands.follower.press(hands.teleoperation.rest) == ''
    hands.tick(80)
    assert hands.follower.state == 'following'
    expected = stands if indexes else hands.leader
    np.testing.assert_allclose(hands.arm, expected, atol=1e-9)
    hands.leader = hands.leader + 0.01
    hands.tick(20)
    np.testing.assert_allclose(hands.arm, expected + 0.01, atol=1e-9)


def test_the_clutch_is_not_pressed_while_an_absolute_leader_is_too_far_off() -> None:
    hands = Hands(led())
    hands.enable(pressed=False)
    hands.leader = np.array([0.9, 0.1, 0.1])
    hands.tick(3)
    assert "joint 'joint1'" in hands.follower.press(hands.teleoperation.rest)
    stands = hands.arm
    np.testing.assert_array_equal(hands.tick(5)[-1], stands)
    indexing = Hands(led(), indexes=True)
    indexing.enable(pressed=False)
    indexing.leader = np.array([0.9, 0.1, 0.1])
    indexing.tick(3)
    assert indexing.follower.press(indexing.teleoperation.rest) == ''


@pytest.mark.parametrize('by', [0.5, 2 * np.pi, -np.pi])
def test_a_leader_that_jumps_is_named_and_followed_no_more(by: float) -> None:
    hands = Hands(led())
    hands.enable()
    hands.tick(10)
    before = hands.arm
    hands.leader = hands.leader + [0, by, 0]
    hands.tick(1)
    assert hands.controller.state == 'hold'
    assert hands.controller.reason == (
        f"leader: joint 'joint2' of the leader jumped from 0.100 to {0.1 + by:.3f}, expected at "
        'most 0.3 at once: enable again'
    )
    hands.leader = hands.leader - [0, by, 0]  # what comes back is no better
    hands.tick(70)
    assert hands.controller.state == 'disabled'
    np.testing.assert_allclose(hands.arm, before, atol=1e-9)


def test_an_arm_that_was_left_behind_comes_after_its_leader_slowly() -> None:
    hands = Hands(led())
    hands.enable()
    hands.tick(10)
    hands.controller.speed = 0.0
    hands.tick(40)
    for _ in range(30):
        hands.leader = hands.leader + 0.02
        hands.tick()
    hands.controller.speed = 1.0
    hands.tick(30)
    way = hands.tick(10)
    assert hands.follower.state == 'meeting'
    velocity = np.diff(way, axis=0) / (hands.robot.period_ns * 1e-9)
    np.testing.assert_allclose(
        velocity[:, 0], RAMP * hands.robot.joints.limits.velocity[0], rtol=0.01
    )
    hands.tick(200)
    np.testing.assert_allclose(hands.arm, hands.leader, atol=1e-9)


def test_after_a_fault_that_heals_the_arm_goes_to_the_leader_again() -> None:
    hands = Hands(led())
    hands.enable()
    hands.tick(10)
    hands.tick(10, {'leader': 'stale'})
    assert hands.controller.state == 'hold'
    hands.leader = hands.leader + 0.2
    hands.tick(3)
    assert (hands.controller.state, hands.follower.state) == ('run', 'meeting')
    hands.tick(80)
    np.testing.assert_allclose(hands.arm, hands.leader, atol=1e-9)


def test_ranges_scale_and_end_where_the_spec_says() -> None:
    follower = Hands(led(ranges=HALF)).follower
    for leader, ours in ((0.0, 0.5), (0.25, 0.25), (1.0, -0.5), (3.0, -0.5), (-1.0, 0.5)):
        follower.see(np.array([leader, 0.2, 0.3]), 0)
        np.testing.assert_allclose(follower.leader, [ours, 0.2, 0.3])


def test_joints_without_a_leader_stay_and_a_gripper_waits_until_arm_and_leader_met() -> None:
    arm = formula_arm(grippers=GRIPPER)
    some = {**LEADER, 'joints': ['joint1', 'joint3']}
    hands = Hands(led(arm, leader=some))
    hands.leader = np.array([0.3, np.nan, 0.9])
    hands.enable()
    way = hands.tick(100)
    np.testing.assert_allclose(hands.arm, [0.3, 0.1, 1.0], atol=1e-9)
    assert (way[:, 1] == 0.1).all()
    moves = np.flatnonzero(way[:, 2] != 0.1)[0]
    assert abs(way[moves, 0] - 0.3) < 0.02  # not before


def test_a_base_that_its_leader_drives_is_named_before_it_is_enabled() -> None:
    base = mobile_robot()
    velocities = list(base.joints.velocities)
    twist = {'topic': 'stick', 'type': 'geometry_msgs/msg/Twist', 'joints': velocities}
    robot = led(base, leader=twist)
    follower = LeaderFollower(robot, robot.teleop or pytest.fail(), RAMP)
    says = np.where([name in velocities for name in robot.joints.names], 0.0, np.nan)
    follower.see(says, 10**9)
    assert not follower.drives()
    first = robot.joints.names.index(velocities[0])
    says[first] = -0.2
    follower.see(says, 10**9)
    assert follower.drives() == (
        f"the leader drives joint '{velocities[0]}' at -0.200, expected 0 until it is enabled"
    )


def test_random_leaders_and_clutches_keep_every_limit() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        hands = Hands(led(apart=[0.0] * 3, jump=[0.0] * 3), indexes=bool(seed % 2))
        enabled = 0
        for _ in range(40):
            if hands.controller.state == 'disabled':
                hands.enable()
                enabled += 1
            kind = rng.integers(6)
            if kind == 0:
                hands.follower.release(hands.teleoperation.rest)
            elif kind == 1:
                hands.follower.press(hands.teleoperation.rest)
            elif kind == 2:
                hands.leader = rng.uniform(-3, 3, 3)  # nobody watches its jumps
            elif kind == 3:
                hands.controller.speed = float(rng.choice((0.0, 0.3, 1.0)))
            elif kind == 4:
                hands.tick(int(rng.integers(1, 20)), {'leader': 'stale'})
            hands.leader = hands.leader + rng.uniform(-0.05, 0.05, 3)
            hands.tick(int(rng.integers(1, 15)))
        assert enabled


def test_a_leader_that_moves_slowly_is_met_on_its_way() -> None:
    hands = Hands(led())
    hands.leader = hands.leader + 0.2
    hands.enable()
    for _ in range(100):
        hands.leader = hands.leader + 0.1 * RAMP * hands.robot.period_ns * 1e-9
        hands.tick()
    assert hands.follower.state == 'following'
    np.testing.assert_allclose(hands.arm, hands.leader, atol=1e-6)
