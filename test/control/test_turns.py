# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a position that jumps by a whole turn is noticed, and nothing else is taken for one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import Controller
from motion_policy.control.turns import TurnMonitor, whole_turn_away
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec

ROBOT = formula_arm()


def arm_of_several_turns() -> RobotSpec:
    limits = ROBOT.joints.limits.model_copy(update={'position': ((-9.0, 9.0),) * 3})
    return ROBOT.model_copy(update={'joints': ROBOT.joints.model_copy(update={'limits': limits})})


@pytest.mark.parametrize('jump', [2 * math.pi, -2 * math.pi + 0.05, 4 * math.pi, 6.2])
def test_a_jump_by_a_whole_turn_is_named(jump: float) -> None:
    monitor = TurnMonitor(ROBOT)
    assert monitor.check(np.array([0.0, 0.5, 0.0])) == ''
    problem = monitor.check(np.array([0.0, 0.5 + jump, 0.01]))
    assert problem.startswith(f"joint 'joint2' jumped from 0.500 to {0.5 + jump:.3f}, a whole")


def test_a_joint_that_moves_meanwhile_is_not_the_one_that_jumped() -> None:
    limits = ROBOT.joints.limits.model_copy(update={'velocity': (0.5,) * 3})
    joints = ROBOT.joints.model_copy(update={'limits': limits})
    monitor = TurnMonitor(ROBOT.model_copy(update={'joints': joints}))
    assert monitor.check(np.zeros(3)) == ''
    assert monitor.check(np.array([0.4, 2 * math.pi, 0.4])).startswith("joint 'joint2' jumped")


def test_motion_and_other_jumps_are_none() -> None:
    monitor = TurnMonitor(ROBOT)
    for position in np.linspace(-20, 20, 400):  # three turns either way
        assert monitor.check(np.full(3, position)) == ''
    assert monitor.check(np.full(3, 20 - 4.0)) == ''  # for the tracking error to judge
    monitor.forget()
    assert monitor.check(np.full(3, -20.0)) == ''


def test_a_joint_a_whole_turn_outside_its_limits_is_named() -> None:
    lower, upper, names = np.full(3, -3.0), np.full(3, 2.0), ROBOT.joints.names
    for measured, inside in ((6.2, -0.083), (-4.4, 1.883), (13.0, 0.434)):
        problem = whole_turn_away(names, np.array([0.0, measured, 0.0]), lower, upper)
        assert f"joint 'joint2' stands at {measured:.3f}, expected within [-3, 2]" in problem
        assert f'at {inside:.3f}' in problem
    for measured in (0.0, 1.9, 2.5, -4.0):  # within, or a turn away is outside, too
        assert whole_turn_away(names, np.full(3, measured), lower, upper) == ''


def test_the_arm_stops_for_good_when_an_encoder_begins_anew() -> None:
    controller = Controller(ROBOT, 100_000_000)
    measured, period_ns = np.full(3, 0.1), ROBOT.period_ns
    controller.enable(0, measured)
    for tick in range(1, 5):
        controller.tick(tick * period_ns, measured, {})
    assert controller.enabled
    turned = measured + np.array([0.0, 0.0, 2 * math.pi])
    command = controller.tick(5 * period_ns, turned, {})
    assert not controller.enabled
    assert controller.reason.startswith("joint 'joint3' jumped from 0.100 to 6.383, a whole turn")
    assert command is None or np.abs(command.position - measured).max() < 0.01
    while controller.state != 'disabled':
        tick += 1
        controller.tick((tick + 1) * period_ns, turned, {})
    with pytest.raises(UserError, match=r"joint 'joint3' stands at 6.383, .* it is 1 turn"):
        controller.enable((tick + 2) * period_ns, turned)


@pytest.mark.parametrize('end', [-9.0, 9.0])
def test_a_joint_that_may_turn_more_than_once_starts_at_either_end(end: float) -> None:
    controller = Controller(arm_of_several_turns(), 100_000_000)
    controller.enable(0, np.array([0.1, end, 0.1]))
    assert controller.enabled


@pytest.mark.parametrize('moves', [True, False])
def test_an_arm_a_whole_turn_from_where_it_was_is_not_enabled(moves: bool) -> None:
    # Limits over several turns, so that it may stand at both: a driver that counts on would go
    # the whole way back in one step.
    robot = arm_of_several_turns()
    controller = Controller(robot, 100_000_000)
    measured, period_ns, tick = np.array([0.1, 3.1, 0.1]), robot.period_ns, 0
    turned = measured - np.array([0.0, 2 * math.pi - 0.05, 0.0])
    controller.enable(0, measured)
    for tick in range(1, 5):
        controller.tick(tick * period_ns, measured, {})
    if not moves:
        controller.disable(tick * period_ns)
    while controller.state != 'disabled':
        tick += 1
        controller.tick(tick * period_ns, turned if moves else measured, {})
    for _ in range(2 * round(robot.rate)):  # rests
        tick += 1
        controller.tick(tick * period_ns, turned, {})
    for _ in range(2):
        with pytest.raises(UserError, match=r"'joint2' stands at -3.1.*, a whole turn from 3.1"):
            controller.enable(tick * period_ns, turned)
    controller.enable(tick * period_ns, measured)  # its driver counts again
    controller.disable(tick * period_ns)
    while controller.state != 'disabled':
        tick += 1
        controller.tick(tick * period_ns, measured, {})
    for _ in range(2 * round(robot.rate)):
        tick += 1
        controller.tick(tick * period_ns, turned, {})
    controller.reset()  # somebody turned it
    controller.enable(tick * period_ns, turned)
    assert controller.enabled
