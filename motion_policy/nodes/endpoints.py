# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Publishers and subscribers of a topic by node name.

The graph knows all endpoints of a topic. Which of them sent a message, rclpy says from Kilted on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rclpy import subscription as rclpy_subscription
from rclpy.node import Node

from motion_policy.robot import JointTopic

_INFO = getattr(rclpy_subscription, 'MessageInfo', None)
TELLS_PUBLISHERS = 'publisher_gid' in getattr(_INFO, '__annotations__', {})
TELLS_STAMPS = hasattr(rclpy_subscription.Subscription, 'CallbackType')  # Iron and later
NO_NAME = '_NODE_NAME_UNKNOWN_'  # of an endpoint whose node is not known yet


class Origin(NamedTuple):
    """Where a message comes from, as far as rclpy says it.

    `publisher` is an identity as `publisher_of` gives it, `stamp_ns` when it was published, on
    the clock there, `received_ns` when the middleware had it, on the clock here. `number` counts
    the messages of that publisher.
    """

    publisher: bytes | None = None
    stamp_ns: int | None = None
    received_ns: int | None = None
    number: int | None = None


def with_origin(callback: Callable[[Any, Origin], None]) -> Callable[..., None]:
    """Turn `callback(message, origin)` into one for a subscription."""
    if not TELLS_STAMPS:
        return lambda message: callback(message, Origin())

    def take(message: Any, info: Any) -> None:
        publisher = info['publisher_gid']['data'] if TELLS_PUBLISHERS else None
        stamps = info['source_timestamp'], info.get('received_timestamp')
        number = info.get('publication_sequence_number')
        callback(message, Origin(publisher, *stamps, number))

    return take


def publisher_of(info: Any) -> bytes:
    """The identity of an endpoint of the graph."""
    return bytes(info.endpoint_gid)


def publishers(node: Node, topic: str, type_name: str) -> list[Any]:
    """What the graph knows of those who publish this type on a topic, as the node names it."""
    infos = node.get_publishers_info_by_topic(topic)
    return [info for info in infos if info.topic_type == type_name]


def servers(node: Node, service: str) -> dict[str, tuple[str, ...]]:
    """The nodes that serve a service of this full name, each with the types it has there."""
    found = {}
    for name, namespace in node.get_node_names_and_namespaces():
        try:
            served = node.get_service_names_and_types_by_node(name, namespace)
        except RuntimeError:  # it went away meanwhile
            continue
        for its, types in served:
            if its == service:
                found[f'{namespace.rstrip("/")}/{name}'] = tuple(types)
    return found


def full_name(info: Any) -> str:
    """The name of an endpoint's node, with its namespace; '' while it is not known."""
    if info.node_name == NO_NAME:
        return ''
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'


def listeners(node: Node, topic: JointTopic, publisher: Any) -> int:
    """How many nodes listen to `node`'s publisher on a command topic, that may be an arm.

    Nodes that drive an arm hear each other's commands; that makes none of them an arm. Nor is a
    hidden node one, whose name begins with _: a cockpit, `ros2 topic echo`.
    """
    drivers = {full_name(info) for info in publishers(node, topic.topic, topic.type)}
    hearing = node.get_subscriptions_info_by_topic(topic.topic)
    names = [full_name(info) for info in hearing if info.topic_type == topic.type]
    not_arms: int = sum(name in drivers or '/_' in name for name in names)
    count: int = publisher.get_subscription_count()
    return max(0, count - not_arms)
