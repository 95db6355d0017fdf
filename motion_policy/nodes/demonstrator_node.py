# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Node of the scripted expert: publishes leader joint commands in simulation.

It publishes the leader's joints at the robot's rate all the time, and sends them to the follower
as commands only while a demonstration is played.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from motion_policy.errors import UserError
from motion_policy.nodes.commands import CommandPublishers
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.simulation import (
    DemonstratorParameters,
    TaughtSceneParameters,
)
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.subscriptions import sensor_qos
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.robot.spec import WRENCH
from motion_policy.simulation import SCENES, check_scene_robot
from motion_policy.simulation.leader import LeaderArm
from motion_policy.streams.messages import read_joints

LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class DemonstratorNode(Node):
    """Shell around `LeaderArm`: hears the scene, publishes leader and follower command."""

    def __init__(self, **options: Any) -> None:
        super().__init__('demonstrator_node', **options)
        declare_group(self, TaughtSceneParameters)
        scene_name = read_group(self, TaughtSceneParameters).scene
        scene = SCENES[scene_name]
        declare_group(self, DemonstratorParameters, defaults={'robot': scene.robot})
        parameters = read_group(self, DemonstratorParameters)
        self._robot = load_robot_spec(parameters.robot)
        joints = self._robot.joints
        if not joints.leader:
            raise UserError(f"robot '{self._robot.name}': joints.leader is missing, expected one")
        check_scene_robot(scene_name, self._robot)
        self._arm = LeaderArm(parameters.seed, scene_name, scene.grippers)
        self._cube_xy: np.ndarray | None = None
        self._qpos: np.ndarray | None = None
        self._wrench: np.ndarray | None = None
        self._leader = self.create_publisher(JointState, joints.leader[0].topic, 10)
        self._command = CommandPublishers(self, self._robot)
        self._done = self.create_publisher(Bool, '~/done', LATCHED_QOS)
        self.create_subscription(PoseStamped, 'cube_pose', self._see_cube, sensor_qos())
        self.create_subscription(
            JointState, joints.state[0].topic, self._feel_follower, sensor_qos()
        )
        self._wrench_topic = _wrench_topic(self._robot) if scene.wrench is not None else None
        if self._wrench_topic is not None:
            self.create_subscription(
                WrenchStamped, self._wrench_topic, self._feel_wrist, sensor_qos()
            )
        self.create_service(Trigger, '~/start', self._serve_start)
        self.create_timer(1.0 / self._robot.rate, self._tick)

    def _see_cube(self, message: PoseStamped) -> None:
        position = message.pose.position
        self._cube_xy = np.array([position.x, position.y])

    def _feel_follower(self, message: JointState) -> None:
        topic = self._robot.joints.state[0]
        try:
            self._qpos = read_joints(message, topic.message_names).position
        except UserError as error:
            name = self.resolve_topic_name(topic.topic)
            self.get_logger().error(f'{name}: {error}', throttle_duration_sec=5.0)

    def _feel_wrist(self, message: WrenchStamped) -> None:
        force, torque = message.wrench.force, message.wrench.torque
        self._wrench = np.array([force.x, force.y, force.z, torque.x, torque.y, torque.z])

    def _serve_start(self, _request: Any, response: Any) -> Any:
        try:
            response.message, response.success = self._start(), True
        except UserError as error:
            response.message, response.success = str(error), False
            self.get_logger().error(response.message)
        return response

    def _start(self) -> str:
        if self._arm.playing:
            raise UserError('a demonstration is being played; expected ~/start after ~/done')
        silent = self._silent_topic()
        if self._cube_xy is None or self._qpos is None or silent is not None:
            assert silent is not None
            raise UserError(
                f'{self.resolve_topic_name(silent)}: nothing received; expected a running sim_node'
            )
        now_ns = self.get_clock().now().nanoseconds
        trajectory = self._arm.start(now_ns, self._cube_xy, self._qpos)
        self._done.publish(Bool(data=False))
        return f'a demonstration of {trajectory.duration_s:.1f} s began'

    def _silent_topic(self) -> str | None:
        """A topic that a demonstration needs and of which nothing was heard, if there is one."""
        if self._cube_xy is None:
            return 'cube_pose'
        if self._qpos is None:
            return self._robot.joints.state[0].topic
        return self._wrench_topic if self._wrench is None else None

    def _tick(self) -> None:
        if self._qpos is None:
            return
        now = self.get_clock().now()
        playing = self._arm.playing
        target = self._arm.target(now.nanoseconds, self._qpos, self._wrench)
        names = list(self._robot.joints.names)
        message = JointState(name=names, position=target.tolist())
        message.header.stamp = now.to_msg()
        self._leader.publish(message)
        follower = self._arm.follower
        if playing and follower is not None:
            self._command.send(follower)
        if playing and not self._arm.playing:
            self._done.publish(Bool(data=True))


def _wrench_topic(robot: RobotSpec) -> str:
    topics = [vector.topic for vector in robot.vectors.values() if vector.type == WRENCH]
    if not topics:
        raise UserError(
            f"robot '{robot.name}': has no vector of {WRENCH}, expected one: this scene is taught "
            'by what the wrist feels'
        )
    return topics[0]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    return run_node(DemonstratorNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
