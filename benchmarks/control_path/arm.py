# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Process of the arm: publishes joint states, obeys commands, logs when they came.

`enable SECONDS` on its input: it has itself enabled, obeys so long and prints when commands came,
a JSON list of nanoseconds of the monotonic clock. It ends with its input. It has a priority where
that is permitted, as the controllers of ros2_control have.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool

from control_path.scenario import JOINT_STATE_HZ, robot_at
from motion_policy.nodes.realtime import RealTime, prepare_thread_beside_tick

ASKING_S = 0.2
SPIN_S = 0.1


class Arm:
    """Joints that are at once where they are commanded."""

    def __init__(self, namespace: str, name: str) -> None:
        robot = robot_at(1.0)
        self.node = Node('arm', namespace=namespace, start_parameter_services=False)
        self.seconds = 0.0
        self._times_ns: list[int] = []
        self._names = list(robot.joints.names)
        self._position = robot.joints.limits.position_array().mean(axis=1).tolist()
        topics = robot.joints
        self._joints = self.node.create_publisher(JointState, topics.state[0].topic, 10)
        self.node.create_subscription(Float64MultiArray, topics.command[0].topic, self._obey, 10)
        self._enabling = self.node.create_client(SetBool, f'{name}/enable')
        self.node.create_timer(1 / JOINT_STATE_HZ, self._tell_joints)
        self.node.create_timer(ASKING_S, self._go_on)

    def begin(self, seconds: float) -> None:
        """Obey so long from the next command on."""
        self._times_ns = []
        self.seconds = seconds

    def _tell_joints(self) -> None:
        message = JointState(name=self._names, position=self._position)
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._joints.publish(message)

    def _obey(self, message: Float64MultiArray) -> None:
        self._times_ns.append(time.monotonic_ns())
        self._position = list(message.data)

    def _go_on(self) -> None:
        if not self.seconds:
            return
        if not self._times_ns and self._enabling.service_is_ready():
            self._enabling.call_async(SetBool.Request(data=True))
        elif self._times_ns and time.monotonic_ns() - self._times_ns[0] > self.seconds * 1e9:
            print(json.dumps(self._times_ns), flush=True)
            self.seconds = 0.0


def main(namespace: str, name: str) -> None:
    """Be the arm of node `name` as long as there is input."""
    rclpy.init()
    arm = Arm(namespace, name)
    prepare_thread_beside_tick(RealTime())
    ended = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            arm.begin(float(line.split()[1]))
        ended.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while not ended.is_set():
        rclpy.spin_once(arm.node, timeout_sec=SPIN_S)
    arm.node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main(*sys.argv[1:3])
