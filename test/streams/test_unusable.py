# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a sampler cannot use is a gap with a name; joints come from whoever publishes them."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import recordings
from control_robots import formula_arm

from motion_policy.control.monitors import EffortMonitor
from motion_policy.control.observing import MeasuredJoints, robot_as_seen
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Row, Sample, Sampler, observation_from_row

MS = 1_000_000
# joint1, joint2, joint3 on one topic, stale after 0.2 s
ROBOT = robot_spec_from_yaml(
    re.sub('max_age: [0-9.]+', 'max_age: 0.2', robot_as_seen(formula_arm(), ()).to_yaml()), 'arm'
)
NAN = float('nan')


def at_ms(t_ms: float) -> int:
    return recordings.START_NS + round(t_ms * MS)


class Arm:
    """A sampler of the joints of `robot`, and what is measured of them."""

    def __init__(self, robot: Any = ROBOT) -> None:
        self.sampler = Sampler(robot.streams())
        self.measured = MeasuredJoints(robot)

    def push(
        self,
        t_ms: float,
        message: Any = None,
        stream: str = 'state',
        missing: int | None = None,
        **joints: float,
    ) -> None:
        message = message or recordings.joint_message(list(joints), list(joints.values()))
        sample = Sample(at_ms(t_ms), at_ms(t_ms), message, missing=missing)
        self.sampler.push(stream, sample)

    def read(self, t_ms: float) -> tuple[list[float] | None, dict[str, str]]:
        position, faults = self.measured.read(self.sampler.observe(at_ms(t_ms)))
        return None if position is None else position.tolist(), faults


def test_joints_of_several_publishers_on_one_topic_are_put_together() -> None:
    arm = Arm()
    arm.push(0, joint1=1.0, joint2=2.0)
    assert arm.read(5) == (
        None,
        {'state': "joint 'joint3' missing, the newest message has: joint1, joint2"},
    )
    arm.push(10, joint3=3.0, gripper_of_another=9.0)
    assert arm.read(15) == ([1, 2, 3], {})
    arm.push(20, joint1=1.5, joint2=2.5)
    row = arm.sampler.observe(at_ms(25))
    assert row.ages_ns == {'state': 15 * MS}  # of the oldest joint
    assert arm.measured.read(row)[0].tolist() == [1.5, 2.5, 3]  # type: ignore[union-attr]
    assert arm.measured.ages_ns(row).tolist() == [5 * MS, 5 * MS, 15 * MS]
    np.testing.assert_array_equal(observation_from_row(row, ROBOT).qpos, [1.5, 2.5, 3.0])


def test_the_joint_whose_publisher_fell_silent_is_named() -> None:
    arm = Arm()
    arm.push(0, joint3=3.0)
    for t_ms in range(0, 400, 10):
        arm.push(t_ms, joint1=1.0, joint2=2.0)
    assert arm.read(200)[1] == {}
    assert arm.read(310) == (
        None, {'state': "joint 'joint3': stale (0.31 s old, limit 0.2 s)"}
    )  # fmt: skip


def test_every_joint_that_is_missing_or_stale_is_named() -> None:
    arm = Arm()
    arm.push(0, joint2=2.0)
    assert arm.read(5)[1] == {
        'state': "joints 'joint1', 'joint3' missing, the newest message has: joint2"
    }
    for t_ms in range(0, 302, 2):
        arm.push(t_ms, joint2=2.0)
        if t_ms in (10, 20):
            arm.push(t_ms, **{f'joint{t_ms // 10 * 2 - 1}': 1.0})
    assert arm.read(205)[1] == {}
    assert arm.read(215) == (
        None, {'state': "joint 'joint1': stale (0.20 s old, limit 0.2 s)"}
    )  # fmt: skip
    assert arm.read(300) == (
        None, {'state': "joints 'joint1', 'joint3': stale (0.29 s old, limit 0.2 s)"}
    )  # fmt: skip
    arm.push(310, joint1=1.0, joint3=3.0)
    assert arm.read(315) == ([1, 2, 3], {})


def test_what_was_wrong_with_one_driver_is_told_whatever_the_others_say() -> None:
    arm = Arm()
    for t_ms in range(0, 400, 10):
        arm.push(t_ms, joint1=1.0, joint2=2.0)
        if t_ms % 50 == 0:
            arm.push(t_ms + 1, joint3=NAN if t_ms != 100 else 3.0)
        fault = arm.read(t_ms + 2)[1].get('state', '')
        if t_ms < 100:
            assert fault.startswith('missing, its messages cannot be used: ')
        elif t_ms < 300:
            assert not fault
        else:
            assert fault.startswith("joint 'joint3': stale (0.2")
        assert ("'joint3': position is nan" in fault) == bool(fault)
    arm.push(400, joint3=3.0)
    arm.push(400, joint1=1.0, joint2=2.0)
    arm.push(405, joint1=NAN, joint2=2.0, joint3=3.0)
    arm.push(410, joint1=1.0, joint2=2.0)
    arm.push(410, joint3=3.0)
    assert 'nan' not in arm.read(650)[1]['state']  # each joint was heard of since


@pytest.mark.parametrize('count', [6, 46])
def test_joints_may_come_one_by_one(count: int) -> None:
    """As many as two arms with hands have, each in a message of its own."""
    names = [f'joint{i}' for i in range(count)]
    robot = recordings.robot_with_leader('hands', names, ['top'], 8, 8, 50.0)
    arm = Arm(robot_as_seen(robot, ()))
    for t_ms in range(3 * count):
        arm.push(t_ms, **{names[t_ms % count]: float(t_ms)})
        position = arm.read(t_ms)[0]
        assert (position is None) == (t_ms < count - 1)
        if position is not None:
            assert sorted(position) == list(range(t_ms - count + 1, t_ms + 1))


def test_however_joints_are_spread_over_messages_each_has_its_newest_value() -> None:
    """Against the rule itself: the newest value of each, as old as the oldest of them."""
    names = [f'joint{i}' for i in range(8)]
    robot = robot_as_seen(recordings.robot_with_leader('r', names, ['top'], 8, 8, 50.0), ())
    random = np.random.default_rng(1)
    arm = Arm(robot)
    stamps, values = np.full(8, -1_000_000), np.full(8, np.nan)
    faults = 0
    for t_ms in range(0, 4_000, 4):
        columns = np.flatnonzero(random.random(8) < (0.3 if t_ms % 1_000 < 700 else 0.01))
        if len(columns):
            late_ms = int(random.integers(0, 3))  # less than a period: in the order of stamps
            position = 1e-4 * t_ms + 1e-3 * columns
            message = recordings.joint_message([names[c] for c in columns], position)
            arm.sampler.push('state', Sample(at_ms(t_ms - late_ms), at_ms(t_ms), message))
            stamps[columns], values[columns] = t_ms - late_ms, position
        found, fault = arm.read(t_ms)
        age_ms = t_ms - stamps
        faults += bool(fault)
        if age_ms.max() > 200:
            assert found is None
            line = fault['state']
            old = [f"'{name}'" for name, age in zip(names, age_ms, strict=True) if age > 200]
            assert all(name in line.partition(' (')[0] for name in old), line
        else:
            assert found == values.tolist()
    assert 50 < faults < 500


@pytest.mark.parametrize('behind_ms', [0, 150, 300])
def test_a_fast_arm_and_a_slow_gripper_whose_clock_is_behind(behind_ms: int) -> None:
    arm = Arm()
    for t_ms in range(0, 1_000, 2):
        arm.push(t_ms, joint1=1.0, joint2=2.0)
        if t_ms % 100 == 0:
            arm.sampler.push('state', Sample(
                at_ms(t_ms - behind_ms), at_ms(t_ms), recordings.joint_message(['joint3'], [3.0])
            ))  # fmt: skip
        found, faults = arm.read(t_ms)
        old_ms = t_ms % 100 + behind_ms
        assert (found is None) == (old_ms > 200)
        assert bool(faults) == (old_ms > 200)
        if behind_ms == 300:
            assert faults['state'].startswith("joint 'joint3': stale")
            assert 'its clock is behind' in faults['state']


def test_of_a_joint_in_two_messages_the_newest_value_stands() -> None:
    arm = Arm()
    arm.push(0, joint1=1.0, joint2=2.0, joint3=3.0)
    arm.push(10, joint2=20.0)
    assert arm.read(15)[0] == [1, 20, 3]
    arm.push(20, joint1=1.0, joint2=2.0, joint3=3.0)
    assert arm.read(25)[0] == [1, 2, 3]
    row = arm.sampler.observe(at_ms(28))
    arm.measured.read(row)
    assert arm.measured.ages_ns(row).tolist() == [8 * MS] * 3


def test_velocities_are_put_together_only_where_everybody_reports_them() -> None:
    arm = Arm()
    arm.push(0, recordings.joint_message(['joint3'], [3.0], velocity=[0.3]))
    arm.push(0, recordings.joint_message(['joint2', 'joint1'], [2.0, 1.0], velocity=[0.2, 0.1]))
    row = arm.sampler.observe(at_ms(5))
    np.testing.assert_array_equal(
        observation_from_row(row, ROBOT).qvel, np.float32([0.1, 0.2, 0.3])
    )
    arm.push(100, recordings.joint_message(['joint2', 'joint1'], [2.0, 1.0], velocity=[0.2, 0.1]))
    arm.push(210, joint3=3.0)
    row = arm.sampler.observe(at_ms(215))
    np.testing.assert_array_equal(observation_from_row(row, ROBOT).qvel, np.zeros(3))


def test_a_topic_may_be_listed_twice_with_different_joints() -> None:
    text = ROBOT.to_yaml()
    head, _, tail = text.partition('  state:')
    rest = tail.partition('  command:')[2]
    robot = robot_spec_from_yaml(
        f"""{head}  state:
  - {{topic: joint_states, type: sensor_msgs/msg/JointState, joints: [joint1, joint2]}}
  - {{topic: joint_states, type: sensor_msgs/msg/JointState, joints: [joint3]}}
  command:{rest}""",
        'two.yaml',
    )
    arm = Arm(robot)
    for message in (
        recordings.joint_message(['joint1', 'joint2'], [1.0, 2.0]),
        recordings.joint_message(['joint3'], [3.0]),
    ):
        for stream in ('state_0', 'state_1'):
            arm.push(0, message, stream)
    assert arm.read(5) == ([1, 2, 3], {})


def test_messages_without_any_of_our_joints_are_not_for_us() -> None:
    arm = Arm()
    arm.push(0, **{'left/joint1': 7.0})
    assert arm.read(5) == (
        None,
        {'state': 'every joint missing, the newest message has: left/joint1'},
    )
    arm.push(10, joint1=1.0, joint2=2.0, joint3=3.0)
    arm.push(11, **{'left/joint1': 7.0, 'left/joint2': NAN})
    assert arm.read(15) == ([1, 2, 3], {})
    counters = arm.sampler.counters['state']
    assert (counters.received, counters.foreign, counters.unusable) == (3, 2, 0)


NAMES = ['joint1', 'joint2', 'joint3']
UNUSABLE = {
    'no names': (recordings.joint_message([], []), 'its list of names is empty'),
    'NaN': (recordings.joint_message(NAMES, [1.0, NAN, 3.0]), "'joint2': position is nan"),
    'infinity': (recordings.joint_message(NAMES, [1, 2, float('inf')]), "'joint3': position is"),
    'more than float32': (recordings.joint_message(NAMES, [1, -1e300, 1e300]), 'float32'),
    'too few': (recordings.joint_message(NAMES, [1.0, 2.0]), '2 positions, expected 3'),
    'twice': (recordings.joint_message([*NAMES, 'joint1'], [1, 2, 3, 4]), "'joint1' is in the"),
    'no fields': (SimpleNamespace(name=NAMES), 'cannot be read'),
}


@pytest.mark.parametrize('kind', UNUSABLE)
def test_an_unusable_message_is_not_taken_but_counted_and_named(kind: str) -> None:
    message, words = UNUSABLE[kind]
    arm = Arm()
    arm.push(0, message)
    assert 'missing, its messages cannot be used' in arm.read(5)[1]['state']
    arm.push(10, joint1=1.0, joint2=2.0, joint3=3.0)
    arm.push(20, message)
    assert arm.read(25) == ([1, 2, 3], {})
    counters = arm.sampler.counters['state']
    assert (counters.received, counters.unusable) == (3, 2)
    assert words in counters.reason
    fault = arm.read(250)[1]['state']
    assert fault.startswith('stale (0.24 s old, limit 0.2 s), its newest message is unusable: ')
    assert words in fault
    arm.push(260, joint1=1.0, joint2=2.0, joint3=3.0)
    assert arm.read(265) == ([1, 2, 3], {})


@pytest.mark.parametrize('lacking', [[], [NAN] * 3, [1.0, NAN, 3.0], [1.0, 2.0]], ids=str)
def test_efforts_that_a_message_lacks_stand_while_they_are_fresh(lacking: list[float]) -> None:
    arm = Arm()

    held: list[bool] = []
    of_itself = lacking if lacking == [1.0, NAN, 3.0] else [NAN] * 3

    def standing(*earlier: float) -> list[float]:
        return np.where(np.isnan(of_itself), earlier, of_itself).tolist()

    def effort(t_ms: float, values: list[float]) -> list[float] | None:
        arm.push(t_ms, recordings.joint_message(NAMES, [1.0, 2.0, 3.0], effort=values))
        observation = observation_from_row(arm.sampler.observe(at_ms(t_ms + 1)), ROBOT)
        found = observation.effort
        held.append(observation.held == {'effort'})
        return None if found is None else found.tolist()

    assert effort(0, lacking) is None
    assert effort(10, [4.0, 5.0, 6.0]) == [4, 5, 6]
    assert effort(20, lacking) == standing(4, 5, 6)
    assert effort(30, [7.0, 8.0, 9.0]) == [7, 8, 9]
    assert effort(200, lacking) == standing(7, 8, 9)
    assert effort(240, lacking) is None
    assert held == [False, False, True, False, True, False]
    assert arm.sampler.counters['state'].unusable == 0


def test_a_field_that_cannot_be_taken_is_left_out_and_named() -> None:
    arm = Arm()

    def qvel(t_ms: float, velocity: list[float]) -> list[float]:
        arm.push(t_ms, recordings.joint_message(NAMES, [t_ms, 2.0, 3.0], velocity=velocity))
        row = arm.sampler.observe(at_ms(t_ms + 1))
        observation = observation_from_row(row, ROBOT)
        assert row.complete and observation.qpos.tolist() == [t_ms, 2, 3]
        return [round(float(value), 3) for value in observation.qvel]

    assert qvel(0, [0.1, 0.2]) == [0, 0, 0]  # as where nobody reports velocities
    assert qvel(10, [0.1, 0.2, 0.3]) == [0.1, 0.2, 0.3]
    assert qvel(20, [0.4, 0.5]) == [0.1, 0.2, 0.3]  # the last one that could be taken
    assert qvel(250, [0.4, 0.5]) == [0, 0, 0]  # which is too old now
    counters = arm.sampler.counters['state']
    assert (counters.received, counters.unusable, counters.partial) == (4, 0, 3)
    assert counters.left_out == 'velocity left out: 2 values for 3 names'
    arm.push(260, recordings.joint_message(NAMES, [1.0, 2.0, 3.0], effort=[1.0]))
    assert arm.sampler.counters['state'].left_out == (
        'velocity left out: 2 values for 3 names; effort left out: 1 values for 3 names'
    )


def test_velocities_and_efforts_are_put_together_joint_by_joint() -> None:
    """A broadcaster has no interface for the gripper, whose driver reports that one."""
    arm = Arm()

    def broadcast(t_ms: float) -> None:
        own = {'velocity': [0.1, 0.2, NAN], 'effort': [t_ms, 2.0, NAN]}
        arm.push(t_ms, recordings.joint_message(NAMES, [1.0, 2.0, 3.0], **own))

    def seen(t_ms: float) -> Any:
        return observation_from_row(arm.sampler.observe(at_ms(t_ms)), ROBOT)

    broadcast(0)
    lacking = seen(1)
    assert lacking.effort is None and not lacking.has_qvel and not lacking.qvel.any()
    assert lacking.lacking == {'velocity': ('joint3',), 'effort': ('joint3',)}
    arm.push(5, recordings.joint_message(['joint3'], [3.5], velocity=[0.3], effort=[9.0]))
    whole = seen(6)
    np.testing.assert_array_equal(whole.qvel, np.float32([0.1, 0.2, 0.3]))
    assert whole.effort.tolist() == [0, 2, 9] and whole.qpos[2] == 3.5
    assert not whole.lacking and not whole.held
    broadcast(10)
    assert seen(11).effort.tolist() == [10, 2, 9] and seen(11).held == {'velocity', 'effort'}
    broadcast(205)
    assert seen(206).effort.tolist() == [205, 2, 9]
    broadcast(206)  # the gripper's own is older than 0.2 s now
    assert seen(207).effort is None and seen(207).lacking['effort'] == ('joint3',)


def test_the_newest_effort_of_a_joint_stands_whichever_driver_spoke_first() -> None:
    arm = Arm()
    for t_ms in (0, 10):
        whole = recordings.joint_message(NAMES, [1.0, 2.0, 3.0], effort=[t_ms + 1.0] * 3)
        arm.push(t_ms, whole)
        if t_ms == 0:
            arm.push(5, recordings.joint_message(['joint3'], [3.0], effort=[5.0]))
    arm.push(12, joint3=3.0)
    observation = observation_from_row(arm.sampler.observe(at_ms(13)), ROBOT)
    assert observation.effort is not None and observation.effort.tolist() == [11, 11, 11]
    assert observation.held == {'effort'}


def test_however_efforts_are_spread_over_messages_each_joint_has_its_newest_one() -> None:
    """Against the rule itself, with more sets of joints than are kept apart."""
    names = [f'joint{i}' for i in range(8)]
    robot = robot_as_seen(recordings.robot_with_leader('r', names, ['top'], 8, 8, 50.0), ())
    random, arm = np.random.default_rng(2), Arm(robot)
    reported_ms, standing = np.full(8, -1_000_000), np.full(8, np.nan)
    without = 0
    for t_ms in range(0, 4_000, 4):
        columns = np.flatnonzero(random.random(8) < 0.3)
        if t_ms == 0:
            columns = np.arange(8)
        if len(columns):
            efforts = t_ms + 0.1 * columns
            efforts[random.random(len(columns)) < (0.9 if t_ms % 1_000 > 500 else 0.3)] = np.nan
            there = ~np.isnan(efforts)
            message = recordings.joint_message(
                [names[c] for c in columns], np.zeros(len(columns)),
                effort=efforts if there.any() else [],
            )  # fmt: skip
            arm.push(t_ms, message)
            reported_ms[columns[there]], standing[columns[there]] = t_ms, efforts[there]
            # What a message holds of a joint is as old as that message says.
            old = columns[t_ms - reported_ms[columns] > 200]
            standing[old] = np.nan
        row = arm.sampler.observe(at_ms(t_ms))
        found = observation_from_row(row, robot).effort
        without += found is None
        expected = None if np.isnan(standing).any() else np.float32(standing).tolist()
        assert (None if found is None else found.tolist()) == expected, t_ms
    assert 50 < without < 900


def test_what_one_driver_does_not_report_costs_no_limit_of_the_others_effort() -> None:
    robot = ROBOT.model_copy(update={'effort_limits': (5.0, 5.0, 0.0)})
    monitor, arm = EffortMonitor(robot), Arm(robot)

    def told(t_ms: float, *efforts: float) -> str:
        arm.push(t_ms, recordings.joint_message(['joint1', 'joint2'], [1.0, 2.0], effort=efforts))
        arm.push(t_ms, joint3=3.0)
        assert arm.read(t_ms + 1)[0] == [1, 2, 3]
        return monitor.check(arm.measured.effort())

    assert 'reports none, expected one for every joint' in told(0)
    assert told(10, 1.0, NAN) == (
        "effort: the joint state reports none of joint 'joint2', which has a limit"
    )
    assert told(20, 1.0, 2.0) == ''
    assert told(30, 1.0, -6.0) == "effort: joint 'joint2' has -6.00, limit 5"


def test_what_is_dropped_is_told_of_the_joints_of_each_driver() -> None:
    arm = Arm()
    for t_ms in range(0, 2_000, 10):
        if t_ms % 100 != 50:
            arm.push(t_ms, joint1=1.0, joint2=2.0)
        if t_ms % 30 == 0 and t_ms != 600:
            arm.push(t_ms, joint3=3.0)
    counters = arm.sampler.counters['state']
    assert counters.dropped == 21
    assert counters.dropped_of == "joints 'joint1', 'joint2': 20; joint 'joint3': 1"


def test_what_is_dropped_is_what_the_numbers_of_messages_say_where_they_have_some() -> None:
    arm = Arm()
    for t_ms, joints, missing in (
        (0, {'joint1': 1.0, 'joint2': 2.0}, 0),
        (1, {'joint3': 3.0}, 0),
        (2, {'joint1': 1.0, 'joint2': 2.0}, 0),
        (300, {'joint1': 1.0, 'joint2': 2.0}, 4),
        (301, {'joint3': 3.0}, 1),
        (302, {'joint1': 1.0, 'joint2': 2.0}, -1),
        (303, {'other': 1.0}, 2),
    ):
        arm.push(t_ms, missing=missing, **joints)
    counters = arm.sampler.counters['state']
    assert (counters.received, counters.dropped, counters.foreign) == (7, 6, 1)
    assert counters.dropped_of == "joints 'joint1', 'joint2': 3; joint 'joint3': 1"
    arm.sampler.reset_counters()
    assert arm.sampler.counters['state'].dropped == 0


@pytest.mark.parametrize('seed', range(3))
def test_a_joint_that_only_sometimes_comes_with_the_others_is_no_loss_of_messages(
    seed: int,
) -> None:
    arm, random = Arm(), np.random.default_rng(seed)
    for t_ms in range(0, 4_000, 10):
        joints = {'joint1': 1.0, 'joint2': 2.0}
        if t_ms == 0 or random.random() < 0.3:
            joints['joint3'] = 3.0
        arm.push(t_ms, **joints)
    counters = arm.sampler.counters['state']
    assert (counters.received, counters.dropped, counters.dropped_of) == (400, 0, '')


def test_the_clock_of_one_publisher_that_leads_is_named() -> None:
    arm = Arm()
    arm.push(0, joint1=1.0, joint2=2.0)
    arm.sampler.push(
        'state', Sample(at_ms(500), at_ms(0), recordings.joint_message(['joint3'], [3.0]))
    )
    row = arm.sampler.observe(at_ms(5))
    assert row.skews_ns == {'state': 500 * MS}
    assert arm.measured.read(row)[0] is None
    assert row.faults['state'] == (
        "joint 'joint3': clocks disagree by 0.5 s: chrony or PTP, or stamp: receive"
    )


TOP = recordings.tabletop()


def frame(index: int, size: tuple[int, int] = (128, 128)) -> Any:
    return recordings.image_message(recordings.scene(index, *size), 'rgb8')


def camera_row(*messages: Any, decodes: bool = True) -> tuple[Sampler, Row]:
    """The row after messages 10 ms apart, and its sampler."""
    streams = [stream for stream in TOP.streams() if stream.name == 'top']
    sampler = Sampler(streams, decodes=decodes)
    for index, message in enumerate(messages):
        sampler.push('top', Sample(at_ms(10 * index), at_ms(10 * index), message))
    return sampler, sampler.observe(at_ms(10 * len(messages)))


@pytest.mark.parametrize('decodes', [False, True])
def test_a_frame_of_another_size_or_encoding_is_not_taken(decodes: bool) -> None:
    short = frame(2)
    short.data = short.data[:-1]
    depth = frame(2)
    depth.encoding = '16UC1'
    for bad, words in ((frame(2, (96, 128)), '128x96'), (short, 'bytes'), (depth, '16UC1')):
        sampler, row = camera_row(frame(1), bad, decodes=decodes)
        assert row.complete and row.ages_ns['top'] == 20 * MS
        assert sampler.counters['top'].unusable == 1
        assert words in sampler.counters['top'].reason


def compressed(data: bytes) -> Any:
    return SimpleNamespace(header=recordings.header(0), format='jpeg', data=data)


def cut_jpeg() -> bytes:
    data = cv2.imencode('.jpg', recordings.scene(2))[1].tobytes()
    return data[: len(data) // 2] + data[-2:]


def test_a_frame_that_cannot_be_decoded_leaves_the_one_before() -> None:
    sampler, row = camera_row(frame(1), compressed(cut_jpeg()))
    assert row.complete and row.ages_ns['top'] == 20 * MS
    np.testing.assert_array_equal(row.samples['top'].value, recordings.scene(1))
    assert sampler.counters['top'].unusable == 1
    assert 'cannot be used' in camera_row(compressed(cut_jpeg()))[1].faults['top']


def test_who_decodes_later_may_reject_a_frame() -> None:
    sampler, row = camera_row(frame(1), compressed(cut_jpeg()), decodes=False)
    assert row.ages_ns['top'] == 10 * MS
    row = sampler.reject(row, 'top', 'no image')
    assert row.complete and row.ages_ns['top'] == 20 * MS
    assert row.samples['top'].value.encoding == 'rgb8'
    row = sampler.reject(row, 'top', 'black')
    assert row.faults == {'top': 'missing, its messages cannot be used: black'}
    assert 'top' not in row.samples
    assert sampler.counters['top'].unusable == 2


@pytest.mark.parametrize('every', [1, 3])
def test_a_joint_that_two_nodes_publish_is_named_while_they_do(every: int) -> None:
    """Rows of a slow rate may all be of one of them, which no look at rows tells."""
    arm = Arm()
    for t_ms in range(0, 3_000, 10):
        arm.push(t_ms, joint1=0.5 + t_ms * 1e-4, joint2=2.0, joint3=0.0)
        if 500 <= t_ms < 700 and t_ms % (10 * every) == 0:
            arm.push(t_ms + 1, joint1=0.0, joint2=0.0, joint3=0.0)
        told = arm.sampler.observe(at_ms(t_ms + 2)).faults
        assert bool(told) == (t_ms >= 530 if every == 1 else t_ms >= 640), t_ms
    assert told == {'state': "joint 'joint1' is 0.57 and 0 in turn: do several nodes publish it?"}
    assert arm.sampler.observe(at_ms(4_000)).faults['state'].startswith('stale')


def test_an_arm_that_shakes_is_one_arm() -> None:
    arm = Arm()
    for t_ms in range(0, 2_000, 10):
        swing = 0.3 * np.sin(2 * np.pi * 3 * t_ms / 1000)  # 5.6 rad/s
        arm.push(t_ms, joint1=swing, joint2=2.0, joint3=1.0 if t_ms % 500 else 1.3)
        assert arm.sampler.observe(at_ms(t_ms + 2)).faults == {}
