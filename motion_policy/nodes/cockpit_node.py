# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The cockpit's node: hears what the arm and its nodes say, and asks them for what a page wants.

It has subscriptions and clients, no service and no timer that another node could wait for.
Everything of ROS is done in the one thread that spins it; other threads leave a note.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from motion_policy.cockpit.arm_link import CameraFrame, NodeAnswer
from motion_policy.cockpit.held_motion import HeldMotion
from motion_policy.cockpit.server import CockpitServer, ServerSettings
from motion_policy.errors import UserError
from motion_policy.nodes.cockpit_streams import CameraWatch, JointWatch, TwistOutput
from motion_policy.nodes.executor import MessagesFirst, Stop
from motion_policy.nodes.shell import SOURCES, run_node
from motion_policy.nodes.subscriptions import sensor_qos
from motion_policy.robot import RobotSpec

NAME = '_cockpit'  # a hidden one: who listens to commands counts as an arm otherwise
DRIVERS = ('policy_node', 'teleop_node', 'replay_node')
LONGEST_WAIT_S = 0.02  # until a note of another thread is seen
LOOK_PERIOD_S = 0.1
SERVED_PERIOD_S = 1.0
SILENT_S = 5.0  # after its last word a node that serves nothing counts as gone
LEVELS = {b'\x00': 'ok', b'\x01': 'warn', b'\x02': 'fail', b'\x03': 'stale'}
# What the page shows of a driver's numbers.
SHOWN = ('tick rate [Hz]', 'missed ticks', 'tick lateness p95 [ms]', 'plan ahead [ms]')
UNTOLD = ('control', 'streams', 'takeover', 'policy')  # shown elsewhere, or always the same
SERVICES: dict[str, tuple[Any, str]] = {
    'enable': (SetBool, 'enable'),
    'home': (Trigger, 'home'),
    'reset': (Trigger, 'reset'),
    'takeover': (SetBool, 'takeover'),
    'gripper': (SetBool, 'gripper'),
    'speed': (SetParameters, 'set_parameters'),
}
RECORDER_SERVICES = ('start', 'stop', 'discard', 'mark_success', 'mark_failure')
SERVED_BY = {'disable': 'enable', 'halt': 'enable'}  # what is asked: which service does it


@dataclass
class Pending:
    """A request that waits for its answer until `deadline_s`."""

    deadline_s: float
    future: Any
    client: Any
    done: Callable[[NodeAnswer], None]


@dataclass
class Heard:
    """The newest of a node's diagnostics, by what they are about, and when they came."""

    statuses: dict[str, Any]
    at_s: float


class CockpitNode(Node):
    """An `ArmLink` over ROS. `drivers` and `recorder` are the names of the nodes."""

    def __init__(
        self,
        robot: RobotSpec,
        drivers: Sequence[str] = DRIVERS,
        recorder: str = 'recorder_node',
        *,
        compressed: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(NAME, **options)
        self.robot = robot
        self.held: HeldMotion | None = None
        self._names = {name: self._full_name(name) for name in (*drivers, recorder)}
        self._drivers, self._recorder = tuple(drivers), recorder
        self._notes: deque[Callable[[], None]] = deque()
        self._pending: list[Pending] = []
        self._heard: dict[str, Heard] = {}
        self._served: dict[str, list[str]] = {}
        self._asked = self._make_clients()
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {}
        self._joints = JointWatch(self, robot)
        self._cameras = CameraWatch(self, robot, compressed=compressed)
        self._twist = TwistOutput(self, robot)
        self._next_look_s = self._next_served_s = 0.0
        self.create_subscription(
            DiagnosticArray, '/diagnostics', self._hear_diagnostics, sensor_qos(50)
        )
        self.create_subscription(
            DiagnosticArray, f'{recorder}/status', self._hear_recorder, sensor_qos()
        )

    def about(self) -> dict[str, Any]:
        """What does not change."""
        joints, limits = self.robot.joints, self.robot.joints.limits
        teleop = self.robot.teleop
        twist = None if teleop is None else teleop.twist
        return {
            'robot': self.robot.name,
            'joints': [
                {'name': label, 'low': low, 'high': high}
                for label, (low, high) in zip(joints.labels, limits.position, strict=True)
            ],
            'cameras': [
                {'name': name, 'width': camera.width, 'height': camera.height}
                for name, camera in self.robot.cameras.items()
            ],
            'drivers': list(self._drivers),
            'recorder': self._recorder,
            'teleop': None if teleop is None or twist is None else {
                'linear': twist.linear, 'angular': twist.angular, 'axes': twist.axes,
                'gripper': teleop.gripper is not None,
            },
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What is so now, as of a tenth of a second ago at most."""
        with self._lock:
            return self._state

    def look_at(self, cameras: frozenset[str]) -> None:
        """Receive the images of these cameras only."""
        self._cameras.wanted = cameras

    def frame(self, camera: str) -> CameraFrame | None:
        """The newest image of a camera that is looked at."""
        return self._cameras.frame(camera)

    def ask(
        self, node: str, what: str, value: Any, deadline_s: float,
        done: Callable[[NodeAnswer], None],
    ) -> None:  # fmt: skip
        """Ask a node; `done` is called in the thread that spins."""
        self._notes.append(lambda: self._ask(node, what, value, deadline_s, done))

    def log(self, line: str) -> None:
        """Say a line in the log."""
        self.get_logger().info(line)

    def spin(self, stop: Stop) -> None:
        """Serve messages, notes and deadlines until `stop` is set."""
        executor = MessagesFirst(self)
        try:
            while self.context.ok() and not stop.is_set():
                executor.serve(LONGEST_WAIT_S)
                self._work(time.monotonic())
        finally:
            executor.remove_node(self)
            executor.shutdown()

    def _work(self, now_s: float) -> None:
        while self._notes:
            self._notes.popleft()()
        if self.held is not None:
            self._twist.follow(self.held.wanted(now_s), now_s)
        self._expire(now_s)
        if now_s >= self._next_served_s:
            self._next_served_s = now_s + SERVED_PERIOD_S
            self._served = self._find_served()
            self._joints.check()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_PERIOD_S
            self._cameras.follow()
            state = self._look(now_s)
            with self._lock:
                self._state = state

    def _full_name(self, node: str) -> str:
        try:
            return str(self.resolve_topic_name(node))
        except (NameValidationException, RuntimeError) as error:  # of rclpy, and of rcl
            reason = SOURCES.sub('', ' '.join(str(error).split()))
            raise UserError(f"'{node}' is no name of a node: {reason}") from None

    def _make_clients(self) -> dict[tuple[str, str], Any]:
        clients = {
            (node, what): self.create_client(kind, f'{node}/{service}')
            for node in self._drivers
            for what, (kind, service) in SERVICES.items()
        }
        return clients | {
            (self._recorder, what): self.create_client(Trigger, f'{self._recorder}/{what}')
            for what in RECORDER_SERVICES
        }

    def _find_served(self) -> dict[str, list[str]]:
        served: dict[str, list[str]] = {}
        for (node, what), client in self._asked.items():
            if client.service_is_ready():
                served.setdefault(node, []).append(what)
        return served

    def _ask(
        self, node: str, what: str, value: Any, deadline_s: float,
        done: Callable[[NodeAnswer], None],
    ) -> None:  # fmt: skip
        client = self._asked.get((node, SERVED_BY.get(what, what)))
        if client is None:
            done(NodeAnswer(False, f'there is no {what} of {node}'))
            return
        if not client.service_is_ready():
            there = self._is_heard(node, time.monotonic())
            gone = (
                ''
                if what == 'halt' and not there
                else f'{self.resolve_service_name(client.srv_name)} is not there'
            )
            done(NodeAnswer(False, gone))
            return
        future = client.call_async(_request(client.srv_type, what, value))
        self._pending.append(Pending(time.monotonic() + deadline_s, future, client, done))

    def _expire(self, now_s: float) -> None:
        waiting = []
        for one in self._pending:
            if one.future.done():
                one.done(_answer(one.future))
            elif now_s >= one.deadline_s:
                one.client.remove_pending_request(one.future)
                name = self.resolve_service_name(one.client.srv_name)
                one.done(NodeAnswer(False, f'no answer of {name}'))
            else:
                waiting.append(one)
        self._pending = waiting

    def _hear_diagnostics(self, message: DiagnosticArray) -> None:
        told: dict[str, dict[str, Any]] = {}
        for status in message.status:
            name, _, about = status.name.partition(': ')
            told.setdefault(name, {})[about] = status
        for name in self._names.values():
            if name in told:
                self._heard[name] = Heard(told[name], time.monotonic())

    def _hear_recorder(self, message: DiagnosticArray) -> None:
        statuses = {status.name.partition(': ')[2]: status for status in message.status}
        self._heard[self._names[self._recorder]] = Heard(statuses, time.monotonic())

    def _is_heard(self, node: str, now_s: float) -> bool:
        heard = self._heard.get(self._names[node])
        return heard is not None and now_s - heard.at_s < SILENT_S

    def _look(self, now_s: float) -> dict[str, Any]:
        now_ns = self.get_clock().now().nanoseconds
        streams = {**self._joints.look(now_ns), **self._cameras.look(now_ns)}
        nodes = []
        for name in self._drivers:
            if name in self._served or self._is_heard(name, now_s):
                nodes.append(self._node_state(name, now_s))
                for stream, told in self._streams_of(name, now_s).items():
                    streams.setdefault(stream, told)
        return {
            'joints': self._joints.values(),
            'streams': [{'name': name, **told} for name, told in streams.items()],
            'nodes': nodes,
            'record': self._recorder_state(now_s),
        }

    def _node_state(self, name: str, now_s: float) -> dict[str, Any]:
        heard = self._heard.get(self._names[name])
        told: dict[str, Any] = {'name': name, 'serves': self._served.get(name, [])}
        if heard is None or 'control' not in heard.statuses:
            return {**told, 'state': '', 'reason': 'not configured, or not heard yet',
                    'level': 'stale', 'age': None}  # fmt: skip
        control = heard.statuses['control']
        values = _values(control)
        others = [
            f'{about}: {status.message}' for about, status in heard.statuses.items()
            if about not in UNTOLD and status.message
        ]  # fmt: skip
        return {
            **told,
            'state': values.get('state', control.message.partition(':')[0]),
            'reason': values.get('reason', ''),
            'level': LEVELS.get(control.level, 'stale'),
            'age': now_s - heard.at_s,
            'speed': _number(values.get('speed')),
            'numbers': {key: values[key] for key in SHOWN if key in values},
            'drives': _values(heard.statuses['takeover']).get('drives', '')
            if 'takeover' in heard.statuses
            else None,
            'told': others,
        }

    def _streams_of(self, name: str, now_s: float) -> dict[str, dict[str, Any]]:
        """The streams that a driver tells of."""
        if not self._is_heard(name, now_s):
            return {}
        status = self._heard[self._names[name]].statuses.get('streams')
        if status is None:
            return {}
        values = _values(status)
        ends = ' age [ms]'
        specs = {stream.name: stream for stream in self.robot.streams()}
        return {
            stream: {
                'age': _number(values[f'{stream}{ends}']),
                'limit': specs[stream].max_age * 1000 if stream in specs else None,
                'rate': _number(values.get(f'{stream} rate [Hz]')),
                'expected': _number(values.get(f'{stream} expected rate [Hz]')),
                'fault': values.get(f'{stream} fault', ''),
            }
            for stream in (key.removesuffix(ends) for key in values if key.endswith(ends))
        }

    def _recorder_state(self, now_s: float) -> dict[str, Any] | None:
        heard = self._heard.get(self._names[self._recorder])
        served = self._served.get(self._recorder, [])
        if heard is None or 'recording' not in heard.statuses:
            return {'state': '', 'line': 'not heard yet', 'serves': served} if served else None
        if not served and now_s - heard.at_s > SILENT_S:
            return None
        recording = heard.statuses['recording']
        values = _values(recording)
        rows = _number(values.get('rows')) or 0.0
        return {
            'state': values.get('state', ''), 'line': recording.message,
            'level': LEVELS.get(recording.level, 'stale'), 'age': now_s - heard.at_s,
            'seconds': rows / self.robot.rate, 'minutes_left': values.get('minutes_left', ''),
            'last_file': values.get('last_file', '').rpartition('/')[2],
            'last_quality': values.get('last_quality', ''),
            'last_verdicts': values.get('last_verdicts', ''),
            'serves': served,
            'faults': [
                status.message for about, status in heard.statuses.items()
                if about != 'recording' and status.level == b'\x02'
            ],
        }  # fmt: skip


def _request(kind: Any, what: str, value: Any) -> Any:
    if what == 'speed':
        message = Parameter('speed', value=float(value)).to_parameter_msg()
        return SetParameters.Request(parameters=[message])
    if kind is SetBool:
        return SetBool.Request(data={'enable': True, 'disable': False, 'halt': False}.get(
            what, bool(value)
        ))  # fmt: skip
    return kind.Request()


def _answer(future: Any) -> NodeAnswer:
    if future.exception() is not None:
        return NodeAnswer(False, f'no answer: {future.exception()}')
    response = future.result()
    if isinstance(response, SetParameters.Response):
        result = response.results[0]
        return NodeAnswer(result.successful, result.reason or 'done')
    return NodeAnswer(response.success, response.message or 'done')


def _values(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def serve_cockpit(
    robot: RobotSpec,
    settings: ServerSettings,
    *,
    drivers: Sequence[str] = DRIVERS,
    recorder: str = 'recorder_node',
    namespace: str = '',
    compressed: bool = False,
    use_sim_time: bool = False,
    tell: Callable[[str], None] = print,
) -> int:
    """Run node and server in this process until a signal ends it; return the exit code.

    `tell` is given the address of the page.
    """
    settings.access(), settings.tls()  # a mistake in them is found before anything begins
    servers: list[CockpitServer] = []

    class Served(CockpitNode):
        def close(self) -> None:
            for server in servers:
                server.close()

    def make() -> CockpitNode:
        node = Served(
            robot, drivers, recorder, compressed=compressed,
            parameter_overrides=[Parameter('use_sim_time', value=use_sim_time)],
        )  # fmt: skip
        try:
            servers.append(CockpitServer(node, robot, settings))
        except BaseException:
            node.destroy_node()
            raise
        node.held = servers[0].held
        tell(servers[0].address)
        return node

    arguments = ['--ros-args']
    if namespace:
        arguments += ['-r', f'__ns:=/{namespace.strip("/")}']
    return run_node(make, arguments, images='in')
