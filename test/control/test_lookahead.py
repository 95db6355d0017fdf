# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: trajectories of whole plans keep every limit, one after the other, and end at rest."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import INTERPOLATIONS, ActionBuffer, Controller, GuardChain
from motion_policy.control.lookahead import BACK_PERIODS, Lookahead, Plan, Trajectory

PERIOD_NS = 20_000_000
START_NS = 1_700_000_000_000_000_000
ROBOT = formula_arm()
HOME = np.array([0.1, 0.2, 0.3])


def resting(**options: object) -> Lookahead:
    lookahead = Lookahead(ROBOT, GuardChain(ROBOT, **options))  # type: ignore[arg-type]
    lookahead.rest(START_NS - PERIOD_NS // 4, HOME)
    return lookahead


def plan_of(rows: np.ndarray, start_ns: int = START_NS, **options: object) -> Plan:
    buffer = ActionBuffer(options.pop('interpolation', 'linear'))  # type: ignore[arg-type]
    buffer.add(rows, start_ns, PERIOD_NS, join_position=rows[0])
    return Plan(1, buffer, **options)  # type: ignore[arg-type]


def no_pause() -> None:
    """Nobody else wants to work."""


def sent(lookahead: Lookahead, trajectory: Trajectory) -> Trajectory:
    """What was sent, without the points before it that a controller needs to go on from."""
    return lookahead.take(trajectory, trajectory.start_ns + round(BACK_PERIODS * PERIOD_NS))


def played(trajectories: list[Trajectory], switches_ns: list[int]) -> np.ndarray:
    """What a controller plays at its points (n, J), each trajectory until the next begins."""
    points: dict[int, np.ndarray] = {}
    for trajectory, since_ns in zip(trajectories, switches_ns, strict=True):
        points = {time: point for time, point in points.items() if time <= since_ns}
        times, positions, _ = trajectory.points_after(since_ns)
        points.update(zip(times.tolist(), positions, strict=True))
    assert np.unique(np.diff(list(points))).tolist() in ([], [PERIOD_NS])
    return np.array([HOME, *points.values()])


def assert_within_limits(positions: np.ndarray) -> None:
    limits, dt = ROBOT.joints.limits, PERIOD_NS * 1e-9
    low, high = limits.position_array().T
    velocity = np.diff(positions, axis=0, prepend=positions[:1]) / dt
    acceleration = np.diff(velocity, axis=0, prepend=np.zeros((1, 3)), append=0 * velocity[:1])
    assert np.isfinite(positions).all()
    assert ((positions >= low) & (positions <= high)).all()
    assert (np.abs(velocity) <= limits.velocity_array()).all()
    assert (np.abs(acceleration / dt) <= limits.acceleration_array()).all()


def waves(rows: int = 60, size: float = 0.3) -> np.ndarray:
    phase = np.arange(rows)[:, None] * PERIOD_NS * 1e-9
    return HOME + size * np.sin(phase * np.array([1.0, 2.0, 3.0])) * np.array([1.0, 0.7, 0.5])


@pytest.mark.parametrize('interpolation', INTERPOLATIONS)
def test_a_plan_that_keeps_the_limits_is_followed_and_ends_at_rest(interpolation: str) -> None:
    rows = waves()
    trajectory = resting().planned(plan_of(rows, interpolation=interpolation), START_NS, no_pause)
    assert trajectory.start_ns == START_NS
    np.testing.assert_array_equal(trajectory.positions[0], HOME)
    on_the_way = trajectory.positions[15:60]
    wanted = rows[14:59] if interpolation != 'hold' else rows[15:60]
    np.testing.assert_allclose(on_the_way, wanted, atol=2e-3)
    np.testing.assert_allclose(trajectory.positions[-1], rows[-1], atol=1e-6)
    np.testing.assert_array_equal(trajectory.positions[-1], trajectory.positions[-2])
    assert not trajectory.points[-1].velocity.any()
    assert_within_limits(trajectory.positions)


@pytest.mark.parametrize('seed', range(12))
def test_whatever_is_planned_and_when_it_is_replaced_every_limit_is_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lookahead = resting()
    now_ns, trajectories, switches = START_NS, [], []
    for _ in range(8):
        if rng.random() < 0.3:
            made = lookahead.braked(now_ns)
        else:
            rows = HOME + rng.choice([0.01, 0.5, 1e30]) * rng.normal(size=(rng.integers(1, 40), 3))
            late_ns = int(rng.integers(0, 100)) * 1_000_000
            plan = plan_of(
                rows, now_ns - late_ns, interpolation=INTERPOLATIONS[seed % 3],
                speed=float(rng.choice([0.25, 1.0])),
            )  # fmt: skip
            made = lookahead.planned(plan, now_ns + int(rng.integers(0, 60_000_000)), no_pause)
        if trajectories and made.start_ns > trajectories[-1].end_ns:
            trajectories, switches = [], []  # it had come to rest before
        trajectories.append(lookahead.take(made, now_ns))
        switches.append(now_ns)
        assert_within_limits(made.positions[-1:])
        now_ns = made.start_ns + int(rng.integers(0, 500)) * 1_000_000
    first = trajectories[0]
    begin = first.point(max(0, (switches[0] - first.start_ns) // PERIOD_NS)).position
    whole = np.array([begin, *played(trajectories, switches)[1:]])
    assert_within_limits(whole)


def test_a_new_plan_replaces_the_rest_of_the_old_one_without_a_jump_of_speed() -> None:
    lookahead = resting()
    first = sent(lookahead, lookahead.planned(plan_of(waves(size=0.2)), START_NS, no_pause))
    now_ns = START_NS + 500_000_001
    same = lookahead.planned(plan_of(waves(size=0.2)), now_ns, no_pause)
    assert same.start_ns == START_NS + 26 * PERIOD_NS  # the next point
    np.testing.assert_allclose(same.positions, first.positions[26 : 26 + len(same.positions)])


def test_what_is_left_of_the_old_trajectory_is_sent_with_the_new_one() -> None:
    lookahead = resting()
    first = sent(lookahead, lookahead.planned(plan_of(waves()), START_NS, no_pause))
    now_ns = START_NS + 10 * PERIOD_NS + 1
    new = lookahead.planned(plan_of(-waves()), START_NS + 14 * PERIOD_NS, no_pause)
    whole = lookahead.take(new, now_ns)
    assert lookahead.sent is whole
    times, positions, velocities = whole.points_after(now_ns)
    assert times[0] == START_NS + 11 * PERIOD_NS
    np.testing.assert_array_equal(positions[:4], first.positions[11:15])
    np.testing.assert_array_equal(positions[3:], new.positions)
    slopes = np.diff(positions, axis=0) / (PERIOD_NS * 1e-9)
    np.testing.assert_allclose(velocities[1:-1], (slopes[:-1] + slopes[1:]) / 2, atol=1e-9)
    assert not velocities[-1].any()


@pytest.mark.parametrize('over', [0.01, 0.5, 0.75, 1.0])
def test_braking_begins_at_the_next_point_with_the_whole_acceleration(over: float) -> None:
    lookahead = resting()
    first = sent(lookahead, lookahead.planned(plan_of(waves()), START_NS, no_pause))
    now_ns = START_NS + round((10 + over) * PERIOD_NS)
    brake = lookahead.braked(now_ns)
    assert brake.start_ns == START_NS + 11 * PERIOD_NS
    np.testing.assert_array_equal(brake.positions[0], first.positions[11])
    whole = np.concatenate((first.positions[:11], brake.positions))
    assert_within_limits(whole)
    speed = np.abs([point.velocity for point in brake.points])
    dv = ROBOT.joints.limits.acceleration_array() * PERIOD_NS * 1e-9
    np.testing.assert_allclose(speed[1], np.maximum(speed[0] - dv, 0), atol=1e-6)
    assert not speed[-1].any()
    times, positions, _ = lookahead.take(brake, now_ns).points_after(now_ns)
    np.testing.assert_array_equal(positions, brake.positions[over >= 1 :])
    assert times[0] == START_NS + (12 if over >= 1 else 11) * PERIOD_NS
    assert len(brake.positions) <= 2 + np.ceil((speed[0] / dv).max())


def test_a_tick_that_is_hardly_late_brakes_within_a_quarter_of_a_period() -> None:
    lookahead, tick_ns = Lookahead(ROBOT, GuardChain(ROBOT)), START_NS
    lookahead.rest(tick_ns, HOME)
    sent(lookahead, lookahead.planned(plan_of(waves()), tick_ns, no_pause))
    for late_ns in (0, 1_000, PERIOD_NS // 5):
        brake = lookahead.braked(tick_ns + 10 * PERIOD_NS + late_ns)
        assert brake.start_ns == tick_ns + 10 * PERIOD_NS + PERIOD_NS // 4


def test_at_rest_braking_is_one_point_where_the_arm_stands() -> None:
    brake = resting().braked(START_NS + 5_000_000_000)
    times, positions, _ = brake.points_after(START_NS + 5_000_000_000)
    assert times.tolist() == [START_NS + 5_000_000_000 + PERIOD_NS]
    np.testing.assert_array_equal(positions, HOME[None])


@pytest.mark.parametrize('by_s', [-100, 100])
def test_a_jump_of_the_clock_moves_the_trajectory_not_the_arm(by_s: int) -> None:
    lookahead = resting()
    first = sent(lookahead, lookahead.planned(plan_of(waves()), START_NS, no_pause))
    by_ns = by_s * 1_000_000_000
    lookahead.shift(by_ns)
    brake = lookahead.braked(START_NS + by_ns + 10 * PERIOD_NS)
    np.testing.assert_array_equal(brake.positions[0], first.positions[10])


def test_a_stage_that_stops_the_arm_ends_the_trajectory_there() -> None:
    rows = waves()
    rows[30:] += 1.0
    lookahead = resting(on_violation={'velocity': 'stop'})
    trajectory = lookahead.planned(plan_of(rows), START_NS, no_pause)
    assert 30 < len(trajectory.positions) < 60
    assert_within_limits(trajectory.positions)
    assert np.abs(trajectory.positions[-1] - rows[29]).max() < 0.2


def test_a_jerk_limit_holds_in_trajectories_too() -> None:
    pytest.importorskip('ruckig')
    lookahead = resting(max_jerk=50.0)
    first = sent(lookahead, lookahead.planned(plan_of(waves()), START_NS, no_pause))
    second = lookahead.planned(plan_of(waves()), START_NS + 10 * PERIOD_NS, no_pause)
    whole = np.concatenate((first.positions[:10], second.positions))
    jerk = np.diff(whole, n=3, axis=0) / (PERIOD_NS * 1e-9) ** 3
    assert np.abs(jerk).max() <= 50.0 * 1.01
    assert_within_limits(whole)


def test_a_gripper_opens_where_the_plan_says_so() -> None:
    gripper = '{joint3: {closed: -0.2, open: 1.0, close_at: 0.2, open_at: 0.6}}'
    robot = formula_arm(grippers=gripper)
    lookahead = Lookahead(robot, GuardChain(robot))
    lookahead.rest(START_NS, np.array([0.1, 0.2, -0.2]))
    rows = np.tile(np.array([0.1, 0.2, 0.3]), (80, 1))
    rows[20, 2] = 0.61  # once over the threshold is enough
    plan = plan_of(rows, interpolation='hold')
    first = lookahead.planned(plan, START_NS, no_pause)
    assert first.positions[19, 2] == -0.2
    assert first.positions[-1, 2] == pytest.approx(1.0)
    lookahead.take(first, START_NS)
    again = lookahead.planned(plan, START_NS + 10 * PERIOD_NS, no_pause)
    np.testing.assert_allclose(again.positions[-1], first.positions[-1])
    later = lookahead.planned(plan_of(rows[30:]), START_NS + 30 * PERIOD_NS, no_pause)
    assert later.positions[-1, 2] == pytest.approx(1.0)  # still open
    assert [t.points[0].grippers.tolist() for t in (first, later)] == [[-0.2], [1.0]]


def test_the_controller_tells_its_plan_while_it_follows_one() -> None:
    controller = Controller(ROBOT, PERIOD_NS)
    assert controller.plan() is None
    controller.enable(START_NS, HOME)
    assert controller.plan() is None  # nothing is known yet
    controller.tick(START_NS, HOME, {})
    controller.policy_due(START_NS)
    controller.add_chunk(HOME[None] + 0.1, START_NS)
    ramp = controller.plan()
    assert ramp is not None and ramp.speed == 0.25
    np.testing.assert_allclose(ramp.buffer.target(START_NS), HOME + 0.1)
    now_ns = START_NS
    while controller.state == 'ramp':
        now_ns += PERIOD_NS
        controller.tick(now_ns, HOME, {})
    controller.policy_due(now_ns)
    controller.add_chunk(HOME[None] + 0.2, now_ns)
    run = controller.plan()
    assert run is not None and run.speed == 1.0 and run.number > ramp.number
    controller.disable(now_ns)
    assert controller.plan() is None


def resent(rows: np.ndarray, ahead_ns: int, every_ns: int) -> list[Trajectory]:
    """The plan sent piece by piece, each of them at most `ahead_ns` long, until it is over."""
    lookahead, pieces, now_ns = resting(), [], START_NS
    while not pieces or pieces[-1].brakes_ns is not None:
        begin_ns = now_ns + PERIOD_NS
        new = lookahead.planned(plan_of(rows), begin_ns, no_pause, now_ns + ahead_ns)
        lookahead.take(new, now_ns)
        assert new.end_ns <= now_ns + ahead_ns
        assert not new.points[-1].velocity.any()
        pieces.append(new)
        now_ns += every_ns
    return pieces


@pytest.mark.parametrize('ahead_ms', [700, 1000, 1500])
def test_a_plan_sent_in_pieces_that_reach_no_further_is_the_same_motion(ahead_ms: int) -> None:
    rows = waves(rows=150)
    whole = resting().planned(plan_of(rows), START_NS + PERIOD_NS, no_pause)
    pieces = resent(rows, ahead_ms * 1_000_000, every_ns=240_000_000)
    assert len(pieces) > 4
    together = played(pieces, [piece.start_ns for piece in pieces])
    first = len(whole.positions) - 1
    np.testing.assert_allclose(together[1 : first + 1], whole.positions[1:], atol=1e-9)
    assert_within_limits(together)


def test_a_piece_whose_successor_never_comes_ends_at_rest_inside_the_limits() -> None:
    fast = HOME + 0.9 * np.sin(np.arange(150)[:, None] * 0.05 + np.arange(3))
    for piece in resent(fast, 600_000_000, every_ns=200_000_000):
        assert_within_limits(piece.positions[-2:])
        speed = np.abs(np.diff(piece.positions, axis=0)).max(axis=1)
        assert speed[-1] == 0


def test_one_jump_of_the_clock_moves_the_end_of_a_piece_too() -> None:
    lookahead = resting()
    first = sent(
        lookahead, lookahead.planned(plan_of(waves()), START_NS, no_pause, START_NS + 700_000_000)
    )
    assert first.brakes_ns is not None and lookahead.sent is not None
    lookahead.shift(5_000)
    assert lookahead.sent.brakes_ns == first.brakes_ns + 5_000
