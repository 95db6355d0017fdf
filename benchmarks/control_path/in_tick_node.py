# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reference node: one timer that publishes, and infers when its queue of actions is empty."""

from __future__ import annotations

import sys
from collections import deque

import numpy as np
import rclpy
import torch
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool

from motion_policy.policies import Policy, load_policy
from motion_policy.streams.images import image_to_rgb
from motion_policy.streams.messages import read_joint_message


class InTickNode(Node):
    """Publishes one action per period once it is enabled and has seen everything."""

    def __init__(self, policy: Policy, namespace: str) -> None:
        super().__init__('in_tick', namespace=namespace)
        robot = policy.spec.robot
        self._policy = policy
        self._topic = robot.joints.state[0]
        self._enabled = False
        self._queue: deque[list[float]] = deque()
        self._images: dict[str, Image] = {}
        self._joints: JointState | None = None
        command = robot.joints.command[0].topic
        self._publisher = self.create_publisher(Float64MultiArray, command, 1)
        for name in policy.cameras:
            self.create_subscription(
                Image, robot.cameras[name].topic, self._see_with(name), qos_profile_sensor_data
            )
        self.create_subscription(
            JointState, self._topic.topic, self._feel, qos_profile_sensor_data
        )
        self.create_service(SetBool, '~/enable', self._enable)
        self.create_timer(robot.period_ns * 1e-9, self._tick)

    def _see_with(self, camera: str):  # type: ignore[no-untyped-def]
        def see(message: Image) -> None:
            self._images[camera] = message

        return see

    def _feel(self, message: JointState) -> None:
        self._joints = message

    def _enable(self, request, response):  # type: ignore[no-untyped-def]
        self._enabled = response.success = bool(request.data)
        return response

    def _tick(self) -> None:
        if not self._enabled or self._joints is None:
            return
        if len(self._images) < len(self._policy.cameras):
            return
        if not self._queue:
            self._queue.extend(self._chunk(self._joints))
        self._publisher.publish(Float64MultiArray(data=self._queue.popleft()))

    def _chunk(self, joints: JointState) -> list[list[float]]:
        qpos = read_joint_message(joints, self._topic).position
        images = {
            camera: torch.from_numpy(image_to_rgb(message).copy())[None]
            for camera, message in self._images.items()
        }
        observation = {'qpos': torch.from_numpy(qpos.astype(np.float32))[None], 'images': images}
        chunk, _ = self._policy.act(observation, None)  # type: ignore[arg-type]
        rows: list[list[float]] = chunk[0].double().tolist()
        return rows


def main(checkpoint: str, namespace: str) -> None:
    """Run the node until it is interrupted."""
    torch.set_num_threads(1)
    policy = load_policy(checkpoint, 'cpu')
    rclpy.init()
    node = InTickNode(policy, namespace)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(*sys.argv[1:3])
