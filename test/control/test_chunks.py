# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: chunks of many rows become one motion without a stop, however long inference takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import (
    INTERPOLATIONS,
    ActionBuffer,
    ChunkExecution,
    Command,
    Controller,
)
from motion_policy.control.attention_drawing import HEAT_COLOUR, HEAT_OPACITY, draw_heat
from motion_policy.control.chunk_execution import LATENCIES, SPARE_PERIODS, ChunkSchedule
from motion_policy.errors import UserError
from motion_policy.rehearsal.judge import Drive, Limits, breaches

MS = 1_000_000
PERIOD_NS = 20 * MS
ROWS = 100
START_NS = 1_700_000_000_000_000_000
HOME = np.array([0.1, 0.2, 0.3])
LIMITS = formula_arm().joints.limits
JUDGED_LIMITS = Limits(
    LIMITS.position_array(), LIMITS.velocity_array(), LIMITS.acceleration_array(), 20 * MS
)
Answer = Callable[[int], np.ndarray]


def wave(time_ns: int) -> np.ndarray:
    """Where the policy wants the joints at a time, well inside the limits."""
    time_s = (time_ns - START_NS) * 1e-9
    return HOME + 0.1 * np.sin(1.5 * time_s + np.arange(3.0))


def along_the_wave(observation_ns: int) -> np.ndarray:
    return np.array([wave(observation_ns + row * PERIOD_NS) for row in range(ROWS)])


class SlowPolicy:
    """A controller in front of a policy whose answers take simulated time."""

    def __init__(
        self,
        answer: Answer = along_the_wave,
        latency_ns: Callable[[], int] = lambda: 0,
        execution: ChunkExecution | None = None,
        rate: float = 50.0,
        **options: object,
    ) -> None:
        robot = formula_arm(rate=rate)
        self.controller = Controller(
            robot,
            PERIOD_NS,
            chunks=execution or ChunkExecution(),
            first_due_ns=0,
            **options,  # type: ignore[arg-type]
        )
        self.tick_ns = robot.period_ns
        self.answer, self.latency_ns = answer, latency_ns
        self.now_ns = START_NS
        self.measured = HOME.copy()
        self.commands: list[tuple[int, Command]] = []
        self.requests: list[int] = []
        self.in_flight: list[tuple[int, int]] = []
        self.faults: dict[str, str] = {}
        self.not_before_ns = 0
        self.steady_ns = 0
        self.drives: list[Drive] = []
        self.enable()

    def enable(self) -> None:
        """Enable the arm, where it may be."""
        state = self.controller.state
        if state == 'brake' and self.controller.reason:
            return
        self.controller.enable(self.now_ns, self.measured)
        if state == 'disabled':
            self.drives.append(Drive(self.controller.guard.sent.copy()))

    def run(self, seconds: float) -> list[tuple[int, Command]]:
        """Tick for so long; return the times and commands."""
        first, controller = len(self.commands), self.controller
        for _ in range(round(seconds * 1e9 / self.tick_ns)):
            command = controller.tick(
                self.now_ns, self.measured, self.faults, steady_ns=self.steady_ns
            )
            if command is not None:
                self.drives[-1].add(self.steady_ns, command.position)
                self.commands.append((self.now_ns, command))
                self.measured = command.position
            if controller.policy_due(self.now_ns):
                assert self.now_ns >= self.not_before_ns
                self.requests.append(self.now_ns)
                self.in_flight.append((self.now_ns + self.latency_ns(), self.now_ns))
            self.now_ns += self.tick_ns
            self.steady_ns += self.tick_ns
            self.deliver()
            self.not_before_ns = controller.next_request_ns
        return self.commands[first:]

    def deliver(self) -> None:
        """Hand over the answers that came before this tick, one inference after the other."""
        while self.in_flight and self.in_flight[0][0] < self.now_ns:
            _, observation_ns = self.in_flight.pop(0)
            self.controller.add_chunk(self.answer(observation_ns), observation_ns)

    def states(self, seconds: float) -> list[str]:
        return [command.state for _, command in self.run(seconds)]


def assert_on_the_wave(commands: list[tuple[int, Command]]) -> None:
    for time_ns, command in commands:
        np.testing.assert_allclose(command.position, wave(time_ns), atol=1e-6)


@pytest.mark.parametrize('latency_ms', [0, 50, 400, 900])
def test_row_i_is_sent_i_periods_after_its_observation(latency_ms: int) -> None:
    arm = SlowPolicy(latency_ns=lambda: latency_ms * MS)
    arm.run(5.0)
    commands = arm.run(10.0)
    assert {command.state for _, command in commands} == {'run'}
    assert_on_the_wave(commands)


@pytest.mark.parametrize('seed', range(4))
def test_the_arm_never_waits_for_inference_that_takes_now_longer_now_shorter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arm = SlowPolicy(latency_ns=lambda: int(rng.integers(0, 600 * MS)))
    arm.run(5.0)
    commands = arm.run(20.0)
    assert {command.state for _, command in commands} == {'run'}
    assert_on_the_wave(commands)


def test_between_two_rows_the_command_is_between_them() -> None:
    arm = SlowPolicy(rate=200.0, latency_ns=lambda: 130 * MS)
    arm.run(4.0)
    for time_ns, command in arm.run(3.0):
        np.testing.assert_allclose(command.position, wave(time_ns), atol=2e-5)


@pytest.mark.parametrize(('execute', 'rows'), [(0, 50), (20, 20), (1, 1), (64, 64)])
def test_so_many_rows_are_played_before_the_next_chunk_takes_over(execute: int, rows: int) -> None:
    arm = SlowPolicy(execution=ChunkExecution(execute=execute))
    arm.run(6.0)
    gaps = np.diff([time_ns for time_ns in arm.requests if time_ns > START_NS + 3_000 * MS])
    assert set(gaps) == {rows * PERIOD_NS}


@pytest.mark.parametrize('latency_ms', [0, 400])
def test_a_whole_chunk_is_played_but_its_successor_comes_before_it_ends(latency_ms: int) -> None:
    arm = SlowPolicy(latency_ns=lambda: latency_ms * MS, execution=ChunkExecution(execute=ROWS))
    arm.run(5.0)
    commands = arm.run(10.0)
    assert {command.state for _, command in commands} == {'run'}
    gap_s = np.diff(arm.requests).max() * 1e-9
    ahead_s = 1.5 * latency_ms / 1000 + 0.3
    assert ROWS * 0.02 - ahead_s < gap_s < ROWS * 0.02


def test_one_request_is_out_at_a_time_and_rows_of_the_past_are_lost() -> None:
    arm = SlowPolicy(latency_ns=lambda: 410 * MS, execution=ChunkExecution(execute=10))
    arm.run(3.0)
    before, lost = len(arm.requests), arm.controller.buffer.lost_rows
    arm.run(8.2)
    gaps = np.diff(arm.requests[before:])
    assert set(gaps) == {420 * MS}
    chunks = len(arm.requests) - before
    assert (arm.controller.buffer.lost_rows - lost) / chunks == pytest.approx(21, abs=1)


SIDE = 0.003  # the accelerations of a fade between both stay below the limits


def disagreeing() -> Answer:
    """Every chunk wants to be elsewhere than the one before."""
    sides = itertools.cycle((-SIDE, SIDE))

    def answer(_observation_ns: int) -> np.ndarray:
        return np.tile(HOME + next(sides), (ROWS, 1))

    return answer


@pytest.mark.parametrize('crossfade_s', [0.1, 0.5])
def test_a_cross_fade_goes_from_the_old_chunk_to_the_new_one_in_its_time(
    crossfade_s: float,
) -> None:
    arm = SlowPolicy(disagreeing(), execution=ChunkExecution(60, crossfade_s))
    arm.run(5.0)
    positions = np.array([command.position for _, command in arm.run(6.0)]) - HOME
    assert np.abs(positions).max() <= SIDE + 1e-9
    moving = np.abs(np.abs(positions[:, 0]) - SIDE) > 1e-6
    runs = [sum(1 for _ in run) for is_moving, run in itertools.groupby(moving) if is_moving]
    assert set(runs[1:-1]) == {round(crossfade_s * 50) - 1}
    steps = np.abs(np.diff(positions[:, 0]))
    # Three halves of the mean speed is what a fade that is flat at both ends has in its middle.
    assert steps.max() < 1.5 * 2 * SIDE / (crossfade_s * 50) + 1e-9


def test_the_fade_is_the_weighted_sum_of_both_plans() -> None:
    buffer = ActionBuffer()
    old, new = np.linspace(0, 1, 8)[:, None], np.full((8, 1), 5.0)
    buffer.add(old, 0, 100, join_position=np.zeros(1))
    at_join = buffer.target(250)
    buffer.add(new, 200, 100, join_ns=250, join_position=at_join, fade_ns=400)
    for time_ns in (300, 400, 500, 600, 700):
        share = min((time_ns - 250) / 400, 1)
        share = share * share * (3 - 2 * share)
        expected = (1 - share) * old[time_ns // 100 - 1] + share * 5.0
        np.testing.assert_allclose(buffer.target(time_ns), expected)


def test_where_the_old_plan_ends_its_last_row_is_faded_out() -> None:
    for interpolation in ('linear', 'cubic', 'hold'):
        buffer = ActionBuffer(interpolation)  # type: ignore[arg-type]
        buffer.add(np.array([[1.0]]), 0, 100)
        buffer.add(np.full((9, 1), 3.0), 100, 100, join_ns=150, fade_ns=300)
        assert 1.0 < buffer.target(210)[0] < buffer.target(320)[0] < 3.0  # type: ignore[index]
        assert buffer.target(600)[0] == 3.0  # type: ignore[index]


def test_with_hold_a_row_is_sent_from_its_time_to_that_of_the_next() -> None:
    def counting(observation_ns: int) -> np.ndarray:
        first = (observation_ns - START_NS) // PERIOD_NS
        return HOME + 1e-4 * (first + np.arange(ROWS))[:, None]

    arm = SlowPolicy(
        counting, rate=200.0, interpolation='hold', latency_ns=lambda: 100 * MS,
        execution=ChunkExecution(crossfade_s=0.0),
    )  # fmt: skip
    arm.run(3.0)
    targets = []
    for _ in range(100):
        ((time_ns, _),) = arm.run(0.005)
        targets.append((arm.controller.buffer.target(time_ns), (time_ns - START_NS) // PERIOD_NS))
    for target, row in targets:
        np.testing.assert_allclose(target, HOME + 1e-4 * row, atol=1e-12)


def test_a_start_without_a_plan_waits_and_is_a_fault_only_after_the_timeout() -> None:
    arm = SlowPolicy(latency_ns=lambda: 1_500 * MS, execution=ChunkExecution(timeout_s=2.0))
    states = arm.states(3.3)
    assert set(states) == {'ramp', 'run'} and arm.commands[-1][1].velocity.any()
    stuck = SlowPolicy(latency_ns=lambda: 10**15, execution=ChunkExecution(timeout_s=2.0))
    states = stuck.states(1.9)
    assert set(states) == {'ramp'}
    assert stuck.states(0.2)[-1] == 'hold'
    assert stuck.commands[-1][1].reason == 'policy: no chunk for 2 s'


def test_a_plan_that_ends_without_a_successor_holds_the_arm_and_says_why() -> None:
    latency = [100 * MS]
    arm = SlowPolicy(latency_ns=lambda: latency[0])
    arm.run(3.0)
    latency[0] = 10**15
    last = arm.requests[-1]
    commands = arm.run(3.0)
    held = next(time_ns for time_ns, command in commands if command.state == 'hold')
    asked = arm.requests[arm.requests.index(last) + 1]
    assert held - asked <= (ROWS - 50) * PERIOD_NS + 2 * PERIOD_NS
    reason = next(command.reason for _, command in commands if command.state == 'hold')
    assert reason.startswith('policy: the plan ended before the next chunk came')
    assert not commands[-1][1].velocity.any()


def test_after_a_hold_the_late_chunk_is_dropped_and_a_new_one_is_asked_for() -> None:
    latency = [100 * MS]
    arm = SlowPolicy(latency_ns=lambda: latency[0], auto_resume_s=5.0)
    arm.run(3.0)
    latency[0] = 2_500 * MS
    asked = len(arm.requests)
    states = arm.states(2.4)
    assert 'hold' in states
    dropped = arm.controller.dropped_chunks
    latency[0] = 100 * MS
    assert arm.states(4.0)[-1] == 'run'
    assert arm.controller.dropped_chunks == dropped + 1
    assert len(arm.requests) > asked + 1
    assert_on_the_wave(arm.run(2.0))


def test_inference_that_outlasts_every_chunk_is_named() -> None:
    def short(observation_ns: int) -> np.ndarray:
        return along_the_wave(observation_ns)[:15]

    arm = SlowPolicy(short, lambda: 400 * MS, ChunkExecution(timeout_s=1.0))
    commands = arm.run(6.0)
    reasons = {command.reason for _, command in commands if command.state == 'hold'}
    assert reasons == {
        'policy: the last chunk was over when it came, inference takes up to 0.42 s'
    }
    moved = np.ptp([command.position for _, command in commands], axis=0)
    assert (moved < 0.3).all()


def test_a_reset_discards_the_chunk_in_flight_and_goes_on_with_a_fresh_one() -> None:
    arm = SlowPolicy(latency_ns=lambda: 400 * MS)
    arm.run(3.0)
    while not arm.in_flight:
        arm.run(0.02)
    (_, in_flight_ns), dropped = arm.in_flight[0], arm.controller.dropped_chunks
    arm.controller.reset()
    (held,) = arm.run(0.02)
    assert held[1].state == 'ramp' and arm.controller.plan() is None
    arm.run(0.5)
    assert arm.controller.dropped_chunks == dropped + 1
    assert in_flight_ns < arm.controller.valid_since_ns
    assert arm.states(3.0)[-1] == 'run'
    assert_on_the_wave(arm.run(1.0))


def test_a_chunk_asked_for_before_a_fault_is_no_answer_to_what_is_there_after() -> None:
    arm = SlowPolicy(latency_ns=lambda: 400 * MS)
    arm.run(3.0)
    while not arm.in_flight:
        arm.run(0.02)
    dropped = arm.controller.dropped_chunks
    arm.faults = {'top': 'stale'}
    assert set(arm.states(0.1)) == {'hold'}
    arm.faults = {}
    arm.run(0.5)
    assert arm.controller.dropped_chunks == dropped + 1
    assert arm.states(3.0)[-1] == 'run'


def test_ensembling_asks_in_every_period_and_as_often_as_inference_allows() -> None:
    for latency_ms, gap_ms in ((0, 20), (15, 20), (390, 400)):
        arm = SlowPolicy(
            latency_ns=lambda latency_ms=latency_ms: latency_ms * MS,  # type: ignore[misc]
            execution=ChunkExecution(ensemble=0.01),
        )
        arm.run(4.0)
        before = len(arm.requests)
        assert {command.state for _, command in arm.run(4.0)} == {'run'}
        assert set(np.diff(arm.requests[before:])) == {gap_ms * MS}


def test_predictions_from_before_the_ramp_ended_are_too_old_to_be_averaged_in() -> None:
    arm = SlowPolicy(execution=ChunkExecution(ensemble=0.01))
    arm.run(2.0)
    running = [time_ns for time_ns, command in arm.commands if command.state == 'run']
    assert running[0] - arm.tick_ns <= arm.controller.valid_since_ns <= running[0]


@pytest.mark.parametrize('seed', range(8))
def test_whatever_comes_every_command_is_safe(seed: int) -> None:
    """Wild chunks of any length, any latency, faults, resets, failures, a clock that jumps."""
    rng = np.random.default_rng(seed)

    def answer(_observation_ns: int) -> np.ndarray:
        kind, rows = rng.integers(0, 12), int(rng.integers(1, 60))
        if kind == 0:
            return np.full((rows, 3), rng.choice([np.nan, np.inf]))
        if kind == 1:
            return rng.choice([-1.7e308, 0.0, 1.7e308], (rows, 3))
        return HOME + rng.uniform(-0.5, 0.5, (rows, 3))

    arm = SlowPolicy(
        answer,
        lambda: int(rng.integers(0, 900 * MS)),
        ChunkExecution(int(rng.integers(0, 40)), float(rng.uniform(0, 0.5)), timeout_s=0.5),
        interpolation=INTERPOLATIONS[seed % 3],
        auto_resume_s=0.0 if seed % 5 == 4 else 1.0,
    )
    for _ in range(60):
        event = rng.random()
        arm.faults = {'top': 'missing'} if event < 0.1 else {}
        arm.not_before_ns = 0
        if event > 0.95:
            arm.controller.reset()
        elif event > 0.9 and arm.requests:
            arm.controller.policy_failed('raised', arm.requests[-1])
        elif event > 0.85:
            arm.now_ns += int(rng.integers(0, 3_000 * MS))
        elif event > 0.82:
            arm.now_ns -= 500 * MS
        arm.run(float(rng.uniform(0.02, 2.0)))
        arm.enable()
    for drive in arm.drives:
        assert not breaches(drive, JUDGED_LIMITS)
    assert 'run' in {command.state for _, command in arm.commands}


@pytest.mark.parametrize(
    ('settings', 'named'),
    [
        ({'execute': -1}, 'chunk.execute is -1'),
        ({'crossfade_s': float('nan')}, 'chunk.crossfade is nan'),
        ({'ensemble': 2.0}, 'chunk.ensemble is 2'),
        ({'timeout_s': 0.0}, 'chunk.timeout is 0'),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, float], named: str) -> None:
    with pytest.raises(UserError, match=named):
        ChunkExecution(**settings)  # type: ignore[arg-type]


def test_what_becomes_of_chunks_is_told_in_words() -> None:
    words = {
        'half of each chunk, cross-fade 0.1 s': ChunkExecution(),
        '20 rows of each chunk, cross-fade 0 s': ChunkExecution(20, crossfade_s=0.0),
        'temporal ensembling with coefficient 0.01': ChunkExecution(ensemble=0.01),
        'temporal ensembling with coefficient 0.01, asked every 5 rows': ChunkExecution(
            5, ensemble=0.01
        ),
    }
    for told, execution in words.items():
        assert str(execution) == told


def test_more_rows_than_a_chunk_has_cannot_be_played() -> None:
    ChunkExecution(execute=ROWS).check_rows(ROWS)
    with pytest.raises(UserError, match=r'chunk.execute is 101.* at most 100'):
        ChunkExecution(execute=101).check_rows(100)


def test_heat_colours_the_image_where_the_policy_looks() -> None:
    image, weights = np.full((48, 64, 3), 90, np.uint8), np.zeros((3, 4))
    weights[1, 2], weights[0, 0] = 0.5, np.nan
    frame = draw_heat(image, weights)
    full = (1 - HEAT_OPACITY) * 90 + HEAT_OPACITY * np.array(HEAT_COLOUR)
    np.testing.assert_allclose(frame[24, 40], full, atol=12)
    assert (frame[40, 4] == 90).all() and (frame[2, 2] == 90).all()
    assert (image == 90).all()
    for bad in (np.nan, np.inf, -np.inf):  # counts as 0
        weights[0, 0] = bad
        np.testing.assert_array_equal(draw_heat(image, weights), frame)
    weights[0, 0] = 0.0
    np.testing.assert_array_equal(draw_heat(image, weights), frame)
    assert (draw_heat(image, np.zeros((3, 4))) == 90).all()
    assert (draw_heat(image, np.full((3, 4), 0.1)) == 90).all()


def test_the_next_chunk_is_asked_for_before_the_slowest_of_the_last_answers_would_be_late() -> (
    None
):
    schedule = ChunkSchedule(ChunkExecution(crossfade_s=0.0), PERIOD_NS)
    spare_ns, end_ns = SPARE_PERIODS * PERIOD_NS, 100 * PERIOD_NS
    assert schedule.runs_out(end_ns - spare_ns, end_ns)
    assert not schedule.runs_out(end_ns - spare_ns - 1, end_ns)
    schedule.answered(ROWS, 50 * MS)
    for _ in range(LATENCIES - 1):
        schedule.answered(ROWS, 10 * MS)
    assert schedule.latency_ns == 50 * MS
    schedule.answered(ROWS, 10 * MS)
    assert schedule.latency_ns == 10 * MS
