# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Depth over real DDS is recorded to the bit, and imported from a bag as the same episode."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from heard_messages import datasets, keep_heard
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from recordings import depth_image, scene
from ros_testing import Bench, ros_bench
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_srvs.srv import Trigger

from motion_policy.episodes import EpisodeReader, check_episode, import_bag
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Sample

HEIGHT, WIDTH = 30, 40
SIZE = f'width: {WIDTH}, height: {HEIGHT}, max_age: 2.0'
ROBOT = robot_spec_from_yaml(
    f"""
name: deep_arm
rate: 50.0
joints:
  names: [a, b]
  state: {{topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 2.0}}
  command: {{topic: commands, type: std_msgs/msg/Float64MultiArray}}
  limits: {{position: [[-9, 9], [-9, 9]], velocity: [99, 99], acceleration: [99, 99]}}
cameras:
  top: {{topic: top/image_raw, {SIZE}}}
depth:
  top: {{topic: top/depth/image_raw, {SIZE}}}
  wrist: {{topic: wrist/depth/compressedDepth, type: sensor_msgs/msg/CompressedImage, {SIZE}}}
""",
    'deep.yaml',
)


def image(pixels: np.ndarray, encoding: str) -> Image:
    message = Image(height=HEIGHT, width=WIDTH, encoding=encoding)
    message.step = pixels.nbytes // HEIGHT
    message.data.frombytes(pixels.tobytes())
    return message


def compressed(tick: int, cut: int = 0) -> CompressedImage:
    message = CompressedImage(format='16UC1; compressedDepth png')
    data = struct.pack('<iff', 0, 0, 0) + cv2.imencode('.png', depth_image(tick))[1].tobytes()
    message.data.frombytes(data[: len(data) - cut])
    return message


class Cameras:
    """Publish by formula: joints and raw depth at 50 Hz, the others at 25 Hz."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.tick, self.cut = bench, 0, 0
        self.publishers = {
            stream.name: bench.client.create_publisher(kind, stream.topic, 10)
            for stream, kind in zip(
                ROBOT.streams(), (Image, JointState, Image, CompressedImage), strict=True
            )
        }
        bench.client.create_timer(0.02, self.speak)

    def speak(self) -> None:
        messages: dict[str, Any] = {
            'state': JointState(name=['b', 'a'], position=[0.01 * self.tick, 0.0]),
            'depth_top': image((depth_image(self.tick) / 1000).astype(np.float32), '32FC1'),
        }
        if self.tick % 2:
            messages['top'] = image(scene(self.tick, HEIGHT, WIDTH), 'rgb8')
            messages['depth_wrist'] = compressed(self.tick, self.cut)
        stamp = self.bench.client.get_clock().now().to_msg()
        for name, message in messages.items():
            message.header.stamp = stamp
            message.header.frame_id = str(self.tick)
            self.publishers[name].publish(message)
        self.tick += 1

    def run(self, ticks: int) -> None:
        end = self.tick + ticks
        self.bench.spin_until(lambda: self.tick >= end, 'the cameras to speak')

    def call(self, service: str) -> Any:
        return self.bench.call(Trigger, f'recorder_node/{service}')


@pytest.fixture
def cameras(ros_domain: int) -> Iterator[Cameras]:
    with ros_bench() as bench:
        yield Cameras(bench)


def write_bag(path: Path, heard: list[tuple[str, Sample]]) -> None:
    store = get_typestore(Stores.LATEST)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            stream.name: writer.add_connection(f'/{stream.topic}', stream.type, typestore=store)
            for stream in ROBOT.streams()
        }
        for name, sample in heard:
            data = serialize_message(sample.value)
            writer.write(connections[name], sample.receive_ns, data)


def test_depth_is_recorded_over_dds_as_a_bag_of_the_same_messages_gives_it(
    cameras: Cameras, tmp_path: Path
) -> None:
    spec = tmp_path / 'deep.yaml'
    spec.write_text(ROBOT.to_yaml())
    settings = {'robot': str(spec), 'directory': str(tmp_path / 'recorded'), 'compress': False}
    overrides = [Parameter(name, value=value) for name, value in settings.items()]
    node = RecorderNode(context=cameras.bench.context, parameter_overrides=overrides)
    heard = keep_heard(node)
    cameras.bench.add(node)
    cameras.bench.spin_until(lambda: all(node.streams.received.values()), 'all streams')
    cameras.run(10)
    assert cameras.call('start').success
    cameras.run(40)
    cameras.cut = 9
    cameras.run(6)
    response = cameras.call('stop')
    assert response.success, response.message
    assert "stream 'depth_wrist' (wrist/depth/compressedDepth): " in response.message
    assert 'messages were not taken' in response.message and 'PNG is damaged' in response.message

    [path] = (tmp_path / 'recorded').glob('*.hdf5')
    assert check_episode(path) == []
    write_bag(tmp_path / 'bag', heard)
    [imported_path] = import_bag(tmp_path / 'bag', ROBOT, tmp_path / 'imported', compress=False)
    recorded, imported = datasets(path), datasets(imported_path)
    rows = np.isin(imported['time_ns'], recorded['time_ns'])
    # A recording goes on to its stop, a bag ends with its last message.
    common = np.isin(recorded['time_ns'], imported['time_ns'])
    last_ns = max(sample.receive_ns for _, sample in heard)
    assert common.sum() == rows.sum() >= 25
    assert (recorded['time_ns'][~common] > last_ns).all()
    assert recorded.keys() == imported.keys()
    for name, values in recorded.items():
        if name != 'action':  # of the last row, which is not the last in the bag
            found = imported[name][rows] if values.ndim else imported[name]
            kept = values[common] if values.ndim else values
            np.testing.assert_array_equal(kept, found, err_msg=name)

    ticks = {
        (name, sample.receive_ns): int(sample.value.header.frame_id) for name, sample in heard
    }
    with EpisodeReader(path) as episode:
        for name in ROBOT.depth:
            received_ns = episode.stamps(f'depth_{name}').receive_ns
            for row in range(episode.length):
                expected = depth_image(ticks[f'depth_{name}', int(received_ns[row])])
                np.testing.assert_array_equal(episode.depth(name, row), expected)
        assert episode.stamps('depth_wrist').counters.unusable > 0
