# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags beside episodes over real DDS: what is imported from them is what was recorded."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from heard_messages import datasets
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from recordings import depth_image, scene
from ros_testing import Bench, ros_bench
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_srvs.srv import Trigger
from tf2_type import tf_message_class
from transform_messages import transform_bytes, turned

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader, check_episode, import_bag
from motion_policy.episodes.formats.rosbag.write import BagWriter
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.robot import robot_spec_from_yaml

TEXT = """
name: seen_arm
rate: 50.0
joints:
  names: [a, b]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 20.0}
  leader: {topic: leader, type: sensor_msgs/msg/JointState, max_age: 20.0}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits: {position: [[-9, 9], [-9, 9]], velocity: [99, 99], acceleration: [99, 99]}
cameras:
  top: {topic: top/image_raw, width: 64, height: 48, max_age: 20.0}
  side: {topic: side/compressed, type: sensor_msgs/msg/CompressedImage, width: 64, height: 48,
    max_age: 20.0}
depth:
  top: {topic: top/depth, width: 40, height: 30, max_age: 20.0}
vectors:
  wrench: {topic: wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench.force],
    window: last, count: 4, max_age: 20.0}
  pressed: {topic: wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench.torque.z],
    window: mean, max_age: 20.0}
  tcp: {transform: [base_link, tool0], max_age: 20.0}
"""
ROBOT = robot_spec_from_yaml(TEXT, 'seen.yaml')
FLANGE = turned([1, 0, 0], math.pi, [0, 0, 0.1])
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Arm:
    """Publishes every stream by formula; transforms that do not move were said once, long ago."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.tick = 0
        make = bench.client.create_publisher
        self.images, self.depths = make(Image, 'top/image_raw', 5), make(Image, 'top/depth', 5)
        self.compressed = make(CompressedImage, 'side/compressed', 5)
        self.states, self.leaders = (make(JointState, n, 9) for n in ('joint_states', 'leader'))
        self.wrenches, kind = make(WrenchStamped, 'wrench', 50), tf_message_class()
        self.moving, self.static = make(kind, 'tf', 50), make(kind, 'tf_static', LATCHED)
        self.static.publish(transform_bytes(('wrist', 'tool0', 1, FLANGE)))
        bench.client.create_timer(0.01, self.speak)
        self.status: list[DiagnosticArray] = []
        bench.client.create_subscription(
            DiagnosticArray, 'recorder_node/status', self.status.append, 10
        )

    def bag_values(self) -> dict[str, str]:
        """What the newest status says of the recording."""
        return {v.key: v.value for v in self.status[-1].status[0].values} if self.status else {}

    def speak(self) -> None:
        """Publish what is due: the wrench and transforms at 100 Hz, joints at 50, images at 25."""
        now, tick = self.bench.client.get_clock().now(), self.tick
        wrench = WrenchStamped()
        wrench.header.stamp = now.to_msg()
        wrench.wrench.force.x, wrench.wrench.torque.z = 0.1 * tick, -0.3 * tick
        self.wrenches.publish(wrench)
        link = turned([0, 0, 1], 0.05 * tick, [0.0, 0.2, 0.3])
        self.moving.publish(transform_bytes(('base_link', 'wrist', now.nanoseconds, link)))
        if tick % 2 == 0:
            for publisher, shift in ((self.states, 0.0), (self.leaders, 0.5)):
                joints = JointState(name=['b', 'a'], position=[0.01 * tick + shift, -0.02 * tick])
                joints.header.stamp = now.to_msg()
                publisher.publish(joints)
        if tick % 4 == 0:
            pixels = scene(tick, 48, 64)
            for publisher, image, encoding in (
                (self.images, pixels, 'rgb8'), (self.depths, depth_image(tick), '16UC1'),
            ):  # fmt: skip
                message = Image(height=image.shape[0], width=image.shape[1], encoding=encoding)
                message.step = image.strides[0]
                message.data.frombytes(image.view(np.uint8))
                message.header.stamp = now.to_msg()
                publisher.publish(message)
            jpeg = CompressedImage(format='jpeg')
            jpeg.data.frombytes(cv2.imencode('.jpg', pixels[..., ::-1])[1])
            jpeg.header.stamp = now.to_msg()
            self.compressed.publish(jpeg)
        self.tick += 1

    def run(self, ticks: int) -> None:
        """Speak so many times more."""
        end = self.tick + ticks
        self.bench.spin_until(lambda: self.tick >= end, 'the arm to speak')

    def call(self, service: str) -> Any:
        """Call a service of the recorder."""
        return self.bench.call(Trigger, f'recorder_node/{service}')

    def add_recorder(self, folder: Path, **parameters: Any) -> RecorderNode:
        """Let a recorder join, and wait until it has heard every stream."""
        (folder / 'seen.yaml').write_text(TEXT)
        settings = {'robot': str(folder / 'seen.yaml'), 'directory': str(folder / 'set')}
        overrides = [Parameter(n, value=v) for n, v in {**settings, **parameters}.items()]
        node = RecorderNode(context=self.bench.context, parameter_overrides=overrides)
        self.bench.add(node)
        self.bench.spin_until(
            lambda: node.recorder.row is not None and node.recorder.row.complete, 'all streams'
        )
        return node


@pytest.fixture
def arm(ros_domain: int) -> Iterator[Arm]:
    with ros_bench() as bench:
        yield Arm(bench)


def test_what_is_imported_from_a_kept_bag_is_what_was_recorded(
    arm: Arm, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also of the second recording, whose first rows are of messages that came before it."""
    arm.add_recorder(tmp_path, keep_bag=True)
    for _ in range(2):
        assert arm.call('start').success
        arm.run(60)
        response = arm.call('stop')
        assert response.success and 'its bag' not in response.message
    folder = tmp_path / 'set'
    names = [f'episode_00000{n}{end}' for n in (0, 1) for end in ('.hdf5', '_bag')]
    assert sorted(path.name for path in folder.iterdir()) == names
    for number in (0, 1):
        path = folder / f'episode_00000{number}.hdf5'
        assert check_episode(path) == []
        recorded = datasets(path)
        bag, notes = folder / f'episode_00000{number}_bag', list[str]()
        [made] = import_bag(bag, ROBOT, tmp_path / f'import{number}', note=notes.append)
        imported = datasets(made)
        # A row at the end may have no message after it, up to which a bag is read.
        common = np.intersect1d(recorded['time_ns'], imported['time_ns'])
        assert recorded['time_ns'][0] == common[0] and recorded.keys() == imported.keys()
        assert len(recorded['time_ns']) - 5 <= len(common) >= 20
        rows, here = np.isin(imported['time_ns'], common), np.isin(recorded['time_ns'], common)
        for name, values in recorded.items():
            if name == 'robot':
                np.testing.assert_array_equal(values, imported[name])
            elif 'images' not in name and name != 'compress_len':
                np.testing.assert_array_equal(values[here], imported[name][rows], err_msg=name)
        # A camera's own JPEG is stored once, in the first of the rows that have it.
        with EpisodeReader(path) as ours, EpisodeReader(made) as theirs:
            assert ours.storage('side') == theirs.storage('side') == 'camera_jpeg'
            for row, other in zip(np.flatnonzero(here), np.flatnonzero(rows), strict=True):
                for of in (EpisodeReader.camera_jpeg, EpisodeReader.jpeg, EpisodeReader.image):
                    for camera in ROBOT.cameras:
                        found, expected = of(ours, camera, row), of(theirs, camera, other)
                        np.testing.assert_array_equal(found, expected)
    assert main(['check', str(folder)]) == 0 and main(['inspect', str(bag)]) == 0
    with AnyReader([bag]) as reader:
        defined = {each.topic: each.msgtype for each in reader.connections}
        assert defined['/tf_static'] == 'tf2_msgs/msg/TFMessage' and len(defined) == 8
        for connection, time_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            if connection.topic == '/wrench':
                stamp = message.header.stamp
                assert 0 <= time_ns - (stamp.sec * 10**9 + stamp.nanosec) < 60e9


def test_a_bag_goes_the_way_of_its_episode(arm: Arm, tmp_path: Path) -> None:
    node = arm.add_recorder(tmp_path)
    assert arm.call('start').success and node.messages.current is None
    arm.run(30)
    node.set_parameters([Parameter('keep_bag', value=True)])  # of the next one
    assert arm.call('stop').success
    arm.call('start')
    arm.run(30)
    assert arm.call('discard').success
    arm.call('start')
    arm.run(30)
    arm.bench.spin_until(lambda: '000002' in arm.bag_values().get('bag', ''), 'its status')
    values = arm.bag_values()
    assert values['bag'].endswith('episode_000002_bag.part') and values['bag_left_out'] == '0'
    assert arm.call('stop').success
    folder = tmp_path / 'set'
    names = [f'episode_{each}' for each in ('000000.hdf5', '000002.hdf5', '000002_bag')]
    assert sorted(path.name for path in folder.iterdir()) == ['discarded', *names]
    discarded = sorted(path.name for path in (folder / 'discarded').iterdir())
    assert discarded == ['episode_000001.hdf5', 'episode_000001_bag']


def test_an_episode_goes_on_without_the_bag_that_cannot_be_written(
    arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails in the middle: told in status and answer, and no row is lost."""
    node = arm.add_recorder(tmp_path, keep_bag=True)
    assert arm.call('start').success
    arm.bench.spin_until(lambda: int(arm.bag_values().get('bag_messages', 0)) > 200, 'a chunk')

    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(BagWriter, 'write', full)
        arm.bench.spin_until(lambda: 'bag_ended' in arm.bag_values(), 'the end of the bag')
    response = arm.call('stop')
    assert response.success and 'No space left on device' in response.message
    bag = node.messages.last
    assert bag is not None and bag.path.name == 'episode_000000_bag.part'
    assert f'{sum(bag.left_out.values())} came after' in response.message
    assert check_episode(tmp_path / 'set' / 'episode_000000.hdf5') == []
    assert main(['check', '--repair', str(tmp_path / 'set')]) == 0
    assert (tmp_path / 'set' / 'episode_000000_bag' / 'metadata.yaml').is_file()
