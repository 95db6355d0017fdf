# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Clients of the actions and services that move grippers, for any type that is installed.

An action is spoken to by its services, as ROS 2 defines them: so a goal can be cancelled by its
identity before its server has answered, and an answer that never comes is waited for by nobody.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from rclpy.node import Node
from rclpy.qos import qos_profile_action_status_default
from std_srvs.srv import SetBool
from unique_identifier_msgs.msg import UUID

from motion_policy.errors import UserError
from motion_policy.nodes.endpoints import (
    Origin,
    publisher_of,
    publishers,
    servers,
    with_origin,
)
from motion_policy.nodes.subscriptions import message_class
from motion_policy.robot.gripper import SET_BOOL as SWITCH
from motion_policy.robot.gripper import GripperGoal, GripperService
from motion_policy.streams.message_fields import FieldType, field_type

STATUSES = 'action_msgs/msg/GoalStatusArray'
UNDER_WAY = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)
KEPT_GOALS = 1000  # of ours, by which those of others are known
PARALLEL = 'control_msgs/action/ParallelGripperCommand'
Answer = Callable[[Any], None]


class ActionServer:
    """One action as a gripper's client sees it; `joint` is what its server calls the joint.

    `on_others()` is called when goals of other nodes are under way there. `ours` are the goals of
    this node, also of the action that does the opposite: it may be the same, with other values.
    """

    def __init__(
        self,
        node: Node,
        spec: GripperGoal,
        joint: str,
        on_others: Callable[[], None],
        ours: deque[bytes],
    ) -> None:
        self._node = node
        self._spec = spec
        self._joint = joint
        self._on_others = on_others
        self._action = message_class(spec.type)
        self.name = node.resolve_topic_name(spec.name)
        kinds, services = self._action.Impl, f'{spec.name}/_action'
        self._send = node.create_client(kinds.SendGoalService, f'{services}/send_goal')
        self._cancel = node.create_client(CancelGoal, f'{services}/cancel_goal')
        self._result = node.create_client(kinds.GetResultService, f'{services}/get_result')
        self.clients = (self._send, self._cancel, self._result)
        self._ours = ours
        self._others: dict[bytes, bytes | None] = {}  # under way, and who told so
        self._statuses = node.create_subscription(
            GoalStatusArray,
            f'{services}/status',
            with_origin(self._take_statuses),
            qos_profile_action_status_default,
        )

    def __str__(self) -> str:
        return f'{self.name} ({self._spec.type})'

    @property
    def ready(self) -> bool:
        """Whether somebody serves it."""
        return all(client.service_is_ready() for client in self.clients)

    def unfit(self) -> str:
        """Say that several nodes serve it, or one with another type; ''."""
        service = f'{self.name}/_action/send_goal'
        return _unfit(self._node, str(self), service, f'{self._spec.type}_SendGoal')

    def goal(self, position: float) -> Any:
        """The goal for a position of the joint; UserError if the action has no such one."""
        goal = self._action.Goal()
        if self._spec.type == PARALLEL:
            goal.command.name = [self._joint]
        for path, value in self._spec.goal.items():
            set_field(goal, path, value)
        set_field(goal, self._spec.position, self._spec.value(position), rounded=True)
        return goal

    def send(self, goal: Any, answer: Answer) -> UUID:
        """Send a goal and return its identity."""
        identity = UUID(uuid=np.frombuffer(uuid.uuid4().bytes, np.uint8))
        self._ours.append(bytes(identity.uuid))
        request = self._action.Impl.SendGoalService.Request(goal_id=identity, goal=goal)
        _call(self._send, request, answer)
        return identity

    def cancel(self, identity: UUID) -> None:
        """Ask that a goal of ours is cancelled; its result says whether it was."""
        request = CancelGoal.Request()
        request.goal_info.goal_id = identity
        _call(self._cancel, request, lambda response: None)

    def result(self, identity: UUID, answer: Answer) -> None:
        """Ask for the result of a goal that was accepted; it is answered when that is over."""
        request = self._action.Impl.GetResultService.Request(goal_id=identity)
        _call(self._result, request, answer)

    def others(self) -> str:
        """Say that goals of other nodes are under way there; ''."""
        if self._others and not self.ready:
            self._others = {}
        who = set(self._others.values())
        if who - {None}:  # a server that was killed never says that its goals are over
            infos = publishers(self._node, f'{self.name}/_action/status', STATUSES)
            there = {publisher_of(info) for info in infos}
            self._others = {i: w for i, w in self._others.items() if w is None or w in there}
        if not self._others:
            return ''
        return f'a goal of another node is under way on {self.name}: let it end, or cancel it'

    def destroy(self) -> None:
        """Remove it from the node."""
        for client in self.clients:
            self._node.destroy_client(client)
        self._node.destroy_subscription(self._statuses)

    def _take_statuses(self, message: Any, origin: Origin) -> None:
        identities = [
            bytes(status.goal_info.goal_id.uuid)
            for status in message.status_list
            if status.status in UNDER_WAY
        ]
        ours = set(self._ours)
        self._others = {i: origin.publisher for i in identities if i not in ours}
        if self._others:
            self._on_others()


class SwitchServer:
    """A service that switches a gripper; it is spoken to as an action that is over at once."""

    def __init__(self, node: Node, spec: GripperService) -> None:
        self._node = node
        self._true_when_open = spec.true_is == 'open'
        self.name = node.resolve_service_name(spec.name)
        self._client = node.create_client(SetBool, spec.name)
        self.clients = (self._client,)

    def __str__(self) -> str:
        return f'{self.name} ({SWITCH})'

    @property
    def ready(self) -> bool:
        """Whether somebody serves it."""
        there: bool = self._client.service_is_ready()
        return there

    def unfit(self) -> str:
        """Say that several nodes serve it, or one with another type; ''."""
        return _unfit(self._node, str(self), self.name, SWITCH)

    def send(self, opens: bool, answer: Answer) -> None:
        """Switch it."""
        _call(self._client, SetBool.Request(data=opens == self._true_when_open), answer)

    def destroy(self) -> None:
        """Remove it from the node."""
        self._node.destroy_client(self._client)


def _unfit(node: Node, what: str, service: str, kind: str) -> str:
    found = servers(node, service)
    for who, types in found.items():
        if kind not in types:
            other = ', '.join(types).removesuffix('_SendGoal')
            return f'{what} is served by {who} as {other}'
    if len(found) > 1:
        return f'{what} is served by {", ".join(sorted(found))}, expected one of them'
    return ''


def _call(client: Any, request: Any, answer: Answer) -> None:
    def take(future: Any) -> None:
        response = future.result()
        if response is not None:
            answer(response)

    client.call_async(request).add_done_callback(take)


def set_field(message: Any, path: str, value: Any, rounded: bool = False) -> None:
    """Set one field, of numbers, truths or texts, to a value that a robot spec gives.

    `rounded`: to the next integer, where it is one. UserError: there is no such field, or not of
    such a value.
    """
    *way, last = path.split('.')
    for part in way:
        message = getattr(message, part) if part in _fields(message) else None
    known = _fields(message)
    if last not in known:
        told = f'it has: {", ".join(known)}' if known else 'there is no such message'
        raise UserError(f"no field '{path}', {told}")
    kind = field_type(known[last])
    if kind.size is None:
        setattr(message, last, _converted(path, kind, value, rounded))
        return
    values = value if isinstance(value, (list, tuple)) else [value]
    if kind.size and len(values) != kind.size:
        raise UserError(f"'{path}': found {len(values)} values, expected {kind.size}")
    setattr(message, last, [_converted(path, kind, each, rounded) for each in values])


def _fields(message: Any) -> dict[str, str]:
    tell = getattr(message, 'get_fields_and_field_types', dict)
    fields: dict[str, str] = tell()
    return fields


def _converted(path: str, kind: FieldType, value: Any, rounded: bool) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind.base in ('double', 'float') and number:
        return float(value)
    if kind.base == 'boolean' and isinstance(value, bool):
        return value
    if kind.base == 'string' and isinstance(value, str):
        return value
    integer = kind.base.removeprefix('u').startswith('int')
    if integer and number and (rounded or float(value).is_integer()):
        limits = np.iinfo(kind.base)
        if limits.min <= round(value) <= limits.max:
            return round(value)
    raise UserError(f"'{path}' is {kind}, found {value!r}")
