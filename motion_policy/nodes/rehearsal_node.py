# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the driver of any arm: sends what its spec says, obeys, and tells what it felt.

Everything runs in one thread: messages are taken between what is due. When a command came is what
the middleware says, so that an image that is being sent makes none late.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from std_msgs.msg import String

from motion_policy.errors import UserError
from motion_policy.files import read_text
from motion_policy.nodes.commands import time_message
from motion_policy.nodes.endpoints import Origin
from motion_policy.nodes.executor import MessagesFirst, Stop
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.rehearsal import RehearsalParameters
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.stand_in import StandInDriver
from motion_policy.nodes.stand_in_grippers import StandInGrippers
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.commands import CommandPort, Tell
from motion_policy.rehearsal.faults import AHEAD_S, Faults, read_fault, toggled
from motion_policy.rehearsal.guiding import Guide
from motion_policy.rehearsal.images import TestImages, black
from motion_policy.rehearsal.keys import KeyFaults
from motion_policy.rehearsal.report import RehearsalReport, TopicFelt
from motion_policy.rehearsal.schedule import Schedule, stream_rates
from motion_policy.robot import JointTopic, load_robot_spec
from motion_policy.robot.load import urdf_of_spec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.robot.urdf import MOST_BYTES

LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
LONGEST_WAIT_NS = 20_000_000
LOOK_PERIOD_NS = 50_000_000  # at keys and faults


class RehearsalNode(Node):
    """Shell around a stand-in arm.

    `tell` is given each line on what happens, instead of the log; `read_key` gives the key that
    was pressed last, or ''.
    """

    def __init__(
        self,
        *,
        tell: Tell | None = None,
        read_key: Callable[[], str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__('rehearsal_node', **options)
        declare_group(self, RehearsalParameters)
        parameters = read_group(self, RehearsalParameters)
        if not parameters.robot:
            raise UserError("parameter 'robot' is empty, expected a robot spec: name or YAML file")
        self._robot = robot = load_robot_spec(parameters.robot)
        self._tell: Tell = tell or self.get_logger().warning
        self._logs_report = tell is None
        self._read_key = read_key
        self._seconds = parameters.seconds
        planned = [read_fault(text, robot) for text in parameters.faults if text]
        self._faults = Faults(planned)
        self._keys = KeyFaults(robot)
        self._told_faults: list[str] = []
        self._arm = StandInArm(robot)
        limits = robot.joints.limits.position_array()
        self._low, self._range = limits[:, 0], limits[:, 1] - limits[:, 0]
        self._images = {
            name: TestImages(name, camera.width, camera.height, number)
            for number, (name, camera) in enumerate(robot.cameras.items())
        }
        self._counts = dict.fromkeys(robot.cameras, 0)
        self._last_images: dict[str, npt.NDArray[np.uint8]] = {}
        self._ports = {
            topic: CommandPort(robot, topic, self._arm, self._tell)
            for topic in robot.joints.command
        }
        self._leads = {topic.topic for topic in robot.joints.leader} & {
            topic.topic for topic in robot.joints.command
        }
        led = {
            joint
            for topic in robot.joints.leader
            if topic.topic in self._leads
            for joint in topic.joints
        }
        # These come back as commands.
        self._guided = [j for j, name in enumerate(robot.joints.names) if name not in led]
        self._stand_in = StandInDriver(
            self,
            robot,
            self._arm,
            image_of=self._image,
            on_command=self._take_command,
            stamp=self._stamp,
        )
        self._grippers = StandInGrippers(self, robot, self._arm, self._tell)
        self._topics = [
            (self.resolve_topic_name(topic.topic), topic.type, port)
            for topic, port in self._ports.items()
        ]
        self._roles = {stream.name: stream for stream in robot.streams()}
        self._begin_ns = time.monotonic_ns()
        self._guide: Guide | None = None
        self._guided_since_ns = 0
        self.create_subscription(String, '~/fault', self._take_fault, 10)
        self._publish_urdf(parameters.urdf, parameters.robot)
        if parameters.guide:
            self._begin_guiding()

    def _publish_urdf(self, urdf: str, robot: str) -> None:
        file = Path(urdf) if urdf else urdf_of_spec(robot)
        if file is not None:
            self._description = self.create_publisher(String, 'robot_description', LATCHED_QOS)
            self._description.publish(String(data=read_text(file, MOST_BYTES, 'a URDF file')))

    def spin(self, stop: Stop) -> None:
        """Send what is due and take what comes, until `stop` is set or the time is over."""
        executor = MessagesFirst(self)
        rates = stream_rates(self._robot)
        self._begin_ns = now_ns = time.monotonic_ns()
        schedule, look_ns = Schedule(rates, now_ns), now_ns
        listed = ', '.join(f'{name} {rate:g} Hz' for name, rate in rates.items())
        self.get_logger().info(f"stands in for '{self._robot.name}': {listed}")
        try:
            while self.context.ok() and not stop.is_set() and not self._over(now_ns):
                wait_ns = min(schedule.wait_ns(now_ns), LONGEST_WAIT_NS)
                executor.serve(wait_ns / NANOSECONDS_PER_S)
                now_ns = time.monotonic_ns()
                if now_ns >= look_ns:
                    look_ns = now_ns + LOOK_PERIOD_NS
                    if not self._look(now_ns):
                        break
                self._move(now_ns)
                for name in schedule.due(now_ns):
                    self._send(name)
        finally:
            executor.remove_node(self)
            executor.shutdown()

    def report(self) -> RehearsalReport:
        """What was felt until now."""
        topics = [TopicFelt(name, kind, port.felt) for name, kind, port in self._topics]
        seconds = (time.monotonic_ns() - self._begin_ns) / NANOSECONDS_PER_S
        faults, goals = tuple(self._told_faults), self._grippers.goals()
        return RehearsalReport(self._robot.name, seconds, topics, faults, goals)

    def close(self) -> None:
        """Tell what was felt, where nobody else does."""
        if self._logs_report:
            report = self.report()
            for line in (*report.lines(), *(': '.join((r[0], r[-1])) for r in report.rows())):
                self.get_logger().info(line)

    def _over(self, now_ns: int) -> bool:
        return bool(self._seconds) and self._elapsed_s(now_ns) >= self._seconds

    def _elapsed_s(self, now_ns: int) -> float:
        return (now_ns - self._begin_ns) / NANOSECONDS_PER_S

    def _look(self, now_ns: int) -> bool:
        """Look at keys and at faults that are due; return whether to go on."""
        elapsed_s = self._elapsed_s(now_ns)
        while key := self._read_key() if self._read_key else '':
            if key == self._keys.QUIT:
                return False
            if key == self._keys.GUIDE:
                self._toggle_guiding()
                continue
            for line in self._keys.press(key, self._faults, elapsed_s):
                self._say_fault(line)
        for line in self._faults.look(elapsed_s):
            self._say_fault(line)
        if self._faults.has('restart') == bool(self._stand_in.publishers):
            self._restart()
        blocked = [n for n in self._robot.joints.names if self._faults.has('block', n)]
        self._arm.blocked = {self._robot.joints.names.index(name) for name in blocked}
        return True

    def _restart(self) -> None:
        if self._stand_in.publishers:
            self._stand_in.close()
            self._grippers.close()
            for port in self._ports.values():
                port.forget()
        else:
            self._stand_in.open()
            self._grippers.open()

    def _say_fault(self, line: str) -> None:
        self._told_faults.append(line)
        self._tell(line)

    def _take_fault(self, message: String) -> None:
        """Begin the fault that somebody names, or end it where it is there; none ends all."""
        elapsed_s = self._elapsed_s(time.monotonic_ns())
        if message.data.strip() == 'none':
            self._faults.clear()
            self._say_fault('faults over')
            return
        try:
            fault = read_fault(message.data, self._robot)
        except UserError as error:
            self._tell(str(error))
            return
        self._say_fault(toggled(self._faults, fault, elapsed_s))

    def _toggle_guiding(self) -> None:
        if self._guide is None:
            self._begin_guiding()
            self._tell('the arm is guided until a command comes')
        else:
            self._guide = None
            self._tell('the arm is no longer guided')

    def _begin_guiding(self) -> None:
        self._guide = Guide(self._robot.joints.limits, self._arm.position)
        self._guided_since_ns = time.monotonic_ns()

    def _take_command(self, topic: JointTopic, message: Any, origin: Origin) -> None:
        if self._guide is not None and topic.topic not in self._leads:
            self._guide = None
            self._tell('a command came: the arm is no longer guided')
        now_ns = self.get_clock().now().nanoseconds
        self._ports[topic].take(message, origin.received_ns or now_ns, origin.stamp_ns)

    def _move(self, now_ns: int) -> None:
        if self._guide is not None:
            since_s = (now_ns - self._guided_since_ns) / NANOSECONDS_PER_S
            self._stand_in.leader = self._guide.position(since_s)
            self._arm.command(self._stand_in.leader[self._guided], self._guided)
        clock_ns = self.get_clock().now().nanoseconds
        for port in self._ports.values():
            port.step(clock_ns)
        self._grippers.step(clock_ns)
        self._arm.step(now_ns)

    def _send(self, name: str) -> None:
        stream = self._roles[name]
        if self._silent(stream.role, name):
            return
        if stream.topic in self._leads and self._guide is None:
            return  # or it would command the arm
        self._stand_in.publish(name)

    def _silent(self, role: str, name: str) -> bool:
        kind = {'state': 'joints'}.get(role, role)
        return self._faults.has(kind, name)

    def _image(self, name: str) -> npt.NDArray[np.uint8]:
        if self._faults.has('freeze', name) and name in self._last_images:
            return self._last_images[name]
        camera = self._robot.cameras[name]
        if self._faults.has('black', name):
            image = black(camera.width, camera.height)
        else:
            self._counts[name] += 1
            joints = (self._arm.position - self._low) / self._range
            now_ns = self.get_clock().now().nanoseconds
            image = self._images[name].draw(self._counts[name], now_ns, joints)
        self._last_images[name] = image
        return image

    def _stamp(self) -> Time:
        ahead_ns = round(AHEAD_S * NANOSECONDS_PER_S) if self._faults.has('clock') else 0
        return time_message(self.get_clock().now().nanoseconds + ahead_ns)


def rehearse(
    settings: Mapping[str, Any],
    tell: Tell,
    read_key: Callable[[], str] | None,
    namespace: str = '',
) -> tuple[int, RehearsalReport | None]:
    """Run the node with these parameters in this process until it is ended.

    Return the exit code, 1 where a limit was broken, and what was felt; None where it did not
    begin.
    """
    made: list[RehearsalNode] = []

    def make() -> RehearsalNode:
        overrides = [Parameter(name, value=value) for name, value in settings.items()]
        made.append(RehearsalNode(tell=tell, read_key=read_key, parameter_overrides=overrides))
        return made[0]

    arguments = ['--ros-args', '--log-level', 'warn']
    if namespace:
        arguments += ['-r', f'__ns:=/{namespace.strip("/")}']
    code = run_node(make, arguments, images='out')
    report = made[0].report() if made else None
    return code or int(report is not None and not report.kept), report


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    made: list[RehearsalNode] = []

    def make() -> RehearsalNode:
        made.append(RehearsalNode())
        return made[0]

    code = run_node(make, args, images='out')
    return code or int(bool(made) and not made[0].report().kept)


if __name__ == '__main__':
    raise SystemExit(main())
