# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors over real DDS: messages of any type are recorded, and imported, as the same numbers."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped, WrenchStamped
from heard_messages import datasets, keep_heard
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from reference_tables import page
from ros_testing import Bench, ros_bench
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float32MultiArray
from std_srvs.srv import Trigger

from motion_policy.episodes import EpisodeReader, check_episode, import_bag
from motion_policy.errors import UserError
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.nodes.subscriptions import fields_of
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Sample, StreamError
from motion_policy.streams.message_fields import with_known_fields

JOINTS = """
name: feeling_arm
rate: 50.0
joints:
  names: [a, b]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 2.0}
  leader: {topic: leader, type: sensor_msgs/msg/JointState, max_age: 2.0}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits: {position: [[-9, 9], [-9, 9]], velocity: [99, 99], acceleration: [99, 99]}
vectors:
"""
VECTORS = """
  wrench: {topic: ft/wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench], max_age: 2.0}
  press: {topic: ft/wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench.force.z],
    window: mean, max_age: 2.0}
  touch: {topic: ft/wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench.torque],
    window: last, count: 6, max_age: 2.0}
  tcp: {topic: tcp, type: geometry_msgs/msg/PoseStamped, max_age: 2.0,
    fields: [pose.position, pose.orientation.w]}
  tactile: {topic: skin, type: std_msgs/msg/Float32MultiArray, fields: ['data[4]'], max_age: 2.0}
  imu: {topic: imu, type: sensor_msgs/msg/Imu, max_age: 2.0,
    fields: [linear_acceleration, angular_velocity_covariance]}
"""
ROBOT = robot_spec_from_yaml(JOINTS + VECTORS, 'feeling.yaml')
VARIANCES = 'angular_velocity_covariance'
FORCES = ('x', 'y', 'z')
COLUMNS = {
    'wrench': tuple(f'wrench.{kind}.{axis}' for kind in ('force', 'torque') for axis in FORCES),
    'press': ('wrench.force.z',),
    'touch': tuple(f'wrench.torque.{axis}' for axis in FORCES),
    'tcp': (*(f'pose.position.{axis}' for axis in FORCES), 'pose.orientation.w'),
    'tactile': tuple(f'data[{place}]' for place in range(4)),
    'imu': (
        *(f'linear_acceleration.{axis}' for axis in FORCES),
        *(f'angular_velocity_covariance[{place}]' for place in range(9)),
    ),
}


def wrench(tick: int) -> WrenchStamped:
    message = WrenchStamped()
    for shift, axis in enumerate(FORCES):
        setattr(message.wrench.force, axis, tick / 7 + shift)
        setattr(message.wrench.torque, axis, -tick / 7 - shift)
    return message


def pose(tick: int) -> PoseStamped:
    message = PoseStamped()
    message.pose.position.x, message.pose.position.z = tick / 3, 0.1
    message.pose.orientation.w = math.cos(tick)
    return message


def skin(tick: int) -> Float32MultiArray:
    return Float32MultiArray(data=[tick + 0.1, tick + 0.2, tick + 0.3, 1e-9])


def imu(tick: int) -> Imu:
    message = Imu()
    message.linear_acceleration.y = 9.81 + tick
    message.angular_velocity_covariance = np.arange(9.0) * tick
    return message


def joints(tick: int) -> JointState:
    return JointState(name=['b', 'a'], position=[0.01 * tick, 0.02 * tick])


class Sensors:
    """Publish by formula: the wrench at 200 Hz, the rest at 50 Hz."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.tick = 0
        self.make: dict[str, tuple[int, Callable[[int], Any]]] = {
            'joint_states': (4, joints), 'leader': (4, joints), 'ft/wrench': (1, wrench),
            'tcp': (4, pose), 'skin': (4, skin), 'imu': (4, imu),
        }  # fmt: skip
        self.publishers = {
            topic: bench.client.create_publisher(type(make(0)), topic, 10)
            for topic, (_, make) in self.make.items()
        }
        bench.client.create_timer(0.005, self.speak)

    def speak(self) -> None:
        stamp = self.bench.client.get_clock().now().to_msg()
        for topic, (period, make) in self.make.items():
            if self.tick % period == 0:
                message = make(self.tick)
                if hasattr(message, 'header'):
                    message.header.stamp = stamp
                self.publishers[topic].publish(message)
        self.tick += 1

    def run(self, ticks: int) -> None:
        end = self.tick + ticks
        self.bench.spin_until(lambda: self.tick >= end, 'the sensors to speak')

    def call(self, service: str) -> Any:
        return self.bench.call(Trigger, f'recorder_node/{service}')


@pytest.fixture
def sensors(ros_domain: int) -> Iterator[Sensors]:
    with ros_bench() as bench:
        yield Sensors(bench)


def recorder(bench: Bench, folder: Path, text: str = JOINTS + VECTORS) -> RecorderNode:
    path = folder / 'feeling.yaml'
    path.write_text(text)
    settings = {'robot': str(path), 'directory': str(folder / 'recorded')}
    overrides = [Parameter(name, value=value) for name, value in settings.items()]
    return RecorderNode(context=bench.context, parameter_overrides=overrides)


def write_bag(path: Path, heard: list[tuple[str, Sample]], plugin: StoragePlugin) -> None:
    """Write messages with the times at which they were received, once for all their streams."""
    store = get_typestore(Stores.LATEST)
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {
            stream.name: writer.add_connection(f'/{stream.topic}', stream.type, typestore=store)
            for stream in ROBOT.streams()
            if stream.name not in ('press', 'touch')  # which have the messages of `wrench`
        }
        for name, sample in heard:
            if name in connections:
                data = serialize_message(sample.value)
                writer.write(connections[name], sample.receive_ns, data)


def test_vectors_are_recorded_over_dds_as_a_bag_of_the_same_messages_gives_them(
    sensors: Sensors, tmp_path: Path
) -> None:
    node = recorder(sensors.bench, tmp_path)
    heard = keep_heard(node)
    sensors.bench.add(node)
    sensors.bench.spin_until(lambda: all(node.streams.received.values()), 'all streams')
    sensors.run(20)
    assert sensors.call('start').success
    sensors.run(150)
    # Neither is a value: one number is none, one array has another size.
    sensors.make['ft/wrench'] = 1, lambda tick: broken_wrench(tick, tick % 2 == 0)
    sensors.make['skin'] = 4, lambda tick: Float32MultiArray(data=[1.0] * 5)
    sensors.run(20)
    response = sensors.call('stop')
    assert response.success, response.message
    assert "'wrench.force.z' is nan, expected a finite number of float32" in response.message
    assert "stream 'tactile' (skin)" in response.message
    assert "'data' holds 5 numbers, expected 4" in response.message

    [path] = (tmp_path / 'recorded').glob('*.hdf5')
    assert check_episode(path) == []
    recorded = datasets(path)
    for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        write_bag(tmp_path / plugin.name, heard, plugin)
        [imported_path] = import_bag(
            tmp_path / plugin.name, ROBOT, tmp_path / f'imported_{plugin.name}'
        )
        imported = datasets(imported_path)
        rows = np.isin(imported['time_ns'], recorded['time_ns'])
        assert len(recorded['time_ns']) == rows.sum() >= 25
        assert recorded.keys() == imported.keys()
        assert len(recorded) == 3 + 1 + 6 + 8 * 3 + 1 + 1
        for name, values in recorded.items():
            found = imported[name][rows] if values.ndim else imported[name]
            np.testing.assert_array_equal(values, found, err_msg=name)

    with EpisodeReader(path) as episode, h5py.File(path) as file:
        assert {n: v.columns for n, v in episode.robot.vectors.items()} == COLUMNS
        for name, columns in COLUMNS.items():
            dataset = file[f'observations/vectors/{name}']
            assert dataset.dtype == np.float32
            assert tuple(dataset.attrs['columns']) == columns
        assert episode.stamps('wrench').counters.unusable > 0
        assert (episode.stamps('tactile').header_ns == 0).all()  # such a message has no stamp
        assert (episode.stamps('imu').header_ns > 0).all()
        check_formula(episode, heard)


def broken_wrench(tick: int, broken: bool) -> WrenchStamped:
    message = wrench(tick)
    message.wrench.force.z = math.nan if broken else message.wrench.force.z
    return message


def check_formula(episode: EpisodeReader, heard: list[tuple[str, Sample]]) -> None:
    """Each row has the numbers of the messages that it names, or the mean of a period of them."""
    by_stamp: dict[str, dict[int, Any]] = defaultdict(dict)
    for name, sample in heard:
        by_stamp[name][sample.receive_ns] = sample.value
    tcp, tactile = episode.vector('tcp'), episode.vector('tactile')
    acceleration = episode.vector('imu')
    for row in range(episode.length):
        received = {name: int(episode.stamps(name).receive_ns[row]) for name in COLUMNS}
        at = by_stamp['tcp'][received['tcp']].pose
        assert tcp[row].tolist() == np.float32(
            [at.position.x, at.position.y, at.position.z, at.orientation.w]
        ).tolist()  # fmt: skip
        data = by_stamp['tactile'][received['tactile']].data
        assert tactile[row].tolist() == list(data)
        felt = by_stamp['imu'][received['imu']]
        assert acceleration[row, 1] == np.float32(felt.linear_acceleration.y)
        assert acceleration[row, 3:].tolist() == felt.angular_velocity_covariance.tolist()
    pressed = [s for name, s in heard if name == 'press']
    pressed = [s for s in pressed if math.isfinite(s.value.wrench.force.z)]
    averaged = [np.mean(of_period(episode, row, pressed)) for row in range(episode.length)]
    np.testing.assert_allclose(episode.vector('press')[:, 0], averaged, rtol=1e-6)
    touch, touched = episode.vector('touch'), [s for name, s in heard if name == 'touch']
    assert touch.shape == (episode.length, 6, 3) and (episode.messages('touch') == 6).all()
    for row in range(episode.length):
        last = last_received(episode, row, touched)[-6:]
        torques = [[s.value.wrench.torque.x, s.value.wrench.torque.y] for s in last]
        assert touch[row, :, :2].tolist() == np.float32(torques).tolist()


def last_received(episode: EpisodeReader, row: int, heard: list[Sample]) -> list[Sample]:
    """Those of which a row may know, the newest last."""
    time_ns = int(episode.time_ns[row])
    there = {min(s.header_ns, s.receive_ns): s for s in heard if s.receive_ns <= time_ns}
    return [there[t_ns] for t_ns in sorted(there)]


def of_period(episode: EpisodeReader, row: int, heard: list[Sample]) -> list[float]:
    """The forces of the last 20 ms, or of the newest message where there is none."""
    time_ns = int(episode.time_ns[row])
    there = {min(s.header_ns, s.receive_ns): s for s in heard if s.receive_ns <= time_ns}
    of_period = [s for t_ns, s in there.items() if time_ns - 20_000_000 < t_ns <= time_ns]
    return [s.value.wrench.force.z for s in of_period or [there[max(there)]]]


def test_forces_that_come_while_the_recorder_has_to_wait_are_not_lost(
    sensors: Sensors, tmp_path: Path
) -> None:
    """Half a second of a sensor at 1 kHz, in which no callback is served."""
    node = recorder(sensors.bench, tmp_path)
    sensors.bench.add(node)
    heard: list[float] = []
    push = node.recorder.push

    def push_and_keep(name: str, sample: Sample) -> None:
        if name == 'wrench':
            heard.append(sample.value.wrench.torque.x)
        push(name, sample)

    node.recorder.push = push_and_keep  # type: ignore[method-assign]
    sensors.bench.spin_until(lambda: node.streams.received['wrench'], 'a wrench')
    numbers = list(range(1000, 1500))
    for number in numbers:
        sensors.publishers['ft/wrench'].publish(wrench(-7 * number))
    sensors.bench.spin_until(lambda: numbers[-1] in heard, 'the last wrench')
    assert [number for number in heard if number in numbers] == numbers


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('fields: [wrench]', 'fields: [wrench.forse]', "no field 'forse', it has: force, torque"),
        ('[wrench]', '[header.frame_id]', "'header.frame_id': is string, expected numbers"),
        ('fields: [wrench]', 'fields: [header]', "'header.stamp.sec': is of a time"),
        ('fields: [wrench]', 'fields: [wrench.force.x.y]', 'nothing in a double'),
        ('fields: [wrench]', "fields: ['wrench.force.x[2]']", 'is one double'),
        ('fields: [wrench]', 'fields: [wrench, wrench.force]', "'wrench.force.x' more than once"),
        ("'data[4]'", 'data', 'is float[], expected its size: data[N]'),
        ("'data[4]'", "'layout.dim[2]'", 'MultiArrayDimension[], expected numbers'),
        (VARIANCES, f"'{VARIANCES}[8]'", f'expected {VARIANCES}[9]'),
        ('tcp, type', 'tcp, window: mean, type', 'mean of quaternions'),
        ('WrenchStamped', 'Wrenched', "package 'geometry_msgs' has no such one"),
        ('geometry_msgs', 'feeling_msgs', "package 'feeling_msgs' is not installed"),
    ],
)
def test_a_field_or_type_that_is_not_there_is_one_line_at_the_start(
    old: str, new: str, words: str
) -> None:
    robot = robot_spec_from_yaml(JOINTS + VECTORS.replace(old, new), 'feeling.yaml')
    with pytest.raises(StreamError) as caught:
        with_known_fields(robot, fields_of)
    line = str(caught.value)
    assert line.startswith("robot 'feeling_arm': vectors.") and words in line and '\n' not in line


def test_the_vectors_of_the_robot_spec_page_are_there() -> None:
    *_, example = re.findall(r'^```yaml\n(.*?)^```', page('robot_spec.md'), re.M | re.S)
    robot = robot_spec_from_yaml(JOINTS.removesuffix('vectors:\n') + example, 'page')
    known = with_known_fields(robot, fields_of).vectors
    assert {name: len(vector.columns) for name, vector in known.items()} == {
        'wrench': 6, 'tcp': 7, 'skin': 16, 'base': 2, 'touch': 3, 'flange': 7
    }  # fmt: skip


def test_several_nodes_that_publish_a_vector_are_named_once(
    sensors: Sensors, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    node = recorder(sensors.bench, tmp_path)
    told = 'comes from several publishers, /second_sensor and /test_client: the newest counts'
    log = ''

    def look() -> int:
        nonlocal log
        node.streams.check(None)
        log += capfd.readouterr().err
        return log.count(told)

    second = Node('second_sensor', context=sensors.bench.context, start_parameter_services=False)
    try:
        second.create_publisher(WrenchStamped, 'ft/wrench', 10)
        sensors.bench.spin_until(look, 'both publishers to be told of')
        assert [look(), look()] == [3, 3]  # of `wrench`, `press` and `touch`
    finally:
        second.destroy_node()
        node.destroy_node()


@pytest.mark.parametrize(
    ('topic', 'words'), [('/joint_states', 'incompatible type'), ('größe', 'Invalid topic name')]
)
def test_the_recorder_does_not_start_with_a_topic_that_cannot_be_heard(
    sensors: Sensors, tmp_path: Path, topic: str, words: str
) -> None:
    text = JOINTS + VECTORS.replace('topic: tcp,', f'topic: {topic},')
    with pytest.raises(UserError) as caught:
        recorder(sensors.bench, tmp_path, text)
    line = str(caught.value)
    assert line.startswith(f"stream 'tcp' on topic {topic} (geometry_msgs/msg/PoseStamped): ")
    assert words in line and '\n' not in line and ', at /' not in line


def test_the_recorder_does_not_start_with_a_field_that_is_not_there(
    sensors: Sensors, tmp_path: Path
) -> None:
    text = (JOINTS + VECTORS).replace('pose.position,', 'pose.place,')
    with pytest.raises(UserError, match=r"vectors\.tcp.*no field 'place', it has: position"):
        recorder(sensors.bench, tmp_path, text)
