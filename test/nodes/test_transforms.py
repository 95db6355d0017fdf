# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms over real DDS: recorded, and imported of a bag of the same messages, alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from heard_messages import datasets, keep_heard
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from ros_testing import Bench, ros_bench
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from tf2_type import tf_message_class
from transform_messages import STORE, TYPE, matrix, transform_bytes, turned

from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode, import_bag
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Sample

TEXT = """
name: seen_arm
rate: 50.0
joints:
  names: [a]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 2.0}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits: {position: [[-9, 9]], velocity: [99], acceleration: [99]}
vectors:
  tcp: {transform: [base_link, tool0], max_age: 2.0}
  lens: {transform: [tool0, lens], max_age: 2.0, fields: [translation]}
"""
ROBOT = robot_spec_from_yaml(TEXT, 'seen.yaml')
FLANGE = turned([1, 0, 0], math.pi, [0, 0, 0.1])
LENS = turned([0, 1, 0], 0.5, [0.05, 0, 0.02])
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def link(angle: float) -> list[float]:
    return turned([0, 0, 1], angle, [0.0, 0.2, 0.3])


class Frames:
    """Publish the arm's links at 100 Hz, turning; what does not move was said by two, once."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.tick = 0
        self.ticks: dict[int, int] = {}  # by stamp
        self.kind = tf_message_class()
        self.states = bench.client.create_publisher(JointState, 'joint_states', 10)
        self.moving = bench.client.create_publisher(self.kind, 'tf', 100)
        self.latched = [
            self.latch('wrist', 'tool0', FLANGE),
            self.latch('base_link', 'lens', LENS),
        ]
        bench.client.create_timer(0.01, self.speak)

    def latch(self, parent: str, child: str, pose: list[float]) -> Any:
        publisher = self.bench.client.create_publisher(self.kind, 'tf_static', LATCHED)
        publisher.publish(transform_bytes((parent, child, 1, pose)))
        return publisher

    def speak(self) -> None:
        stamp_ns = self.bench.client.get_clock().now().nanoseconds
        self.ticks[stamp_ns] = self.tick
        elbow, wrist = (link(rate * self.tick) for rate in (0.05, 0.03))
        self.moving.publish(
            transform_bytes(
                ('base_link', 'elbow', stamp_ns, elbow), ('elbow', 'wrist', stamp_ns, wrist)
            )
        )
        if self.tick % 2 == 0:
            self.states.publish(JointState(name=['a'], position=[0.01 * self.tick]))
        self.tick += 1

    def run(self, ticks: int) -> None:
        end = self.tick + ticks
        self.bench.spin_until(lambda: self.tick >= end, 'the frames to move')


@pytest.fixture
def frames(ros_domain: int) -> Iterator[Frames]:
    with ros_bench() as bench:
        yield Frames(bench)


def write_bag(path: Path, heard: list[tuple[str, Sample]], *, static: bool = True) -> None:
    """Write messages with the times at which they were received, once for all their streams."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(f'/{topic}', kind, typestore=STORE)
            for topic, kind in (
                ('joint_states', 'sensor_msgs/msg/JointState'), ('tf', TYPE), ('tf_static', TYPE)
            )
            if static or topic != 'tf_static'
        }  # fmt: skip
        for name, sample in heard:
            message = sample.value
            if name == 'state':
                data = serialize_message(message)
                writer.write(connections['joint_states'], sample.receive_ns, data)
            elif name == 'tcp':
                topic = 'tf_static' if message.is_static else 'tf'
                if topic in connections:
                    writer.write(connections[topic], sample.receive_ns, message.data)


def test_transforms_are_recorded_over_dds_as_a_bag_of_the_same_messages_gives_them(
    frames: Frames, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'seen.yaml').write_text(TEXT)
    settings = {'robot': str(tmp_path / 'seen.yaml'), 'directory': str(tmp_path / 'recorded')}
    overrides = [Parameter(name, value=value) for name, value in settings.items()]
    node = RecorderNode(context=frames.bench.context, parameter_overrides=overrides)
    heard = keep_heard(node)
    frames.bench.add(node)
    frames.bench.spin_until(
        lambda: node.recorder.row is not None and node.recorder.row.complete, 'all streams'
    )
    assert frames.bench.call(Trigger, 'recorder_node/start').success
    frames.run(200)  # the wrist turns all the way round
    response = frames.bench.call(Trigger, 'recorder_node/stop')
    assert response.success and 'not taken' not in response.message

    [path] = (tmp_path / 'recorded').glob('*.hdf5')
    assert check_episode(path) == []
    write_bag(tmp_path / 'bag', heard)
    [imported_path] = import_bag(tmp_path / 'bag', ROBOT, tmp_path / 'imported')
    recorded, imported = datasets(path), datasets(imported_path)
    rows = np.isin(imported['time_ns'], recorded['time_ns'])
    assert len(recorded['time_ns']) == rows.sum() >= 60
    assert recorded.keys() == imported.keys()
    del recorded['action']  # the last is that of the row after, of which the bag has one more
    for name, values in recorded.items():
        found = imported[name][rows] if values.ndim else imported[name]
        np.testing.assert_array_equal(values, found, err_msg=name)

    with EpisodeReader(path) as episode:
        tcp, lens = episode.vector('tcp'), episode.vector('lens')
        stamps = episode.stamps('tcp')
        assert stamps.counters.received > 100 and stamps.counters.unusable == 0
        assert (stamps.header_ns > 0).all() and (np.diff(stamps.header_ns) >= 0).all()
        assert lens.shape == (episode.length, 3)
        for row in range(episode.length):
            tick = frames.ticks[int(stamps.header_ns[row])]
            expected = matrix(link(0.05 * tick)) @ matrix(link(0.03 * tick)) @ matrix(FLANGE)
            np.testing.assert_allclose(matrix(tcp[row]), expected, atol=1e-6)
            seen = np.linalg.inv(expected) @ matrix(LENS)
            np.testing.assert_allclose(lens[row], seen[:3, 3], atol=1e-6)

    second = Node('second_driver', context=frames.bench.context, start_parameter_services=False)
    other = second.create_publisher(frames.kind, 'tf', 10)
    lines: list[str] = []

    def told() -> bool:
        other.publish(transform_bytes(('base_link', 'elbow', 1, link(0)), ('a', 'b', 1, link(0))))
        frames.run(1)
        node.streams.check(None)
        lines.extend(capfd.readouterr().err.splitlines())
        return any("'elbow'" in line for line in lines)

    frames.bench.spin_until(told, 'both publishers to be told of')
    [line] = [each for each in lines if 'several publishers' in each]
    assert "stream 'tcp' on topic /tf: frame 'elbow' from several" in line
    assert '/second_driver and /test_client: the newest transform counts' in line
    second.destroy_node()

    write_bag(tmp_path / 'alone', heard, static=False)
    notes: list[str] = []
    with pytest.raises(EpisodeError) as caught:
        import_bag(tmp_path / 'alone', ROBOT, tmp_path / 'none', note=notes.append)
    assert "stream 'tcp' (tf): missing, there is no frame 'tool0'" in str(caught.value)
    assert "has no messages of '/tf_static' (tcp, lens)" in notes[0]
    node.destroy_node()
