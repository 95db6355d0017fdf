# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`bench faults`: its judge sees every broken promise, and real faults keep them all."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

pytest.importorskip('rclpy')

from motion_policy.robot import load_robot_spec
from motion_policy.share import share_dir

sys.path.insert(0, str(share_dir() / 'benchmarks'))

from builtin_interfaces.msg import Duration
from fault_campaign.campaign import injections_in_full, run_section
from fault_campaign.catalogue import FAULTS
from fault_campaign.fault import Evidence, Fault
from fault_campaign.scene import time_message
from fault_campaign.trajectories import TrajectoryLog
from fault_campaign.verdicts import Injection, Section, judge, measurements
from fault_campaign.wire import CommandLog, Wire
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

pytestmark = [pytest.mark.slow, pytest.mark.ros]

ROBOT = load_robot_spec('tabletop_sim')
PERIOD_NS = ROBOT.period_ns
DT = PERIOD_NS * 1e-9
START_NS = 1_700_000_000_000_000_000
SPEED = 1.0  # rad/s, of joint 1
TICKS = 40
BRAKING_FROM = 20  # the first command that brakes
BY_NAME = {fault.name: fault for fault in FAULTS}


def sound_commands() -> np.ndarray:
    """Joint 1 speeds up to 1 rad/s, goes on, and brakes from command 20 on; (TICKS, 5)."""
    reach = ROBOT.joints.limits.acceleration_array()[0] * DT
    speed, positions = 0.0, [np.zeros(5)]
    for tick in range(1, TICKS):
        wanted = SPEED if tick < BRAKING_FROM else 0.0
        speed += np.clip(wanted - speed, -reach, reach)
        positions.append(positions[-1] + np.array([speed * DT, 0, 0, 0, 0]))
    return np.array(positions)


def log_of(commands: np.ndarray, times_ns: np.ndarray | None = None) -> CommandLog:
    log = CommandLog(5)
    if times_ns is None:
        times_ns = START_NS + PERIOD_NS * np.arange(len(commands))
    for command, time_ns in zip(commands, times_ns.tolist(), strict=True):
        log.add(np.asarray(command), time_ns, np.zeros(5))
    return log


def breaches(commands: np.ndarray, times_ns: np.ndarray | None = None) -> dict[str, int]:
    return breaches_of(log_of(commands, times_ns))


def breaches_of(log: CommandLog) -> dict[str, int]:
    wire = Wire(log, ROBOT)
    return {name: int(mask.sum()) for name, mask in wire.breaches.items() if mask.any()}


def known_before(command: int) -> int:
    """A fault that could be known 1 ms before this command was sent."""
    return START_NS + command * PERIOD_NS - 1_000_000


def injection(kind: str, known_command: int, **changes: object) -> Injection:
    known_ns = known_before(known_command)
    evidence = Evidence(known_ns, known_ns, START_NS + TICKS * PERIOD_NS)
    usual = Injection(BY_NAME[kind], evidence, moving=True, named=True, recovered=True)
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def section(log: CommandLog, *injections: Injection) -> Section:
    return Section('arm', ROBOT, log, injections, 1.0, [0.0], 1, 0, 0, 0.0)


def test_sound_commands_break_nothing() -> None:
    assert breaches(sound_commands()) == {}
    late = START_NS + PERIOD_NS * np.arange(TICKS)
    late[10:] += 3 * PERIOD_NS
    assert Wire(log_of(sound_commands(), late), ROBOT).lost_ticks() == 3


def test_limits_are_those_of_the_time_that_passed() -> None:
    times_ns = START_NS + PERIOD_NS * np.arange(TICKS)
    times_ns[15:] -= PERIOD_NS // 2  # one command comes early: it is twice as fast
    assert 'acceleration' in breaches(sound_commands(), times_ns)
    twice = np.insert(START_NS + PERIOD_NS * np.arange(TICKS), 16, START_NS + 15 * PERIOD_NS + 1)
    commands = np.insert(sound_commands(), 16, sound_commands()[15], axis=0)
    assert 'too soon' in breaches(commands, twice)
    late = START_NS + PERIOD_NS * np.arange(TICKS)
    late[15:] += 5 * PERIOD_NS
    commands = sound_commands()
    commands[15:, 0] += 0.2
    assert 'step' in breaches(commands, late)


@pytest.mark.parametrize(
    ('joint', 'add', 'breach'),
    [
        (0, 0.2, 'velocity'),  # 10 rad/s
        (1, 0.01, 'acceleration'),  # 0.5 rad/s at once
        (2, 9.0, 'position'),
        (3, np.nan, 'non-finite'),
        (4, -np.inf, 'non-finite'),
    ],
)
def test_a_doctored_command_is_caught(joint: int, add: float, breach: str) -> None:
    commands = sound_commands()
    commands[15, joint] += add
    assert breaches(commands)[breach] >= 1
    outcome = judge(section(log_of(commands), injection('camera: dies', 10)))[0]
    assert ('finite' if breach == 'non-finite' else 'within limits') in outcome.broken


def test_a_command_of_another_width_is_caught() -> None:
    log = log_of(sound_commands())
    log.add(np.zeros(4), log.last_ns + PERIOD_NS, np.zeros(5))
    assert Wire(log, ROBOT).breaches['width'].sum() == 1


@pytest.mark.parametrize(('place', 'expected'), [(0.0, {}), (0.009, {}), (0.5, {'start': 1})])
def test_a_new_stream_begins_where_the_arm_stands(place: float, expected: dict[str, int]) -> None:
    silence_ns = START_NS + TICKS * PERIOD_NS + 2_000_000_000
    log = log_of(sound_commands())
    begin = np.array([place, place, place, place, 0.0])
    for tick in range(5):
        log.add(begin, silence_ns + tick * PERIOD_NS, np.zeros(5))
    assert breaches_of(log) == expected


@pytest.mark.parametrize(('beyond', 'expected'), [(0.009, {}), (0.015, {'start': 1})])
def test_an_arm_may_begin_a_little_outside_its_limits(
    beyond: float, expected: dict[str, int]
) -> None:
    low, high = ROBOT.joints.limits.position[0]
    outside = np.array([high + beyond * (high - low), 0, 0, 0, 0])
    log = CommandLog(5)
    for tick in range(5):
        log.add(outside, START_NS + tick * PERIOD_NS, outside)
    assert breaches_of(log) == expected


def test_a_stream_that_was_silent_goes_on_from_its_last_command() -> None:
    log, sag = log_of(sound_commands()), np.array([0.01, 0, 0, 0, 0])
    for tick in range(5):
        now_ns = START_NS + TICKS * PERIOD_NS + 2_000_000_000 + tick * PERIOD_NS
        log.add(log.positions[TICKS - 1], now_ns, log.positions[TICKS - 1] - sag)
    assert breaches_of(log) == {}


@pytest.mark.parametrize(('known', 'periods'), [(20, 1), (19, 2), (18, 3), (10, 11), (30, 1)])
def test_braking_counts_from_the_moment_that_the_fault_could_be_known(
    known: int, periods: int
) -> None:
    hold = Wire(log_of(sound_commands()), ROBOT).hold(known_before(known), START_NS + 10**9)
    assert hold.periods == periods
    assert hold.in_time is (periods <= 2)


def test_an_arm_that_brakes_gently_or_sets_off_again_is_not_held() -> None:
    gentle = sound_commands()
    gentle[BRAKING_FROM + 1 :] = gentle[BRAKING_FROM]
    gentle[BRAKING_FROM + 1 :, 0] += np.cumsum(0.005 * 0.8 ** np.arange(TICKS - BRAKING_FROM - 1))
    restless = sound_commands()
    restless[TICKS - 3 :, 0] += np.array([0.004, 0.01, 0.016])
    for commands in (gentle, restless):
        hold = Wire(log_of(commands), ROBOT).hold(known_before(20), START_NS + TICKS * PERIOD_NS)
        assert not hold.in_time


def test_every_broken_promise_is_told() -> None:
    late = injection('camera: dies', 10, named=False, recovered=False)
    outcomes = judge(section(log_of(sound_commands()), late))
    assert outcomes[0].broken == ['held in time', 'named', 'recovered']
    speaking = injection('node: killed and restarted', 10)
    assert judge(section(log_of(sound_commands()), speaking))[0].broken == ['held in time']
    kept = injection('camera: dies', 19)
    lines = measurements([section(log_of(sound_commands()), kept)])
    assert [line.met for line in lines] == [True, True, True, True]
    assert lines[0].details['held_in_time'] == lines[0].details['named'] == '1/1'


@pytest.mark.parametrize('moves', [False, True])
def test_an_arm_that_was_disabled_must_not_move_until_it_is_enabled(moves: bool) -> None:
    log = log_of(sound_commands())
    again_ns = known_before(19) + 1_500_000_000
    if moves:  # ten commands to stand, without anybody's leave
        for tick in range(10):
            log.add(log.positions[TICKS - 1], again_ns + tick * PERIOD_NS, np.zeros(5))
    disabled = injection('joint state: stalls', 19, leave_ns=again_ns + 10**9)
    outcome = judge(section(log, disabled))[0]
    assert outcome.broken == (['still until ~/enable'] if moves else [])
    assert outcome.without_leave == (10 if moves else 0)


def test_what_else_went_wrong_is_a_broken_promise() -> None:
    evidence = Evidence(known_before(19), known_before(19), START_NS, 'exit code -9')
    killed = dataclasses.replace(injection('node: SIGTERM', 19), evidence=evidence)
    assert judge(section(log_of(sound_commands()), killed))[0].broken == ['exit code -9']


def test_the_full_campaign_injects_a_thousand_faults_of_140_kinds() -> None:
    from faults import ROUNDS

    assert len(BY_NAME) == len(FAULTS) >= 140
    assert injections_in_full(FAULTS, ROUNDS) >= 1000
    assert injections_in_full([dataclasses.replace(FAULTS[0], every=4)], 9) == 3


def trajectory(
    points: np.ndarray, first_ns: int, stamp_ns: int, period_ns: int = PERIOD_NS
) -> JointTrajectory:
    """The points (n, J), one per period, the first of them at `first_ns`."""
    message = JointTrajectory()
    message.header.stamp = time_message(stamp_ns)
    speeds = np.diff(points, axis=0, prepend=points[:1]) / (period_ns * 1e-9)
    for place, (point, speed) in enumerate(zip(points, speeds, strict=True)):
        seconds, rest = divmod(first_ns + place * period_ns - stamp_ns, 10**9)
        after = Duration(sec=int(seconds), nanosec=int(rest))
        message.points.append(
            JointTrajectoryPoint(positions=point, velocities=speed, time_from_start=after)
        )
    return message


def at_once(message: JointTrajectory) -> JointTrajectory:
    """The message without its stamp."""
    message.header.stamp = time_message(0)
    return message


def played(*messages: JointTrajectory, sent_ns: int = START_NS) -> TrajectoryLog:
    """What an arm hears that stands at zero, each message sent at its stamp, if it has one."""
    log = TrajectoryLog(5, PERIOD_NS)
    for message in messages:
        stamp = message.header.stamp
        log.add(message, stamp.sec * 10**9 + stamp.nanosec or sent_ns, np.zeros(5))
    return log


def broken(*messages: JointTrajectory, ahead_ns: int = 10**9, sent_ns: int = START_NS) -> set[str]:
    breaches = played(*messages, sent_ns=sent_ns).wire(ROBOT, ahead_ns).breaches
    return {name for name, mask in breaches.items() if mask.any()}


def two_pieces(switch: int = 10, late_ns: int = 3_000_000) -> list[JointTrajectory]:
    """The sound commands in two messages, the second sent a little after a point of the first."""
    points, first_ns = sound_commands(), START_NS + PERIOD_NS
    second_ns = first_ns + switch * PERIOD_NS
    return [
        trajectory(points, first_ns, START_NS),
        trajectory(points[switch + 1 :], second_ns + PERIOD_NS, second_ns + late_ns),
    ]


def test_sound_trajectories_break_nothing_wherever_one_replaces_another() -> None:
    for late_ns in (0, 1, 3_000_000, PERIOD_NS - 1):
        assert broken(*two_pieces(late_ns=late_ns)) == set()


@pytest.mark.parametrize(
    ('joint', 'add', 'breach'),
    [
        (0, 0.2, 'velocity'),
        (1, 0.01, 'acceleration'),
        (2, 9.0, 'position'),
        (3, np.nan, 'non-finite'),
    ],
)
def test_a_doctored_point_is_caught_even_if_it_was_replaced_before_it_was_played(
    joint: int, add: float, breach: str
) -> None:
    first, second = two_pieces()
    first.points[20].positions[joint] += add
    assert breach in broken(first)
    assert breach in broken(first, second)


@pytest.mark.parametrize(('beyond', 'expected'), [(0.009, set()), (0.015, {'start', 'position'})])
def test_a_trajectory_may_begin_a_little_outside_the_limits(
    beyond: float, expected: set[str]
) -> None:
    low, high = ROBOT.joints.limits.position[0]
    outside = np.array([high + beyond * (high - low), 0, 0, 0, 0])
    log = TrajectoryLog(5, PERIOD_NS)
    log.add(
        trajectory(np.tile(outside, (5, 1)), START_NS + PERIOD_NS, START_NS), START_NS, outside
    )
    found = log.wire(ROBOT, 10**9).breaches
    assert {name for name, mask in found.items() if mask.any()} == expected


def test_a_turn_between_two_points_is_caught() -> None:
    first, second = two_pieces(late_ns=5_000_000)
    for point in second.points:
        point.positions[0] -= 0.012
    assert 'acceleration' in broken(first, second)


def test_a_trajectory_that_reaches_too_far_or_ends_at_speed_or_has_no_points_is_caught() -> None:
    points = sound_commands()
    assert broken(trajectory(points, START_NS + PERIOD_NS, START_NS), ahead_ns=10**8) == {'ahead'}
    at_speed = trajectory(points[: BRAKING_FROM - 2], START_NS + PERIOD_NS, START_NS)
    assert broken(at_speed) == {'acceleration', 'unlike'}
    narrow = trajectory(points[:, :4], START_NS + 10**9, START_NS + 10**9 - 1)
    assert broken(two_pieces()[0], narrow) == {'width'}
    assert broken(two_pieces()[0], trajectory(points[:0], START_NS, START_NS)) == {'width'}


@pytest.mark.parametrize('late_ns', [0, 1_000_000, 2_000_000])
def test_a_trajectory_without_a_stamp_is_played_from_when_it_was_sent(late_ns: int) -> None:
    points = sound_commands()
    first = trajectory(points, START_NS + PERIOD_NS, START_NS)
    sent_ns = START_NS + 15 * PERIOD_NS + 5_000_000
    second = at_once(trajectory(points[15:], START_NS + 16 * PERIOD_NS, sent_ns))
    assert broken(first, second, sent_ns=sent_ns + late_ns) == set()
    astray = at_once(trajectory(points[15:] + 0.1, START_NS + 16 * PERIOD_NS, sent_ns))
    assert 'velocity' in broken(first, astray, sent_ns=sent_ns + late_ns)


def test_speeds_at_points_have_to_be_those_of_the_way() -> None:
    points = sound_commands()
    message = trajectory(points, START_NS + PERIOD_NS, START_NS)
    message.points[10].velocities[0] = -1.0
    assert broken(message) == {'unlike'}
    message.points[10].velocities[0] = np.nan
    assert 'non-finite' in broken(message)


@pytest.mark.parametrize(('known', 'periods'), [(20, 1), (19, 2), (18, 3)])
def test_braking_of_a_played_arm_counts_from_when_its_way_begins(known: int, periods: int) -> None:
    # Command k is the way from point k - 1 to point k, of which the first is reached at START.
    whole = trajectory(sound_commands(), START_NS, START_NS - 1)
    wire = played(whole).wire(ROBOT, 10**9)
    hold = wire.hold(known_before(known) - PERIOD_NS, START_NS + 10**9)
    assert hold.periods == periods


def test_a_node_that_is_dead_is_silent_while_the_arm_plays_what_it_has() -> None:
    killed = injection('chunks: node killed and restarted', 5)
    log = played(two_pieces()[0])
    assert judge(section(log, killed))[0].broken == []  # type: ignore[arg-type]
    log = played(*two_pieces())
    assert judge(section(log, killed))[0].broken == ['held in time']  # type: ignore[arg-type]


def test_a_section_that_is_stopped_tells_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    import faults

    kept = section(log_of(sound_commands()), injection('camera: dies', 19))
    stopped = dataclasses.replace(kept, interrupted=KeyboardInterrupt())
    monkeypatch.setattr(faults, 'run_section', lambda *given: stopped)
    lines = faults.lines(1.0, 'cpu')
    assert len(lines) == 9
    told = []
    with pytest.raises(KeyboardInterrupt):
        for line in lines[0]():
            told.append(line.what)
    assert told[0] == 'camera: dies' and len(told) == 4


def on_one_harness(names: list[str]) -> list[Fault]:
    return [dataclasses.replace(BY_NAME[name], where='policy') for name in names]


def test_real_faults_of_a_real_node_are_held_named_and_recovered_from() -> None:
    names = [
        'policy: NaN', 'policy: huge steps', 'camera: dies', 'joint state: stalls',
        'node: a tick hangs', 'node: its log drain is stopped',
    ]  # fmt: skip
    lines = measurements([run_section('policy', on_one_harness(names), rounds=1, seconds=0.0)])
    assert [line.what for line in lines[: len(names)]] == names
    for line in lines[: len(names)]:
        told = line.details
        assert (told['injected'], told['broken_promises']) == (1, {}), told['examples']
        assert told['named'] == '1/1'
        assert told['held_in_time'] == ('' if told['must'] in ('go on', 'limits') else '1/1')
    assert lines[-1].reference > 50  # commands that were judged


def test_chunks_from_a_process_of_its_own_keep_every_promise_too() -> None:
    names = ['chunks: NaN', 'chunks: camera dies', 'chunks: inference process killed']
    faults = [BY_NAME[name] for name in names]
    lines = measurements([run_section('chunks', faults, 1, seconds=0.0)])
    assert sorted(line.what for line in lines[:3]) == sorted(names)
    for line in lines[:3]:
        told = line.details
        assert (told['injected'], told['broken_promises']) == (1, {}), told['examples']
        assert (told['named'], told['held_in_time']) == ('1/1', '1/1'), line.what
    assert lines[-1].reference > 50
