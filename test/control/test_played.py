# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a joint_trajectory_controller keeps the limits with every trajectory that we send.

It takes them whichever way it is set, as late as messages come and as far as clocks may disagree.
"""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm
from trajectory_controller import assert_played_safely, play

from motion_policy.control import ActionBuffer, GuardChain
from motion_policy.control.lookahead import Lookahead, Plan, Trajectory
from motion_policy.rehearsal.trajectory_controller import TrajectoryController, Waypoints

ROBOT = formula_arm()
PERIOD_NS = ROBOT.period_ns
START_NS = 1_700_000_000_000_000_000
HOME = np.array([0.1, 0.2, 0.3])
AHEAD_NS = 1_000_000_000


def rows(now_ns: int, fast: float) -> np.ndarray:
    """Waves by the clock (60, J), at `fast` times 0.9 of the full speed."""
    phase = (np.arange(60)[:, None] * PERIOD_NS + now_ns - START_NS) * 1e-9
    size = 0.45 * fast * ROBOT.joints.limits.velocity_array()
    return HOME + size * np.sin(2 * phase + np.arange(3)) - size * np.sin(np.arange(3))


def plan_of(now_ns: int, fast: float) -> Plan:
    buffer = ActionBuffer('linear')
    buffer.add(rows(now_ns, fast), now_ns, PERIOD_NS, join_position=rows(now_ns, fast)[0])
    return Plan(1, buffer)


def sent_as(lookahead: Lookahead, new: Trajectory, now_ns: int) -> tuple[int, Waypoints]:
    """What goes out, as ChunkOutput sends it."""
    whole, since_ns = lookahead.take(new, now_ns), lookahead.back_ns(now_ns)
    times_ns, positions, velocities = whole.points_after(since_ns)
    return now_ns, Waypoints(since_ns, times_ns - since_ns, positions, velocities)


def a_run(seed: int, fast: float = 1.0) -> list[tuple[int, Waypoints]]:
    """Plans that replace each other at any time, then a brake at speed."""
    rng, lookahead = np.random.default_rng(seed), Lookahead(ROBOT, GuardChain(ROBOT))
    lookahead.rest(START_NS, HOME)
    now_ns, sent = START_NS, []
    for _ in range(5):
        new = lookahead.planned(
            plan_of(now_ns, fast), now_ns + PERIOD_NS, lambda: None, now_ns + AHEAD_NS
        )
        sent.append(sent_as(lookahead, new, now_ns))
        now_ns += int(rng.integers(200_000_000, 400_000_000))
    sent.append(sent_as(lookahead, lookahead.braked(now_ns), now_ns))
    return sent


@pytest.mark.slow
@pytest.mark.parametrize('from_desired', [True, False], ids=['desired', 'measured'])
@pytest.mark.parametrize('rate_hz', [1000.0, 500.0, 100.0])
@pytest.mark.parametrize('skew_ns', [-PERIOD_NS // 4, 0, PERIOD_NS // 4])
def test_what_is_sent_is_taken_and_played_within_the_limits(
    from_desired: bool, rate_hz: float, skew_ns: int
) -> None:
    for seed in range(3):
        assert_played_safely(
            ROBOT, a_run(seed, fast=3.0 if seed == 2 else 1.0), rate_hz=rate_hz,
            from_desired=from_desired, skew_ns=skew_ns, delay_ns=(1 + 3 * seed) * 1_000_000,
        )  # fmt: skip


def test_the_arm_ends_where_the_brake_led() -> None:
    sent = a_run(0)
    commands = play(TrajectoryController(HOME), sent, HOME)
    np.testing.assert_allclose(commands[-1], sent[-1][1].positions[-1], atol=1e-12)


@pytest.mark.parametrize(
    ('spoil', 'said'),
    [
        (
            lambda p: Waypoints(p.stamp_ns, p.after_ns, p.positions[:, :2], p.velocities),
            'all joints',
        ),
        (lambda p: Waypoints(p.stamp_ns, p.after_ns, p.positions, p.velocities + 0.1), 'not zero'),
        (lambda p: Waypoints(p.stamp_ns, p.after_ns[::-1], p.positions, p.velocities), 'increase'),
        (lambda p: Waypoints(p.stamp_ns - 10**10, p.after_ns, p.positions, p.velocities), 'past'),
        (lambda p: Waypoints(0, p.after_ns[:0], p.positions[:0], None), 'empty'),
    ],
)
def test_the_model_refuses_what_the_controller_does(spoil: object, said: str) -> None:
    controller = TrajectoryController(HOME)
    controller.receive(spoil(a_run(0)[0][1]), START_NS)  # type: ignore[operator]
    assert len(controller.rejected) == 1 and said in controller.rejected[0]


def one_point_per_tick(
    after_ns: int = PERIOD_NS,
) -> tuple[np.ndarray, list[tuple[int, Waypoints]]]:
    """Waves of one rad/s, as `send: tick` gives them."""
    times_ns = np.arange(250) * PERIOD_NS
    phase = 2 * times_ns[:, None] * 1e-9
    wanted = HOME + 0.5 * (1 - np.cos(phase)) * np.ones(3)
    after = np.array([after_ns])
    messages = [Waypoints(0, after, row[None]) for row in wanted]
    return wanted, list(zip((START_NS + times_ns).tolist(), messages, strict=True))


def reversals(commands: np.ndarray) -> int:
    """How often the first joint's command turns round."""
    steps = np.diff(commands[:, 0])
    steps = steps[np.abs(steps) > 1e-9]
    return int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())


def test_single_points_are_smooth_from_the_last_command_and_saw_tooths_from_the_measured() -> None:
    """Why docs/howto/my_arm.md asks for interpolate_from_desired_state."""
    wanted, sent = one_point_per_tick()
    turns = reversals(wanted)
    for from_desired in (True, False):
        controller = TrajectoryController(HOME, from_desired=from_desired)
        commands = play(controller, sent, HOME)
        speed = np.abs(np.diff(commands, axis=0)).max() * 1000.0
        assert controller.rejected == []
        if from_desired:
            assert reversals(commands) <= turns + 3 and speed < 2.0
        else:
            assert reversals(commands) > 100 and speed > 5.0
