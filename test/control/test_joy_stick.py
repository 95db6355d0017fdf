# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Axes mean what the spec says, fine in the middle and full at the end; a press counts once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import Controller
from motion_policy.control.joy_stick import JoyStick
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.control.tool_follower import JointFollower
from motion_policy.errors import UserError
from motion_policy.robot.teleop import JoyLeader, TeleopSpec


def stick(**keys: Any) -> JoyStick:
    axes = {'linear.x': 1, 'angular.z': 0}
    return JoyStick(JoyLeader.model_validate({'axes': axes, 'dead_man': 5, **keys}))


def test_an_axis_is_nothing_in_the_middle_fine_beside_it_and_full_at_its_end() -> None:
    joy = stick(reversed=['angular.z'], dead_zone=0.2, expo=0.5)
    np.testing.assert_array_equal(joy.velocity([0.2, -0.19]), np.zeros(6))
    np.testing.assert_allclose(joy.velocity([1.0, -1.0]), [-0.25, 0, 0, 0, 0, -0.8])
    np.testing.assert_allclose(joy.velocity([0.0, 7.0])[0], 0.25)  # beyond its range
    half = joy.velocity([0.0, 0.6])[0]  # halfway beyond the dead zone
    np.testing.assert_allclose(half, 0.25 * (0.5 * 0.5 + 0.5 * 0.125))
    values = [joy.velocity([0.0, value])[0] for value in np.linspace(-1, 1, 101)]
    assert (np.diff(values) >= 0).all() and np.diff(values).max() < 0.02


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_an_axis_that_says_no_number_is_named(value: float) -> None:
    with pytest.raises(UserError, match=r"axis 1 of 'linear\.x' is (nan|-?inf)"):
        stick().velocity([0.0, value])
    with pytest.raises(UserError, match=r"axis 1 of 'linear\.x' is not there: 1 axes came"):
        stick().velocity([0.0])


def test_a_press_counts_once_and_what_was_held_from_the_first_does_not() -> None:
    joy = stick(close=0, home=1)
    assert joy.pressed([1, 0, 0, 0, 0, 0]) == []
    assert joy.pressed([1, 1, 0, 0, 0, 1]) == ['dead_man', 'home']
    assert joy.pressed([1, 1, 0, 0, 0, 1]) == []
    assert joy.pressed([0]) == []
    assert joy.pressed([1]) == ['close']


def test_joints_move_by_axes_of_their_own_up_to_their_limits() -> None:
    robot = formula_arm()
    keys = {'axes': {'joint1': 0, 'joint3': 1}, 'dead_man': 0, 'joint_speed': 0.5}
    joy = JoyStick(JoyLeader.model_validate(keys))
    controller = Controller(robot, robot.period_ns, interpolation='hold')
    follower = JointFollower(robot, TeleopSpec(), ('joint1', 'joint3'))
    teleoperation = Teleoperation(controller, follower)
    now_ns, arm = 10**9, np.full(3, 0.1)
    controller.enable(now_ns, arm)
    for number in range(150):
        now_ns += robot.period_ns
        follower.see(joy.velocity([1.0, 0.0]))
        controller.look(now_ns, {})
        teleoperation.give(now_ns)
        command = controller.command(now_ns, arm)
        assert command is not None
        arm = command.position
        if number == 40:
            np.testing.assert_allclose(command.velocity, [0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(arm, [1.0, 0.1, 0.1], atol=1e-3)
    assert follower.slowed == "the arm moves at 0% of what is wanted: joint 'joint1' is at a limit"
