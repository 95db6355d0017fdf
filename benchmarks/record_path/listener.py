# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Process that subscribes to all streams of a robot spec and does nothing with the messages."""

from __future__ import annotations

import sys
from collections.abc import Callable

import rclpy
from rclpy.node import Node

from motion_policy.nodes.subscriptions import message_class, sensor_qos
from motion_policy.robot import load_robot_spec

DEPTH = 50
HEARD = 'every stream is heard'


def main(spec: str) -> None:
    """Listen until it is ended."""
    rclpy.init()
    node = Node('listener')
    streams = load_robot_spec(spec).streams()
    awaited = {stream.name for stream in streams}

    def listener(name: str) -> Callable[[object], None]:
        def listen(_message: object) -> None:
            if name in awaited:
                awaited.discard(name)
                if not awaited:
                    print(HEARD, flush=True)

        return listen

    for stream in streams:
        kind = message_class(stream.type)
        node.create_subscription(kind, stream.topic, listener(stream.name), sensor_qos(DEPTH))
    rclpy.spin(node)


if __name__ == '__main__':
    main(sys.argv[1])
