# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm in a process of its own: it tells joints and images, and prints when commands came.

Times are of the monotonic clock, in a JSON list of nanoseconds.
"""

from __future__ import annotations

import itertools
import json
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool

from motion_policy.robot import load_robot_spec


def main(namespace: str, seconds: float, name: str) -> None:
    """Be the arm of node `name` until it has heard commands for so long."""
    robot = load_robot_spec('tabletop_sim')
    rclpy.init()
    node = Node('arm', namespace=namespace, start_parameter_services=False)
    times_ns: list[int] = []
    names, camera = robot.joints.names, next(iter(robot.cameras.values()))
    position = robot.joints.limits.position_array().mean(axis=1).tolist()
    joints = node.create_publisher(JointState, robot.joints.state[0].topic, 10)
    frames = itertools.count()
    noise = np.random.default_rng(0).integers(0, 256, 3 * camera.height * camera.width, np.uint8)
    images = node.create_publisher(Image, camera.topic, 10)

    def tell_joints() -> None:
        message = JointState(name=list(names), position=position)
        message.header.stamp = node.get_clock().now().to_msg()
        joints.publish(message)

    def tell_image() -> None:
        message = Image(height=camera.height, width=camera.width, encoding='rgb8')
        message.step = 3 * camera.width
        message.data.frombytes(np.roll(noise, 3 * next(frames)).tobytes())  # a living camera
        message.header.stamp = node.get_clock().now().to_msg()
        images.publish(message)

    def obey(message: Float64MultiArray) -> None:
        times_ns.append(time.monotonic_ns())
        position[:] = message.data

    node.create_subscription(Float64MultiArray, robot.joints.command[0].topic, obey, 10)
    node.create_timer(0.01, tell_joints)
    node.create_timer(0.04, tell_image)
    enabling = node.create_client(SetBool, f'{name}/enable')

    def ask_to_be_moved() -> None:
        if not times_ns and enabling.service_is_ready():
            enabling.call_async(SetBool.Request(data=True))

    node.create_timer(0.2, ask_to_be_moved)
    while not times_ns or times_ns[-1] - times_ns[0] < seconds * 1e9:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps(times_ns), flush=True)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
