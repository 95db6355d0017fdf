# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Servers of the actions and services that move the grippers of a stand-in arm.

A new goal takes the place of the one under way, which is aborted. Nothing is waited for: whoever
has the servers calls `step`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionServer as RosActionServer
from rclpy.action import CancelResponse, GoalResponse
from rclpy.node import Node
from std_srvs.srv import SetBool

from motion_policy.errors import UserError
from motion_policy.nodes.subscriptions import message_class
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.gripper_motion import GripperMotion
from motion_policy.robot import RobotSpec
from motion_policy.robot.gripper import GripperAction, GripperGoal, GripperService

NEAR = 0.02  # of the range of a joint
Tell = Callable[[str], None]


class StandInGripper:
    """One gripper: its joint moves where goals say.

    Attributes:
        goals: positions that were asked for [rad or m].
        refused: how many were no place where it can be.
    """

    def __init__(self, node: Node, robot: RobotSpec, name: str, arm: StandInArm) -> None:
        self.name = name
        self.goals: list[float] = []
        self.refused = 0
        self._node = node
        self._arm = arm
        self._column = robot.joints.names.index(name)
        self._spec = robot.joints.grippers[name]
        self._low, self._high = robot.joints.limits.position[self._column]
        self._servers: list[Any] = []
        self._services: list[Any] = []
        self._handle: Any = None
        self._motion: GripperMotion | None = None
        self._ends: dict[bytes, tuple[str, bool]] = {}

    def open(self) -> None:
        """Serve. UserError: the package of the action is not installed."""
        interface = self._spec.interface
        if isinstance(interface, GripperAction):
            self._serve(interface)
            if interface.closing is not None:
                self._serve(interface.closing)
        elif isinstance(interface, GripperService):
            self._serve_switch(interface)

    def close(self) -> None:
        """Be gone; a goal under way is never answered."""
        for server in self._servers:
            server.destroy()
        for service in self._services:
            self._node.destroy_service(service)
        self._servers, self._services, self._handle, self._motion = [], [], None, None

    def step(self, now_ns: int) -> None:
        """End the goal under way, where it is over."""
        motion, handle = self._motion, self._handle
        if motion is None:
            return
        if handle is not None and handle.is_cancel_requested:
            motion.stop()
            self._end('canceled', reached=False)
            return
        outcome = motion.look(now_ns)
        if outcome == 'reached':
            self._end('succeed', reached=True)
        elif outcome == 'stalled':
            self._end('abort', reached=False)

    def _serve(self, goal: GripperGoal) -> None:
        kind = message_class(goal.type)

        def wanted(request: Any) -> float:
            value = request
            for part in goal.position.split('.'):
                value = getattr(value, part)
            value = value[0] if hasattr(value, '__len__') else value
            return (float(value) - goal.offset) / goal.scale  # NaN is nowhere

        def answer(request: Any) -> GoalResponse:
            position = wanted(request)
            # A number of 32 bits, or a whole one, is a little beyond the limit that it stands for.
            near = NEAR * (self._high - self._low)
            if not self._low - near <= position <= self._high + near:
                self.refused += 1
                return GoalResponse.REJECT
            return GoalResponse.ACCEPT

        def accept(handle: Any) -> None:
            self._end('abort', reached=False)
            self._handle = handle
            self._begin(min(max(wanted(handle.request), self._low), self._high))

        def execute(handle: Any) -> Any:
            how, reached = self._ends.pop(bytes(handle.goal_id.uuid), ('abort', False))
            getattr(handle, how)()
            result = kind.Result()
            told = {'reached_goal': reached, 'stalled': not reached, 'success': reached}
            for key, value in told.items():
                if isinstance(getattr(result, key, None), bool):
                    setattr(result, key, value)
            return result

        self._servers.append(
            RosActionServer(
                self._node,
                kind,
                goal.name,
                execute,
                goal_callback=answer,
                handle_accepted_callback=accept,
                cancel_callback=lambda handle: CancelResponse.ACCEPT,
            )
        )

    def _serve_switch(self, spec: GripperService) -> None:
        def switch(request: Any, response: Any) -> Any:
            closes = request.data == (spec.true_is == 'closed')
            self._begin(self._spec.closed if closes else self._spec.open)
            response.success = True
            return response

        self._services.append(self._node.create_service(SetBool, spec.name, switch))

    def _begin(self, position: float) -> None:
        self.goals.append(position)
        now_ns = self._node.get_clock().now().nanoseconds
        span = self._high - self._low
        self._motion = GripperMotion(self._arm, self._column, position, span, now_ns)

    def _end(self, how: str, *, reached: bool) -> None:
        handle, self._handle, self._motion = self._handle, None, None
        if handle is not None:
            self._ends[bytes(handle.goal_id.uuid)] = how, reached
            handle.execute()


class StandInGrippers:
    """Those of a robot that an action or a service moves; `tell` is told of what has no server."""

    def __init__(self, node: Node, robot: RobotSpec, arm: StandInArm, tell: Tell) -> None:
        self._tell = tell
        self._grippers = [
            StandInGripper(node, robot, name, arm) for name in robot.joints.acting_grippers
        ]
        self.open()

    def open(self) -> None:
        """Serve all."""
        for gripper in self._grippers:
            try:
                gripper.open()
            except UserError as error:
                self._tell(f'gripper {gripper.name} is not served: {error}')

    def close(self) -> None:
        """Be gone."""
        for gripper in self._grippers:
            gripper.close()

    def step(self, now_ns: int) -> None:
        """To be called often, with the node's time."""
        for gripper in self._grippers:
            gripper.step(now_ns)

    def goals(self) -> dict[str, tuple[int, int]]:
        """How many goals came to each gripper, and how many of them were refused."""
        return {g.name: (len(g.goals) + g.refused, g.refused) for g in self._grippers}
