# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The topics of the emergency stop and of the dead-man switch.

An emergency stop is heard from every publisher of its topic, as surely as that one offers it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

from motion_policy.control.switches import (
    DEAD_MAN,
    EMERGENCY_STOP,
    UNKNOWN,
    DeadManSwitch,
    EmergencyStop,
)
from motion_policy.errors import UserError
from motion_policy.nodes.endpoints import (
    Origin,
    full_name,
    publisher_of,
    publishers,
    with_origin,
)
from motion_policy.nodes.parameters.arm import SwitchParameters
from motion_policy.nodes.parameters.declaring import read_group
from motion_policy.nodes.subscriptions import sensor_qos, subscribe_to_all
from motion_policy.streams.messages import stamp_ns

BOOL = 'std_msgs/msg/Bool'
LOOK_PERIOD_S = 0.1
QUEUE_DEPTH = 1000  # shared by all publishers: the word of one must not push out another's


class StopSwitches:
    """Listens to the switches of a node.

    `on_emergency(reason)` is called in the executor's thread when the arm must be disabled: at
    once for each message of a pressed stop, and again every 0.1 s as long as the reason lasts.
    """

    def __init__(self, node: Node, on_emergency: Callable[[str], None]) -> None:
        self._node = node
        self._on_emergency = on_emergency
        parameters = read_group(node, SwitchParameters)
        self._topic = parameters.emergency_stop_topic
        self._emergency: EmergencyStop | None = None
        self._dead_man: DeadManSwitch | None = None
        self._subscriptions: list[Any] = []
        self._timer: Any = None
        self._listen_for_emergencies(parameters)
        self._listen_for_the_dead_man(parameters)

    def check(self) -> None:
        """UserError that says why the arm must not be enabled."""
        stop = self._emergency
        if stop is not None:
            self._see(stop)
            problem = self._other_types() or stop.problem(time.monotonic_ns())
            if problem:
                raise UserError(problem)
        for fault in self.faults().values():
            raise UserError(fault)
        if stop is not None and not stop.heard:
            self._node.get_logger().warning(
                f'nothing is heard of an emergency stop ({stop.name}): nobody can press one'
            )

    def faults(self) -> dict[str, str]:
        """What lets the arm hold now, by name, as a stream's faults are told; in any thread."""
        now_ns = time.monotonic_ns()
        faults = {
            EMERGENCY_STOP: self._emergency.fault(now_ns) if self._emergency else '',
            DEAD_MAN: self._dead_man.problem(now_ns) if self._dead_man else '',
        }
        return {name: fault for name, fault in faults.items() if fault}

    def reset(self) -> None:
        """Forget the publishers of the emergency stop that are gone."""
        if self._emergency is not None:
            self._see(self._emergency)
            self._emergency.forget_gone()

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _listen_for_emergencies(self, parameters: SwitchParameters) -> None:
        required = parameters.require_emergency_stop
        if not self._topic:
            if required:
                raise UserError(
                    'require_emergency_stop is true, but emergency_stop_topic is empty'
                )
            return
        name = self._node.resolve_topic_name(self._topic)
        timeout_s = parameters.emergency_stop_timeout
        stop = EmergencyStop(name, time.monotonic_ns(), required, timeout_s)
        self._emergency = stop

        def tell(message: Any, origin: Origin) -> None:
            publisher = origin.publisher or self._only_publisher()
            stop.tell(message.data, time.monotonic_ns(), publisher, origin.stamp_ns)
            if message.data:
                self._stop_if_faulty(stop)

        # What comes more than once is known by its stamp.
        self._subscriptions += subscribe_to_all(
            self._node, Bool, self._topic, with_origin(tell), QUEUE_DEPTH
        )
        self._timer = self._node.create_timer(
            LOOK_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _look(self) -> None:
        if self._emergency is not None:
            self._see(self._emergency)
            self._stop_if_faulty(self._emergency)

    def _stop_if_faulty(self, stop: EmergencyStop) -> None:
        fault = stop.fault(time.monotonic_ns())
        if fault:
            self._on_emergency(fault)

    def _see(self, stop: EmergencyStop) -> None:
        infos = publishers(self._node, self._topic, BOOL)
        latched = QoSDurabilityPolicy.TRANSIENT_LOCAL
        stop.see(
            {publisher_of(info): full_name(info) for info in infos},
            [publisher_of(i) for i in infos if i.qos_profile.durability == latched],
            time.monotonic_ns(),
        )

    def _only_publisher(self) -> bytes:
        """Who must have sent a message that does not tell it."""
        infos = publishers(self._node, self._topic, BOOL)
        return publisher_of(infos[0]) if len(infos) == 1 else UNKNOWN

    def _other_types(self) -> str:
        infos = self._node.get_publishers_info_by_topic(self._topic)
        others = sorted({i.topic_type for i in infos} - {BOOL})
        if not others:
            return ''
        name = self._node.resolve_topic_name(self._topic)
        return f'{name} is published as {", ".join(others)}, expected {BOOL}'

    def _listen_for_the_dead_man(self, parameters: SwitchParameters) -> None:
        topic, button = parameters.dead_man_topic, parameters.dead_man_button
        if not topic:
            return
        self._dead_man, subscription = held_button(
            self._node, topic, button, parameters.dead_man_timeout
        )
        self._subscriptions.append(subscription)


def held_button(
    node: Node, topic: str, button: int, timeout_s: float, told_as: str = 'dead-man switch'
) -> tuple[DeadManSwitch, Any]:
    """Listen to a button of a Joy that has to be held; return it and the subscription.

    One that was not heard of for `timeout_s` is not held. `told_as` is what people call it.
    """
    name = f'{node.resolve_topic_name(topic)}, button {button}'
    switch = DeadManSwitch(name, button, timeout_s, told_as)

    def tell(message: Any, origin: Origin) -> None:
        publisher = origin.publisher or UNKNOWN
        switch.tell(message.buttons, time.monotonic_ns(), stamp_ns(message) or 0, publisher)

    return switch, node.create_subscription(Joy, topic, with_origin(tell), sensor_qos())
