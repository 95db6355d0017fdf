# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Process of two cameras: images of noise, stamped when they are sent.

They are published as they go over the wire, as cheaply as the C++ driver of a camera does it. It
runs until it is ended.
"""

from __future__ import annotations

import signal
import struct
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from control_path.scenario import CAMERA_HZ, HEIGHT, WIDTH, robot_at

STAMP = struct.Struct('<iI')  # header.stamp of a serialised message, behind its encapsulation
STAMP_PLACE = 4
# Of each camera, which take turns: a living camera. With four, and three of four lost, as happens
# without a profile for Fast DDS, the policy would see a frozen one.
IMAGES = 7


def main(namespace: str) -> None:
    """Publish the images of both cameras, half a period apart."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node('cameras', namespace=namespace, start_parameter_services=False)
    random = np.random.default_rng(0)
    cameras = [
        (
            node.create_publisher(Image, camera.topic, qos_profile_sensor_data),
            [_image(random) for _ in range(IMAGES)],
        )
        for camera in robot_at(1.0).cameras.values()
    ]
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: ended.append(number))
    period_ns = 1_000_000_000 // (CAMERA_HZ * len(cameras))
    deadline_ns, count = time.monotonic_ns(), 0
    while not ended:
        time.sleep(max(0, deadline_ns - time.monotonic_ns()) / 1e9)
        publisher, images = cameras[count % len(cameras)]
        message = images[count // len(cameras) % IMAGES]
        STAMP.pack_into(message, STAMP_PLACE, *divmod(time.time_ns(), 1_000_000_000))
        publisher.publish(bytes(message))
        deadline_ns, count = deadline_ns + period_ns, count + 1
    node.destroy_node()
    rclpy.shutdown()


def _image(random: np.random.Generator) -> bytearray:
    message = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH)
    message.data.frombytes(random.integers(0, 256, 3 * WIDTH * HEIGHT, np.uint8).tobytes())
    return bytearray(serialize_message(message))


if __name__ == '__main__':
    main(sys.argv[1])
