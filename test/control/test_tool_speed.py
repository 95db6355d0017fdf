# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: the tool is never faster than its limit, and the joints keep theirs all the same."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from random_arms import RandomArm, random_arm, write_urdf

from motion_policy.control import GuardChain
from motion_policy.control.tool_speed import ToolSpeedLimit
from motion_policy.errors import UserError

pytestmark = pytest.mark.slow

LIMIT = 0.25  # m/s, the usual one of reduced mode
ALLOWED = 1.02
BETWEEN = 8  # parts of a step that are looked at


def limited(seed: int, folder: Path, rate: float = 50.0) -> tuple[RandomArm, ToolSpeedLimit]:
    arm = random_arm(np.random.default_rng(seed), rate)
    urdf = write_urdf(arm, folder / 'arm.urdf')
    return arm, ToolSpeedLimit(urdf, 'tip', LIMIT, arm.robot.joints.names)


def fastest(arm: RandomArm, before: np.ndarray, after: np.ndarray, dt_ns: int) -> float:
    """The greatest speed of the tip on the way from command to command, in true time."""
    shares = np.linspace(0, 1, BETWEEN + 1)[:, None]
    tips = arm.ends(before + shares * (after - before))[:, -1]
    return float(np.linalg.norm(np.diff(tips, axis=0), axis=1).max() / (dt_ns * 1e-9 / BETWEEN))


@pytest.mark.parametrize('rate', [20.0, 50.0, 200.0])
@pytest.mark.parametrize('seed', range(5))
def test_the_tool_is_never_faster(tmp_path: Path, seed: int, rate: float) -> None:
    arm, limit = limited(seed, tmp_path, rate)
    random = np.random.default_rng(seed)
    chain = GuardChain(arm.robot, tool_speed=limit)
    limiter, joints = chain.limiter, len(arm.lengths)
    before = random.uniform(-2.5, 2.5, joints)
    chain.start(before)
    still, target, greatest = np.zeros(joints), before, 0.0
    for tick in range(400):
        if tick % 40 == 0:
            target = random.uniform(-2.9, 2.9, joints)
        dt_ns = round(arm.robot.period_ns * random.uniform(0.5, 1.0))  # early, or on time
        braking = tick % 90 > 80
        result = chain.stop(dt_ns) if braking else chain.apply(target, None, dt_ns)
        greatest = max(greatest, fastest(arm, before, result.position, dt_ns))
        assert greatest <= ALLOWED * LIMIT, tick
        assert (np.abs(result.velocity) <= limiter.max_velocity + 1e-9).all()
        change = np.abs(result.velocity - still)
        assert (change <= limiter.max_acceleration * dt_ns * 1e-9 + 1e-9).all()
        before, still = result.position, result.velocity
    assert greatest > 0.9 * LIMIT  # it is slowed, not stopped
    assert chain.counts['tool_speed'] > 0


def test_a_target_is_reached_on_the_straight_way(tmp_path: Path) -> None:
    arm, limit = limited(1, tmp_path)
    chain = GuardChain(arm.robot, tool_speed=limit)
    start = np.full(len(arm.lengths), 0.2)
    target = start + np.linspace(0.3, -0.4, len(start))
    chain.start(start)
    aside, slowed = 0.0, 0
    for _ in range(600):
        result = chain.apply(target, None, arm.robot.period_ns)
        position = result.position
        slowed += result.violations.get('tool_speed', 0) and not result.obstacle
        way, gap = position - start, target - start
        aside = max(aside, float(np.abs(way - gap * (way @ gap) / (gap @ gap)).max()))
    np.testing.assert_allclose(position, target, atol=1e-6)
    assert aside < 0.05
    assert slowed > 0  # and counted, where the step itself was never too fast
    assert chain.counts['velocity'] == 0  # what is slowed on purpose is no violation


def test_switched_on_in_motion_it_brakes_within_the_accelerations(tmp_path: Path) -> None:
    arm, limit = limited(2, tmp_path)
    period_ns = arm.robot.period_ns
    chain = GuardChain(arm.robot, tool_speed=limit)
    limit.limit = 0.0
    start = np.full(len(arm.lengths), 0.3)
    chain.start(start)
    target = np.full(len(start), -2.0)
    for _ in range(25):
        fast = chain.apply(target, None, period_ns)
    assert chain.counts['tool_speed'] == 0
    assert limit.speed(fast.position, fast.velocity) > 2 * LIMIT
    limit.limit = LIMIT
    unit = chain.limiter.max_acceleration * period_ns * 1e-9
    before, still, ticks = fast.position, fast.velocity, 0
    to_rest = math.ceil((np.abs(still) / unit).max())
    for _ in range(100):
        result = chain.apply(target, None, period_ns)
        assert (np.abs(result.velocity - still) <= unit + 1e-9).all()
        ticks += fastest(arm, before, result.position, period_ns) > ALLOWED * LIMIT
        before, still = result.position, result.velocity
    assert 0 < ticks <= to_rest


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    arm, limit = limited(0, tmp_path)
    for value in (-0.1, math.nan, math.inf):
        with pytest.raises(UserError, match=r'tool_speed_limit is .*, expected 0 \(none\) or'):
            limit.limit = value
    with pytest.raises(UserError, match=r"workspace.tool: .* has no link 'hand'"):
        ToolSpeedLimit(tmp_path / 'arm.urdf', 'hand', LIMIT, arm.robot.joints.names)
