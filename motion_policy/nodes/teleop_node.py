# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle node with which a person leads an arm, through the controller of the policy node.

What the arm is sent is what the guards made of it, and that is what is recorded as the action.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool

from motion_policy.control import Command
from motion_policy.errors import UserError
from motion_policy.nodes.arm_driver import ArmDriver, make_controller
from motion_policy.nodes.arm_node import INSPECTION_PERIOD_S, TELL_PERIOD_S, ArmNode
from motion_policy.nodes.arm_services import ArmServices
from motion_policy.nodes.leading import Leading
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.teleop import TeleopParameters
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.teleop_sources import leaders, make_source, other_actions, teleop_of
from motion_policy.robot import load_robot_spec
from motion_policy.streams import Row


class TeleopNode(ArmNode):
    """configure: subscribe; activate: tick; `~/enable`: follow."""

    def __init__(self, **options: Any) -> None:
        super().__init__('teleop_node', **options)
        declare_group(self, TeleopParameters)
        parameters = read_group(self, TeleopParameters)
        if parameters.autostart:
            named_robot(parameters)  # nobody is there to name one and configure again
        self._leading: Leading | None = None
        self.create_service(SetBool, '~/clutch', self._serve_clutch)
        self.create_service(SetBool, '~/gripper', self._serve_gripper)
        self._arm_services = ArmServices(
            self, self._enable, self._disable, self._reset, self._home
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(TELL_PERIOD_S, self._tell, clock=steady)
        self.create_timer(INSPECTION_PERIOD_S, self._inspect, clock=steady)
        if parameters.autostart:
            self._start_by_itself()

    def _configure(self) -> None:
        parameters = read_group(self, TeleopParameters)
        robot = load_robot_spec(named_robot(parameters))
        teleop = teleop_of(robot)
        control = read_group(self, ControlParameters)
        if control.interpolation != 'linear':
            raise UserError(
                f"parameter 'interpolation' is '{control.interpolation}', expected none: a leader "
                'is followed in the tick in which it is heard'
            )
        controller = make_controller(self, robot, robot.period_ns, interpolation='hold')
        self._driver = ArmDriver(self, robot, controller, self)
        source = make_source(self, robot, teleop, parameters.clutch)
        self._leading = Leading(self, self._driver, source)
        self._driver.check_topics()
        source.check_topics()
        for line in other_actions(robot):
            self.get_logger().warning(line)
        self.get_logger().info(f"'{robot.name}' follows {leaders(teleop)} at {robot.rate:g} Hz")

    def _release(self) -> None:
        if self._leading is not None:
            self._leading.destroy()
            self._leading = None

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start ticking; no command before `~/enable`."""
        if self._leading is not None:
            self._leading.forget_told()
        return super().on_activate(state)

    def faults(self) -> dict[str, str]:
        """What the leader lets the arm hold for; called in each tick."""
        return {} if self._leading is None else self._leading.faults()

    def after_look(self, row: Row) -> None:
        """Give the controller what is followed in this tick."""
        if self._leading is not None:
            self._leading.give(row)

    def action_due(self, row: Row) -> None:
        """An action was given in `after_look` already, as in every tick."""

    def after_tick(self, row: Row, command: Command | None) -> None:
        """Note how long that took."""
        if self._leading is not None:
            self._leading.after_tick(command)

    def statuses(self) -> list[DiagnosticStatus]:
        """Of what leads the arm."""
        return [] if self._leading is None else [self._leading.status()]

    def _enable(self) -> str:
        driver, leading = self._configured()
        if driver.controller.enabled:
            return driver.enable()
        leading.source.check(driver.measured_last)
        driver.enable()
        with driver.lock_in_time():
            return leading.source.start(leading.teleoperation.rest)

    def _disable(self) -> str:
        return self._configured()[0].disable()

    def _home(self) -> str:
        return self._configured()[0].home()

    def _reset(self) -> str:
        return self._configured()[0].reset()

    def _serve_clutch(self, request: Any, response: Any) -> Any:
        return self._arm_services.answer(
            response, lambda: self._configured()[1].clutch(request.data)
        )

    def _serve_gripper(self, request: Any, response: Any) -> Any:
        return self._arm_services.answer(
            response, lambda: self._configured()[1].grip(request.data)
        )

    def _configured(self) -> tuple[ArmDriver, Leading]:
        if self._driver is None or self._leading is None:
            raise UserError('the node is not configured: configure and activate it first')
        return self._driver, self._leading

    def _inspect(self) -> None:
        if self._leading is not None:
            self._leading.source.inspect()

    def _tell(self) -> None:
        if self._leading is not None:
            self._leading.tell()


def named_robot(parameters: TeleopParameters) -> str:
    """The robot spec that the parameters name; UserError if they name none."""
    if not parameters.robot:
        raise UserError("parameter 'robot' is empty, expected a robot spec: name or YAML file")
    return parameters.robot


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    return run_node(TeleopNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
