# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A person who takes over an arm while its policy drives, and gives it back.

One rule: a person who takes over is never refused while the arm may move, and nothing but that
person, or `~/enable`, lets the policy drive again.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool

from motion_policy.control import Command
from motion_policy.control.leader_drive import LeaderDrive
from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.leader_movement import LeaderMovement
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.switches import UNKNOWN, PressedButton
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.arm_driver import ArmDriver
from motion_policy.nodes.commands import CommandPublishers, time_message
from motion_policy.nodes.endpoints import Origin, with_origin
from motion_policy.nodes.leading import Leading
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import read_group
from motion_policy.nodes.parameters.teleop import ClutchParameters
from motion_policy.nodes.subscriptions import sensor_qos
from motion_policy.nodes.teleop_source import TeleopSource
from motion_policy.nodes.teleop_sources import make_source, other_actions, teleop_of
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import TeleopSpec
from motion_policy.streams import Row

BY_SERVICE = '~/takeover'
SAID_DEPTH = 100  # who records misses none, also when it is held up for a moment


def make_takeover(
    node: Node,
    robot: RobotSpec,
    driver: ArmDriver,
    clutch: ClutchParameters,
    on_give_back: Callable[[], None],
) -> Takeover:
    """Make what a person takes over with; UserError says why this robot cannot be taken over."""
    if robot.teleop is None:
        raise UserError(f"robot '{robot.name}' has no teleop, expected what a person drives with")
    teleop = teleop_of(robot)
    source = make_source(node, robot, teleop, clutch)
    for line in other_actions(robot):
        node.get_logger().warning(line)
    return Takeover(node, robot, driver, source, teleop, on_give_back)


class Takeover:
    """Hands the arm of `driver` to the person at `source` and back.

    `on_give_back` is called with the lock of the driver. With each command it publishes who made
    it, and what the policy wanted.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        driver: ArmDriver,
        source: TeleopSource,
        teleop: TeleopSpec,
        on_give_back: Callable[[], None],
    ) -> None:
        self.leading = Leading(node, driver, source)
        self._node, self._robot, self._driver, self._source = node, robot, driver, source
        self._on_give_back = on_give_back
        self._movement = LeaderMovement(robot, teleop)
        self._faults: dict[str, str] = {}
        self._count, self._why = 0, ''
        self._events: deque[str] = deque(maxlen=100)
        self._nothing = [math.nan] * len(robot.joints.names)
        self._button: PressedButton | None = None
        self._subscription = None
        spec = teleop.takeover
        if spec is not None and spec.button is not None:
            self._button = PressedButton(spec.button)
            self._name = f'{node.resolve_topic_name(spec.topic)}, button {spec.button}'
            self._subscription = node.create_subscription(
                Joy, spec.topic, with_origin(self._hear), sensor_qos()
            )
        self._drive: LeaderDrive | None = None
        self._leader_commands: CommandPublishers | None = None
        self._leader_command: Float64Array | None = None  # of this tick
        if spec is not None and spec.leader_command:
            ramp_speed = read_group(node, ControlParameters).ramp_speed
            self._drive = LeaderDrive(robot, teleop, ramp_speed)
            joints = robot.joints.model_copy(update={'command': spec.leader_command})
            leader = robot.model_copy(update={'joints': joints})
            self._leader_commands = CommandPublishers(node, leader)
        self._intervention = node.create_publisher(Bool, '~/intervention', SAID_DEPTH)
        self._policy_action = node.create_publisher(JointState, '~/policy_action', SAID_DEPTH)

    def _hear(self, message: Any, origin: Origin) -> None:
        if self._button is not None:
            publisher = origin.publisher or UNKNOWN
            self._button.tell(message.buttons, time.monotonic_ns(), publisher)

    def faults(self) -> dict[str, str]:
        """Look at what the person wants by now; what lets the arm hold while that one drives."""
        self._faults = self.leading.faults()
        return self._faults if self._driver.controller.by_hand else {}

    def after_look(self, row: Row) -> None:
        """Hand over, if that was asked for, and give what a person wants in this tick."""
        controller, source = self._driver.controller, self._source
        pressed = self._button is not None and self._button.take()
        moved = self._moved(row)
        if pressed:
            self._obey_the_button()
        elif moved and controller.enabled and not controller.homing:
            self._take_over(moved)
        self._leader_command = self._driven_leader(row)
        if controller.by_hand:
            self.leading.give(row)
        else:
            sent = controller.guard.sent
            source.obey(sent, enabled=False)
            source.follower.stop(sent)
            source.requests()  # nobody asks for anything

    def after_tick(self, row: Row, command: Command | None) -> None:
        """Tell whose the command was, and what the policy wanted."""
        controller = self._driver.controller
        if command is None:
            return
        if self._leader_commands is not None and self._leader_command is not None:
            self._leader_commands.send(self._leader_command)
        by_hand = controller.by_hand and not controller.homing and command.state == 'run'
        self._intervention.publish(Bool(data=by_hand))
        action = controller.policy_action
        message = JointState(name=list(self._robot.joints.names))
        message.header.stamp = time_message(row.time_ns)
        message.position = self._nothing if action is None else action.tolist()
        self._policy_action.publish(message)
        if controller.by_hand:
            self.leading.after_tick(command)

    def ask(self, on: bool) -> str:
        """Hand over to the person (`on`), or back; return what happens next. UserError says why
        not: the arm may not move, or drives home.
        """
        driver = self._driver
        with driver.lock_in_time():
            by_hand = driver.controller.by_hand and driver.controller.enabled
            if on:
                return self._take_over(BY_SERVICE)
            if not by_hand:
                raise UserError('nobody has taken over, expected ~/takeover with true before')
            return self._give_back(BY_SERVICE)

    def grip(self, close: bool) -> str:
        """Close the gripper, or open it; UserError while it is the policy's."""
        if not self._driver.controller.by_hand:
            raise UserError('nobody has taken over: the policy moves the gripper')
        return self.leading.grip(close)

    def tell(self) -> None:
        """Log who drives now, and how the arm follows a person; in the executor's thread."""
        while self._events:
            self._node.get_logger().info(self._events.popleft())
        if self._driver.controller.by_hand:
            self.leading.tell()
        else:
            self.leading.forget_told()
            self.leading.show()

    def statuses(self) -> list[DiagnosticStatus]:
        """Who drives, and how the source of the person is."""
        controller = self._driver.controller
        drives = 'the policy'
        if not controller.enabled or controller.homing:
            drives = 'nobody'
        elif controller.by_hand:
            drives = 'a person'
        values: diagnostics.Values = {
            'drives': drives, 'takeovers': self._count, 'last change': self._why,
        }  # fmt: skip
        name = f'{self._node.get_fully_qualified_name()}: takeover'
        told = f'{drives} drives'
        mine = diagnostics.status(name, self._robot.name, told, values)
        return [mine, self.leading.status()]

    def destroy(self) -> None:
        """Remove all that was made from the node."""
        self.leading.destroy()
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        if self._leader_commands is not None:
            self._leader_commands.destroy()
        self._node.destroy_publisher(self._intervention)
        self._node.destroy_publisher(self._policy_action)

    def _obey_the_button(self) -> None:
        controller, why = self._driver.controller, f'button pressed ({self._name})'
        try:
            if controller.by_hand and controller.enabled:
                self._give_back(why)
            else:
                self._take_over(why)
        except UserError as error:
            self._events.append(f'not taken over ({why}): {error}')

    def _moved(self, row: Row) -> str:
        """Which joint of the leader somebody moves while the policy drives, or ''."""
        controller, follower = self._driver.controller, self._source.follower
        if self._drive is not None:
            return self._pushed()
        watched = isinstance(follower, LeaderFollower) and self._movement.watches
        if not watched or controller.by_hand or self._faults or controller.state == 'disabled':
            self._movement.forget()
            return ''
        assert isinstance(follower, LeaderFollower)
        return self._movement.see(follower.leader, row.time_ns)

    def _pushed(self) -> str:
        """Which joint of a leader that is driven somebody holds or pushes, or ''."""
        drive, by_hand = self._drive, self._driver.controller.by_hand
        watches = self._movement.watches and not by_hand
        return f'the leader: {drive.held}' if drive is not None and drive.held and watches else ''

    def _driven_leader(self, row: Row) -> Float64Array | None:
        """Where to send the leader (J,) in this tick while the policy drives; None: nowhere."""
        controller, follower, drive = self._driver.controller, self._source.follower, self._drive
        if drive is None or not isinstance(follower, LeaderFollower):
            return None
        policy_drives = controller.state in ('ramp', 'run') and not controller.by_hand
        if not policy_drives or controller.homing or self._faults:
            drive.stop()
            return None
        ages_ns = [] if self._source.row is None else self._source.row.ages_ns.values()
        return drive.command(controller.guard.sent, follower.leader, max(ages_ns, default=0))

    def _take_over(self, why: str) -> str:
        controller = self._driver.controller
        begins = not controller.by_hand
        controller.take_over()
        told = self._source.take_over(self.leading.teleoperation.rest)
        self._count += begins
        return self._note(f'a person drives ({why}): {told}', why)

    def _give_back(self, why: str) -> str:
        controller = self._driver.controller
        controller.give_back()
        self._movement.forget()
        self._on_give_back()
        return self._note(f'the policy drives ({why}): ramping to its next action', why)

    def _note(self, told: str, why: str) -> str:
        self._why = why
        if why != BY_SERVICE:  # whose answer is logged
            self._events.append(told)
        return told
