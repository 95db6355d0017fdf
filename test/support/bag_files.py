# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""rosbag2 folders written with `rosbags`: a demonstration by formula on the tabletop robot.

Cameras at 25 Hz, joints at 100 Hz, the leader at 50 Hz, each received a little after its stamp.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import recordings
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from motion_policy.robot import RobotSpec

STORE = get_typestore(Stores.ROS2_HUMBLE)
T = STORE.types
JOINTS = ['joint1', 'joint2', 'joint3', 'joint4', 'gripper']

# Topic: (period, delay from stamp to reception), in ms.
TIMING_MS = {
    '/top/image_raw': (40, 7),
    '/side/image_raw': (40, 11),
    '/joint_states': (10, 1),
    '/leader/joint_states': (20, 2),
}

Event = tuple[int, int, str, Any]  # receive time, stamp, topic, message


def demonstration(seconds: float, robot: RobotSpec, *, compressed: bool = False) -> list[Event]:
    """Return all messages of a demonstration in order of reception."""
    events: list[Event] = []
    for topic, (period_ms, delay_ms) in TIMING_MS.items():
        for index in range(int(seconds * 1000) // period_ms):
            stamp_ns = recordings.START_NS + index * period_ms * 1_000_000 + 3_000_000
            # A name shuffled by the driver must not matter.
            message = (
                camera_message(index, stamp_ns, compressed)
                if 'image' in topic
                else joint_state(index * period_ms / 20, stamp_ns, shuffled='leader' not in topic)
            )
            name = f'{topic}/compressed' if compressed and 'image' in topic else topic
            events.append((stamp_ns + delay_ms * 1_000_000, stamp_ns, name, message))
    return sorted(events, key=lambda event: event[:3])


def without(events: list[Event], topic: str, start_s: float, stop_s: float = 1e9) -> list[Event]:
    """Take a topic's messages of some time away."""
    start_ns = recordings.START_NS + int(start_s * 1e9)
    stop_ns = recordings.START_NS + int(stop_s * 1e9)
    return [event for event in events if event[2] != topic or not start_ns <= event[1] < stop_ns]


def write_bag(
    path: Path,
    events: list[Event],
    storage: str = 'mcap',
    change: Callable[[Writer], None] = lambda writer: None,
) -> Path:
    """Write messages as a rosbag2 folder; `change` may set compression."""
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    writer = Writer(path, version=9, storage_plugin=plugin)
    change(writer)
    with writer:
        connections: dict[str, Any] = {}
        for receive_ns, _, topic, message in events:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], receive_ns, STORE.serialize_cdr(message, kind))
    return path


def camera_message(index: int, stamp_ns: int, compressed: bool) -> Any:
    """Return the image message of a scene, which moves with its index."""
    image = recordings.scene(index)
    if compressed:
        data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].reshape(-1)
        return T['sensor_msgs/msg/CompressedImage'](
            header=header(stamp_ns), format='rgb8; png compressed bgr8', data=data
        )
    return T['sensor_msgs/msg/Image'](
        header=header(stamp_ns),
        height=image.shape[0],
        width=image.shape[1],
        encoding='rgb8',
        is_bigendian=0,
        step=image.shape[1] * 3,
        data=image.reshape(-1),
    )


def joint_state(row: float, stamp_ns: int, *, shuffled: bool) -> Any:
    """Return joint positions by formula, at a row that need not be whole."""
    values = recordings.swing() * np.sin(0.05 * row * (1 + np.arange(5)))
    order = [4, 2, 0, 1, 3] if shuffled else [0, 1, 2, 3, 4]
    return T['sensor_msgs/msg/JointState'](
        header=header(stamp_ns),
        name=[JOINTS[place] for place in order],
        position=values[order],
        velocity=0.1 * values[order],
        effort=np.zeros(0),
    )


def header(stamp_ns: int) -> Any:
    """Return a header with this stamp."""
    stamp = T['builtin_interfaces/msg/Time'](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return T['std_msgs/msg/Header'](stamp=stamp, frame_id='')
