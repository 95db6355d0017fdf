# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Detects commands of other nodes on a node's own command topics.

Messages are compared as they come over the wire; none is deserialised.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.serialization import serialize_message

from motion_policy.control.command import CommandMotion
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.sent_commands import SentCommands
from motion_policy.nodes.commands import CommandEncoder
from motion_policy.nodes.endpoints import (
    Origin,
    full_name,
    publisher_of,
    publishers,
    with_origin,
)
from motion_policy.nodes.subscriptions import message_class, sensor_qos
from motion_policy.robot import JointTopic, RobotSpec

STREAM_S, STREAM_PERIODS = 0.5, 5  # a command that came so recently is one of a stream
QUEUE_DEPTH = 100  # a single foreign command must not be lost among ours while nobody looks
TELL_PERIOD_NS = 50_000_000
NANOSECONDS_PER_S = 1_000_000_000


class ForeignCommands:
    """Hears what others publish on the command topics of `robot`.

    Call `sent(position, motion)` before each command is published, as it is published,
    and `sent_trajectory(positions)` before a trajectory is (topics with `send: chunk`): both are
    quick and wait for nothing, so they may be called in the tick thread. `streaming()` says why
    the arm must not be enabled; `on_foreign(line)` is called in the executor's thread as soon as
    a foreign command came, whether the arm is enabled or not.

    It takes part in the topic as a subscription: count the listeners of a command topic by
    `endpoints.listeners`, which leaves out nodes that publish there.
    """

    def __init__(
        self, node: Node, robot: RobotSpec, on_foreign: Callable[[str], None] = lambda line: None
    ) -> None:
        self._node = node
        self._on_foreign = on_foreign
        self._stream_ns = round(
            max(STREAM_S * NANOSECONDS_PER_S, STREAM_PERIODS * robot.period_ns)
        )
        self._last: tuple[int, JointTopic, bytes | None] | None = None
        self._told_ns = 0
        encoders = [CommandEncoder(topic, robot) for topic in robot.joints.command]
        self._sent = [(encoder, _sent_on(node, encoder, robot)) for encoder in encoders]
        self._subscriptions = [
            node.create_subscription(
                message_class(encoder.topic.type),
                encoder.topic.topic,
                self._hear(encoder.topic, sent),
                sensor_qos(QUEUE_DEPTH),
                raw=True,
            )
            for encoder, sent in self._sent
        ]

    def sent(self, position: Float64Array, motion: CommandMotion | None = None) -> None:
        """Take a command (J,) that goes out now where every command is wanted."""
        for encoder, sent in self._sent:
            if encoder.topic.send == 'tick':
                sent.sent(encoder.body(encoder.numbers(position, motion)))

    def sent_trajectory(self, positions: Float64Array) -> None:
        """Take a trajectory (n, J) that goes out now where plans are wanted."""
        for encoder, sent in self._sent:
            if encoder.topic.send == 'chunk' and len(positions):
                sent.sent(encoder.body(encoder.numbers(positions[0])))

    def streaming(self) -> str:
        """Name the foreign commands of the last moment; '' if there are none."""
        last = self._last
        if last is None:
            return ''
        heard_ns, topic, publisher = last
        ago_ns = time.monotonic_ns() - heard_ns
        if ago_ns > self._stream_ns:
            return ''
        name = self._node.resolve_topic_name(topic.topic)
        return (
            f'commands on {name} come from {self._others(topic, publisher)}, '
            f'the last {ago_ns / NANOSECONDS_PER_S:.2f} s ago: stop that first'
        )

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _hear(self, topic: JointTopic, sent: SentCommands) -> Callable[..., None]:
        def hear(message: bytes, origin: Origin) -> None:
            who = origin.publisher
            other = not sent.knows_itself and self._is_named_otherwise(topic, who)
            if not sent.is_ours(message, who, other):
                self._note(topic, who)

        return with_origin(hear)

    def _is_named_otherwise(self, topic: JointTopic, publisher: bytes | None) -> bool:
        """Whether that is a publisher of a node with another name than ours."""
        if publisher is None:
            return False
        own = ('', self._node.get_fully_qualified_name())
        infos = publishers(self._node, topic.topic, topic.type)
        return any(publisher_of(i) == publisher and full_name(i) not in own for i in infos)

    def _note(self, topic: JointTopic, publisher: bytes | None) -> None:
        now_ns = time.monotonic_ns()
        self._last = now_ns, topic, publisher
        # Enabling is refused during a stream: its first command after that is told at once.
        if now_ns - self._told_ns > TELL_PERIOD_NS:
            self._told_ns = now_ns
            self._on_foreign(self.streaming())

    def _others(self, topic: JointTopic, publisher: bytes | None) -> str:
        """Who publishes there beside us: names, since two nodes may have the same."""
        infos = publishers(self._node, topic.topic, topic.type)
        exact = [full_name(i) for i in infos if publisher and publisher_of(i) == publisher]
        names = exact or sorted(full_name(i) for i in infos)
        own = self._node.get_fully_qualified_name()
        if not exact and own in names:
            names.remove(own)
        told = [f'another {other}' if other == own else other for other in names]
        return ', '.join(filter(None, told)) or 'a node that is not known'


def _sent_on(node: Node, encoder: CommandEncoder, robot: RobotSpec) -> SentCommands:
    """Find where the numbers lie in our messages: all of them begin alike."""
    joints = 0.1 * np.pi * np.arange(1.0, len(robot.joints.names) + 1)
    probe = encoder.numbers(joints, CommandMotion(joints))
    message: Any = encoder.message(probe, node.get_clock())
    numbers = encoder.body(probe)
    return SentCommands(serialize_message(message).index(numbers), len(numbers))
