# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: limited motion never breaks a limit, stops in time, and does not swing."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import MotionLimiter

PERIOD_NS = 20_000_000
DT = PERIOD_NS * 1e-9
LIMITS = formula_arm().joints.limits
LOWER, UPPER = LIMITS.position_array().T


def limiter_at(position: object) -> MotionLimiter:
    limiter = MotionLimiter(LIMITS)
    limiter.start(np.asarray(position, dtype=np.float64) * np.ones(3))
    return limiter


def follow(limiter: MotionLimiter, targets: np.ndarray, speed: float = 1.0) -> np.ndarray:
    return np.array([limiter.step(target, PERIOD_NS, speed).position for target in targets])


def assert_within_limits(positions: np.ndarray, dt: np.ndarray | float) -> None:
    """positions (T, 3), starting at rest; dt (T - 1,) is the time before each later position."""
    dt = np.broadcast_to(dt, (len(positions) - 1,))[:, None]
    velocity = np.diff(positions, axis=0) / dt
    acceleration = np.diff(velocity, axis=0, prepend=0.0) / dt
    assert np.isfinite(positions).all()
    assert (positions >= LOWER).all() and (positions <= UPPER).all()
    assert (np.abs(velocity) <= LIMITS.velocity_array() + 1e-9).all()
    assert (np.abs(acceleration) <= LIMITS.acceleration_array() + 1e-9).all()


@pytest.mark.parametrize('seed', range(20))
def test_random_targets_speeds_and_stops_keep_every_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    limiter = limiter_at(rng.uniform(LOWER, UPPER))
    positions, periods = [limiter.position], []
    target = limiter.position
    for _ in range(600):
        dt_ns = int(rng.integers(5_000_000, 20_000_000))
        choice = rng.integers(0, 10)
        if choice < 3:
            target = rng.uniform(LOWER, UPPER)
        elif choice < 5:
            target = np.where(rng.random(3) < 0.5, LOWER, UPPER)
        if choice == 9:
            limiter.stop(dt_ns)
        else:
            limiter.step(target, dt_ns, speed=(1.0, 0.25, 0.05)[choice % 3])
        positions.append(limiter.position)
        periods.append(dt_ns * 1e-9)
    assert_within_limits(np.array(positions), np.array(periods))


def test_running_into_a_position_limit_ends_there_at_rest() -> None:
    limiter = limiter_at(0.0)
    positions = follow(limiter, np.tile(UPPER, (200, 1)))
    assert_within_limits(np.vstack([np.zeros(3), positions]), DT)
    np.testing.assert_allclose(positions[-1], UPPER, atol=1e-9)
    np.testing.assert_allclose(limiter.velocity, 0.0, atol=1e-9)


def test_braking_at_full_speed_before_a_limit_stays_inside_it() -> None:
    limiter = limiter_at(LOWER)
    positions = [limiter.position]
    while (limiter.position < UPPER - 0.2).all():
        positions.append(limiter.step(UPPER, PERIOD_NS).position)
    for _ in range(100):
        positions.append(limiter.stop(PERIOD_NS).position)
    assert_within_limits(np.array(positions), DT)
    assert limiter.at_rest


@pytest.mark.parametrize('sign', [-1, 1])
def test_a_target_that_runs_into_a_limit_is_left_in_time(sign: int) -> None:
    """Following it exactly would mean to stop within one tick at the limit."""
    limiter = limiter_at(0.0)
    time_s = np.arange(1, 200)[:, None] * DT
    targets = np.clip(sign * 0.8 * time_s * LIMITS.velocity_array(), LOWER, UPPER)
    positions = follow(limiter, targets)
    assert_within_limits(np.vstack([np.zeros(3), positions]), DT)
    np.testing.assert_allclose(positions[-1], targets[-1], atol=1e-9)


@pytest.mark.parametrize('step', [1e-4, 0.002, 0.01, 0.1, 0.7])
def test_a_target_step_is_reached_exactly_and_never_passed(step: float) -> None:
    limiter = limiter_at(-0.3)
    positions = follow(limiter, np.full((150, 3), -0.3 + step))
    assert (positions <= -0.3 + step + 1e-12).all()
    assert (np.diff(positions, axis=0) >= -1e-12).all()
    np.testing.assert_allclose(positions[-1], -0.3 + step, atol=1e-12)


def test_motion_within_the_limits_passes_unchanged() -> None:
    time_s = np.arange(1, 300) * DT
    targets = 0.4 - 0.4 * np.cos(1.5 * time_s)[:, None] * np.ones(3)
    positions = follow(limiter_at(0.0), targets)
    np.testing.assert_allclose(positions, targets, atol=1e-12)


def test_a_fast_target_that_slows_down_is_caught_without_swinging() -> None:
    """After the target rests, the error changes sign at most once: one catch, no oscillation."""
    time_s = np.arange(1, 400) * DT
    ramp = np.minimum(0.8 * time_s, 0.6)
    positions = follow(limiter_at(0.0), ramp[:, None] * np.ones(3))
    error = positions - ramp[:, None]
    for joint in range(3):
        signs = np.sign(error[:, joint][np.abs(error[:, joint]) > 1e-9])
        assert (np.diff(signs) != 0).sum() <= 1
    np.testing.assert_allclose(error[-1], 0.0, atol=1e-12)


def test_reduced_speed_limits_the_velocity() -> None:
    limiter = limiter_at(LOWER)
    positions = follow(limiter, np.tile(UPPER, (100, 1)), speed=0.25)
    fastest = np.abs(np.diff(positions, axis=0) / DT).max(axis=0)
    np.testing.assert_allclose(fastest, 0.25 * LIMITS.velocity_array(), rtol=1e-5)


def test_start_outside_the_limits_begins_there() -> None:
    limiter = limiter_at(UPPER + 0.01)
    np.testing.assert_array_equal(limiter.position, UPPER + 0.01)
    for _ in range(3):
        assert (limiter.step(UPPER + 1.0, PERIOD_NS).position <= UPPER + 0.01).all()


def test_a_late_step_is_no_longer_than_one_on_time_and_slows_down_in_true_time() -> None:
    limiter = MotionLimiter(LIMITS, period_ns=PERIOD_NS)
    limiter.start(LOWER)
    follow(limiter, np.tile(UPPER, (40, 1)))
    fast = limiter.velocity
    np.testing.assert_allclose(fast, LIMITS.velocity_array(), rtol=1e-5)
    before = limiter.position
    motion = limiter.step(UPPER, 3 * PERIOD_NS)
    np.testing.assert_allclose(motion.position - before, fast * DT, rtol=1e-6)
    np.testing.assert_allclose(motion.velocity, fast / 3, rtol=1e-6)
    sped_up = limiter.step(UPPER, PERIOD_NS).velocity - motion.velocity
    np.testing.assert_allclose(sped_up, LIMITS.acceleration_array() * DT, rtol=1e-5)


def test_an_arm_at_rest_that_had_nothing_to_follow_sets_out_as_in_one_period() -> None:
    limiter = MotionLimiter(LIMITS, period_ns=PERIOD_NS)
    limiter.start(np.zeros(3))
    motion = limiter.step(np.full(3, 0.9), 30 * PERIOD_NS)
    np.testing.assert_allclose(motion.position, LIMITS.acceleration_array() * DT**2, rtol=1e-5)


def test_over_limit_masks_name_the_joint() -> None:
    limiter = limiter_at(0.0)
    motion = limiter.step(np.array([0.0, 0.5, 0.0]), PERIOD_NS)
    assert motion.over_velocity.tolist() == [False, True, False]
    assert motion.over_acceleration.tolist() == [False, True, False]


def moving_limiter() -> MotionLimiter:
    limiter = MotionLimiter(formula_arm().joints.limits)
    limiter.start(np.zeros(3))
    for _ in range(15):
        limiter.step(np.array([0.9, -1.0, 0.4]), PERIOD_NS)
    return limiter


def test_a_step_that_took_twice_as_long_was_half_as_fast() -> None:
    limiter = moving_limiter()
    velocity = limiter.velocity
    limiter.took_longer(PERIOD_NS)
    np.testing.assert_allclose(limiter.velocity, velocity / 2)
    limiter.took_longer(PERIOD_NS)
    np.testing.assert_allclose(limiter.velocity, velocity / 3)


def test_braking_goes_the_way_that_was_foretold() -> None:
    limiter = moving_limiter()
    foretold = limiter.braking_positions(PERIOD_NS)
    for position in foretold:
        np.testing.assert_allclose(limiter.stop(PERIOD_NS).position, position, atol=1e-12)
    assert limiter.stop(PERIOD_NS).velocity.tolist() == [0.0, 0.0, 0.0]


def test_braking_by_the_shortest_steps_goes_the_longest_way() -> None:
    limiter, fine = moving_limiter(), 2000
    foretold = limiter.longest_braking_positions(PERIOD_NS)
    for position in foretold:
        for _ in range(fine):
            limiter.stop(PERIOD_NS // fine)
        np.testing.assert_allclose(limiter.position, position, atol=1e-5)
    assert limiter.stop(PERIOD_NS).velocity.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize('seed', range(5))
def test_braking_by_steps_of_any_length_ends_no_further_than_foretold(seed: int) -> None:
    limiter, random = moving_limiter(), np.random.default_rng(seed)
    begin, end = limiter.position, limiter.longest_braking_positions(PERIOD_NS)[-1]
    while not limiter.at_rest:
        limiter.stop(round(PERIOD_NS * random.uniform(0.01, 2.0)))
    assert (np.abs(limiter.position - begin) <= np.abs(end - begin) + 1e-12).all()
