# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A person who leads an arm: what a node does with a source of targets, its buttons and services.

The tick thread looks and gives; the executor's thread serves, tells and does what buttons ask for.
"""

from __future__ import annotations

import re
from contextlib import suppress

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from motion_policy.control import Command
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.errors import UserError
from motion_policy.nodes.arm_driver import ArmDriver
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import read_group
from motion_policy.nodes.teleop_source import TeleopSource
from motion_policy.streams import Row

SPEED_STEP = 0.1
NUMBER = re.compile(r'[-+]?\d+(\.\d+)?')


class Leading:
    """Lets `source` lead the arm of `driver`."""

    def __init__(self, node: Node, driver: ArmDriver, source: TeleopSource) -> None:
        self.source = source
        self.teleoperation = Teleoperation(driver.controller, source.follower)
        self._node, self._driver = node, driver
        self._told, self._home_by_button = '', False
        self._off = node.create_publisher(JointState, '~/leader_off', 1)

    def faults(self) -> dict[str, str]:
        """Look at what is wanted by now; return what lets the arm hold. Called in each tick."""
        return self.source.look(self._node.get_clock().now().nanoseconds)

    def give(self, row: Row) -> None:
        """Give the controller what is followed in this tick, after `look`, with its lock."""
        controller = self._driver.controller
        self.source.obey(self.teleoperation.rest, enabled=controller.enabled)
        self._home_by_button = self._home_by_button and controller.homing
        if self._home_by_button and self.source.let_go:
            controller.disable(row.time_ns)
        self.teleoperation.give(row.time_ns)

    def after_tick(self, command: Command | None) -> None:
        """Note how long that took."""
        if command is not None and command.state == 'run':
            self.source.answered(self._node.get_clock().now().nanoseconds)

    def clutch(self, on: bool) -> str:
        """Press the clutch, or release it; return what that leads to, UserError says why not."""
        driver = self._driver
        with driver.lock_in_time():
            return self.source.press(
                on, self.teleoperation.rest if driver.controller.enabled else None
            )

    def grip(self, close: bool) -> str:
        """Close the gripper, or open it; return what that leads to, UserError says why not."""
        with self._driver.lock_in_time():
            if not self._driver.controller.enabled:
                raise UserError('the arm is not enabled, expected ~/enable before ~/gripper')
            return self.source.grip(close)

    def status(self) -> DiagnosticStatus:
        """What `/diagnostics` says of it."""
        return self.source.status(self._where(), enabled=self._driver.controller.enabled)

    def forget_told(self) -> None:
        """Tell anew how the arm follows."""
        self._told = ''

    def tell(self) -> None:
        """Do what was asked for by buttons, show how far leader and arm are apart, and log when
        that begins and ends to matter.
        """
        driver, source = self._driver, self.source
        self._do()
        told = source.told(self._where(), enabled=driver.controller.enabled)
        news = NUMBER.sub('', told.partition('leader: ')[0])
        if news != self._told and driver.active:
            self._told = news
            self._node.get_logger().info(f'{source.name}: {told}')
        self.show()

    def show(self) -> None:
        """Show how far leader and arm are apart."""
        if self._off.get_subscription_count():
            off = self.source.off(self._where())
            message = JointState(name=list(off), position=list(off.values()))
            message.header.stamp = self._node.get_clock().now().to_msg()
            self._off.publish(message)

    def destroy(self) -> None:
        """Remove all that was made from the node."""
        self.source.destroy()
        self._node.destroy_publisher(self._off)

    def _where(self) -> Float64Array:
        """Where the arm (J,) was sent, or stands while it is sent nowhere."""
        sent = self._driver.controller.guard.sent
        if self._driver.controller.enabled:
            return sent
        with suppress(UserError):  # of a tick that hangs, which is told by others
            measured = self._driver.measured_last
            return sent if measured is None else measured
        return sent

    def _do(self) -> None:
        """Do what was asked for by a button; one that drives home has to be held on the way."""
        try:
            for request in self.source.requests():
                if request == 'home':
                    self._home_while_held()
                else:
                    speed = read_group(self._node, ControlParameters).speed
                    speed = changed_speed(speed, request)
                    self._node.set_parameters([Parameter('speed', value=speed)])
        except UserError as error:
            self._node.get_logger().error(str(error))

    def _home_while_held(self) -> None:
        """Drive an enabled arm home; a tick in which the button is not held ends that."""
        if self._driver.controller.enabled and not self.source.let_go:
            self._node.get_logger().info(self._driver.home())
            self._home_by_button = True


def changed_speed(speed: float, request: str) -> float:
    """The speed override after a button was pressed; `slower` never makes an arm faster."""
    if request == 'faster':
        return round(min(speed + SPEED_STEP, 1.0), 3)
    return min(speed, round(max(speed - SPEED_STEP, SPEED_STEP), 3))
