# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: whatever the policy and the streams do, the arm gets safe commands or holds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from controlled_arm import (
    HOME,
    LIMITS,
    LOWER,
    POLICY_NS,
    START_NS,
    TICK_NS,
    UPPER,
    Arm,
    stay,
    steadily,
)


def test_disabled_publishes_nothing() -> None:
    arm = Arm()
    assert arm.run(10, stay) == []
    assert arm.requests == []


def test_enable_ramps_from_the_measured_pose_at_limited_speed_and_then_runs() -> None:
    arm = Arm(ramp_speed=0.2)
    arm.enable()
    goal = HOME + 0.3
    commands = arm.run(200, lambda now_ns, measured: goal[None])
    assert [c.state for c in commands[:5]] == ['ramp'] * 5
    assert commands[-1].state == 'run'
    ramp = [c for c in commands if c.state == 'ramp']
    fastest = np.max([np.abs(c.velocity) for c in ramp], axis=0)
    assert (fastest <= 0.2 * LIMITS.velocity_array() + 1e-9).all()
    np.testing.assert_allclose(commands[-1].position, goal, atol=1e-6)
    arm.assert_safe()


def test_the_policy_acts_once_per_period_on_an_absolute_grid() -> None:
    arm = Arm()
    arm.enable()
    arm.run(500, steadily)
    assert arm.requests[0] == START_NS
    assert all((t - START_NS) % POLICY_NS == 0 for t in arm.requests)
    running = np.diff(arm.requests[1:])  # the first request is for the target of the ramp
    assert running.max() == running.min() == POLICY_NS
    assert arm.controller.skipped_periods == 0
    assert arm.controller.policy_steps == len(arm.requests) >= 98


def test_the_policy_does_not_act_during_the_ramp() -> None:
    arm = Arm(ramp_speed=0.05)
    arm.enable()
    commands = arm.run(100, lambda now_ns, measured: HOME[None] + 0.3)
    ramping = sum(c.state == 'ramp' for c in commands)
    assert ramping > 50
    assert sum(t < START_NS + ramping * TICK_NS for t in arm.requests) == 1


def test_steady_motion_passes_unchanged_between_policy_steps() -> None:
    def along_a_line(now_ns: int, _measured: np.ndarray) -> np.ndarray:
        return HOME[None] + 0.2 * (now_ns + POLICY_NS - START_NS) * 1e-9

    arm = Arm()
    arm.enable()
    arm.run(40, along_a_line)
    velocity = np.array([c.velocity for c in arm.run(60, along_a_line)])
    np.testing.assert_allclose(velocity, 0.2, atol=1e-6)


def test_a_fault_holds_in_the_same_tick_names_the_stream_and_comes_back_by_itself() -> None:
    arm = Arm()
    arm.enable()
    arm.run(50, steadily)
    arm.faults = {'top': 'stale (0.35 s old, limit 0.2 s)'}
    held = arm.run(30, steadily)
    assert {c.state for c in held} == {'hold'}
    assert held[0].reason == 'top: stale (0.35 s old, limit 0.2 s)'
    assert not held[-1].velocity.any()
    requests = len(arm.requests)
    arm.faults = {}
    back = arm.run(60, steadily)
    assert [c.state for c in back][-1] == 'run'
    assert 'ramp' in {c.state for c in back}
    assert len(arm.requests) > requests
    arm.assert_safe()


def test_no_action_is_asked_for_while_a_stream_is_faulty() -> None:
    arm = Arm()
    arm.enable()
    arm.run(50, steadily)
    arm.faults = {'top': 'missing'}
    arm.run(1, steadily)
    before = len(arm.requests)
    arm.run(40, steadily)
    assert len(arm.requests) == before


@pytest.mark.parametrize(('auto_resume_s', 'faulty_ticks'), [(0.0, 1), (1.0, 60), (0.2, 20)])
def test_an_arm_that_held_for_longer_than_auto_resume_is_disabled_until_enabled(
    auto_resume_s: float, faulty_ticks: int
) -> None:
    arm = Arm(auto_resume_s=auto_resume_s)
    arm.enable()
    arm.run(50, steadily)
    arm.faults = {'top': 'missing'}
    arm.run(faulty_ticks, steadily)
    arm.faults = {}
    arm.run(100, steadily)
    assert arm.controller.state == 'disabled'
    assert arm.controller.reason == 'top: missing'
    assert arm.run(200, steadily) == []
    arm.controller.reset()
    assert arm.controller.reason == '' and arm.run(100, steadily) == []
    arm.enable()
    assert arm.run(50, steadily)[-1].state == 'run'
    arm.assert_safe()


@pytest.mark.parametrize(('there', 'gone'), [(10, 15), (1, 1), (40, 5)])  # ticks of 20 ms
def test_a_stream_that_comes_and_goes_is_one_fault_whose_time_counts_from_the_first(
    there: int, gone: int
) -> None:
    """A camera at 2 Hz, for instance: the arm must not set out again and again."""
    arm = Arm()
    arm.enable()
    arm.run(50, steadily)
    began_ns = arm.now_ns
    while arm.controller.enabled:
        arm.faults = {'top': 'stale'}
        arm.run(gone, steadily)
        arm.faults = {}
        arm.run(there, steadily)
        assert arm.now_ns - began_ns < 2_000_000_000
    assert arm.now_ns - began_ns >= 1_000_000_000
    told = (
        r'top: stale, again within 1 s of a hold: '
        r'1\.\d+ s since the first of them, auto_resume 1 s'
    )
    assert re.fullmatch(told, arm.controller.reason)
    arm.run(50, steadily)
    arm.enable()
    arm.run(50, steadily)
    arm.faults = {'top': 'stale'}
    arm.run(gone, steadily)
    arm.faults = {}
    assert arm.run(60, steadily)[-1].state == 'run'  # somebody asked for it: a new beginning
    arm.assert_safe()


def test_a_button_that_is_released_twice_within_a_second_disables_and_is_told_as_that() -> None:
    arm = Arm()
    arm.enable()
    arm.run(50, steadily)
    for released, held in ((25, 20), (4, 0)):  # of 20 ms: again after 0.9 s, until 0.98 s
        arm.faults = {'switch': 'released'}
        assert arm.run(released, steadily)[-1].state == 'hold'
        assert arm.controller.reason == 'switch: released'
        arm.faults = {}
        arm.run(held, steadily)
    arm.faults = {'switch': 'released'}
    arm.run(10, steadily)
    assert arm.controller.state == 'disabled'
    assert 'released, again within 1 s of a hold: 1.00 s since' in arm.controller.reason


def test_a_fault_that_lasts_is_told_without_a_word_of_others() -> None:
    arm = Arm()
    arm.enable()
    arm.run(50, steadily)
    arm.faults = {'top': 'stale'}
    arm.run(60, steadily)
    assert arm.controller.state == 'disabled' and arm.controller.reason == 'top: stale'


def test_faults_with_calm_between_them_are_each_a_new_one() -> None:
    arm = Arm()
    arm.enable()
    for _ in range(5):
        arm.run(80, steadily)
        arm.faults = {'top': 'stale'}
        arm.run(15, steadily)
        arm.faults = {}
    assert arm.run(80, stay)[-1].state == 'run'


@pytest.mark.parametrize('policy_ns', [POLICY_NS, TICK_NS])  # also one that answers in each tick
def test_a_policy_that_wants_through_a_limit_for_ever_does_not_set_out_for_ever(
    policy_ns: int,
) -> None:
    arm = Arm(policy_ns=policy_ns, on_violation={'position': 'stop'}, ramp_speed=1.0)
    arm.enable()
    commands = arm.run(300, lambda now_ns, measured: UPPER[None] + 0.1)
    assert {'hold', 'ramp'} <= {c.state for c in commands}
    assert arm.controller.state == 'disabled' and 'position' in arm.controller.reason
    assert len(commands) < 150
    arm.assert_safe()


def test_the_watchdog_holds_after_two_periods_without_an_action() -> None:
    arm = Arm()
    arm.enable()
    arm.run(53, steadily)
    last_request_ns = arm.requests[-1]
    silent = arm.run(40, None)
    held = [c.state for c in silent].index('hold')
    held_at_ns = arm.now_ns - (len(silent) - held) * TICK_NS
    assert held_at_ns - last_request_ns <= 2 * POLICY_NS + TICK_NS
    assert 'no new action' in silent[held].reason
    assert arm.controller.skipped_periods > 0


def test_a_policy_that_never_answers_is_named_even_after_a_stream_was() -> None:
    arm = Arm(auto_resume_s=5.0)
    arm.enable()
    arm.run(50, steadily)
    arm.faults = {'top': 'missing'}
    arm.run(5, None)
    arm.faults = {}
    assert arm.run(30, None)[-1].reason == 'policy: no new action for 2 periods'
    assert arm.run(60, steadily)[-1].state == 'hold'  # the request is still out
    arm.controller.add_chunk(arm.measured[None], arm.requests[-1])
    assert arm.run(30, steadily)[-1].state == 'run'
    arm.assert_safe()


@pytest.mark.parametrize(
    ('chunk', 'stage'),
    [
        (np.full((1, 3), np.nan), 'finite'),
        (np.array([[0.0, np.inf, 0.0]]), 'finite'),
        (np.zeros((1, 4)), 'width'),
        (np.zeros((0, 3)), 'width'),
        (np.zeros(3), 'width'),
        (np.array([['1', '2', '3']]), 'finite'),
    ],
)
def test_a_bad_chunk_holds_is_counted_and_named(chunk: np.ndarray, stage: str) -> None:
    arm = Arm()
    arm.enable()
    arm.run(53, steadily)
    held = arm.run(6, lambda now_ns, measured: chunk)
    assert 'hold' in {c.state for c in held}
    assert next(c.reason for c in held if c.state == 'hold').startswith(stage)
    assert arm.controller.guard.counts[stage] >= 1
    assert arm.run(40, steadily)[-1].state == 'run'
    arm.assert_safe()


def test_an_answer_that_hung_is_nothing_to_set_out_for() -> None:
    arm = Arm()
    arm.enable()
    arm.run(60, steadily)
    arm.run(30, None)
    assert arm.controller.state == 'hold'
    asked_ns = arm.requests[-1]
    assert not arm.controller.add_chunk(np.full((1, 3), 0.9), asked_ns)
    assert arm.controller.state == 'hold'
    assert arm.controller.dropped_chunks == 1
    arm.run(60, steadily)
    assert arm.controller.state == 'run'
    arm.assert_safe()


def test_a_failed_inference_holds_with_its_reason() -> None:
    arm = Arm()
    arm.enable()
    arm.run(53, steadily)
    while not arm.controller.policy_due(arm.now_ns):
        arm.run(1, None)
    arm.controller.policy_failed('out of memory', arm.now_ns)
    assert arm.run(1, None)[0].reason == 'policy: out of memory'


def test_a_chunk_from_before_a_reset_is_dropped() -> None:
    arm = Arm()
    arm.enable()
    arm.run(53, steadily)
    in_flight_ns = arm.now_ns - TICK_NS
    arm.controller.reset()
    assert not arm.controller.add_chunk(np.ones((1, 3)), in_flight_ns)
    assert arm.controller.dropped_chunks == 1
    assert arm.run(1, None)[0].state == 'ramp'
    assert arm.run(8, None)[-1].velocity.any() == np.False_


def test_disable_brakes_and_the_last_command_is_a_hold() -> None:
    arm = Arm()
    arm.enable()
    arm.run(60, steadily)
    moving = arm.commands[-1].velocity
    assert moving.any()
    arm.controller.disable(arm.now_ns)
    last = arm.run(60, steadily)
    assert [c.final for c in last].count(True) == 1 and last[-1].final
    assert not last[-1].velocity.any()
    np.testing.assert_array_equal(last[-1].position, last[-2].position)
    assert arm.controller.state == 'disabled'
    assert arm.run(5, steadily) == []
    arm.assert_safe()


def test_enable_toggled_fast_stays_within_every_limit() -> None:
    arm = Arm()
    rng = np.random.default_rng(3)
    for _ in range(100):
        arm.enable()
        arm.run(int(rng.integers(0, 12)), lambda now_ns, measured: UPPER[None])
        arm.controller.disable(arm.now_ns)
        arm.run(int(rng.integers(0, 4)), None)
    arm.assert_safe()


def test_an_answer_to_what_a_clock_that_went_back_has_yet_to_see_is_dropped() -> None:
    arm = Arm()
    arm.enable()
    arm.run(53, steadily)
    asked_ns = arm.now_ns
    arm.now_ns -= 3_000_000_000
    arm.run(1, None)
    assert not arm.controller.add_chunk(np.full((1, 3), 0.9), asked_ns)
    assert arm.controller.dropped_chunks == 1
    arm.run(60, steadily)
    assert arm.controller.state == 'run'
    arm.assert_safe()


def test_a_clock_that_goes_back_holds_and_goes_on() -> None:
    arm = Arm()
    arm.enable()
    arm.run(53, steadily)
    arm.now_ns -= 3_000_000_000
    back = arm.run(60, steadily)
    assert back[0].state == 'hold' and back[0].reason == 'the clock went back'
    assert back[-1].state == 'run'
    arm.assert_safe()


def test_a_clock_that_jumps_ahead_holds_and_counts_what_was_skipped() -> None:
    arm = Arm()
    arm.enable()
    arm.run(53, steadily)
    arm.now_ns += 3_000_000_000
    ahead = arm.run(60, steadily)
    assert ahead[-1].state == 'run'
    assert arm.controller.skipped_periods >= 29
    arm.assert_safe()


def test_a_chunk_of_many_rows_runs_on_while_the_policy_thinks() -> None:
    arm = Arm()
    arm.enable()
    arm.run(20, stay)
    rows = arm.measured + np.linspace(0.01, 0.2, 20)[:, None]
    asked = False

    def once(_now_ns: int, _measured: np.ndarray) -> np.ndarray | None:
        nonlocal asked
        asked, first = True, not asked
        return rows if first else None

    commands = arm.run(95, once)
    assert {c.state for c in commands} == {'run'}
    assert arm.run(20, None)[-1].state == 'hold'
    arm.assert_safe()


def random_chunk(rng: np.random.Generator) -> np.ndarray:
    rows = int(rng.integers(0, 6))
    kind = rng.integers(0, 8)
    if kind == 0:
        return np.full((rows, 3), rng.choice([np.nan, np.inf, -np.inf]))
    if kind == 1:
        return rng.uniform(-1, 1, (rows, int(rng.integers(0, 6))))
    if kind == 2:
        return rng.choice([-1.7e308, -1e9, 0.0, 1e9, 1.7e308], (rows, 3))
    if kind == 3:
        return rng.uniform(-1e-320, 1e-320, (max(rows, 1), 3))
    return rng.uniform(2 * LOWER, 2 * UPPER, (max(rows, 1), 3))


@pytest.mark.parametrize('interpolation', ['linear', 'cubic', 'hold'])
@pytest.mark.parametrize('seed', range(15))
def test_whatever_comes_every_command_is_safe(seed: int, interpolation: str) -> None:
    """Random chunks, late answers, faults, resets and toggles: each command keeps each limit."""
    rng = np.random.default_rng(seed)
    arm = Arm(
        rng.uniform(LOWER, UPPER),
        interpolation=interpolation,
        auto_resume_s=0.0 if seed % 5 == 4 else 1.0,
        max_following_error=0.1 if seed % 3 == 2 else None,
    )
    late: list[tuple[int, np.ndarray]] = []

    def answer(now_ns: int, _measured: np.ndarray) -> np.ndarray | None:
        chunk = random_chunk(rng)
        if rng.random() < 0.6:
            return chunk
        late.append((now_ns, chunk))
        return None

    arm.enable()
    for _ in range(150):
        event = rng.random()
        arm.faults = {'top': 'missing'} if event < 0.05 else {}
        if event > 0.97:
            arm.controller.reset()
        elif event > 0.95:
            arm.controller.disable(arm.now_ns)
        elif event > 0.9 and not (arm.controller.state == 'brake' and arm.controller.reason):
            arm.enable()
        elif event > 0.6 and late:
            observation_ns, chunk = late.pop()
            arm.controller.add_chunk(chunk, observation_ns)
        elif event > 0.55:
            arm.controller.policy_failed('raised', arm.now_ns)
        if event < 0.1:
            arm.wait(int(rng.integers(0, 500_000_000)))
        arm.run(int(rng.integers(1, 12)), answer)
    assert len(arm.commands) > 100
    arm.assert_safe()
