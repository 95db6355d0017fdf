# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every stream of a robot as a subscription that stores the newest message and does no more.

Callbacks never decode: a message goes undecoded into the sampler, with both of its times. Where
few pictures are used, that of a camera stays as it came until somebody looks at it.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import StreamSpec
from motion_policy.streams import Sample
from motion_policy.streams.messages import stamp_ns
from motion_policy.streams.wire import image_on_wire, stamp_on_wire

QUEUE_DEPTH = 5  # of each subscription; a callback takes microseconds, so it never fills up


class SerializedMessage:
    """A message as it came over the wire, which begins with a header.

    Its fields are there as in any other message; the first look at one deserialises it, or finds
    the pixels of a raw image where they lie.
    """

    __slots__ = ('_data', '_message', '_type', 'stamp_ns')

    def __init__(self, data: bytes, message_type: Any) -> None:
        self._data = data
        self._type = message_type
        self._message: Any = None
        self.stamp_ns = stamp_on_wire(data)

    def __getattr__(self, name: str) -> Any:
        data = self._data  # before the look at the message: another thread may be here too
        if self._message is None:
            found = image_on_wire(data) if self._type is Image else None
            self._message = found or deserialize_message(data, self._type)
            self._data = b''
        return getattr(self._message, name)


class SamplePort(Protocol):
    """Where the samples go: a `Sampler` or a `GridSampler`."""

    def push(self, name: str, sample: Sample) -> Any:
        """Take one sample of the stream `name`."""


def message_class(type_name: str) -> Any:
    """The class of `sensor_msgs/msg/Image`; UserError when there is none."""
    try:
        package, kind, name = type_name.split('/')
        return getattr(importlib.import_module(f'{package}.{kind}'), name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(
            f"message type '{type_name}' is not known here; expected e.g. sensor_msgs/msg/Image"
        ) from error


def sensor_qos(depth: int = QUEUE_DEPTH, reliable: bool = False) -> QoSProfile:
    """Keep-last, volatile; best effort unless asked, so that it matches every publisher."""
    policies = QoSReliabilityPolicy
    return QoSProfile(
        depth=depth, reliability=policies.RELIABLE if reliable else policies.BEST_EFFORT
    )


class StreamSubscriptions:
    """Subscribes the streams of `robot` and pushes each raw message into `sampler`.

    `lock` is held during a push; hold it also while reading the sampler in another thread.
    `roles` (`camera`, `state`, `leader`) leaves out the streams that are not needed. With
    `serialized_images` those of cameras are `SerializedMessage`; `on_picture(name, message)` sees
    each of them before it is in the sampler.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        sampler: SamplePort,
        *,
        roles: Iterable[str] = ('camera', 'state', 'leader'),
        reliable: bool = False,
        depth: int = QUEUE_DEPTH,
        lock: threading.Lock | None = None,
        serialized_images: bool = False,
        on_picture: Callable[[str, Any], None] | None = None,
    ) -> None:
        self._node = node
        self._sampler = sampler
        self._on_picture = on_picture
        self.lock = lock or threading.Lock()
        wanted = set(roles)
        self.streams = {s.name: s for s in robot.streams() if s.role in wanted}
        self.received = dict.fromkeys(self.streams, 0)
        self._subscriptions = [
            node.create_subscription(
                message_class(stream.type),
                stream.topic,
                self._store_in(stream),
                sensor_qos(depth, reliable),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                raw=serialized_images and stream.role == 'camera',
            )
            for stream in self.streams.values()
        ]

    def _store_in(self, stream: StreamSpec) -> Any:
        clock = self._node.get_clock()
        name, type_of_it = stream.name, message_class(stream.type)

        def store(message: Any) -> None:
            receive_ns = clock.now().nanoseconds
            if isinstance(message, bytes):
                message = SerializedMessage(message, type_of_it)
                header_ns = message.stamp_ns
                if self._on_picture is not None:
                    self._on_picture(name, message)
            else:
                header_ns = stamp_ns(message)
            with self.lock:
                self._sampler.push(name, Sample(header_ns, receive_ns, message))
                self.received[name] += 1

        return store

    def describe(self, name: str) -> str:
        """One line on the stream's topic: its full name, its type and who publishes there."""
        stream = self.streams[name]
        topic = self._node.resolve_topic_name(stream.topic)
        publishers = self._node.get_publishers_info_by_topic(topic)
        others = sorted({p.topic_type for p in publishers} - {stream.type})
        if others:
            state = f'published there as {", ".join(others)}'
        elif not publishers:
            state = 'no publisher there'
        else:
            state = f'{len(publishers)} publisher(s), {self.received[name]} messages received'
        return f"stream '{name}' on topic {topic} ({stream.type}): {state}"

    def silent(self) -> list[str]:
        """`describe` of every stream that has not spoken yet."""
        return [self.describe(name) for name, count in self.received.items() if not count]

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
