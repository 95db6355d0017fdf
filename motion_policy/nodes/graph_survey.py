# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Listens for a while to all topics of a running ROS graph that may be a robot's.

It hears every publisher, publishes nothing, and asks the controllers of command topics for their
joints.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from std_msgs.msg import String

from motion_policy.errors import UserError
from motion_policy.nodes.controller_check import controller_name
from motion_policy.nodes.endpoints import full_name
from motion_policy.nodes.executor import Unendable
from motion_policy.nodes.subscriptions import message_class, sensor_qos
from motion_policy.nodes.transports import transports
from motion_policy.survey.observed import READ_TYPES, Endpoint, Observed, Survey, is_description

NODE = 'motion_policy_survey'
DEPTH = 50
LOOK_PERIOD_S = 0.5  # at new topics
LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def survey_graph(
    seconds: float,
    types: frozenset[str] = frozenset(),
    enough: Callable[[Survey], bool] = lambda survey: False,
) -> Survey:
    """Listen for so long to the topics of READ_TYPES and of `types`, or until that is `enough`.

    Raises:
        UserError: ROS 2 cannot begin.
    """
    context = Context()
    with transports('in'):
        try:
            rclpy.init(args=[], context=context)
        except RuntimeError as error:
            raise UserError(f'ROS 2 cannot begin: {error}') from error
        node = Node(NODE, context=context, start_parameter_services=False, enable_rosout=False)
        listening = _Listening(node, {*READ_TYPES, *types})
        executor = Unendable(node)
        try:
            begin_s = time.monotonic()
            end_s = begin_s + seconds
            look_s = 0.0
            while context.ok() and (now_s := time.monotonic()) < end_s:
                if now_s >= look_s:
                    look_s = now_s + LOOK_PERIOD_S
                    listening.look()
                    if enough(listening.survey):
                        break
                executor.spin_once(timeout_sec=min(0.05, end_s - now_s))
            listening.look()
            listening.survey.seconds = time.monotonic() - begin_s
        finally:
            executor.remove_node(node)
            executor.shutdown()
            node.destroy_node()
            context.try_shutdown()
    return listening.survey


class _Listening:
    def __init__(self, node: Node, types: set[str]) -> None:
        self.survey = Survey(live=True)
        self._node = node
        self._types = types
        self._heard: set[str] = set()
        self._asked: set[str] = set()

    def look(self) -> None:
        """Subscribe to what is new, and note who publishes and listens."""
        for topic, types in self._node.get_topic_names_and_types():
            own = [name for name in types if name in self._types]
            seen = self.survey.topics.setdefault(topic, Observed(topic, (own or types)[0]))
            seen.publishers = self._endpoints(
                self._node.get_publishers_info_by_topic(topic), seen.type
            )
            seen.listeners = self._endpoints(
                self._node.get_subscriptions_info_by_topic(topic), seen.type
            )
            if own and seen.publishers and topic not in self._heard:
                self._heard.add(topic)
                self._listen(seen)
            if is_description(topic, types) and topic not in self._heard:
                self._heard.add(topic)
                self._listen_to_description(topic)
            self._ask_controller(topic, seen)
        for name, types in self._node.get_service_names_and_types():
            action, sends, _ = name.partition('/_action/send_goal')
            if sends:
                self.survey.actions[action] = types[0].removesuffix('_SendGoal')
            elif '/_action/' not in name:
                self.survey.services[name] = types[0]

    def _endpoints(self, infos: list[Any], type_name: str) -> list[Endpoint]:
        return [
            Endpoint(
                full_name(info),
                info.qos_profile.reliability == QoSReliabilityPolicy.RELIABLE,
                info.qos_profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL,
            )
            for info in infos
            if info.topic_type == type_name and info.node_name != NODE
        ]

    def _listen(self, seen: Observed) -> None:
        clock = self._node.get_clock()
        try:
            kind = message_class(seen.type)
        except UserError:  # its package is not installed here
            return

        def take(message: Any) -> None:
            seen.take(message, clock.now().nanoseconds)

        self._node.create_subscription(kind, seen.topic, take, sensor_qos(DEPTH))

    def _listen_to_description(self, topic: str) -> None:
        def take(message: String) -> None:
            self.survey.urdfs[topic] = message.data

        self._node.create_subscription(String, topic, take, LATCHED_QOS)

    def _ask_controller(self, topic: str, seen: Observed) -> None:
        name = controller_name(topic)
        if not name or not seen.listeners or name in self._asked:
            return
        client = self._node.create_client(GetParameters, f'{name}/get_parameters')
        if not client.service_is_ready():
            self._node.destroy_client(client)
            return
        self._asked.add(name)

        def take(future: Any) -> None:
            answer = future.result()
            if answer is not None and answer.values and answer.values[0].string_array_value:
                self.survey.controllers[topic] = list(answer.values[0].string_array_value)

        client.call_async(GetParameters.Request(names=['joints'])).add_done_callback(take)
