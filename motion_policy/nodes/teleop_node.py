# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle node with which a person leads an arm, through the controller of the policy node.

What the arm is sent is what the guards made of it, and that is what is recorded as the action.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from motion_policy.control import Command
from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.control.tool_follower import JointFollower, ToolFollower
from motion_policy.errors import UserError
from motion_policy.nodes.arm_driver import ArmDriver, make_controller
from motion_policy.nodes.arm_node import ArmNode
from motion_policy.nodes.arm_services import ArmServices
from motion_policy.nodes.joy_source import JoySource
from motion_policy.nodes.leader_source import LeaderSource
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.teleop import TeleopParameters
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.teleop_source import TeleopSource
from motion_policy.nodes.twist_source import TwistSource
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.robot.teleop import TeleopSpec
from motion_policy.streams import Row

INSPECTION_PERIOD_S = 1.0
TELL_PERIOD_S = 0.1
SPEED_STEP = 0.1
NUMBER = re.compile(r'[-+]?\d+(\.\d+)?')


class TeleopNode(ArmNode):
    """configure: subscribe; activate: tick; `~/enable`: follow."""

    def __init__(self, **options: Any) -> None:
        super().__init__('teleop_node', **options)
        declare_group(self, TeleopParameters)
        parameters = read_group(self, TeleopParameters)
        if parameters.autostart:
            named_robot(parameters)  # nobody is there to name one and configure again
        self._source: TeleopSource | None = None
        self._teleoperation: Teleoperation | None = None
        self._told, self._home_by_button = '', False
        self._off = self.create_publisher(JointState, '~/leader_off', 1)
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
        self._source = self._make_source(robot, teleop, parameters, control)
        self._teleoperation = Teleoperation(controller, self._source.follower)
        self._driver = ArmDriver(self, robot, controller, self)
        self._driver.check_topics()
        self._source.check_topics()
        for line in other_actions(robot):
            self.get_logger().warning(line)
        self.get_logger().info(f"'{robot.name}' follows {leaders(teleop)} at {robot.rate:g} Hz")

    def _make_source(
        self, robot: RobotSpec, teleop: TeleopSpec, parameters: TeleopParameters,
        control: ControlParameters,
    ) -> TeleopSource:  # fmt: skip
        joy = teleop.joy
        if joy is not None and joy.of_tool:
            in_tool = joy.frame == 'tool'
            tool = ToolFollower(robot, teleop, joy.linear, joy.angular, in_tool=in_tool)
            return JoySource(self, robot, joy, tool)
        if joy is not None:
            return JoySource(self, robot, joy, JointFollower(robot, teleop, tuple(joy.axes)))
        if teleop.twist is not None:
            twist = teleop.twist
            tool = ToolFollower(
                robot, teleop, twist.linear, twist.angular, in_tool=twist.axes == 'tool'
            )
            return TwistSource(self, robot, twist, tool, reliable=control.reliable)
        follower = LeaderFollower(
            robot, teleop, control.ramp_speed, indexes=parameters.clutch.kind == 'relative'
        )
        return LeaderSource(
            self, robot, teleop, follower, parameters.clutch, reliable=control.reliable
        )

    def _release(self) -> None:
        if self._source is not None:
            self._source.destroy()
            self._source = None
        self._teleoperation = None

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start ticking; no command before `~/enable`."""
        self._told = ''
        return super().on_activate(state)

    def faults(self) -> dict[str, str]:
        """What the leader lets the arm hold for; called in each tick."""
        source = self._source
        return {} if source is None else source.look(self.get_clock().now().nanoseconds)

    def after_look(self, row: Row) -> None:
        """Give the controller what is followed in this tick."""
        source, teleoperation = self._source, self._teleoperation
        if self._driver is None or source is None or teleoperation is None:
            return
        controller = self._driver.controller
        source.obey(teleoperation.rest, enabled=controller.enabled)
        self._home_by_button = self._home_by_button and controller.homing
        if self._home_by_button and source.let_go:
            controller.disable(row.time_ns)
        teleoperation.give(row.time_ns)

    def action_due(self, row: Row) -> None:
        """An action was given in `after_look` already, as in every tick."""

    def after_tick(self, row: Row, command: Command | None) -> None:
        """Note how long that took."""
        if self._source is not None and command is not None and command.state == 'run':
            self._source.answered(self.get_clock().now().nanoseconds)

    def statuses(self) -> list[DiagnosticStatus]:
        """Of what leads the arm."""
        driver, source = self._driver, self._source
        if driver is None or source is None:
            return []
        return [source.status(_where(driver), enabled=driver.controller.enabled)]

    def _enable(self) -> str:
        driver, source, teleoperation = self._configured()
        if driver.controller.enabled:
            return driver.enable()
        source.check(driver.measured_last)
        driver.enable()
        with driver.lock_in_time():
            return source.start(teleoperation.rest)

    def _disable(self) -> str:
        return self._configured()[0].disable()

    def _home(self) -> str:
        return self._configured()[0].home()

    def _reset(self) -> str:
        return self._configured()[0].reset()

    def _serve_clutch(self, request: Any, response: Any) -> Any:
        return self._arm_services.answer(response, lambda: self._clutch(request.data))

    def _clutch(self, on: bool) -> str:
        driver, source, teleoperation = self._configured()
        with driver.lock_in_time():
            return source.press(on, teleoperation.rest if driver.controller.enabled else None)

    def _serve_gripper(self, request: Any, response: Any) -> Any:
        return self._arm_services.answer(response, lambda: self._grip(request.data))

    def _grip(self, close: bool) -> str:
        driver, source, _ = self._configured()
        with driver.lock_in_time():
            if not driver.controller.enabled:
                raise UserError('the arm is not enabled, expected ~/enable before ~/gripper')
            return source.grip(close)

    def _configured(self) -> tuple[ArmDriver, TeleopSource, Teleoperation]:
        driver, source, teleoperation = self._driver, self._source, self._teleoperation
        if driver is None or source is None or teleoperation is None:
            raise UserError('the node is not configured: configure and activate it first')
        return driver, source, teleoperation

    def _inspect(self) -> None:
        if self._source is not None:
            self._source.inspect()

    def _tell(self) -> None:
        """Show how far leader and arm are apart, and log when that begins and ends to matter."""
        driver, source = self._driver, self._source
        if driver is None or source is None:
            return
        self._do(driver, source)
        told = source.told(_where(driver), enabled=driver.controller.enabled)
        news = NUMBER.sub('', told.partition('leader: ')[0])
        if news != self._told and driver.active:
            self._told = news
            self.get_logger().info(f'{source.name}: {told}')
        if self._off.get_subscription_count():
            off = source.off(_where(driver))
            message = JointState(name=list(off), position=list(off.values()))
            message.header.stamp = self.get_clock().now().to_msg()
            self._off.publish(message)

    def _do(self, driver: ArmDriver, source: TeleopSource) -> None:
        """Do what was asked for by a button; one that drives home has to be held on the way."""
        try:
            for request in source.requests():
                if request == 'home':
                    self._home_while_held(driver, source)
                else:
                    speed = changed_speed(read_group(self, ControlParameters).speed, request)
                    self.set_parameters([Parameter('speed', value=speed)])
        except UserError as error:
            self.get_logger().error(str(error))

    def _home_while_held(self, driver: ArmDriver, source: TeleopSource) -> None:
        """Drive an enabled arm home; a tick in which the button is not held ends that."""
        if driver.controller.enabled and not source.let_go:
            self.get_logger().info(driver.home())
            self._home_by_button = True


def changed_speed(speed: float, request: str) -> float:
    """The speed override after a button was pressed; `slower` never makes an arm faster."""
    if request == 'faster':
        return round(min(speed + SPEED_STEP, 1.0), 3)
    return min(speed, round(max(speed - SPEED_STEP, SPEED_STEP), 3))


def _where(driver: ArmDriver) -> Float64Array:
    """Where the arm (J,) was sent, or stands while it is sent nowhere."""
    sent = driver.controller.guard.sent
    if driver.controller.enabled:
        return sent
    with suppress(UserError):  # of a tick that hangs, which is told by others
        measured = driver.measured_last
        return sent if measured is None else measured
    return sent


def named_robot(parameters: TeleopParameters) -> str:
    """The robot spec that the parameters name; UserError if they name none."""
    if not parameters.robot:
        raise UserError("parameter 'robot' is empty, expected a robot spec: name or YAML file")
    return parameters.robot


def teleop_of(robot: RobotSpec) -> TeleopSpec:
    """What leads a robot: `teleop`, and where that names no leader `joints.leader`.

    UserError for a robot that nothing leads, or that is sent whole chunks.
    """
    teleop = robot.teleop or TeleopSpec()
    by_stick = teleop.twist or teleop.joy
    if not teleop.leader and by_stick is None:
        commands = {topic.topic for topic in robot.joints.command}
        leader = tuple(t for t in robot.joints.leader if t.topic not in commands)
        teleop = teleop.model_copy(update={'leader': leader})
    if not teleop.leader and by_stick is None:
        raise UserError(
            f"robot '{robot.name}': teleop.leader is missing, expected the topic of the leader, "
            'or teleop.twist or teleop.joy'
        )
    for topic in robot.joints.command:
        if topic.send == 'chunk':
            raise UserError(
                f"robot '{robot.name}': {topic.topic} has send 'chunk', expected 'tick' to be "
                'led: nothing is planned ahead'
            )
    return teleop


def leaders(teleop: TeleopSpec) -> str:
    """The topics of the leader in words."""
    stick = teleop.twist or teleop.joy
    topics = [topic.topic for topic in teleop.leader]
    return ', '.join(topics if stick is None else [stick.topic])


def other_actions(robot: RobotSpec) -> list[str]:
    """A line if what is recorded as the action of this robot is not what it is sent."""
    commands = {topic.topic for topic in robot.joints.command}
    others = [topic.topic for topic in robot.joints.leader if topic.topic not in commands]
    if not others:
        return []
    return [
        f'joints.leader is {", ".join(others)}: what is recorded as the action is the leader, not '
        'what the arm is sent; name the command topics there, and the leader in teleop.leader'
    ]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    return run_node(TeleopNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
