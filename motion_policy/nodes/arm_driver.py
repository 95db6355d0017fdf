# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Everything between the topics of one arm and its controller; policy and replay node share it.

The controller decides; here its inputs are gathered, its commands sent and its events told.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from motion_policy.control import INTERPOLATIONS, ChunkExecution, Command, Controller
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.observing import Joints, MeasuredJoints, robot_as_seen
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.chunk_output import (
    ChunkOutput,
    declare_chunk_output_parameters,
    send_ahead_ns,
)
from motion_policy.nodes.commands import CommandPublishers
from motion_policy.nodes.control_loop import ControlLoop
from motion_policy.nodes.guarding import declare_guard_parameters, make_guard
from motion_policy.nodes.realtime import (
    Outcome,
    declare_realtime_parameters,
    prepare_tick_thread,
    realtime_settings,
)
from motion_policy.nodes.shell import declare, parameter
from motion_policy.nodes.stop_switches import StopSwitches, declare_switch_parameters
from motion_policy.nodes.stream_check import StreamCheck
from motion_policy.nodes.stream_rates import StreamRates
from motion_policy.nodes.subscriptions import StreamSubscriptions
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation, Row, Sampler, observation_from_row

TELL_PERIOD_S = 0.1
DIAGNOSTICS_PERIOD_S = 1.0
SILENCE_S = 3.0  # after which a stream that never spoke is named
SETTLE_MARGIN_S = 1.0
NANOSECONDS_PER_S = 1_000_000_000
NUMBER = re.compile(r'\d+(\.\d+)?')
MEANING = {
    'idle': 'nothing is published',
    'ramp': 'slowly to the first target',
    'run': 'following the actions',
    'hold': 'braking and staying',
}


def declare_control_parameters(node: Node) -> None:
    """Declare the parameters that every node with a controller has."""
    declare(
        node, 'interpolation', 'linear',
        'From the rate of the actions to the control rate', choices=INTERPOLATIONS,
    )  # fmt: skip
    declare(
        node, 'ramp_speed', 0.25, 'Share of the velocity limits on the way to the first target',
        minimum=0.01, maximum=1.0,
    )  # fmt: skip
    declare_chunk_output_parameters(node)
    declare(
        node, 'latch_faults', False,
        'After a fault hold until ~/reset, instead of going on when all streams are back',
    )  # fmt: skip
    declare(node, 'reliable', False, 'Subscribe with reliable instead of best-effort QoS')
    declare_guard_parameters(node)
    declare_switch_parameters(node)
    declare_realtime_parameters(node)


def make_controller(
    node: Node,
    robot: RobotSpec,
    policy_period_ns: int,
    *,
    chunks: ChunkExecution | None = None,
    first_due_ns: int | None = None,
) -> Controller:
    """Make the controller that the node's parameters ask for; `chunks` as `Controller` has it."""
    return Controller(
        robot,
        policy_period_ns,
        interpolation=parameter(node, 'interpolation'),
        ramp_speed=parameter(node, 'ramp_speed'),
        latch_faults=parameter(node, 'latch_faults'),
        chunks=chunks,
        first_due_ns=first_due_ns,
        guard=make_guard(node, robot),
    )


class ArmDriver:
    """Subscribes the robot's streams, ticks its controller, publishes its commands.

    `cameras` are those that must be alive. No call may wait: `on_due(row)`, in the tick thread,
    when the controller wants an action, and `before_command(row)`, sooner; `on_picture(camera,
    message)`, as one comes.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        controller: Controller,
        on_due: Callable[[Row], None],
        cameras: tuple[str, ...] = (),
        on_picture: Callable[[str, Any], None] | None = None,
    ) -> None:
        ahead_ns = send_ahead_ns(node, robot)
        self.node = node
        self.controller = controller
        self.lock = threading.RLock()
        self.active = False
        self._seen_robot = robot_as_seen(robot, cameras)
        self._on_due = on_due
        self._sampler = Sampler(self._seen_robot.streams())
        self._measured = MeasuredJoints(robot)
        self._row: Row | None = None
        self._faults: dict[str, str] = {}
        self._absent = set(self._seen_robot.stream_names)
        self._silent = set(self._absent)
        self._jump = ''  # of the clock, since the last tick
        self._clock_values: diagnostics.Values = {'clock jumps': 0}
        self._events: deque[tuple[str, str, str]] = deque(maxlen=100)
        self._told = ('idle', '')
        self._rate_mark = (0, time.monotonic_ns())
        self._created_ns = time.monotonic_ns()
        self._realtime = realtime_settings(node)
        self._scheduling: list[Outcome] = []
        self._publishers = CommandPublishers(node, robot)
        self._ahead: ChunkOutput | None = None
        if self._publishers.looks_ahead:
            guard = make_guard(node, robot)
            self._ahead = ChunkOutput(node, controller, self._publishers, guard, ahead_ns)
        self.subscriptions = StreamSubscriptions(
            node,
            self._seen_robot,
            self._sampler,
            reliable=parameter(node, 'reliable'),
            serialized_images=True,
            on_picture=on_picture,
        )
        self._rates = StreamRates(
            node, robot, self.subscriptions, NANOSECONDS_PER_S / controller.policy_period_ns
        )
        self._check = StreamCheck(node, self.subscriptions, self._examine)
        self._switches = StopSwitches(node, self._stop_at_once)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.extra_statuses: Callable[[], list[Any]] = list
        self.extra_faults: Callable[[], dict[str, str]] = dict
        self.before_command: Callable[[Row], None] = lambda row: None
        self.after_tick: Callable[[Row, Command | None], None] = lambda row, command: None
        self.checks_of_observations: list[Callable[[Observation], None]] = []
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(TELL_PERIOD_S, self._tell, clock=steady),
            node.create_timer(DIAGNOSTICS_PERIOD_S, self._diagnose, clock=steady),
        ]
        self._loop: ControlLoop | None = None

    def activate(self) -> None:
        """Start ticking; nothing is published before `enable`."""
        self._loop = ControlLoop(
            self.node,
            self.controller.control_period_ns,
            self._tick,
            self._take_jump,
            self._prepare_tick_thread,
        )
        self._loop.start()
        self.active = True

    def deactivate(self) -> None:
        """Brake, hold, send that as the last command and stop ticking."""
        if self._loop is None:
            return
        self.active = False
        self.disable()
        self._loop.settle()
        limits = self.controller.guard.limiter
        brake_s = float((limits.max_velocity / limits.max_acceleration).max())
        until = time.monotonic() + brake_s + SETTLE_MARGIN_S
        while self.controller.state != 'idle' and time.monotonic() < until:
            time.sleep(self.controller.control_period_ns / NANOSECONDS_PER_S)
        self._loop.stop()
        self._loop = None
        self._tell()

    def destroy(self) -> None:
        """Stop everything and remove it from the node."""
        self.deactivate()
        for timer in self._timers:
            self.node.destroy_timer(timer)
        self.subscriptions.destroy()
        self._switches.destroy()
        if self._ahead is not None:
            self._ahead.close()
        self._publishers.destroy()
        self.node.destroy_publisher(self._diagnostics)

    def enable(self) -> str:
        """Let the arm move; return what happens next. UserError says why it must not."""
        if not self.active:
            raise UserError('not enabled: the node is not active, configure and activate it first')
        if self.controller.enabled:
            return 'already enabled'
        now_ns = self.node.get_clock().now().nanoseconds
        if not now_ns:
            raise UserError('not enabled: use_sim_time is set and nothing is heard on /clock')
        try:
            self._switches.check()
        except UserError as error:
            raise UserError(f'not enabled: {error}') from None
        unheard = self._publishers.unheard()
        if unheard:
            # Whoever came later would have to jump to where the commands are by then.
            raise UserError(f'not enabled: {"; ".join(unheard)}')
        row = self._observe(now_ns)
        measured, faults = self._measured_and_faults(row)
        if faults or measured is None:
            lines = [f'{self.subscriptions.describe(n)}: {f}' for n, f in faults.items()]
            raise UserError(f'not enabled: {"; ".join(lines)}')
        try:
            self._check_observation(row)
            with self.lock:
                self.controller.enable(now_ns, measured)
        except UserError as error:
            raise UserError(f'not enabled: {error}') from None
        return 'enabled: ramping to the first target'

    def check_topics(self) -> None:
        """UserError if a stream's topic is published with other types than the spec's only."""
        self._check.check_types()

    def disable(self) -> str:
        """Let the arm brake and hold."""
        with self.lock:
            self.controller.disable(self.node.get_clock().now().nanoseconds)
        return 'disabled: the arm brakes and holds'

    def reset(self) -> str:
        """Forget plan and latched fault."""
        with self.lock:
            self.controller.reset()
        return 'reset: plan and faults are forgotten'

    def joints(self) -> Joints:
        """Those of the last tick's row; called in its thread."""
        return self._measured.joints()

    def _check_observation(self, row: Row) -> None:
        observation = observation_from_row(row, self._seen_robot)
        for check in self.checks_of_observations:
            check(observation)

    def _examine(self) -> bool:
        """Whether all streams could be looked at; UserError for what is not as the spec says."""
        row = self._observe(self.node.get_clock().now().nanoseconds)
        for name, fault in self._measured_and_faults(row)[1].items():
            if name not in row.faults:  # those of age are told elsewhere
                raise UserError(f'{self.subscriptions.describe(name)}: {fault}')
        if row.complete:
            self._check_observation(row)
        return row.complete

    def _stop_at_once(self, reason: str) -> None:
        if not self.controller.enabled:
            return
        self.disable()
        self.node.get_logger().error(f'disabled: {reason}')

    def _observe(self, now_ns: int) -> Row:
        with self.subscriptions.lock:
            return self._sampler.observe(now_ns)

    def _measured_and_faults(self, row: Row) -> tuple[Float64Array | None, dict[str, str]]:
        with self.lock:
            return self._measured.read(row)

    def _prepare_tick_thread(self) -> None:
        self._scheduling = prepare_tick_thread(self._realtime)
        told = '; '.join(map(str, self._scheduling))
        self._events.append(('scheduling', '', told or 'as usual'))

    def _take_jump(self, by_ns: int) -> None:
        """What was seen and planned before the clock jumped belongs to another time."""
        self._rates.forget()
        if self._ahead is not None:
            self._ahead.shift(by_ns)
        by_s = by_ns / NANOSECONDS_PER_S
        self._jump = f'jumped {abs(by_s):.2f} s {"ahead" if by_ns > 0 else "back"}'
        jumps = int(str(self._clock_values['clock jumps'])) + 1
        self._clock_values = {'clock jumps': jumps, 'last clock jump [s]': by_s}

    def _tick(self, now_ns: int) -> None:
        row = self._observe(now_ns)
        jump, self._jump = self._jump, ''
        clock_fault = {'clock': jump} if jump else {}
        with self.lock:
            measured, faults = self._measured.read(row)
            problems = {**clock_fault, **faults, **self._switches.faults(), **self.extra_faults()}
            self.controller.look(now_ns, problems)
            due = self.controller.policy_due(now_ns)
            if due:
                self.before_command(row)
            command = self.controller.command(now_ns, measured)
            if self._ahead is not None:
                self._ahead.follow(now_ns, command)
        if command is not None:
            self._publishers.send(command.position)
        if due:
            self._on_due(row)
        self.after_tick(row, command)
        self._row, self._faults = row, faults
        if jump:
            self._events.append(('clock', '', jump))
        self._note_events(faults)

    def _note_events(self, faults: dict[str, str]) -> None:
        """Queue what is to be told: logging may block, so it is not done in the tick thread."""
        absent = set(faults)
        for name in absent - self._absent:
            self._events.append(('gone', name, faults[name]))
        for name in self._absent - absent:
            self._events.append(('back', name, ''))
        self._absent = absent
        state, reason = self.controller.state, self.controller.reason
        # While the arm holds, another reason is news; another number in it is not.
        news = (state, NUMBER.sub('', reason) if state == 'hold' else '')
        if news != self._told:
            self._told = news
            self._events.append(('state', state, reason))

    def _tell(self) -> None:
        log = self.node.get_logger()
        while self._events:
            kind, name, text = self._events.popleft()
            if kind == 'gone':
                log.error(f'{self.subscriptions.describe(name)}: {text}')
            elif kind == 'back':
                log.info(f'{self.subscriptions.describe(name)}: there')
            elif kind == 'clock':
                log.warning(f'the clock {text}')
            elif kind == 'scheduling':
                log.info(f'scheduling of the control tick: {text}')
            elif name == 'hold' and self.controller.enabled:
                log.warning(f'hold: {text}')
            else:
                log.info(f'{name}: {text or MEANING[name]}')
        self._tell_silence()
        self._watch_listeners()

    def _watch_listeners(self) -> None:
        """Disable when the arm no longer listens: it may be anywhere when it comes back."""
        unheard = self._publishers.unheard() if self.controller.enabled else []
        if unheard:
            self.disable()
            self.node.get_logger().error(f'disabled: {"; ".join(unheard)}')

    def _tell_silence(self) -> None:
        if not self._silent or time.monotonic_ns() - self._created_ns < SILENCE_S * 1e9:
            return
        for name in sorted(self._silent):
            if not self.subscriptions.received[name]:
                self.node.get_logger().error(
                    f'{self.subscriptions.describe(name)}: silent for {SILENCE_S:g} s'
                    + self._rates.advice(name)
                )
        self._silent = set()

    def _diagnose(self) -> None:
        now = self.node.get_clock().now()
        for line in self._rates.look(now.nanoseconds):
            self.node.get_logger().warning(line)
        self._check.look()
        name, controller = self.node.get_fully_qualified_name(), self.controller
        with self.lock:
            values = diagnostics.controller_values(controller, now.nanoseconds)
        if self._loop is not None:
            values.update(self._loop_values(self._loop))
        reason = f': {controller.reason}' if controller.reason else ''
        robot_name = self._seen_robot.name
        statuses = [
            diagnostics.status(
                f'{name}: control', robot_name, f'{controller.state}{reason}', values,
                controller.state != 'hold',
            ),
            diagnostics.status(
                f'{name}: streams', robot_name,
                ', '.join(self._faults or sorted(self._rates.slow)) or self._check.problem
                or 'all there',
                {**diagnostics.stream_values(self._row, self._faults), **self._rates.values()},
                not (self._faults or self._rates.slow or self._check.problem),
            ),
        ]  # fmt: skip
        statuses += self.extra_statuses()
        self._diagnostics.publish(diagnostics.array(now.to_msg(), statuses))

    def _loop_values(self, loop: ControlLoop) -> diagnostics.Values:
        ticks, now_ns = loop.deadlines.ticks, time.monotonic_ns()
        before, before_ns = self._rate_mark
        self._rate_mark = (ticks, now_ns)
        return {
            'tick rate [Hz]': max(0, ticks - before) * NANOSECONDS_PER_S / (now_ns - before_ns),
            'ticks': ticks,
            'missed ticks': loop.deadlines.missed,
            **diagnostics.durations('tick lateness', loop.lateness),
            **self._clock_values,
            'scheduling': '; '.join(map(str, self._scheduling)),
        }
