# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: with a jerk limit the arm moves smoothly, and the other limits still hold."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import GuardChain
from motion_policy.control.motion_limiter import MotionLimiter
from motion_policy.control.smoothing import JerkLimiter
from motion_policy.errors import UserError

PERIOD_NS = 20_000_000
PERIOD_S = PERIOD_NS * 1e-9
ROBOT = formula_arm()
JERK = 30.0


def moved(targets: np.ndarray, **options: object) -> np.ndarray:
    """Commands (n + 1, J) that the chain makes of targets (n, J), from rest at zero."""
    chain = GuardChain(ROBOT, **options)  # type: ignore[arg-type]
    chain.start(np.zeros(3))
    sent = [chain.sent.copy()]
    sent += [chain.apply(target, None, PERIOD_NS).position.copy() for target in targets]
    return np.array(sent)


def derivative(values: np.ndarray, order: int) -> np.ndarray:
    return np.diff(values, order, axis=0) / PERIOD_S**order


def jumping_targets() -> np.ndarray:
    places = np.random.default_rng(1).uniform(-0.9, 0.9, (8, 3))
    return np.repeat(places, 60, axis=0)


def test_the_jerk_stays_within_its_limit() -> None:
    sent = moved(jumping_targets(), max_jerk=JERK)
    assert np.abs(derivative(sent, 3)).max() <= JERK * (1 + 1e-6)
    plain = moved(jumping_targets())
    assert np.abs(derivative(plain, 3)).max() > 5 * JERK


def test_the_jerk_stays_within_its_limit_where_the_arm_is_slowed_to_a_crawl() -> None:
    chain = GuardChain(ROBOT, max_jerk=JERK)
    chain.start(np.zeros(3))
    sent = [np.zeros(3)]
    for _ in range(60):
        sent.append(chain.apply(np.full(3, 0.5), None, PERIOD_NS, speed=0.05).position.copy())
    assert np.abs(derivative(np.array(sent), 3)).max() <= JERK * (1 + 1e-6)
    assert np.abs(derivative(np.array(sent), 1)[-1]).min() > 0.049


def test_velocity_and_acceleration_limits_hold_too() -> None:
    sent = moved(jumping_targets(), max_jerk=(JERK, 1e4, 1e6))
    limits = ROBOT.joints.limits
    assert (np.abs(derivative(sent, 1)) <= limits.velocity_array()).all()
    assert (np.abs(derivative(sent, 2)) <= limits.acceleration_array()).all()


def test_a_target_that_stays_is_reached() -> None:
    target = np.array([0.5, -0.7, 0.9])
    sent = moved(np.repeat(target[None], 150, axis=0), max_jerk=JERK)
    np.testing.assert_allclose(sent[-1], target, atol=1e-6)
    beyond = (sent - target) * np.sign(target)
    assert beyond.max() <= 1e-6  # and not passed on the way


def test_after_braking_it_goes_on_from_where_the_arm_is() -> None:
    chain = GuardChain(ROBOT, max_jerk=JERK)
    chain.start(np.zeros(3))
    target, sent = np.array([0.8, 0.8, 0.8]), [np.zeros(3)]
    for tick in range(300):
        braking = 10 <= tick < 40
        result = chain.stop(PERIOD_NS) if braking else chain.apply(target, None, PERIOD_NS)
        sent.append(result.position.copy())
    limits = ROBOT.joints.limits
    assert (np.abs(derivative(np.array(sent), 2)) <= limits.acceleration_array()).all()
    np.testing.assert_allclose(sent[-1], target, atol=1e-6)


@pytest.mark.parametrize('jerk', [0.0, -1.0, float('nan'), (1.0, 2.0)])
def test_a_wrong_jerk_is_one_line(jerk: object) -> None:
    with pytest.raises(UserError, match=r'max_jerk is .*expected one number > 0 or 3'):
        GuardChain(ROBOT, max_jerk=jerk)  # type: ignore[arg-type]


def test_what_smoothing_changes_is_counted_joint_by_joint_and_what_it_leaves_is_not() -> None:
    chain = GuardChain(ROBOT, max_jerk=JERK)
    plain = GuardChain(ROBOT)
    for guard in (chain, plain):
        guard.start(np.zeros(3))
    target = np.array([0.5, 0.0, 0.0])  # two joints have nothing to do
    counted = []
    for _ in range(150):
        counted.append(chain.apply(target, None, PERIOD_NS).violations.get('jerk', 0))
        assert 'jerk' not in plain.apply(target, None, PERIOD_NS).violations
    assert counted[0] == 1 and set(counted) == {0, 1}
    assert not any(counted[100:])  # it stands
    assert chain.counts['jerk'] == sum(counted)
    assert (chain.reaction('jerk'), plain.counts['jerk']) == ('smoothed', 0)


def test_a_jerk_that_nothing_reaches_changes_and_counts_nothing() -> None:
    free, plain = GuardChain(ROBOT, max_jerk=1e6), GuardChain(ROBOT)
    for guard in (free, plain):
        guard.start(np.zeros(3))
    target = np.array([1e-4, -2e-4, 3e-4])  # within one step
    for _ in range(3):
        for guard in (free, plain):
            guard.apply(target, None, PERIOD_NS)
    np.testing.assert_allclose(free.sent, plain.sent, atol=1e-12)
    assert free.counts['jerk'] == 0


def test_the_stage_by_itself_says_which_joints_it_holds_back() -> None:
    limiter = MotionLimiter(ROBOT.joints.limits)
    limiter.start(np.zeros(3))
    stage = JerkLimiter(limiter, (JERK, 1e6, JERK), PERIOD_NS)
    position, changed = stage.step(np.array([0.9, 1e-4, 0.0]), PERIOD_NS)
    assert changed.tolist() == [True, False, False]
    assert 0 < position[0] < limiter.preview(np.full(3, 0.9), None, PERIOD_NS)[0]
    np.testing.assert_array_equal(limiter.position, np.zeros(3))  # it only proposes


def test_a_speed_override_of_nothing_brakes_and_stands() -> None:
    chain = GuardChain(ROBOT, max_jerk=50.0)
    chain.start(np.zeros(3))
    for tick in range(200):
        result = chain.apply(np.ones(3), None, ROBOT.period_ns, speed=1.0 if tick < 30 else 0.0)
    assert not result.velocity.any()
    assert (result.position > 0.1).all()
    for _ in range(300):
        result = chain.apply(np.ones(3), None, ROBOT.period_ns)
    np.testing.assert_allclose(result.position, 1.0, atol=1e-6)
