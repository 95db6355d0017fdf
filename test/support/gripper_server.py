# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm with a gripper that an action moves, on real ROS topics, and its action server.

The action is NestedMessage of ROS's own test_msgs, whose goal has the numbers that a gripper's
has: any action with a number for the position is a gripper's. The server does with each goal
what a test says, and remembers all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from control_robots import formula_arm
from fake_arm import HOME, FakeArm
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from ros_testing import Bench
from test_msgs.action import NestedMessage
from trajectory_arm import TrajectoryArm

from motion_policy.control import Command
from motion_policy.nodes.action_source import ActionSource
from motion_policy.nodes.arm_driver import ArmDriver, declare_arm_parameters, make_controller
from motion_policy.nodes.arm_services import ArmServices
from motion_policy.nodes.endpoints import Origin
from motion_policy.robot import JointTopic, RobotSpec
from motion_policy.streams import Row

HAND = 2  # the column of the gripper
STANDS = 0.4  # between the thresholds
CLOSED, OPEN = -0.2, 1.0
MAX_EFFORT = 40
POSITION = 'nested_field.float64_value'


def robot_with_hand(
    more: str = '',
    interface: str = '',
    command: str | None = None,
    name: str = 'hand/move',
    old: str = '',
    new: str = '',
) -> RobotSpec:
    """The formula arm, whose third joint is moved by `name`; `more` keys of the action, in which
    `new` stands for `old`.
    """
    action = (
        f'action: {{name: {name}, type: test_msgs/action/NestedMessage, position: {POSITION}, '
        f'scale: 2.0, goal: {{nested_field.int32_value: {MAX_EFFORT}}}{more}}}'
    ).replace(old or new, new)
    positions = f'closed: {CLOSED}, open: {OPEN}, close_at: 0.2, open_at: 0.6'
    grippers = f'{{joint3: {{{positions}, {interface or action}}}}}'
    return formula_arm(grippers=grippers, **({'command': command} if command else {}))


class HandServer:
    """Serves the action `name`. What becomes of a goal is said by the test that has it."""

    def __init__(self, node: Node, name: str) -> None:
        self.name = f'/{name} (test_msgs/action/NestedMessage)'
        self.goals: list[float] = []  # positions, in the order in which they came
        self.efforts: list[int] = []
        self.accepted: list[Any] = []  # goal handles
        self.cancelled: list[Any] = []
        self.answers: GoalResponse | None = GoalResponse.ACCEPT  # None: it never answers
        self.cancel_answer = CancelResponse.ACCEPT
        self._server = ActionServer(
            node, NestedMessage, name, self._execute, goal_callback=self._take,
            handle_accepted_callback=self.accepted.append, cancel_callback=self._cancel,
        )  # fmt: skip
        self._ends: dict[bytes, str] = {}
        self._answer_later: Future[None] | None = None

    def end(self, how: str = 'succeed', goal: int = -1) -> None:
        """Let a goal end: `succeed`, `abort` or `canceled`."""
        self._end(self.accepted[goal], how)

    def end_what_is_cancelled(self) -> None:
        """Let the goals end that are to be cancelled."""
        for handle in self.cancelled:
            if handle.is_cancel_requested and bytes(handle.goal_id.uuid) not in self._ends:
                self._end(handle, 'canceled')

    def _end(self, handle: Any, how: str) -> None:
        self._ends[bytes(handle.goal_id.uuid)] = how
        handle.execute()

    def answer_at_last(self) -> None:
        """Accept the goal that was not answered."""
        assert self._answer_later is not None
        self._answer_later.set_result(None)

    def destroy(self) -> None:
        """Be gone."""
        self._server.destroy()

    async def _take(self, goal: Any) -> GoalResponse:
        self.goals.append(goal.nested_field.float64_value)
        self.efforts.append(goal.nested_field.int32_value)
        if self.answers is None:
            self._answer_later = Future()
            await self._answer_later
        return self.answers or GoalResponse.ACCEPT

    def _cancel(self, handle: Any) -> CancelResponse:
        self.cancelled.append(handle)
        return self.cancel_answer

    def _execute(self, handle: Any) -> Any:
        getattr(handle, self._ends[bytes(handle.goal_id.uuid)])()
        return NestedMessage.Result()


class HandNode(Node, ActionSource):
    """Drives the arm where `target` (J,) says, as a policy does that predicts no other."""

    def __init__(self, robot: RobotSpec, name: str = 'hand_node', **options: Any) -> None:
        parameters = {'diagnostics_period': 0.05, 'ramp_speed': 1.0}
        overrides = [Parameter(key, value=value) for key, value in parameters.items()]
        super().__init__(name, parameter_overrides=overrides, **options)
        declare_arm_parameters(self)
        self.target = np.array([HOME, HOME, STANDS])
        self.controller = make_controller(self, robot, 5 * robot.period_ns)
        self.states: list[str] = []
        self.flips = False  # whether the gripper's target is another one with each action
        self.fault = ''
        self.actions = 0
        self.driver = ArmDriver(self, robot, self.controller, self)
        self.driver.activate()
        driver = self.driver
        ArmServices(self, driver.enable, driver.disable, driver.reset, driver.home)

    def close(self) -> None:
        self.driver.destroy()

    def action_due(self, row: Row) -> None:
        if self.flips:
            self.target = np.array([HOME, HOME, CLOSED if self.target[HAND] > 0.4 else OPEN])
        with self.driver.lock:
            self.controller.add_chunk(self.target[None], row.time_ns)
        self.actions += 1

    def faults(self) -> dict[str, str]:
        return {'world': self.fault} if self.fault else {}

    def after_tick(self, row: Row, command: Command | None) -> None:
        if not self.states or self.states[-1] != self.controller.state:
            self.states.append(self.controller.state)


class ArmWithHand(FakeArm):
    """Its gripper stands still: no command topic carries it."""

    def __init__(self, bench: Bench, robot: RobotSpec, node_name: str = 'hand_node') -> None:
        super().__init__(bench, robot, node_name)
        self.position = np.array([HOME, HOME, STANDS])

    def _hear_command(self, topic: JointTopic, message: Any, origin: Origin) -> None:
        self.commands.add(np.array(message.data), origin.stamp_ns or 0)
        columns = [self.robot.joints.names.index(joint) for joint in topic.joints]
        self.joints.command(self.commands[-1], columns)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Serve callbacks until that holds."""
        self.bench.spin_until(condition, what, lambda: str(self.diagnostics[-1:]))


class TrajectoryArmWithHand(TrajectoryArm):
    """The same with a controller that plays trajectories."""

    def __init__(self, bench: Bench, robot: RobotSpec) -> None:
        super().__init__(bench, robot)
        self.node_name = 'hand_node'
        self.joints.place(np.array([HOME, HOME, STANDS]))

    @property
    def position(self) -> np.ndarray:
        """Where its joints are (J,); those of the arm can be put elsewhere."""
        return self.joints.position

    @position.setter
    def position(self, position: np.ndarray) -> None:
        self.joints.place(np.array([*position[:HAND], STANDS]))

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Serve callbacks until that holds."""
        self.bench.spin_until(condition, what, lambda: str(self.diagnostics[-1:]))
