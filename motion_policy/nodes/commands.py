# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Joint positions as the command messages that arms take, one message per command topic.

Each topic gets its own joints, under the names and in the order that its receiver expects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSHistoryPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32MultiArray, Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from motion_policy.control.action_buffer import Int64Array
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.nodes.endpoints import listeners
from motion_policy.nodes.subscriptions import message_class
from motion_policy.robot import JointTopic, RobotSpec
from motion_policy.robot.spec import FLOAT32_MULTI_ARRAY

COMMAND_DEPTH = 1  # nobody wants an older command
NANOSECONDS_PER_S = 1_000_000_000


def duration_message(nanoseconds: int) -> Duration:
    """Return a duration >= 0 as a message."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS_PER_S)
    return Duration(sec=seconds, nanosec=rest)


def time_message(nanoseconds: int) -> Time:
    """Return a moment as a message."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS_PER_S)
    return Time(sec=seconds, nanosec=rest)


def trajectory_message(
    names: tuple[str, ...],
    positions: Float64Array,
    after_ns: list[int],
    velocities: Float64Array | None = None,
) -> JointTrajectory:
    """Return positions (n, J) to be reached `after_ns` each; without a stamp: counted from now.

    With `velocities` (n, J) joint_trajectory_controller follows a cubic spline; the last must be
    zero: one that would end at speed is refused there. Without, it moves straight on.
    """
    message = JointTrajectory(joint_names=list(names))
    message.points = [
        JointTrajectoryPoint(positions=row.tolist(), time_from_start=duration_message(time_ns))
        for row, time_ns in zip(positions, after_ns, strict=True)
    ]
    if velocities is not None:
        for point, row in zip(message.points, velocities, strict=True):
            point.velocities = row.tolist()
    return message


def _array(topic: JointTopic, position: Float64Array, _period_ns: int, _clock: Clock) -> Any:
    # Its setter looks at every number of a list, and takes an array as it is.
    return Float64MultiArray(data=array('d', position.tobytes()))


def _array_of_float32(
    topic: JointTopic, position: Float64Array, _period_ns: int, _clock: Clock
) -> Any:
    return Float32MultiArray(data=array('f', position.astype(np.float32).tobytes()))


def _number(topic: JointTopic, position: Float64Array, _period_ns: int, _clock: Clock) -> Any:
    return Float64(data=float(position[0]))


def _trajectory(topic: JointTopic, position: Float64Array, period_ns: int, _clock: Clock) -> Any:
    return trajectory_message(topic.message_names, position[None], [period_ns])


def _joint_state(topic: JointTopic, position: Float64Array, _period_ns: int, clock: Clock) -> Any:
    message = JointState(name=list(topic.message_names), position=position.tolist())
    message.header.stamp = clock.now().to_msg()
    return message


_ENCODERS: dict[str, Callable[[JointTopic, Float64Array, int, Clock], Any]] = {
    'std_msgs/msg/Float64MultiArray': _array,
    'std_msgs/msg/Float32MultiArray': _array_of_float32,
    'std_msgs/msg/Float64': _number,
    'trajectory_msgs/msg/JointTrajectory': _trajectory,
    'sensor_msgs/msg/JointState': _joint_state,
}


def encode_command(topic: JointTopic, position: Float64Array, period_ns: int, clock: Clock) -> Any:
    """Return the message for `topic` with its own joints' positions (n,), in the topic's order."""
    return _ENCODERS[topic.type](topic, position, period_ns, clock)


def _command_publisher(node: Node, topic: JointTopic) -> Any:
    publisher = node.create_publisher(
        message_class(topic.type),
        topic.topic,
        QoSProfile(depth=COMMAND_DEPTH),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
    if publisher.qos_profile.history == QoSHistoryPolicy.KEEP_ALL:
        node.destroy_publisher(publisher)
        raise UserError(
            f'qos_overrides.{node.resolve_topic_name(topic.topic)}.publisher.history is keep_all, '
            'expected keep_last: publishing, and so the arm, would wait for a listener that hangs'
        )
    return publisher


def encoded_positions(topic: JointTopic, position: Float64Array) -> bytes:
    """Return how its joints' positions (n,) stand in a message for `topic`."""
    return position.astype(
        np.float32 if topic.type == FLOAT32_MULTI_ARRAY else np.float64
    ).tobytes()


class CommandPublishers:
    """One publisher per command topic of the robot.

    Those with `send: tick` get every command, those with `send: chunk` all that is planned.
    """

    def __init__(self, node: Node, robot: RobotSpec) -> None:
        self._node = node
        self._period_ns = robot.period_ns
        place = {joint: index for index, joint in enumerate(robot.joints.names)}
        self._outputs = [
            (
                topic,
                [place[joint] for joint in topic.joints],
                _command_publisher(node, topic),
            )
            for topic in robot.joints.command
        ]

    @property
    def looks_ahead(self) -> bool:
        """Whether any topic gets all that is planned."""
        return any(topic.send == 'chunk' for topic, _, _ in self._outputs)

    def send(self, position: Float64Array) -> None:
        """Publish the command (J,), in joint order, where every command is wanted."""
        clock = self._node.get_clock()
        messages = [
            (publisher, encode_command(topic, position[columns], self._period_ns, clock))
            for topic, columns, publisher in self._outputs
            if topic.send == 'tick'
        ]
        for publisher, message in messages:
            publisher.publish(message)

    def trajectories(
        self,
        positions: Float64Array,
        velocities: Float64Array,
        times_ns: Int64Array,
        since_ns: int,
        *,
        at_once: bool,
    ) -> list[tuple[Publisher, bytes]]:
        """What to publish so that positions and velocities (n, J) are reached at `times_ns` (n,).

        They are played by the controller's clock, which counts from `since_ns`; `at_once`: from
        their reception on, whatever that clock says. The messages are serialised: what is left to
        do takes a thirtieth of the time, so they leave when they were last looked at.
        """
        after_ns = (times_ns - since_ns).tolist()
        messages = []
        for topic, columns, publisher in self._outputs:
            if topic.send == 'chunk':
                message = trajectory_message(
                    topic.message_names, positions[:, columns], after_ns, velocities[:, columns]
                )
                if not at_once:
                    message.header.stamp = time_message(since_ns)
                messages.append((publisher, serialize_message(message)))
        return messages

    def unheard(self) -> list[str]:
        """Describe each command topic that nobody listens to."""
        return [
            f'nobody listens on {self._node.resolve_topic_name(topic.topic)} ({topic.type})'
            for topic, _, publisher in self._outputs
            if not listeners(self._node, topic, publisher)
        ]

    def destroy(self) -> None:
        """Remove the publishers from the node."""
        for _, _, publisher in self._outputs:
            self._node.destroy_publisher(publisher)
        self._outputs = []
