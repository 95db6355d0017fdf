# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in arm follows within what an arm can do, and shows on its images where it stands."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.rehearsal.arm import BEYOND, FASTER, StandInArm
from motion_policy.rehearsal.guiding import Guide
from motion_policy.rehearsal.images import TestImages
from motion_policy.rehearsal.schedule import Schedule, stream_rates
from motion_policy.robot import load_robot_spec

ROBOT = formula_arm()
LIMITS = ROBOT.joints.limits
LOW, HIGH = LIMITS.position_array().T
STEP_NS = 5_000_000


def moved(arm: StandInArm, seconds: float, begin_ns: int = 0) -> np.ndarray:
    """Positions (n, J) of an arm that is looked at every 5 ms."""
    rows = []
    for now_ns in range(begin_ns, begin_ns + int(seconds * 1e9), STEP_NS):
        arm.step(now_ns)
        rows.append(arm.position)
    return np.array(rows)


def test_it_begins_at_home_or_in_the_middle() -> None:
    np.testing.assert_allclose(StandInArm(ROBOT).position, (LOW + HIGH) / 2)
    home = ROBOT.model_copy(update={'home': (0.1, -0.2, 0.3)})
    np.testing.assert_allclose(StandInArm(home).position, [0.1, -0.2, 0.3])


def test_a_step_is_followed_within_what_the_arm_can_do_and_without_swinging() -> None:
    arm = StandInArm(ROBOT)
    start = arm.position
    goal = start + 0.4
    arm.command(goal)
    way = moved(arm, 3.0)
    speeds = np.diff(way, axis=0) / (STEP_NS * 1e-9)
    assert (np.abs(speeds) <= FASTER * LIMITS.velocity_array() + 1e-9).all()
    assert (way >= start - 1e-9).all() and (way <= goal + 1e-3).all()
    np.testing.assert_allclose(way[-1], goal, atol=1e-3)
    assert np.abs(way[10] - start).max() < 0.1  # it takes its time


def test_at_full_speed_it_lags_less_than_the_tracking_error_allows() -> None:
    """0.15 s at full speed is where a node takes an arm for blocked."""
    for name in ('ur5e', 'franka_fr3', 'so101', 'aloha', 'open_manipulator_x', 'tabletop_sim'):
        robot = load_robot_spec(name)
        arm, speed = StandInArm(robot), robot.joints.limits.velocity_array()
        low, high = robot.joints.limits.position_array().T
        arm.place(low)
        arm.step(0)
        worst = np.zeros(len(low))
        for tick in range(1, 100):
            arm.command(np.minimum(low + speed * tick * 0.02, high))
            arm.step(tick * 20_000_000)
            worst = np.maximum(worst, np.abs(arm.target - arm.position) / speed)
        assert (worst < 0.12).all(), name


def test_a_blocked_joint_stays_and_the_others_go_on_to_their_stops() -> None:
    arm = StandInArm(ROBOT)
    start = arm.position
    arm.blocked = {1}
    arm.command(HIGH + 10)
    way = moved(arm, 8.0)
    assert (way[:, 1] == start[1]).all()
    stops = HIGH + BEYOND * (HIGH - LOW)
    np.testing.assert_allclose(way[-1, [0, 2]], stops[[0, 2]])
    assert abs(arm.effort[1]) > abs(start[1])


def test_a_guide_keeps_every_limit_and_comes_back_to_rest() -> None:
    guide = Guide(LIMITS, StandInArm(ROBOT).position)
    times = np.arange(0, 6.0, 0.01)
    way = np.array([guide.position(t) for t in times])
    velocity = np.gradient(way, times, axis=0)
    acceleration = np.gradient(velocity, times, axis=0)
    assert (np.abs(velocity) < 0.5 * LIMITS.velocity_array()).all()
    assert (np.abs(acceleration) < 0.5 * LIMITS.acceleration_array()).all()
    assert (way >= LOW).all() and (way <= HIGH).all()
    assert (way.max(axis=0) - way.min(axis=0) > 0.1).all()
    np.testing.assert_allclose(guide.position(6.0), way[0], atol=1e-9)


@pytest.mark.parametrize('size', [(640, 480), (128, 128), (32, 24), (1, 1)])
def test_images_differ_by_number_time_and_joints(size: tuple[int, int]) -> None:
    images = TestImages('top', *size)
    first = images.draw(1, 1_000_000_000, np.array([0.2, 0.7])).copy()
    assert first.shape == (size[1], size[0], 3) and first.dtype == np.uint8
    assert (images.draw(2, 1_000_000_000, np.array([0.2, 0.7])) != first).any()
    if size[0] > 100:
        assert (images.draw(1, 2_000_000_000, np.array([0.2, 0.7])) != first).any()
        assert (images.draw(1, 1_000_000_000, np.array([0.9, 0.7])) != first).any()
        assert (TestImages('side', *size, number=1).draw(1, 0, np.zeros(2)) != first).any()


def test_streams_come_at_the_rates_of_the_spec_and_what_is_missed_is_not_made_up_for() -> None:
    rates = stream_rates(load_robot_spec('aloha'))
    assert set(rates) == set(load_robot_spec('aloha').stream_names)
    schedule = Schedule({'fast': 100.0, 'slow': 25.0}, 0)
    done = [name for now_ns in range(0, 10**9, 2_000_000) for name in schedule.due(now_ns)]
    assert done.count('fast') == 100 and done.count('slow') == 25
    assert schedule.due(2 * 10**9) == ['fast', 'slow']
    assert schedule.missed == {'fast': 100, 'slow': 25}
    assert 0 < schedule.wait_ns(2 * 10**9) <= 10_000_000
