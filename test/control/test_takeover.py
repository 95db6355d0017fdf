# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A person takes over from a policy and gives back: no jump, and no promise is broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from control_robots import formula_arm
from controlled_arm import HOME, POLICY_NS, ROBOT, TICK_NS, Arm, stay, steadily

from motion_policy.control import ChunkExecution, Command
from motion_policy.control.leader_drive import LeaderDrive
from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.leader_movement import LeaderMovement
from motion_policy.control.switches import PressedButton
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.control.tool_follower import JointFollower
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

LEADER = {'topic': 'leader', 'type': 'sensor_msgs/msg/JointState'}
STEP = ROBOT.joints.limits.acceleration_array() * TICK_NS * 1e-9  # of velocity, in one period


def led_robot(**teleop: Any) -> RobotSpec:
    values = yaml.safe_load(formula_arm().to_yaml())
    values['teleop'] = teleop or {'leader': LEADER}
    return robot_spec_from_yaml(yaml.safe_dump(values), 'led.yaml')


class TakenArm(Arm):
    """An arm that a policy drives, and a person who may take over by a leader."""

    def __init__(self, *, indexes: bool = True, **options: Any) -> None:
        super().__init__(robot=led_robot(), **options)
        assert self.controller.robot.teleop is not None
        self.leader = HOME.copy()
        self.follower = LeaderFollower(
            self.controller.robot, self.controller.robot.teleop, 0.25, indexes=indexes
        )
        self.person = Teleoperation(self.controller, self.follower)
        self.actions: list[np.ndarray | None] = []

    def take_over(self) -> str:
        self.controller.take_over()
        return self.follower.take_over(self.person.rest)

    def follow(self, ticks: int, answer: Any = steadily, hand: float = 0.0) -> list[Command]:
        """Ticks as of a node: the leader moves by `hand` [rad] in each."""
        controller, first = self.controller, len(self.commands)
        for _ in range(ticks):
            self.leader = self.leader + hand
            self.follower.see(self.leader, self.now_ns)
            fault = {'leader': self.follower.fault} if self.follower.fault else {}
            faults = {**self.faults, **(fault if controller.by_hand else {})}
            controller.look(self.now_ns, faults, steady_ns=self.steady_ns)
            if controller.by_hand:
                self.person.give(self.now_ns)
            due = controller.policy_due(self.now_ns)
            self._take(controller.command(self.now_ns, self.measured, steady_ns=self.steady_ns))
            self.actions.append(controller.policy_action)
            if due:
                self.requests.append(self.now_ns)
                if answer is not None:
                    controller.add_chunk(answer(self.now_ns, self.measured), self.now_ns)
            self.wait(TICK_NS)
        return self.commands[first:]

    def assert_smooth(self) -> None:
        velocities = np.diff(np.array(self.positions), axis=0) / (TICK_NS * 1e-9)
        assert (np.abs(np.diff(velocities, axis=0)) <= STEP * (1 + 1e-6)).all()
        self.assert_safe()


def test_the_first_command_after_a_takeover_is_the_persons_and_nothing_jumps() -> None:
    arm = TakenArm()
    arm.enable()
    before = arm.follow(60)
    assert np.abs(before[-1].velocity).max() > 0.1
    assert arm.take_over() == ''
    rest = arm.person.rest
    arm.follow(40)
    np.testing.assert_allclose(arm.commands[-1].position, rest, atol=1e-9)  # nobody moved
    arm.follow(25, hand=0.004)
    arm.follow(30)
    np.testing.assert_allclose(arm.commands[-1].position, rest + 25 * 0.004, atol=1e-6)
    assert arm.controller.state == 'run'
    arm.assert_smooth()


def test_a_person_is_followed_in_the_tick_in_which_the_policy_is_left() -> None:
    robot = led_robot(joy={'axes': {'joint1': 0}, 'dead_man': 0})
    arm = Arm(robot=robot)
    assert robot.teleop is not None
    stick = JointFollower(robot, robot.teleop, ('joint1',))
    person = Teleoperation(arm.controller, stick)
    arm.enable()
    arm.run(30, stay)
    arm.controller.look(arm.now_ns, {}, steady_ns=arm.steady_ns)
    arm.controller.take_over()
    stick.stop(person.rest)
    stick.see(np.array([1.0]))
    person.give(arm.now_ns)
    command = arm.controller.command(arm.now_ns, arm.measured, steady_ns=arm.steady_ns)
    assert command is not None and command.position[0] > arm.measured[0] + 1e-6


def test_the_policy_sees_on_while_a_person_drives_and_its_chunks_are_not_executed() -> None:
    arm = TakenArm()
    arm.enable()
    arm.follow(30, answer=stay)
    arm.take_over()
    asked = len(arm.requests)

    def far(_now_ns: int, _measured: np.ndarray) -> np.ndarray:
        return np.full((1, 3), 0.4)

    arm.follow(60, answer=far)
    assert len(arm.requests) - asked == 60 * TICK_NS // POLICY_NS
    np.testing.assert_allclose(arm.commands[-1].position, HOME, atol=1e-9)
    np.testing.assert_allclose(arm.actions[-1], [0.4] * 3)
    arm.controller.give_back()
    assert arm.follow(1, answer=far)[0].state == 'ramp'
    assert arm.actions[-1] is None
    arm.follow(150, answer=far)
    np.testing.assert_allclose(arm.commands[-1].position, [0.4] * 3, atol=1e-6)
    arm.assert_smooth()


def test_a_policy_that_fails_or_is_silent_does_not_hold_a_person() -> None:
    arm = TakenArm()
    arm.enable()
    arm.follow(30, answer=stay)
    arm.take_over()
    assert {c.state for c in arm.follow(100, answer=None)} == {'run'}
    assert arm.actions[-1] is None
    arm.controller.policy_failed('raised', arm.now_ns)
    arm.controller.add_chunk(np.full((1, 3), np.nan), arm.now_ns - TICK_NS)
    assert {c.state for c in arm.follow(5, answer=None)} == {'run'}
    arm.controller.give_back()
    commands = arm.follow(100, answer=None)
    assert commands[-1].final and 'no new action' in commands[-1].reason


def test_a_person_takes_over_from_a_policy_that_holds_the_arm() -> None:
    arm = TakenArm()
    arm.enable()
    arm.follow(30, answer=stay)
    assert arm.follow(20, answer=None)[-1].state == 'hold'
    arm.take_over()
    assert arm.follow(3, answer=None)[-1].state == 'run'
    arm.follow(20, answer=None, hand=0.002)
    assert arm.commands[-1].position[0] > HOME[0] + 0.02
    arm.assert_smooth()


def test_a_fault_while_a_person_drives_disables_and_only_enable_starts_the_policy() -> None:
    arm = TakenArm(auto_resume_s=0.1)
    arm.enable()
    arm.follow(30, answer=stay)
    arm.take_over()
    arm.follow(10)
    arm.leader = arm.leader + 2 * np.pi
    commands = arm.follow(40)
    assert commands[0].state == 'hold' and commands[-1].final
    assert "joint 'joint1' of the leader jumped" in commands[-1].reason
    with pytest.raises(UserError, match=r'^the arm is not enabled: nobody drives it'):
        arm.controller.take_over()
    assert not arm.follow(100)
    arm.enable()
    assert not arm.controller.by_hand


def test_nobody_takes_over_an_arm_on_its_way_home_and_home_ends_a_takeover() -> None:
    values = yaml.safe_load(led_robot().to_yaml())
    values['home'] = [0.0, 0.0, 0.0]
    arm = TakenArm()
    arm.controller.robot = robot_spec_from_yaml(yaml.safe_dump(values), 'home.yaml')
    arm.enable()
    arm.follow(10, answer=stay)
    arm.take_over()
    arm.follow(10)
    arm.go_home()
    with pytest.raises(UserError, match=r'^the arm drives home'):
        arm.controller.take_over()
    commands = arm.follow(200, hand=0.003)
    assert commands[-1].final
    np.testing.assert_allclose(commands[-1].position, [0.0] * 3, atol=1e-6)
    arm.assert_smooth()


def test_a_reset_leaves_the_person_at_the_arm() -> None:
    arm = TakenArm()
    arm.enable()
    arm.follow(10, answer=stay)
    arm.take_over()
    arm.follow(5)
    arm.controller.reset()
    assert {c.state for c in arm.follow(30)[2:]} == {'run'}
    assert arm.controller.by_hand
    np.testing.assert_allclose(arm.commands[-1].position, HOME, atol=1e-9)


def test_a_policy_of_chunks_is_asked_anew_after_it_was_given_back() -> None:
    arm = TakenArm(chunks=ChunkExecution(crossfade_s=0.05), first_due_ns=0, policy_ns=TICK_NS)

    def chunk(_now_ns: int, measured: np.ndarray) -> np.ndarray:
        return measured + np.linspace(0.0, 0.2, 40)[:, None]

    arm.enable()
    arm.follow(40, answer=chunk)
    arm.take_over()
    arm.follow(20, answer=chunk)
    arm.follow(20, answer=chunk, hand=-0.004)
    assert arm.actions[-1] is not None
    asked, there = len(arm.requests), arm.commands[-1].position
    arm.controller.give_back()
    assert arm.controller.buffer.covers_until_ns is None
    arm.follow(2, answer=chunk)
    assert len(arm.requests) == asked + 1
    arm.follow(60, answer=chunk)
    assert (arm.commands[-1].position > there + 0.05).all()
    arm.assert_smooth()


@pytest.mark.parametrize('switched', [True, False])
def test_a_hand_that_was_taken_over_stays_until_the_leaders_has_come_to_it(switched: bool) -> None:
    values = yaml.safe_load(formula_arm().to_yaml())
    values['teleop'] = {'leader': LEADER}
    gripper = {'closed': -0.4, 'close_at': -0.1, 'open_at': 0.1, 'open': 0.4}
    if switched:
        values['joints']['grippers'] = {'joint3': gripper}
    else:
        values['teleop']['ranges'] = {'joint3': {'leader': [-0.4, 0.4], 'arm': [-0.4, 0.4]}}
    robot = robot_spec_from_yaml(yaml.safe_dump(values), 'hand.yaml')
    assert robot.teleop is not None
    follower = LeaderFollower(robot, robot.teleop, 0.25, indexes=True)
    sent = np.array([0.1, 0.2, -0.4])
    follower.see(np.array([0.0, 0.0, 0.4]), 0)
    assert follower.take_over(sent) == ''

    def hand(leader: float) -> float:
        for _ in range(100):
            follower.see(np.array([0.0, 0.0, leader]), 0)
            sent[:2] = follower.target(sent, sent)[:2]
        return float(follower.target(sent, sent)[2])

    stays = 0.0 if switched else -0.4  # a switch between its thresholds stays as it is
    assert hand(0.4) == hand(0.2) == stays
    assert hand(-0.4) == -0.4  # the leader's is closed, too
    assert hand(0.3) > (0.1 if switched else -0.4)


@pytest.mark.parametrize('indexes', [True, False])
def test_a_leader_far_away_moves_nothing_unless_the_clutch_indexes(indexes: bool) -> None:
    arm = TakenArm(indexes=indexes)
    arm.enable()
    arm.leader = HOME + 1.0
    arm.follow(40, answer=stay)
    refused = arm.take_over()
    assert ("joint 'joint1' is at 1.100" in refused) != indexes
    arm.follow(40, answer=stay, hand=0.001)
    moved = 0.04 if indexes else 0.0
    np.testing.assert_allclose(arm.commands[-1].position, HOME + moved, atol=2e-3)
    arm.assert_smooth()


def test_quick_changes_of_hands_never_jump() -> None:
    arm, rng = TakenArm(), np.random.default_rng(5)
    arm.enable()

    def wild(_now_ns: int, measured: np.ndarray) -> np.ndarray:
        return np.clip(measured + rng.uniform(-0.1, 0.1, 3), -0.4, 0.4)[None]

    for _ in range(300):
        arm.follow(int(rng.integers(0, 8)), answer=wild, hand=float(rng.uniform(-0.01, 0.01)))
        if arm.controller.by_hand:
            arm.controller.give_back()
        else:
            arm.leader = np.clip(arm.leader, -0.3, 0.3)
            arm.take_over()
        if not arm.controller.enabled:
            arm.follow(60)
            arm.enable()
    arm.assert_smooth()


def test_a_button_is_pressed_once_when_its_contacts_bounce_and_by_whom_saw_it_released() -> None:
    button, ms = PressedButton(1), 1_000_000
    button.tell([0, 1], 0, b'a')  # held before it was seen released
    assert not button.take()
    button.tell([0, 0], 10 * ms, b'a')
    button.tell([0, 1], 20 * ms, b'b')  # another publisher
    assert not button.take()
    button.tell([0, 1], 30 * ms, b'a')
    button.tell([0, 0], 40 * ms, b'a')
    button.tell([0, 1], 50 * ms, b'a')
    assert button.take() and not button.take()
    button.tell([0, 0], 500 * ms, b'a')
    button.tell([0, 1, 0], 510 * ms, b'a')  # another device
    button.tell([0], 520 * ms, b'a')
    button.tell([0, 1], 530 * ms, b'a')
    assert not button.take()
    button.tell([0, 0], 900 * ms, b'a')
    button.tell([0, 1], 910 * ms, b'a')
    assert button.take()


def test_a_leader_that_is_moved_takes_over_and_one_that_sinks_or_goes_round_does_not() -> None:
    robot = led_robot(leader=LEADER, takeover={'moved': [0.1, 0.1, 0.0]})
    assert robot.teleop is not None
    movement, at, now_ns = LeaderMovement(robot, robot.teleop), np.zeros(3), 0

    def told(step: list[float], count: int) -> str:
        nonlocal at, now_ns
        for _ in range(count):
            at, now_ns = at + step, now_ns + TICK_NS
            what = movement.see(at, now_ns)
            if what:
                return what
        return ''

    assert not told([0.001, 0.001, 0.01], 200)
    assert not told([2 * np.pi, 0.0, 0.0], 1)
    assert told([0.0, -0.01, 0.0], 12).startswith("joint 'joint2' of the leader was moved by 0.1")
    movement.forget()
    assert not told([0.0, -0.01, 0.0], 5)
    assert not LeaderMovement(
        led_robot(), robot.teleop.model_copy(update={'takeover': None})
    ).watches


def driven_leader(**takeover: Any) -> tuple[RobotSpec, LeaderDrive]:
    """A leader of the first two joints, the second of which turns the other way round."""
    leader = {**LEADER, 'joints': ['joint1', 'joint2'], 'scale': [1, -2], 'offset': [0, 0.5]}
    command = {
        'topic': 'leader/commands', 'type': 'std_msgs/msg/Float64MultiArray',
        'joints': ['joint1', 'joint2'],
    }  # fmt: skip
    robot = led_robot(leader=leader, takeover={'leader_command': command, **takeover})
    assert robot.teleop is not None
    return robot, LeaderDrive(robot, robot.teleop, 0.25)


def test_a_leader_that_can_be_driven_comes_slowly_to_the_arm_and_follows_within_limits() -> None:
    robot, drive = driven_leader()
    leader, arm, sent = np.array([-0.4, 0.4, np.nan]), HOME.copy(), []
    for tick in range(400):
        if tick > 300:
            arm = arm + 0.3 * robot.joints.limits.velocity_array() * TICK_NS * 1e-9
        theirs = drive.command(arm, leader)
        assert theirs is not None
        ours = np.array([theirs[0], -2 * theirs[1] + 0.5])
        leader = np.array([*ours, np.nan])
        sent.append(ours)
    assert not drive.held
    np.testing.assert_allclose(sent[299], HOME[:2], atol=1e-6)
    np.testing.assert_allclose(sent[-1], arm[:2], atol=0.02)
    velocity, acceleration = (
        values[:2]
        for values in (
            robot.joints.limits.velocity_array(), robot.joints.limits.acceleration_array()
        )
    )  # fmt: skip
    speeds = np.diff(np.array(sent), axis=0) / (TICK_NS * 1e-9)
    assert (np.abs(speeds[:50]) <= 0.25 * velocity * (1 + 1e-6)).all()
    assert (np.abs(np.diff(speeds, axis=0)) <= acceleration * TICK_NS * 1e-9 * (1 + 1e-6)).all()


def test_a_leader_that_is_held_while_it_is_driven_is_let_go_and_named() -> None:
    _, drive = driven_leader(moved=[0.05, 0.05, 0.0])
    leader = np.array([*HOME[:2], np.nan])
    assert drive.command(HOME, leader) is not None
    ticks = 0
    while drive.command(HOME + 0.4, leader) is not None:
        ticks += 1
    assert 5 < ticks < 100 and "joint 'joint2' stands at 0.200" in drive.held
    assert drive.command(HOME, leader) is None
    drive.stop()
    assert drive.command(HOME, leader) is not None
    assert drive.command(HOME, np.full(3, np.nan)) is None


@pytest.mark.parametrize(
    ('command', 'told'),
    [
        ({'joints': ['joint3']}, "carries 'joint3', expected joints that leader carries"),
        ({'topic': 'leader'}, "is on 'leader', a topic of leader"),
        ({'topic': 'forward_position_controller/commands'}, 'a topic of joints.command'),
        ({'scale': [2, 2]}, 'has scale or offset'),
    ],
)
def test_commands_of_a_leader_that_do_not_fit_are_named(
    command: dict[str, Any], told: str
) -> None:
    usual = {
        'topic': 'leader/commands', 'type': 'std_msgs/msg/Float64MultiArray',
        'joints': ['joint1', 'joint2'],
    }  # fmt: skip
    leader = {**LEADER, 'joints': ['joint1', 'joint2']}
    with pytest.raises(UserError, match=told):
        led_robot(leader=leader, takeover={'leader_command': {**usual, **command}})


@pytest.mark.parametrize(
    ('teleop', 'told'),
    [
        ({'leader': LEADER, 'takeover': {'moved': [0.1]}}, 'teleop.takeover.moved has 1 entries'),
        (
            {
                'joy': {'axes': {'joint1': 0}, 'dead_man': 4, 'home': 3},
                'takeover': {'button': 3},
            },
            'takeover.button is button 3, as joy.home is',
        ),
        (
            {'joy': {'axes': {'joint1': 0}, 'dead_man': 4}, 'takeover': {'moved': [0.1] * 3}},
            'takeover has moved beside twist or joy',
        ),
    ],
)
def test_a_takeover_that_does_not_fit_the_spec_is_named(teleop: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        led_robot(**teleop)
