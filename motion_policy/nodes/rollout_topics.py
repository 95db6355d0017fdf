# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy node says with each command, for who records its rollouts.

One rule: its messages wait, and count as received, as the commands do that they belong to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from motion_policy.episodes.rollout_messages import RolloutMessages
from motion_policy.nodes.bad_messages import BadMessages
from motion_policy.nodes.endpoints import Origin, with_origin
from motion_policy.nodes.executor import LeftAlone
from motion_policy.nodes.reception import Reception, Waiting, take_waiting
from motion_policy.nodes.subscriptions import sensor_qos
from motion_policy.robot import RobotSpec


class RolloutTopics:
    """Hears `intervention` and `policy_action` of the node of this `name`.

    `counted_ns` says when a message counts as received that comes now.
    """

    def __init__(
        self, node: Node, robot: RobotSpec, name: str, depth: int, counted_ns: Callable[[int], int]
    ) -> None:
        self.messages = RolloutMessages(robot)
        self._node, self._counted_ns = node, counted_ns
        self._bad = BadMessages.of(node)
        self._topics = f'{name}/intervention', f'{name}/policy_action'
        person, action = self._topics
        self._waiting = [
            self._subscribe(Bool, person, depth, self._take_intervention),
            self._subscribe(JointState, action, depth, self._take_action),
        ]

    @property
    def there(self) -> bool:
        """Whether the policy node is there, and lets a person take over."""
        return all(self._node.count_publishers(topic) for topic in self._topics)

    def take_waiting(self) -> None:
        """Take what waits, in the thread that serves the node, before commands are taken."""
        take_waiting(self._waiting, self._node.get_clock().now().nanoseconds, lambda _: True)

    def _subscribe(
        self, kind: Any, topic: str, depth: int, take: Callable[[Any, int], None]
    ) -> Waiting:
        clock = self._node.get_clock()
        reception = Reception(clock)

        def store(message: Any, origin: Origin) -> None:
            receive_ns = reception.of(origin, clock.now().nanoseconds)
            try:
                take(message, self._counted_ns(receive_ns))
            except ValueError as error:
                self._bad.add(topic, error)

        subscription = self._node.create_subscription(
            kind, topic, with_origin(store), sensor_qos(depth, reliable=True),
            callback_group=LeftAlone(lambda: reception.is_told),
        )  # fmt: skip
        return Waiting(subscription, reception, self._bad, is_image=False)

    def _take_intervention(self, message: Bool, receive_ns: int) -> None:
        self.messages.add_intervention(message.data, receive_ns)

    def _take_action(self, message: JointState, receive_ns: int) -> None:
        self.messages.add_policy_action(message.name, message.position, receive_ns)
