# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a replay tells how each joint followed: a known delay and offset give known numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from control_robots import formula_arm
from controlled_arm import HOME, TICK_NS, Arm
from mobile_robots import mobile_robot

from motion_policy.control.episode_playback import EpisodePlayback
from motion_policy.control.replay_tracking import ReplayReport, ReplayTrace
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.episodes.reader import StreamStamps
from motion_policy.robot import RobotSpec
from motion_policy.streams import StreamCounters

ROBOT = formula_arm()
PERIOD_S = TICK_NS * 1e-9
ROWS = 200
THEN_S, NOW_S = 0.04, 0.07  # delays
THEN_OFFSET = np.array([0.0, 0.004, 0.0])
NOW_OFFSET = np.array([0.0, 0.0, -0.01])
SLOPE = 0.2  # rad/s, of the second joint
NO_COUNTS = StreamCounters(received=ROWS)


def wanted(time_s: np.ndarray) -> np.ndarray:
    """Commands (N, 3) of the recording at its times: one joint swings, one rises, one stands."""
    return np.stack([
        0.2 * np.sin(3.0 * time_s), -0.5 + SLOPE * time_s, np.full_like(time_s, 0.3),
    ], axis=1)  # fmt: skip


def recording(
    robot: RobotSpec, qpos: np.ndarray, action: np.ndarray | None, ages_ns: int = 0
) -> EpisodeNumbers:
    """Rows of an episode whose joints were measured `ages_ns` before each row."""
    zero = np.zeros(len(qpos), np.int64)
    stamps = StreamStamps(zero, zero, zero + ages_ns, NO_COUNTS)
    streams = dict.fromkeys((name for name, _ in robot.joint_streams('state')), stamps)
    streams |= {name: replace(stamps, age_ns=zero) for name, _ in robot.joint_streams('leader')}
    return EpisodeNumbers(robot, 10**18 + np.arange(len(qpos)) * robot.period_ns, qpos, action,
                          streams)  # fmt: skip


def recorded(age_s: float = 0.0, has_commands: bool = True) -> EpisodeNumbers:
    """The recording: an arm that was late by THEN_S, and away by THEN_OFFSET."""
    time_s = PERIOD_S * np.arange(ROWS)
    qpos = wanted(time_s - age_s - THEN_S) + THEN_OFFSET
    action = wanted(time_s) if has_commands else None
    return recording(ROBOT, qpos, action, round(age_s * 1e9))


def replayed(speed: float, age_s: float = 0.0, missed: tuple[int, ...] = ()) -> ReplayTrace:
    """What an arm makes of it that is late by NOW_S, and away by NOW_OFFSET."""
    trace = ReplayTrace(ROBOT)
    count = int((ROWS - 1) / speed)
    for tick in sorted(set(range(count)) - set(missed)):
        time_s = tick * PERIOD_S
        command = wanted(np.array([speed * time_s]))[0]
        measured = wanted(np.array([speed * (time_s - age_s - NOW_S)]))[0] + NOW_OFFSET
        trace.add(
            7 * 10**18 + tick * TICK_NS, tick * speed, speed, measured,
            np.full(3, round(age_s * 1e9)), command, command, {},
        )  # fmt: skip
    return trace


def report_of(trace: ReplayTrace, numbers: EpisodeNumbers, end: str = 'played') -> ReplayReport:
    report = trace.report(numbers, end)
    assert report is not None
    return report


@pytest.mark.parametrize('speed', [1.0, 0.5, 0.1])
@pytest.mark.parametrize('age_s', [0.0, 0.013])
def test_a_known_delay_and_offset_give_the_known_numbers(speed: float, age_s: float) -> None:
    missed = (30, 31, 32, 77)
    report = report_of(replayed(speed, age_s, missed), recorded(0.009))
    joints = {joint.name: joint for joint in report.joints}
    swings, rises, stands = (joints[name] for name in ROBOT.joints.names)

    # At the same place of the recording a slower replay is late by less of it.
    late = SLOPE * (THEN_S - speed * NOW_S)
    assert rises.rmse == pytest.approx(abs(late - 0.004), abs=1e-4)
    assert rises.max == pytest.approx(abs(late - 0.004), abs=1e-4)
    assert rises.now.rmse == pytest.approx(SLOPE * speed * NOW_S, abs=1e-4)
    assert rises.then is not None
    assert rises.then.rmse == pytest.approx(SLOPE * THEN_S - 0.004, abs=1e-4)

    time_s = PERIOD_S * speed * np.arange(int((ROWS - 1) / speed))
    away = wanted(time_s - speed * NOW_S)[:, 0] - wanted(time_s - THEN_S)[:, 0]
    assert swings.rmse == pytest.approx(np.sqrt((away**2).mean()), rel=0.03)
    assert swings.max == pytest.approx(np.abs(away).max(), rel=0.03)
    assert swings.now.delay_s == pytest.approx(NOW_S, abs=0.003)
    assert swings.then is not None and swings.then.delay_s == pytest.approx(THEN_S, abs=0.003)

    assert (stands.rmse, stands.max) == pytest.approx((0.01, 0.01))
    assert stands.now.max == pytest.approx(0.01)
    assert stands.then is not None and stands.then.max == pytest.approx(0.0, abs=1e-9)
    assert stands.now.delay_s is stands.then.delay_s is None

    slowness = dict(zip(ROBOT.joints.names, ROBOT.joints.limits.velocity, strict=True))
    shares = [joint.rmse / slowness[joint.name] for joint in report.joints]
    assert shares == sorted(shares, reverse=True)
    assert (report.least_speed, report.greatest_speed) == (speed, speed)
    assert (report.altered, report.begin_s) == (0, 0.0)
    assert report.end_s == pytest.approx(report.recording_s, abs=0.05)
    assert json.loads(json.dumps(report.to_json()))['joints'][0]['name'] == report.joints[0].name
    assert len(report.lines()) == 4


def test_an_arm_that_follows_as_it_did_then_is_nowhere_away() -> None:
    numbers = recorded()
    trace = ReplayTrace(ROBOT)
    for tick in range(ROWS):
        command = wanted(np.array([tick * PERIOD_S]))[0]
        trace.add(
            tick * TICK_NS, tick, 1.0, numbers.qpos[tick], np.zeros(3, int), command, command, {}
        )
    for joint in report_of(trace, numbers).joints:
        assert joint.max < 1e-9
        assert joint.now == joint.then


def test_a_part_is_compared_with_that_part_and_a_pause_with_nothing() -> None:
    numbers, whole = recorded(), replayed(1.0)
    trace = ReplayTrace(ROBOT)
    for tick, row in enumerate(whole._rows[:120]):
        if 40 <= tick < 90:
            trace.interrupt()  # the arm holds, and stands somewhere
            continue
        now_ns, place, pace, measured, ages_ns, command = row
        trace.add(
            now_ns, place - (50 if tick >= 90 else 0), pace,
            measured - (wanted(np.array([PERIOD_S]))[0] * 0 if tick < 40 else shift()), ages_ns,
            command - (0 if tick < 40 else shift()), None, {'position': 2},
        )  # fmt: skip
    report = report_of(trace, numbers, 'disabled')
    assert (report.end, report.commands, report.altered) == ('disabled', 70, 70)
    assert report.guards == {'position': 70}
    assert report.end_s == pytest.approx(69 * PERIOD_S)
    rises = next(joint for joint in report.joints if joint.name == 'joint2')
    assert rises.max == pytest.approx(SLOPE * (NOW_S - THEN_S) + 0.004, abs=1e-4)


def shift() -> np.ndarray:
    """What the second joint rises in 50 rows; of the others nobody asks."""
    return np.array([0.0, SLOPE * 50 * PERIOD_S, 0.0])


def test_a_recording_without_commands_has_nothing_to_compare_with() -> None:
    report = report_of(replayed(1.0), recorded(has_commands=False))
    assert all(joint.then is None for joint in report.joints)
    assert all('no commands' in line for line in report.lines()[1:])


def test_too_little_is_no_report() -> None:
    trace = ReplayTrace(ROBOT)
    assert trace.report(recorded(), 'disabled') is None
    for tick in range(20):  # in pieces
        trace.add(tick * TICK_NS, tick, 1.0, HOME, np.zeros(3, int), HOME, None, {})
        if tick % 5 == 4:
            trace.interrupt()
    assert trace.report(recorded(), 'disabled') is None


@pytest.mark.parametrize('speed', [1.0, 0.25])
def test_velocities_of_a_base_are_compared_with_those_of_that_speed(speed: float) -> None:
    robot = mobile_robot()
    time_s = PERIOD_S * np.arange(ROWS)
    drive = np.stack([0 * time_s, 0 * time_s, 0.2 * np.sin(2 * time_s), 0 * time_s + 0.5], axis=1)
    trace = ReplayTrace(robot)
    for tick in range(int((ROWS - 1) / speed)):
        place = tick * speed
        command = speed * np.array([np.interp(place, range(ROWS), each) for each in drive.T])
        measured = command + [0, 0, 0, 0.02]
        trace.add(tick * TICK_NS, place, speed, measured, np.zeros(4, int), command, command, {})
    report = report_of(trace, recording(robot, drive, drive))
    forward, turn = (
        next(joint for joint in report.joints if joint.name == name)
        for name in ('base_forward', 'base_turn')
    )
    assert forward.max < 1e-3 and forward.unit == 'rad/s or m/s'
    assert turn.rmse == pytest.approx(0.02) == turn.now.max
    assert forward.now.delay_s == pytest.approx(0.0, abs=0.003)


LATE = 3  # ticks


@pytest.mark.parametrize('interpolation', ['linear', 'hold'])
@pytest.mark.parametrize('speed', [1.0, 0.5, 0.1])
def test_a_played_episode_is_compared_at_the_place_where_it_is(
    speed: float, interpolation: str
) -> None:
    curve = HOME + 0.3 * (1 - np.cos(2 * PERIOD_S * np.arange(60)))[:, None] * [0.5, -0.5, 1.0]
    arm = Arm(policy_ns=TICK_NS, speed=speed, interpolation=interpolation)
    playback, trace = EpisodePlayback(arm.controller, curve), ReplayTrace(ROBOT)
    arm.enable()
    arm.follows = False
    while arm.controller.state != 'disabled':
        now_ns = arm.now_ns

        def give(now_ns: int) -> None:
            if not playback.give_actions(now_ns):
                arm.controller.disable(now_ns)

        arm.tick_and_then(give)
        arm.measured = arm.positions[-1 - min(LATE, len(arm.positions) - 1)]
        plan_ns = arm.controller.plan_time_ns(now_ns)
        place, command = playback.place(plan_ns), arm.commands[-1]
        if command.state == 'run' and place is not None and 0 <= place <= playback.last_place:
            measured = arm.positions[-1 - LATE]
            trace.add(
                now_ns, place, arm.controller.pace, measured, np.zeros(3, int), command.position,
                arm.controller.buffer.target(plan_ns), command.violations,
            )  # fmt: skip
    # When recorded, the arm was a row late.
    report = report_of(trace, recording(ROBOT, np.concatenate((curve[:1], curve[:-1])), curve))
    assert report.begin_s < 0.1 and report.end_s > 57 * PERIOD_S
    for joint in report.joints:
        assert joint.now.delay_s == pytest.approx(LATE * PERIOD_S, abs=0.004)
        assert joint.then is not None and joint.then.delay_s == pytest.approx(PERIOD_S, abs=0.002)
        fastest = 2 * 0.3 * (1.0 if joint.name == 'joint3' else 0.5)
        way = abs(speed * LATE - 1) * PERIOD_S + (PERIOD_S if interpolation == 'hold' else 0.0)
        assert joint.max < fastest * way + 2e-3
    if interpolation == 'linear':  # which has no steps
        assert report.altered_share < 0.2  # it catches up from rest
