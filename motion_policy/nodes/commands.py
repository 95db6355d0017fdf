# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Joint positions as the command messages that arms take, one message per command topic.

A pose of the tool is that of the joint positions, and a velocity leads from one to the next: what
guards joints guards it.

Each topic gets its own joints, under the names and in the order that its receiver expects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import reduce
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
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
from motion_policy.control.command import CommandMotion
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.tick_trajectory import half_way, tick_trajectory
from motion_policy.control.tool_twist import ToolTwist
from motion_policy.errors import UserError
from motion_policy.nodes.endpoints import listeners
from motion_policy.nodes.subscriptions import message_class
from motion_policy.robot import JointTopic, RobotSpec
from motion_policy.robot.joint_topic import FLOAT32_MULTI_ARRAY, POSE_STAMPED
from motion_policy.robot.kinematics import commanded_tool
from motion_policy.robot.twist import FIELDS, TWIST, TWIST_IN, TWIST_STAMPED

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


def _six_numbers(topic: JointTopic, velocities: Float64Array) -> Float64Array:
    """The numbers (6,) of a twist with velocities (n,) of a base; what no joint has is zero."""
    numbers = np.zeros(len(FIELDS))
    numbers[[FIELDS.index(field) for field in topic.fields or ()]] = velocities
    return numbers


def fill_velocities(message: Any, topic: JointTopic, velocities: Float64Array) -> Any:
    """Set the velocities (n,) of a base in a message of the topic's type; return it."""
    for field, value in zip(topic.fields or (), velocities.tolist(), strict=True):
        *path, last = (TWIST_IN[topic.type] + field).split('.')
        setattr(reduce(getattr, path, message), last, value)
    return message


def _twist(topic: JointTopic, velocities: Float64Array, _period_ns: int, _clock: Clock) -> Any:
    return fill_velocities(Twist(), topic, velocities)


def _twist_stamped(
    topic: JointTopic, velocities: Float64Array, _period_ns: int, clock: Clock
) -> Any:
    message = TwistStamped()
    message.header.stamp = clock.now().to_msg()
    message.header.frame_id = topic.frame or ''
    return fill_velocities(message, topic, velocities)


_ENCODERS: dict[str, Callable[[JointTopic, Float64Array, int, Clock], Any]] = {
    'std_msgs/msg/Float64MultiArray': _array,
    'std_msgs/msg/Float32MultiArray': _array_of_float32,
    'std_msgs/msg/Float64': _number,
    'trajectory_msgs/msg/JointTrajectory': _trajectory,
    'sensor_msgs/msg/JointState': _joint_state,
    TWIST: _twist,
    TWIST_STAMPED: _twist_stamped,
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


class CommandEncoder:
    """How commands (J,) of `robot`, in joint order, stand in the messages of `topic`.

    Raises:
        UserError: a pose or velocity of the tool is to be sent, and it would not move all joints
            of the topic.
    """

    def __init__(self, topic: JointTopic, robot: RobotSpec) -> None:
        self.topic = topic
        self._robot = robot
        self.columns = [robot.joints.names.index(joint) for joint in topic.joints]
        self._special = _special_encoder(topic, robot, self.columns)

    def numbers(self, position: Float64Array, motion: CommandMotion | None = None) -> Float64Array:
        """Return the numbers (n,) of the message for a command (J,) at which the arm moves so.

        Without `motion` it is one at rest.
        """
        if self._special is not None:
            return self._special.numbers(position, motion)
        return position[self.columns]

    def message(self, numbers: Float64Array, clock: Clock) -> Any:
        """Return the message."""
        if self._special is not None:
            return self._special.message(numbers, clock)
        return encode_command(self.topic, numbers, self._robot.period_ns, clock)

    def body(self, numbers: Float64Array) -> bytes:
        """Return how they stand in the serialised message, those that all its kind begin with."""
        if isinstance(self._special, MovingJoints):
            numbers = self._special.first(numbers)
        if self.topic.of_velocities:
            numbers = _six_numbers(self.topic, numbers)
        kind = np.float32 if self.topic.type == FLOAT32_MULTI_ARRAY else np.float64
        return numbers.astype(kind).tobytes()


class SpecialEncoder(Protocol):
    """Commands as other messages than of joint positions alone."""

    def numbers(self, position: Float64Array, motion: CommandMotion | None) -> Float64Array:
        """Return the numbers (n,) of the message for a command (J,)."""

    def message(self, numbers: Float64Array, clock: Clock) -> Any:
        """Return the message of such numbers (n,)."""


def _special_encoder(
    topic: JointTopic, robot: RobotSpec, columns: list[int]
) -> SpecialEncoder | None:
    if topic.type == POSE_STAMPED:
        return ToolPose(topic, robot)
    if topic.of_tool_velocity:
        return ToolVelocity(topic, robot)
    return MovingJoints(topic, robot, columns) if topic.velocities else None


class MovingJoints:
    """Commands as trajectories that say how fast the joints are, and come to rest."""

    def __init__(self, topic: JointTopic, robot: RobotSpec, columns: list[int]) -> None:
        self._topic, self._columns = topic, columns
        self._period_ns = robot.period_ns
        self._acceleration = robot.joints.limits.acceleration_array()[columns]

    def numbers(self, position: Float64Array, motion: CommandMotion | None) -> Float64Array:
        """Return positions, then velocities, of the topic's joints (n,) for a command (J,)."""
        velocity = np.zeros(len(position)) if motion is None else motion.velocity
        return np.concatenate((position[self._columns], velocity[self._columns]))

    def first(self, numbers: Float64Array) -> Float64Array:
        """Return the positions in the first point, for such numbers (n,)."""
        position, velocity = numbers.reshape(2, -1)
        if not velocity.any():
            return position
        return half_way(position, velocity, self._period_ns)

    def message(self, numbers: Float64Array, clock: Clock) -> JointTrajectory:
        """Return the message of such numbers (n,)."""
        position, velocity = numbers.reshape(2, -1)
        times_ns, positions, velocities = tick_trajectory(
            position, velocity, self._acceleration, self._period_ns
        )
        return trajectory_message(
            self._topic.message_names, positions, times_ns.tolist(), velocities
        )


class ToolPose:
    """Commands as poses of the robot's tool."""

    def __init__(self, topic: JointTopic, robot: RobotSpec) -> None:
        self._kinematics, self._link = commanded_tool(topic, robot)
        self._frame = topic.frame or self._kinematics.root()

    def numbers(self, position: Float64Array, motion: CommandMotion | None = None) -> Float64Array:
        """Return x, y, z [m] and the quaternion x, y, z, w >= 0 (7,) for joints (J,)."""
        return self._kinematics.position_and_quaternion(self._link, position)

    def message(self, numbers: Float64Array, clock: Clock) -> PoseStamped:
        """Return the message of such numbers (7,)."""
        message = PoseStamped()
        message.header.stamp = clock.now().to_msg()
        message.header.frame_id = self._frame
        at, turned = message.pose.position, message.pose.orientation
        at.x, at.y, at.z, turned.x, turned.y, turned.z, turned.w = numbers.tolist()
        return message


class ToolVelocity:
    """Commands as velocities of the robot's tool."""

    def __init__(self, topic: JointTopic, robot: RobotSpec) -> None:
        self._tool = ToolTwist(topic, robot)

    def numbers(self, position: Float64Array, motion: CommandMotion | None) -> Float64Array:
        """Return x, y, z [m/s], then of the rotation [rad/s] (6,) for joints (J,)."""
        return np.zeros(6) if motion is None else self._tool.twist(position, motion)

    def message(self, numbers: Float64Array, clock: Clock) -> TwistStamped:
        """Return the message of such numbers (6,)."""
        message = TwistStamped()
        message.header.stamp = clock.now().to_msg()
        message.header.frame_id = self._tool.frame
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = numbers.tolist()
        return message


class CommandPublishers:
    """One publisher per command topic of the robot.

    Those with `send: tick` get every command, those with `send: chunk` all that is planned.
    """

    def __init__(self, node: Node, robot: RobotSpec) -> None:
        self._node = node
        encoders = [CommandEncoder(topic, robot) for topic in robot.joints.command]
        self._outputs = [(each, _command_publisher(node, each.topic)) for each in encoders]

    @property
    def looks_ahead(self) -> bool:
        """Whether any topic gets all that is planned."""
        return any(encoder.topic.send == 'chunk' for encoder, _ in self._outputs)

    def send(self, position: Float64Array, motion: CommandMotion | None = None) -> None:
        """Publish the command (J,), in joint order, where every command is wanted."""
        clock = self._node.get_clock()
        messages = [
            (publisher, encoder.message(encoder.numbers(position, motion), clock))
            for encoder, publisher in self._outputs
            if encoder.topic.send == 'tick'
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
        for encoder, publisher in self._outputs:
            topic, columns = encoder.topic, encoder.columns
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
            f'nobody listens on {self._node.resolve_topic_name(encoder.topic.topic)} '
            f'({encoder.topic.type})'
            for encoder, publisher in self._outputs
            if not listeners(self._node, encoder.topic, publisher)
        ]

    def destroy(self) -> None:
        """Remove the publishers from the node."""
        for _, publisher in self._outputs:
            self._node.destroy_publisher(publisher)
        self._outputs = []
