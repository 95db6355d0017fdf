# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors in rows: numbers of the newest message or a mean; what is no number is a gap."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import recordings

from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Row, Sample, Sampler, observation_from_row, stamp_ns
from motion_policy.streams.message_fields import FieldType, field_type

MS = 1_000_000
NAN = float('nan')
TEXT = recordings.with_vectors(recordings.tabletop()).to_yaml()
ROBOT = robot_spec_from_yaml(TEXT, 'arm').model_copy(update={'cameras': {}})
AVERAGED = robot_spec_from_yaml(TEXT.replace('newest', 'mean'), 'arm')


def at_ms(t_ms: float) -> int:
    return recordings.START_NS + round(t_ms * MS)


def wrench(x: Any, stamp_ms: float | None = None) -> Any:
    force = SimpleNamespace(x=x, y=2 * x, z=-1.0)
    stamp = 0 if stamp_ms is None else at_ms(stamp_ms)
    header = recordings.header(stamp)
    return SimpleNamespace(header=header, wrench=SimpleNamespace(force=force))


def skin(*data: Any) -> Any:
    return SimpleNamespace(data=data)


class Sensors:
    """A sampler of the vectors alone."""

    def __init__(self, robot: Any = ROBOT) -> None:
        self.sampler = Sampler(s for s in robot.streams() if s.role == 'vector')

    def push(self, t_ms: float, message: Any, name: str = 'wrench') -> None:
        self.sampler.push(name, Sample(stamp_ns(message), at_ms(t_ms), message))

    def row(self, t_ms: float) -> Row:
        return self.sampler.observe(at_ms(t_ms))

    def forces(self, t_ms: float) -> list[float]:
        values: list[float] = self.row(t_ms).samples['wrench'].value.tolist()
        return values


def test_the_newest_message_by_its_header_stands() -> None:
    sensors = Sensors()
    sensors.push(12, wrench(2.0, 10))
    sensors.push(13, wrench(1.0, 5))  # overtaken on its way
    assert sensors.forces(15) == [2.0, 4.0, -1.0]
    assert sensors.row(15).ages_ns['wrench'] == 5 * MS
    sensors.push(30, wrench(3.0, 18))
    assert sensors.forces(29) == [2.0, 4.0, -1.0]  # not yet received
    assert sensors.forces(30) == [3.0, 6.0, -1.0]


def test_a_message_without_header_counts_from_its_reception() -> None:
    sensors = Sensors()
    sensors.push(10, skin(1, 2, 3, 4), 'skin')
    row = sensors.row(14)
    assert row.samples['skin'].value.tolist() == [1, 2, 3, 4]
    assert (row.ages_ns['skin'], row.samples['skin'].header_ns) == (4 * MS, 0)


@pytest.mark.parametrize(
    'data',
    [
        array('f', [1.5, 2, 3, 4]),
        np.array([1.5, 2, 3, 4], '<f4'),
        [1.5, 2, True, 4],
        np.array([7, 8, 9, 255], np.uint8),
    ],
)
def test_arrays_of_every_kind_give_their_numbers(data: Any) -> None:
    sensors = Sensors()
    sensors.push(10, SimpleNamespace(data=data), 'skin')
    value = sensors.row(14).samples['skin'].value
    assert value.dtype == np.float64
    assert value.tolist() == [float(each) for each in data]


@pytest.mark.parametrize(
    ('name', 'message', 'reason'),
    [
        ('wrench', wrench(NAN), "'wrench.force.x' is nan, expected a finite number of float32"),
        ('wrench', wrench(-1e39), "'wrench.force.x' is -1e+39, expected a finite number"),
        ('wrench', wrench(2e38), "'wrench.force.y' is 4e+38, expected a finite number"),
        ('wrench', wrench('soft'), "'wrench.force.x' is no number"),
        ('wrench', skin(1), "there is no 'wrench.force.x' in the message"),
        ('skin', skin(1, 2, 3), "'data' holds 3 numbers, expected 4"),
        ('skin', skin(), "'data' holds 0 numbers, expected 4"),
        ('skin', skin(1, 2, 3, float('inf')), "'data[3]' is inf"),
        ('skin', skin(1, 2, [3], 4), "'data[2]' is no number"),
    ],
)
def test_what_is_no_number_is_a_gap_with_a_name_and_never_a_value(
    name: str, message: Any, reason: str
) -> None:
    sensors = Sensors()
    for t_ms in range(0, 50, 10):
        sensors.push(t_ms, wrench(1.0))
        sensors.push(t_ms, skin(1, 1, 1, 1), 'skin')
    for t_ms in range(50, 400, 10):
        for kind, sound in (('wrench', wrench(1.0)), ('skin', skin(1, 1, 1, 1))):
            sensors.push(t_ms, message if kind == name else sound, kind)
        row = sensors.row(t_ms)
        # The value before stands until it is too old; then the gap says what came instead.
        assert row.samples[name].value[0] == 1.0
        assert (name in row.faults) == (t_ms > 240)
    assert list(row.faults) == [name]
    assert row.faults[name].startswith('stale (0.35 s old') and reason in row.faults[name]
    counters = row.counters[name]
    assert (counters.unusable, counters.received) == (35, 40) and reason in counters.reason


def test_a_mean_is_that_of_the_messages_of_one_period() -> None:
    sensors = Sensors(AVERAGED)
    for t_ms in range(0, 40, 2):
        sensors.push(t_ms, wrench(float(t_ms)))
    # Of (0, 20] and (20, 40] ms: the rate of the robot is 50 Hz.
    assert sensors.forces(20) == [11.0, 22.0, -1.0]
    row = sensors.row(40)
    assert row.samples['wrench'].value.tolist() == [30.0, 60.0, -1.0]
    # Stamps and age are the newest message's.
    assert row.samples['wrench'].receive_ns == at_ms(38) and row.ages_ns['wrench'] == 2 * MS


def test_a_mean_has_nothing_in_it_from_after_its_row_nor_what_is_no_number() -> None:
    sensors = Sensors(AVERAGED)
    sensors.push(5, wrench(1.0, 4))
    sensors.push(12, wrench(3.0, 11))
    sensors.push(13, wrench(NAN, 12))
    sensors.push(25, wrench(100.0, 14))  # stamped before the row, received after it
    assert sensors.forces(20)[0] == 2.0
    assert sensors.forces(33)[0] == 100.0  # the message of 11 ms is over a period old


def test_where_no_message_is_of_the_period_the_newest_stands_as_long_as_it_counts() -> None:
    sensors = Sensors(AVERAGED)
    sensors.push(5, wrench(1.0))
    sensors.push(8, wrench(2.0))
    assert sensors.forces(150) == [2.0, 4.0, -1.0]
    assert sensors.row(209).faults['wrench'].startswith('stale (0.20 s old, limit 0.2 s)')


def test_the_mean_of_a_long_period_is_that_of_all_of_it() -> None:
    robot = AVERAGED.model_copy(update={'rate': 0.1})
    sensors = Sensors(robot)
    for t_s in range(21):
        sensors.push(1000 * t_s, wrench(float(t_s)))
    assert sensors.forces(20_000) == [15.5, 31.0, -1.0]


def last(count: int) -> Sensors:
    text = TEXT.replace('window: newest', f'window: last\n    count: {count}', 1)
    return Sensors(robot_spec_from_yaml(text, 'arm'))


def test_the_last_messages_stand_in_their_order_and_the_first_of_them_before() -> None:
    sensors = last(4)
    assert 'wrench' in sensors.row(0).faults
    for t_ms in range(0, 40, 2):
        sensors.push(t_ms + 1, wrench(float(t_ms), t_ms))
        if t_ms == 2:
            sample = sensors.row(4).samples['wrench']
            assert sample.value[:, 0].tolist() == [0, 0, 0, 2] and sample.messages == 2
    row = sensors.row(35)
    sample = row.samples['wrench']
    assert sample.value.tolist() == [[t, 2 * t, -1] for t in (28, 30, 32, 34)]
    assert sample.messages == 4
    # Stamps and age are the newest message's.
    assert (sample.header_ns, sample.receive_ns) == (at_ms(34), at_ms(35))
    assert row.ages_ns['wrench'] == 1 * MS
    assert sensors.row(35.5).samples['wrench'].value[:, 0].tolist() == [28, 30, 32, 34]
    sensors.push(41, wrench(NAN, 40))
    sensors.push(42, wrench(33.0, 33))  # overtaken on its way
    assert sensors.row(45).samples['wrench'].value[:, 0].tolist() == [33, 34, 36, 38]


def test_the_last_messages_reach_back_as_far_as_they_go_and_never_over_a_pause() -> None:
    sensors = last(60)
    for t_ms in range(0, 10_000, 100):  # 10 Hz: six seconds
        sensors.push(t_ms, wrench(float(t_ms)))
    sample = sensors.row(9_950).samples['wrench']
    assert sample.messages == 60
    assert sample.value[:, 0].tolist() == list(range(4_000, 10_000, 100))
    sensors.push(10_300, wrench(1.0))  # 0.4 s after, and 0.2 s is what a message counts
    sensors.push(10_400, wrench(2.0))
    sample = sensors.row(10_410).samples['wrench']
    assert sample.messages == 2
    assert sample.value[:, 0].tolist() == [1.0] * 59 + [2.0]
    assert sensors.row(10_601).faults['wrench'].startswith('stale (0.20 s old')


def test_an_observation_has_the_numbers_as_float32() -> None:
    sampler = Sampler(ROBOT.streams())
    for name, message in (
        ('state', recordings.joint_message(list(ROBOT.joints.names), [0.0] * 5)),
        ('leader', recordings.joint_message(list(ROBOT.joints.names), [0.0] * 5)),
        ('wrench', wrench(1 / 3)),
        ('skin', skin(1, 2, 3, 4)),
    ):
        sampler.push(name, Sample(0, at_ms(10), message))
    observation = observation_from_row(sampler.observe(at_ms(12)), ROBOT)
    forces = observation.vectors['wrench']
    assert forces.dtype == np.float32
    assert forces.tolist() == np.float32([1 / 3, 2 / 3, -1.0]).tolist()
    assert observation.vectors['skin'].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('double', FieldType('double')),
        ('double[9]', FieldType('double', 9)),
        ('sequence<float>', FieldType('float', 0)),
        ('sequence<uint8, 16>', FieldType('uint8', 0)),
        ('string<=12>', FieldType('string')),
        ('sequence<string<12>>', FieldType('string', 0)),
        ('geometry_msgs/Vector3', FieldType('geometry_msgs/msg/Vector3')),
        ('sequence<geometry_msgs/Pose>', FieldType('geometry_msgs/msg/Pose', 0)),
        ('geometry_msgs/Pose[2]', FieldType('geometry_msgs/msg/Pose', 2)),
    ],
)
def test_types_are_read_as_message_classes_tell_them(text: str, expected: FieldType) -> None:
    assert field_type(text) == expected
