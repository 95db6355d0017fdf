# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The topics of a stand-in for a robot's driver: every stream of its spec, and its commands.

What kind of stream is sent how stands in one table, `_OUTPUTS`; who has the driver says when.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, JointState

from motion_policy.nodes.commands import encode_command, fill_velocities
from motion_policy.nodes.endpoints import Origin, with_origin
from motion_policy.nodes.subscriptions import fields_of, message_class
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.images import compressed_depth, jpeg, slanted_plane
from motion_policy.rehearsal.numbers import VectorNumbers, fill_pose
from motion_policy.robot import CameraSpec, JointTopic, RobotSpec, VectorSpec
from motion_policy.robot.spec import COMPRESSED_IMAGE, DepthSpec, StreamSpec
from motion_policy.streams.message_fields import with_known_fields

Float64Array = npt.NDArray[np.float64]
# The image of a camera by its name, (H, W, 3) uint8 RGB.
ImageOf = Callable[[str], npt.NDArray[np.uint8]]
OnCommand = Callable[[JointTopic, Any, Origin], None]

OUT_QOS = QoSProfile(depth=10)
COMMANDS_QOS = QoSProfile(depth=100)  # every one is judged


class StandInDriver:
    """Publishes on the topics of `robot` for `node`, and hears the commands.

    Attributes:
        arm: whose joints are told.
        leader: where the leader stands, in our joints (J,).
        publishers: by the names of streams.
        subscriptions: of the commands.
        tells_effort, tells_velocity: whether joint states have these.

    Args:
        image_of: what a camera shows now.
        on_command: is given a command's topic in the spec, the message, and where it comes from.
        stamp: what a sensor's message is stamped with now; the node's clock, if not given.
        reverse: joint states name joints in another order than the spec, as broadcasters do.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        arm: StandInArm,
        *,
        image_of: ImageOf,
        on_command: OnCommand,
        stamp: Callable[[], Time] | None = None,
        reverse: bool = False,
    ) -> None:
        self.arm = arm
        self.leader: Float64Array = arm.position.copy()
        self.tells_effort = self.tells_velocity = True
        self._node = node
        self._robot = with_known_fields(robot, fields_of)
        self._image_of = image_of
        self._stamp = stamp or (lambda: node.get_clock().now().to_msg())
        self._reverse = reverse
        self._streams = {stream.name: stream for stream in self._robot.streams()}
        self._messages: dict[str, Image] = {}
        self._numbers: dict[str, VectorNumbers] = {}
        self._on_command = on_command
        self.publishers: dict[str, Any] = {}
        self.subscriptions: list[Any] = []
        self.open()

    def open(self) -> None:
        """Create publishers and subscriptions, where they are not there."""
        sent_by_others = {
            (stream.topic, stream.type)
            for stream in self._streams.values()
            if stream.role != 'vector'
        }
        for name, stream in self._streams.items():
            if stream.role == 'vector' and (stream.topic, stream.type) in sent_by_others:
                continue  # a vector may read what joint states or a camera say
            if isinstance(stream.source, VectorSpec) and stream.source.transform is None:
                self._numbers[name] = VectorNumbers(stream.source, fields_of)
                sent_by_others.add((stream.topic, stream.type))
            self.publishers[name] = self._node.create_publisher(
                message_class(stream.type), stream.topic, OUT_QOS
            )
        for topic in self._robot.joints.command:
            self.subscriptions.append(self._listen(topic))

    def close(self) -> None:
        """Take them back, as the end of a driver does."""
        for publisher in self.publishers.values():
            self._node.destroy_publisher(publisher)
        for subscription in self.subscriptions:
            self._node.destroy_subscription(subscription)
        self.publishers, self.subscriptions = {}, []

    def _listen(self, topic: JointTopic) -> Any:
        def take(message: Any, origin: Origin) -> None:
            self._on_command(topic, message, origin)

        return self._node.create_subscription(
            message_class(topic.type), topic.topic, with_origin(take), COMMANDS_QOS
        )

    def publish(self, name: str) -> None:
        """Send what a stream says now; nothing where it has no publisher."""
        publisher = self.publishers.get(name)
        if publisher is None:
            return
        stream = self._streams[name]
        publisher.publish(_OUTPUTS[stream.role](self, stream, self._stamp()))

    def _image(self, stream: StreamSpec, stamp: Time) -> Any:
        assert isinstance(stream.source, CameraSpec)
        image = self._image_of(stream.name)
        message: Any
        if stream.type == COMPRESSED_IMAGE:
            message = CompressedImage(format='rgb8; jpeg compressed bgr8')
            message.data.frombytes(jpeg(image))
        else:
            # A message for each camera: new memory for each image would cost more than its pixels.
            message, (height, width, _) = self._messages.get(stream.name), image.shape
            if message is None or (message.height, message.width) != (height, width):
                message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
                message.data.frombytes(bytes(image.size))
                self._messages[stream.name] = message
            np.frombuffer(message.data, dtype=np.uint8)[:] = image.reshape(-1)
        message.header.stamp = stamp
        message.header.frame_id = stream.name
        return message

    def _depth(self, stream: StreamSpec, stamp: Time) -> Any:
        assert isinstance(stream.source, DepthSpec)
        width, height = stream.source.width, stream.source.height
        depth = slanted_plane(width, height, self._seconds())
        message: Any
        if stream.type == COMPRESSED_IMAGE:
            message = CompressedImage(format='16UC1; compressedDepth png')
            message.data.frombytes(compressed_depth(depth))
        else:
            message = Image(height=height, width=width, encoding='16UC1', step=2 * width)
            message.data.frombytes(depth.astype('<u2').tobytes())
        message.header.stamp = stamp
        message.header.frame_id = stream.name
        return message

    def _seconds(self) -> float:
        """The time by which numbers change [s]."""
        return float(self._node.get_clock().now().nanoseconds % 1_000_000_000_000) * 1e-9

    def _joint_state(self, stream: StreamSpec, stamp: Time) -> Any:
        assert isinstance(stream.source, JointTopic)
        if stream.source.of_velocities:
            return self._velocities(stream.source, stamp)
        order = list(range(len(stream.source.joints)))
        if self._reverse:
            order.reverse()
        columns = [self._robot.joints.names.index(stream.source.joints[i]) for i in order]
        message = JointState(name=[stream.source.message_names[i] for i in order])
        message.header.stamp = stamp
        message.position = self.arm.position[columns].tolist()
        if self.tells_velocity:
            message.velocity = self.arm.velocity[columns].tolist()
        if self.tells_effort:
            message.effort = self.arm.effort[columns].tolist()
        return message

    def _velocities(self, topic: JointTopic, stamp: Time) -> Any:
        columns = [self._robot.joints.names.index(joint) for joint in topic.joints]
        message = message_class(topic.type)()
        if hasattr(message, 'header'):
            message.header.stamp = stamp
        return fill_velocities(message, topic, self.arm.position[columns])

    def _leader_message(self, stream: StreamSpec, stamp: Time) -> Any:
        topic = stream.source
        assert isinstance(topic, JointTopic)
        columns = [self._robot.joints.names.index(joint) for joint in topic.joints]
        scale = np.array(topic.scale)
        own = (self.leader[columns] - np.array(topic.offset)) / np.where(scale, scale, 1.0)
        clock = self._node.get_clock()
        message = encode_command(topic, own, self._robot.period_ns, clock)
        if hasattr(message, 'header'):
            message.header.stamp = stamp
        return message

    def _vector(self, stream: StreamSpec, stamp: Time) -> Any:
        message = message_class(stream.type)()
        time_s = self._seconds()
        assert isinstance(stream.source, VectorSpec)
        if stream.source.transform is not None:
            transform = TransformStamped()
            transform.header.frame_id, transform.child_frame_id = stream.source.transform
            transform.header.stamp = stamp
            fill_pose(transform.transform, time_s)
            message.transforms = [transform]
            return message
        if hasattr(message, 'header'):
            message.header.stamp = stamp
        self._numbers[stream.name].fill(message, time_s)
        return message


# How a stream of each role is sent: a method of StandInDriver that makes its message.
_OUTPUTS: dict[str, Callable[[StandInDriver, StreamSpec, Time], Any]] = {
    'camera': StandInDriver._image,
    'state': StandInDriver._joint_state,
    'leader': StandInDriver._leader_message,
    'vector': StandInDriver._vector,
    'depth': StandInDriver._depth,
}
