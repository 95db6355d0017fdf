# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a gripper is sent one of two positions, and only a clear prediction changes which."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import Controller, GuardChain
from motion_policy.control.grippers import Grippers
from motion_policy.robot import RobotSpec

CLOSED, OPEN, CLOSE_AT, OPEN_AT = -0.2, 1.0, 0.2, 0.6
ACTION = ', action: {name: hand/move, type: any_msgs/action/Move, position: width}'
PERIOD_NS = 20_000_000
START_NS = 1_700_000_000_000_000_000


def arm(
    closed: float = CLOSED, open_: float = OPEN, *thresholds: float, interface: str = ''
) -> RobotSpec:
    close_at, open_at = thresholds or (CLOSE_AT, OPEN_AT)
    gripper = f'closed: {closed}, open: {open_}, close_at: {close_at}, open_at: {open_at}'
    gripper += interface
    return formula_arm(grippers=f'{{joint3: {{{gripper}}}}}')


def decided(grippers: Grippers, *wanted: float) -> list[float]:
    far = np.full(3, 10.0)
    return [float(grippers.decide(np.array([0.1, 0.2, w]), -far, far)[2]) for w in wanted]


def test_a_prediction_that_wavers_between_the_thresholds_changes_nothing() -> None:
    grippers = Grippers(arm())
    grippers.start(np.array([0.0, 0.0, CLOSED]))
    assert decided(grippers, 0.21, 0.59, 0.3, 0.55) == [CLOSED] * 4
    assert decided(grippers, 0.6, 0.59, 0.21, 0.5, 5.0) == [OPEN] * 5
    assert decided(grippers, 0.2, 0.21, 0.59, -3.0) == [CLOSED] * 4


def test_noise_about_one_threshold_switches_once() -> None:
    grippers = Grippers(arm())
    grippers.start(np.array([0.0, 0.0, CLOSED]))
    noise = OPEN_AT + np.random.default_rng(0).uniform(-0.3, 0.3, 500)
    noise[0] = 0.3
    answers = decided(grippers, *noise)
    assert (np.diff(answers) != 0).sum() == 1


def test_a_gripper_that_closes_upwards_is_the_mirror_image() -> None:
    grippers = Grippers(arm(1.0, -0.2, 0.6, 0.2))
    grippers.start(np.array([0.0, 0.0, 0.9]))
    assert decided(grippers, 0.3, 0.2, 0.5, 0.6, 0.3) == [0.9, -0.2, -0.2, 1.0, 1.0]


@pytest.mark.parametrize('stands', [-0.1, 0.39, 0.41])
def test_one_that_holds_an_object_stays_where_it_is_until_a_threshold_is_crossed(
    stands: float,
) -> None:
    grippers = Grippers(arm())
    grippers.start(np.array([0.0, 0.0, stands]))
    assert decided(grippers, 0.4, 0.59, 0.21, 0.6, 0.4) == [stands, stands, stands, OPEN, OPEN]


def test_the_other_joints_go_where_they_are_sent() -> None:
    target = np.array([0.1, 0.2, 0.3])
    far = np.full(3, 10.0)
    np.testing.assert_array_equal(Grippers(arm()).decide(target, -far, far)[:2], target[:2])
    np.testing.assert_array_equal(target, [0.1, 0.2, 0.3])
    assert Grippers(formula_arm()).decide(target, -far, far) is target


def drive(
    robot: RobotSpec,
    predictions: np.ndarray,
    policy_ns: int = PERIOD_NS,
    stands: float = 0.0,
    **options: object,
) -> tuple:
    """Commands (n, 3) and their controller when the gripper's prediction is that, in turn."""
    controller = Controller(robot, policy_ns, **options)  # type: ignore[arg-type]
    controller.enable(START_NS, np.array([0.0, 0.0, stands]))
    commands, states = [], []
    for index, prediction in enumerate(predictions):
        now_ns = START_NS + index * PERIOD_NS
        command = controller.tick(now_ns, np.zeros(3), {})
        assert command is not None
        commands.append(command.position)
        states.append(command.state)
        if controller.policy_due(now_ns):
            controller.add_chunk(np.array([[0.0, 0.0, prediction]]), now_ns)
    return np.array(commands), states, controller


@pytest.mark.parametrize('interpolation', ['linear', 'cubic', 'hold'])
def test_commands_move_to_the_two_positions_within_every_limit(interpolation: str) -> None:
    robot = arm()
    predictions = np.full(600, CLOSED)
    predictions[200:400] = 0.7 + 0.2 * np.sin(np.arange(200))  # open, and wavering
    commands, states, controller = drive(robot, predictions, interpolation=interpolation)
    assert set(states[150:]) == {'run'}  # its own steps are no violation that could stop the arm
    assert not any(controller.guard.counts.values())
    assert commands[190, 2] == pytest.approx(CLOSED)
    assert commands[390, 2] == pytest.approx(OPEN)
    assert commands[-1, 2] == pytest.approx(CLOSED)
    limits, dt = robot.joints.limits, PERIOD_NS * 1e-9
    velocity = np.diff(commands, axis=0, prepend=np.zeros((1, 3))) / dt
    acceleration = np.diff(velocity, axis=0, prepend=np.zeros((1, 3))) / dt
    assert (np.abs(velocity) <= limits.velocity_array()).all()
    assert (np.abs(acceleration) <= limits.acceleration_array()).all()
    moves = np.diff(commands[150:, 2])
    moves = np.sign(moves[np.abs(moves) > 1e-9])
    assert len(np.flatnonzero(np.diff(moves))) == 1  # once there, once back


@pytest.mark.parametrize('interpolation', ['linear', 'cubic', 'hold'])
@pytest.mark.parametrize('interface', ['', ACTION], ids=['topic', 'action'])
def test_what_lies_between_a_gripper_and_a_prediction_decides_nothing(
    interface: str, interpolation: str
) -> None:
    """A slow policy is interpolated from where the arm is; a gripper may hold something there."""
    robot, slow_ns = arm(interface=interface), 5 * PERIOD_NS
    held = 0.8  # beyond the threshold that opens it
    options = {'interpolation': interpolation, 'stands': held}
    commands, states, controller = drive(robot, np.full(100, 0.4), slow_ns, **options)
    assert 'run' in states and (np.abs(commands[:, 2] - held) < 1e-9).all()
    assert [each.number for each in controller.grippers.decided.values()] == [0] * bool(interface)
    commands, _, controller = drive(robot, np.full(200, CLOSED), slow_ns, **options)
    assert (np.diff(commands[:, 2]) <= 0).all() and commands[-1, 2] == pytest.approx(CLOSED)
    for each in controller.grippers.decided.values():
        assert (each.number, each.decision) == (1, 'closed')


def test_a_gripper_with_an_action_stays_in_the_ramp_and_on_the_way_home() -> None:
    robot = arm(interface=ACTION).model_copy(update={'home': (0.3, 0.3, OPEN)})
    controller = Controller(robot, PERIOD_NS)
    now_ns = START_NS
    measured = np.array([0.0, 0.0, 0.5])

    def tick(prediction: float) -> None:
        nonlocal now_ns
        command = controller.tick(now_ns, measured, {})
        if command is not None:
            measured[:2] = command.position[:2]
        if controller.policy_due(now_ns):
            controller.add_chunk(np.array([[0.3, 0.3, prediction]]), now_ns)
        now_ns += PERIOD_NS

    controller.enable(now_ns, measured)
    while controller.state == 'ramp':
        assert controller.grippers.decided['joint3'].decision == 'none'
        tick(CLOSED)
    for _ in range(5):
        tick(CLOSED)
    assert controller.grippers.decided['joint3'].decision == 'closed'
    decided = controller.grippers.decided
    controller.go_home(now_ns, measured)
    while controller.enabled:
        tick(OPEN)
    assert controller.grippers.decided == decided
    assert controller.reason == ''


def test_with_violations_that_stop_the_arm_a_gripper_still_moves() -> None:
    predictions = np.where(np.arange(400) < 200, CLOSED, OPEN)
    stops = {'velocity': 'stop', 'acceleration': 'stop'}
    commands, states, _ = drive(arm(), predictions, on_violation=stops)
    assert set(states[150:]) == {'run'}
    assert commands[-1, 2] == pytest.approx(OPEN)


def test_the_ramp_goes_to_the_position_that_the_first_prediction_means() -> None:
    commands, states, _ = drive(arm(), np.full(300, 0.65))
    assert 'run' in states
    ramp = commands[: states.index('run')]
    speed = np.abs(np.diff(ramp[:, 2])) / (PERIOD_NS * 1e-9)
    assert speed.max() <= 0.25 * arm().joints.limits.velocity_array()[2] + 1e-9
    assert commands[-1, 2] == pytest.approx(OPEN)


def test_a_margin_leaves_a_gripper_where_it_may_be() -> None:
    low, high = arm().joints.limits.position_array()[2]
    robot = arm(float(low), float(high))
    guard = GuardChain(robot, position_margin=0.1)
    commands, _, controller = drive(robot, np.full(300, 0.9), guard=guard)
    assert commands[-1, 2] == pytest.approx(high - 0.1)
    assert controller.guard.counts['position'] == 0


def test_a_gripper_that_holds_an_object_does_not_let_the_arm_down_at_enable() -> None:
    """Its command is far beyond the object: neither that nor those of the arm may change."""
    _, _, controller = drive(arm(), np.full(300, CLOSED))
    now_ns = START_NS + 300 * PERIOD_NS
    controller.disable(now_ns)
    while controller.state != 'disabled':
        now_ns += PERIOD_NS
        controller.tick(now_ns, np.zeros(3), {})
    held = controller.guard.sent.copy()
    measured = held + [-0.005, -0.005, 0.4]
    for after_s in (0.1, 5.0):
        controller.enable(now_ns + round(after_s * 1e9), measured)
        np.testing.assert_array_equal(controller.guard.sent, held)
        controller.disable(now_ns)
        for _ in range(3):
            controller.tick(now_ns + round((after_s + 0.1) * 1e9), measured, {})
            now_ns += PERIOD_NS
        assert controller.state == 'disabled'
