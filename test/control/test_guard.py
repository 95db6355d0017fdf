# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: every guard stage works by itself, counts, and never lets a bad target through."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import GuardChain
from motion_policy.control.guard import (
    all_finite,
    clamp_following,
    clamp_position,
    right_width,
)
from motion_policy.errors import UserError

PERIOD_NS = 20_000_000
ROBOT = formula_arm()


def started_chain(**options: object) -> GuardChain:
    chain = GuardChain(ROBOT, **options)  # type: ignore[arg-type]
    chain.start(np.zeros(3))
    return chain


def test_stage_finite() -> None:
    assert all_finite(np.zeros((2, 3)))
    for bad in (np.nan, np.inf, -np.inf):
        assert not all_finite(np.array([0.0, bad, 0.0]))


def test_stage_width() -> None:
    assert right_width(np.zeros((4, 3)), 3) and right_width(np.zeros(3), 3)
    assert not right_width(np.zeros((4, 2)), 3)
    assert not right_width(np.zeros((0, 3)), 3)
    assert not right_width(np.float64(1.0), 3)  # type: ignore[arg-type]


def test_stage_position() -> None:
    lower, upper = np.array([-1.0, -1.0]), np.array([1.0, 2.0])
    clamped, over = clamp_position(np.array([-1.5, 1.5]), lower, upper)
    assert clamped.tolist() == [-1.0, 1.5]
    assert over.tolist() == [True, False]


def test_stage_following_error_keeps_near_the_measured_arm() -> None:
    target, measured, sent = np.array([1.0, 1.0]), np.array([0.0, 0.5]), np.array([0.09, 0.5])
    reach, most = np.array([0.02, 0.02]), np.array([0.1, 0.1])
    following, over = clamp_following(target, measured, sent, reach, most)
    np.testing.assert_allclose(following, [0.1, 0.6])
    assert over.tolist() == [True, False]


@pytest.mark.parametrize(
    ('target', 'stage'),
    [
        (np.array([0.0, np.nan, 0.0]), 'finite'),
        (np.array([0.0, np.inf, 0.0]), 'finite'),
        (np.zeros(2), 'width'),
        (np.array(['a', 'b', 'c']), 'finite'),
    ],
)
def test_a_target_that_is_no_position_brakes_and_is_counted(
    target: np.ndarray, stage: str
) -> None:
    chain = started_chain()
    moving = chain.apply(np.ones(3), None, PERIOD_NS)
    result = chain.apply(target, None, PERIOD_NS)
    assert result.stopped_by.startswith(stage)
    assert chain.counts[stage] == 1
    assert np.isfinite(result.position).all()
    assert (np.abs(result.velocity) < np.abs(moving.velocity)).all()


def test_every_clamp_is_counted_per_joint() -> None:
    chain = started_chain()
    result = chain.apply(np.array([9.0, 0.0, 9.0]), None, PERIOD_NS)
    assert result.violations == {'position': 2, 'velocity': 2, 'acceleration': 2}
    chain.apply(np.array([9.0, 0.0, 0.0]), None, PERIOD_NS)
    assert chain.counts['position'] == 3


def test_motion_slowed_on_purpose_is_no_violation() -> None:
    result = started_chain().apply(np.ones(3), None, PERIOD_NS, speed=0.25)
    assert result.violations == {}


def test_a_blocked_arm_is_not_pushed_beyond_the_following_error() -> None:
    chain = started_chain(max_following_error=0.05)
    for _ in range(200):
        result = chain.apply(np.full(3, 0.9), np.zeros(3), PERIOD_NS)
    np.testing.assert_allclose(result.position, 0.05, atol=1e-9)
    assert chain.counts['following_error'] > 0


def test_a_stage_can_stop_instead_of_clamping() -> None:
    chain = started_chain(on_violation={'position': 'stop'})
    result = chain.apply(np.array([0.0, 9.0, 0.0]), None, PERIOD_NS)
    assert result.stopped_by == "position: joint 'joint2' is over its limit"
    assert result.position.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    'options',
    [
        {'max_following_error': 0.0},
        {'max_following_error': [0.1, 0.1]},
        {'on_violation': {'finite': 'clamp'}},
        {'on_violation': {'velocity': 'ignore'}},
    ],
)
def test_a_wrong_setting_is_one_line(options: dict[str, object]) -> None:
    with pytest.raises(UserError) as caught:
        GuardChain(ROBOT, **options)  # type: ignore[arg-type]
    assert '\n' not in str(caught.value)


def test_a_margin_is_kept_from_every_position_limit() -> None:
    chain = started_chain(position_margin=0.2)
    for end in (10.0, -10.0):
        for _ in range(300):
            chain.apply(np.full(3, end), None, PERIOD_NS)
        limits = ROBOT.joints.limits.position_array()
        edge = limits[:, 1] - 0.2 if end > 0 else limits[:, 0] + 0.2
        np.testing.assert_allclose(chain.sent, edge, atol=1e-9)


def test_a_joint_that_starts_within_the_margin_is_not_moved_but_may_only_come_in() -> None:
    chain = GuardChain(ROBOT, position_margin=0.2)
    high = ROBOT.joints.limits.position_array()[:, 1]
    start = high - [0.05, 0.5, 0.5]
    chain.start(start)
    np.testing.assert_array_equal(chain.sent, start)
    outwards = chain.apply(high, None, PERIOD_NS)
    assert outwards.position[0] == start[0]
    for _ in range(100):
        chain.apply(np.zeros(3), None, PERIOD_NS)
    for _ in range(200):
        chain.apply(high, None, PERIOD_NS)
    np.testing.assert_allclose(chain.sent, high - 0.2, atol=1e-9)


@pytest.mark.parametrize('margin', [-0.1, 1.5, float('nan')])
def test_a_margin_without_room_between_is_refused(margin: float) -> None:
    with pytest.raises(UserError, match=r'position_margin is .*expected 0 <= margin < 1'):
        GuardChain(ROBOT, position_margin=margin)
