# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Process that publishes some streams of a robot, and notes the stamp of every message.

Messages are published as they go over the wire, as cheaply as the C++ drivers of sensors do it.
It runs until it is ended, and then writes what it has sent: a list of nanoseconds per stream.

Usage: publishers.py SPEC ROLES NOTES STAMP; ROLES are separated by commas, STAMP is `sampled` (on
time, whenever its process came to send it, as a sensor does) or `sent`, which is of images only.
"""

from __future__ import annotations

import heapq
import itertools
import json
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image, JointState

from motion_policy.robot import CameraSpec, JointTopic, RobotSpec, load_robot_spec
from motion_policy.robot.spec import COMPRESSED_IMAGE, DepthSpec, StreamSpec

STAMP = struct.Struct('<iI')  # header.stamp of a serialised message, behind its encapsulation
STAMP_PLACE = 4
MESSAGES = 16  # of each stream, which take turns
NOISE = 6.0  # of a pixel, as a camera's in a room
DEPTH_NOISE_MM = 2.0
IMAGES = ('camera', 'depth')  # roles
HOLES = 0.05


def main(spec: str, roles: str, notes: str, stamp: str, *_ros: str) -> None:
    """Publish as the arguments say."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node(f'publishers_{roles.partition(",")[0]}')
    robot = load_robot_spec(spec)
    streams = {stream.name: stream for stream in robot.streams()}
    made = messages_of(robot, roles)
    sent: dict[str, list[int]] = {name: [] for name in made}
    outputs = {name: _output(node, streams[name], made[name]) for name in made}
    images = {name for name in made if streams[name].role in IMAGES}
    periods_ns = {name: round(1e9 / (streams[name].rate or robot.rate)) for name in made}
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: ended.append(number))
    begin_ns = time.monotonic_ns()
    to_system_ns = time.time_ns() - begin_ns
    due = [
        (begin_ns + periods_ns[name] * place // len(made), name) for place, name in enumerate(sent)
    ]
    heapq.heapify(due)
    while not ended:
        deadline_ns, name = due[0]
        time.sleep(max(0, deadline_ns - time.monotonic_ns()) / 1e9)
        publisher, messages = outputs[name]
        message = next(messages)
        sampled = stamp == 'sampled' or name not in images
        stamp_ns = deadline_ns + to_system_ns if sampled else time.time_ns()
        STAMP.pack_into(message, STAMP_PLACE, *divmod(stamp_ns, 1_000_000_000))
        publisher.publish(bytes(message))
        sent[name].append(stamp_ns)
        heapq.heapreplace(due, (deadline_ns + periods_ns[name], name))
    Path(notes).write_text(json.dumps(sent), encoding='utf-8')
    node.destroy_node()
    rclpy.shutdown()


def messages_of(robot: RobotSpec, roles: str) -> dict[str, list[Any]]:
    """The messages that the streams of these roles publish in turn, the same in every process."""
    makers: dict[str, Any] = {
        'camera': _frame, 'state': _joints, 'leader': _joints, 'vector': _wrench, 'depth': _depth,
    }  # fmt: skip
    random = np.random.default_rng(0)
    return {
        stream.name: [makers[stream.role](stream.source, turn, random) for turn in range(MESSAGES)]
        for stream in robot.streams()
        if stream.role in roles.split(',')
    }


def _output(node: Node, stream: StreamSpec, messages: list[Any]) -> Any:
    """Publisher of a stream, and its serialised messages without end."""
    qos = qos_profile_sensor_data if stream.role in IMAGES else QoSProfile(depth=100)
    publisher = node.create_publisher(type(messages[0]), stream.topic, qos)
    return publisher, itertools.cycle([bytearray(serialize_message(each)) for each in messages])


def _frame(camera: CameraSpec, turn: int, random: np.random.Generator) -> Any:
    """A smooth scene that moves, with the noise of a sensor."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width]
    waves = np.sin((columns[..., None] + 8 * turn) / 40) * np.cos(rows[..., None] / (30, 50, 70))
    scene = 128 + 80 * waves
    noisy = scene + random.normal(0, NOISE, scene.shape)
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    if camera.type == COMPRESSED_IMAGE:
        message = CompressedImage(format='jpeg')
        message.data.frombytes(cv2.imencode('.jpg', pixels)[1].tobytes())
        return message
    message = Image(
        height=camera.height, width=camera.width, encoding='rgb8', step=3 * camera.width
    )
    message.data.frombytes(pixels.tobytes())
    return message


def _depth(camera: DepthSpec, turn: int, random: np.random.Generator) -> Image:
    """A slanted plane that moves, with the noise and the holes of a stereo camera, in mm."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width]
    plane = 600 + 0.5 * rows + 0.2 * columns + 10 * turn
    depth = (plane + random.normal(0, DEPTH_NOISE_MM, plane.shape)).astype(np.uint16)
    depth[random.random(plane.shape) < HOLES] = 0
    message = Image(
        height=camera.height, width=camera.width, encoding='16UC1', step=2 * camera.width
    )
    message.data.frombytes(depth.tobytes())
    return message


def _joints(topic: JointTopic, turn: int, _random: np.random.Generator) -> JointState:
    count = len(topic.joints)
    position = 0.1 * np.sin(2 * np.pi * turn / MESSAGES + np.arange(count))
    return JointState(
        name=list(topic.message_names),
        position=position.tolist(),
        velocity=[0.0] * count,
        effort=[0.0] * count,
    )


def _wrench(_vector: object, turn: int, random: np.random.Generator) -> WrenchStamped:
    message = WrenchStamped()
    force, torque = message.wrench.force, message.wrench.torque
    force.x, force.y, force.z = random.normal(0, 0.1, 3).tolist()
    torque.x, torque.y, torque.z = random.normal(0, 0.01, 3).tolist()
    force.z += 5 * np.sin(2 * np.pi * turn / MESSAGES)
    return message


if __name__ == '__main__':
    main(*sys.argv[1:])
