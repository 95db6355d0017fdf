# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The topics of the emergency stop and of the dead-man switch.

An emergency stop is heard from latching and from other publishers: none is missed for its QoS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

from motion_policy.control.switches import DEAD_MAN, DeadManSwitch, EmergencyStop
from motion_policy.errors import UserError
from motion_policy.nodes.shell import declare, parameter
from motion_policy.nodes.subscriptions import sensor_qos

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


def declare_switch_parameters(node: Node) -> None:
    """Declare which topics stop the arm."""
    declare(
        node, 'emergency_stop_topic', 'emergency_stop',
        'std_msgs/Bool: true disables the arm; empty: none', read_only=True,
    )  # fmt: skip
    declare(
        node, 'require_emergency_stop', False,
        'Refuse to enable before false was heard on emergency_stop_topic',
    )  # fmt: skip
    declare(
        node, 'dead_man_topic', '',
        'sensor_msgs/Joy: the arm moves only while dead_man_button is held; empty: none',
        read_only=True,
    )  # fmt: skip
    declare(
        node, 'dead_man_button', 0, 'Index of the button in Joy.buttons', minimum=0, maximum=63
    )
    declare(
        node, 'dead_man_timeout', 0.5, 'Silence of dead_man_topic that counts as released [s]',
        minimum=0.02, maximum=10.0,
    )  # fmt: skip


class StopSwitches:
    """Listens to the switches of a node; `on_emergency(reason)` is called when one is pressed."""

    def __init__(self, node: Node, on_emergency: Callable[[str], None]) -> None:
        self._node = node
        self._on_emergency = on_emergency
        self._emergency: EmergencyStop | None = None
        self._dead_man: DeadManSwitch | None = None
        self._subscriptions: list[Any] = []
        self._listen_for_emergencies(parameter(node, 'emergency_stop_topic'))
        self._listen_for_the_dead_man(parameter(node, 'dead_man_topic'))

    def check(self) -> None:
        """UserError that says why the arm must not be enabled."""
        problems = list(self.faults().values())
        if self._emergency is not None:
            problems.insert(0, self._emergency.problem())
        for problem in filter(None, problems):
            raise UserError(problem)

    def faults(self) -> dict[str, str]:
        """What lets the arm hold now, by name, as a stream's faults are told."""
        problem = self._dead_man.problem(time.monotonic_ns()) if self._dead_man else ''
        return {DEAD_MAN: problem} if problem else {}

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _listen_for_emergencies(self, topic: str) -> None:
        if not topic:
            if parameter(self._node, 'require_emergency_stop'):
                raise UserError(
                    'require_emergency_stop is true, but emergency_stop_topic is empty'
                )
            return
        required = parameter(self._node, 'require_emergency_stop')
        stop = EmergencyStop(self._node.resolve_topic_name(topic), required)

        def tell(message: Any) -> None:
            if stop.tell(message.data):
                self._on_emergency(stop.problem())

        self._emergency = stop
        kinds = QoSDurabilityPolicy
        for durability in (kinds.TRANSIENT_LOCAL, kinds.VOLATILE):
            qos = QoSProfile(
                depth=1,
                durability=durability,
                reliability=(
                    QoSReliabilityPolicy.RELIABLE
                    if durability == kinds.TRANSIENT_LOCAL
                    else QoSReliabilityPolicy.BEST_EFFORT
                ),
            )
            # One of the two never fits a publisher, which is nothing to be warned of.
            quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
            self._subscriptions.append(
                self._node.create_subscription(Bool, topic, tell, qos, event_callbacks=quiet)
            )

    def _listen_for_the_dead_man(self, topic: str) -> None:
        if not topic:
            return
        button = parameter(self._node, 'dead_man_button')
        name = f'{self._node.resolve_topic_name(topic)}, button {button}'
        switch = DeadManSwitch(name, parameter(self._node, 'dead_man_timeout'))

        def tell(message: Any) -> None:
            held = len(message.buttons) > button and bool(message.buttons[button])
            switch.tell(held, time.monotonic_ns())

        self._dead_man = switch
        self._subscriptions.append(
            self._node.create_subscription(Joy, topic, tell, sensor_qos(depth=1))
        )
