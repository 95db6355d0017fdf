# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Joints are matched by name, and what a message does not report is never made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import recordings

from motion_policy.robot import JointTopic, RobotSpec, load_robot_spec, robot_spec_from_yaml
from motion_policy.streams import (
    Row,
    Sample,
    StreamError,
    observation_from_row,
    read_joints,
    stamp_ns,
)
from motion_policy.streams.joints import read_joint_message

NAN = float('nan')
ABC = ['a', 'b', 'c']


def test_joints_are_picked_by_name() -> None:
    message = recordings.joint_message(
        ['c', 'extra', 'a', 'b'], [3.0, 9.0, 1.0, 2.0], velocity=[30.0, 90.0, 10.0, 20.0]
    )
    reading = read_joints(message, ABC)
    np.testing.assert_array_equal(reading.position, [1.0, 2.0, 3.0])
    assert reading.velocity is not None
    np.testing.assert_array_equal(reading.velocity, [10.0, 20.0, 30.0])
    assert reading.effort is None
    assert reading.position.dtype == np.float64


def test_a_missing_joint_is_an_error_never_a_zero() -> None:
    with pytest.raises(StreamError, match=r"'b'.*a, c"):
        read_joints(recordings.joint_message(['a', 'c'], [1.0, 2.0]), ABC)


@pytest.mark.parametrize('bad', [NAN, float('inf'), -float('inf')])
def test_a_position_that_is_no_number_is_an_error(bad: float) -> None:
    with pytest.raises(StreamError, match=r"'b'.*position"):
        read_joints(recordings.joint_message(ABC, [1.0, bad, 2.0]), ABC)


def test_nan_where_the_hardware_has_no_interface_means_not_reported() -> None:
    message = recordings.joint_message(
        ABC, [1.0, 2.0, 3.0], velocity=[0.0, NAN, 0.0], effort=[NAN] * 3
    )
    reading = read_joints(message, ABC)
    np.testing.assert_array_equal(reading.velocity, [0.0, NAN, 0.0])  # type: ignore[arg-type]
    assert reading.effort is None
    assert reading.left_out == ''


def test_fewer_positions_than_names_is_an_error() -> None:
    with pytest.raises(StreamError, match='2 positions, expected 3'):
        read_joints(recordings.joint_message(ABC, [1.0, 2.0]), ABC)


@pytest.mark.parametrize(
    ('fields', 'told'),
    [
        ({'velocity': [1.0]}, 'velocity left out: 1 values for 3 names'),
        ({'effort': [1.0] * 4}, 'effort left out: 4 values for 3 names'),
        (
            {'velocity': [0.0, 0.0, float('inf')]},
            "velocity left out: joint 'c': velocity is inf, expected a finite number of float32",
        ),
        (
            {'velocity': [1.0, 2.0], 'effort': [1.0]},
            'velocity left out: 2 values for 3 names; effort left out: 1 values for 3 names',
        ),
    ],
)
def test_positions_do_not_depend_on_other_fields(fields: dict[str, Any], told: str) -> None:
    good = {'velocity': [0.1, 0.2, 0.3], 'effort': [1.0, 2.0, 3.0]}
    message = recordings.joint_message(ABC, [1.0, 2.0, 3.0], **{**good, **fields})
    reading = read_joints(message, ABC)
    assert reading.position.tolist() == [1.0, 2.0, 3.0]
    assert reading.left_out == told
    for name, values in good.items():
        found = getattr(reading, name)
        assert (None if found is None else found.tolist()) == (None if name in fields else values)


def test_stamps_are_integer_nanoseconds() -> None:
    message = SimpleNamespace(header=recordings.header(1_700_000_000_123_456_789))
    assert stamp_ns(message) == 1_700_000_000_123_456_789
    assert stamp_ns(SimpleNamespace(data=[])) == 0


def make_row(
    robot: RobotSpec, values: dict[str, Any], faults: dict[str, str] | None = None
) -> Row:
    samples = {name: Sample(1, 2, value) for name, value in values.items()}
    return Row(10, samples, faults or {}, dict.fromkeys(values, 9))


def tabletop_values() -> dict[str, Any]:
    robot = recordings.tabletop()
    names = list(robot.joints.names)
    return {
        'top': recordings.image_message(recordings.scene(1), 'rgb8'),
        'side': recordings.image_message(recordings.scene(2), 'rgb8'),
        'state': recordings.joint_message(
            names[::-1], [5.0, 4.0, 3.0, 2.0, 1.0], velocity=[0.5, 0.4, 0.3, 0.2, 0.1]
        ),
        'leader': recordings.joint_message(names, [1.1, 2.1, 3.1, 4.1, 5.1]),
    }


def test_an_observation_has_the_joint_order_of_the_robot() -> None:
    robot = recordings.tabletop()
    seen = observation_from_row(make_row(robot, tabletop_values()), robot)
    np.testing.assert_array_equal(seen.qpos, np.float32([1, 2, 3, 4, 5]))
    np.testing.assert_array_equal(seen.qvel, np.float32([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert seen.effort is None
    assert seen.action is not None
    np.testing.assert_array_equal(seen.action, np.float32([1.1, 2.1, 3.1, 4.1, 5.1]))
    np.testing.assert_array_equal(seen.images['side'], recordings.scene(2))
    assert {array.dtype for array in (seen.qpos, seen.qvel, seen.action)} == {np.dtype('float32')}


def test_streams_that_are_not_sampled_are_left_out() -> None:
    robot = recordings.tabletop()
    values = tabletop_values()
    del values['leader'], values['side']
    seen = observation_from_row(make_row(robot, values), robot)
    assert seen.action is None
    assert list(seen.images) == ['top']
    with pytest.raises(StreamError, match=r"'state' \(joint_states\)"):
        observation_from_row(make_row(robot, {'top': values['top']}), robot)


def test_velocities_that_nobody_reports_are_zero() -> None:
    robot = recordings.tabletop()
    values = tabletop_values()
    values['state'].velocity = []
    np.testing.assert_array_equal(
        observation_from_row(make_row(robot, values), robot).qvel, np.zeros(5, np.float32)
    )


def test_a_faulty_row_names_stream_and_topic() -> None:
    robot = recordings.tabletop()
    row = make_row(robot, tabletop_values(), {'top': 'stale (0.35 s old, limit 0.2 s)'})
    with pytest.raises(StreamError, match=r"'top' \(top/image_raw\): stale \(0.35 s old"):
        observation_from_row(row, robot)


def test_a_wrong_image_size_names_camera_and_both_sizes() -> None:
    robot = recordings.tabletop()
    values = tabletop_values()
    values['top'] = recordings.image_message(recordings.scene(1, 48, 64), 'rgb8')
    with pytest.raises(StreamError, match=r"'top' \(top/image_raw\).*64x48.*128x128"):
        observation_from_row(make_row(robot, values), robot)


def test_wrong_joint_names_name_stream_and_topic() -> None:
    robot = recordings.tabletop()
    values = tabletop_values()
    values['leader'] = recordings.joint_message(['l1', 'l2'], [0.0, 0.0])
    with pytest.raises(StreamError, match=r"'leader' \(leader/joint_states\).*'joint1'.*l1, l2"):
        observation_from_row(make_row(robot, values), robot)


def two_arm_values(robot: RobotSpec) -> dict[str, Any]:
    values = {}
    for shift, role in enumerate(('state', 'leader')):
        for arm, (name, topic) in enumerate(robot.joint_streams(role)):  # type: ignore[arg-type]
            positions = 100.0 * shift + 10.0 * arm + np.arange(7.0)
            values[name] = recordings.joint_message(
                [*topic.message_names, 'right_finger'], [*positions, 77.0]
            )
    return values


def test_two_arms_with_the_same_joint_names_are_put_together() -> None:
    robot = load_robot_spec('aloha')
    seen = observation_from_row(make_row(robot, two_arm_values(robot)), robot)
    np.testing.assert_array_equal(seen.qpos, [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16])
    assert seen.action is not None
    np.testing.assert_array_equal(seen.action[:6], [100, 101, 102, 103, 104, 105])


def test_a_leader_that_moves_otherwise_is_converted() -> None:
    robot = load_robot_spec('aloha')
    values = two_arm_values(robot)
    values['leader_0'].position[6], values['leader_1'].position[6] = 0.0185, 0.0323
    seen = observation_from_row(make_row(robot, values), robot)
    assert seen.action is not None
    np.testing.assert_allclose(seen.action[[6, 13]], [0.0440, 0.0579], atol=1e-4)
    # The followers themselves are read as they are.
    assert seen.qpos[6] == 6.0


def test_a_number_is_the_position_of_one_joint() -> None:
    topic = JointTopic(
        topic='lift', type='std_msgs/msg/Float64', joints=('lift',), message_names=('lift',),
        scale=(2.0,), offset=(1.0,),
    )  # fmt: skip
    assert read_joint_message(SimpleNamespace(data=0.5), topic).position.tolist() == [2.0]
    with pytest.raises(StreamError, match=r'lift.*nan'):
        read_joint_message(SimpleNamespace(data=NAN), topic)


@pytest.mark.parametrize(
    'kind',
    [
        'std_msgs/msg/Float64MultiArray',
        'std_msgs/msg/Float32MultiArray',
        'trajectory_msgs/msg/JointTrajectory',
    ],
)
def test_recorded_commands_can_be_the_action(kind: str) -> None:
    text = recordings.tabletop().to_yaml()
    head, leader, tail = text.partition('leader/joint_states')
    robot = robot_spec_from_yaml(
        head + leader + tail.replace('sensor_msgs/msg/JointState', kind, 1), 'x'
    )
    values = tabletop_values()
    names = list(robot.joints.names)
    point = SimpleNamespace(positions=[5.0, 4.0, 3.0, 2.0, 1.0])
    values['leader'] = (
        SimpleNamespace(data=[1.0, 2.0, 3.0, 4.0, 5.0])
        if 'MultiArray' in kind
        else SimpleNamespace(joint_names=names[::-1], points=[point])
    )
    seen = observation_from_row(make_row(robot, values), robot)
    assert seen.action is not None
    np.testing.assert_array_equal(seen.action, [1, 2, 3, 4, 5])
    if 'MultiArray' in kind:
        values['leader'].data = [1.0]
        with pytest.raises(StreamError, match=r"'leader'.*1 numbers, expected 5"):
            observation_from_row(make_row(robot, values), robot)
    else:
        values['leader'].points = []
        with pytest.raises(StreamError, match=r"'leader'.*no points"):
            observation_from_row(make_row(robot, values), robot)
