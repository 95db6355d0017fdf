# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Arm driver: streams in, control tick, commands out; shared by policy and replay node.

The controller decides; here its inputs are gathered, its commands sent and its events told.
"""

from __future__ import annotations

import os
import re
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Float64

from motion_policy.control import ChunkExecution, Command, Controller, Interpolation
from motion_policy.control.clock_skew import SkewMonitors
from motion_policy.control.command import CommandMotion
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.observing import MeasuredJoints, robot_as_seen
from motion_policy.errors import UserError
from motion_policy.inference.cpu_affinity import SchedulingRequest
from motion_policy.inference.policy_thread import failure_text
from motion_policy.nodes import diagnostics
from motion_policy.nodes.acting_grippers import LOOK_PERIOD_S, ActingGrippers
from motion_policy.nodes.action_source import ActionSource
from motion_policy.nodes.chunk_output import ChunkOutput, send_ahead_ns
from motion_policy.nodes.commands import CommandPublishers
from motion_policy.nodes.control_loop import ControlLoop
from motion_policy.nodes.controller_check import ControllerCheck
from motion_policy.nodes.foreign_commands import ForeignCommands
from motion_policy.nodes.guard_parameters import declare_guard_parameters, make_guard
from motion_policy.nodes.parameters.arm import (
    ControlParameters,
    GuardParameters,
    SwitchParameters,
)
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.realtime import (
    prepare_thread_beside_tick,
    prepare_tick_thread,
    realtime_settings,
)
from motion_policy.nodes.stop_switches import StopSwitches
from motion_policy.nodes.stream_check import StreamCheck
from motion_policy.nodes.stream_rates import StreamRates
from motion_policy.nodes.subscriptions import (
    ONLY_NEW,
    StreamSubscriptions,
    subscribe_to_all,
)
from motion_policy.robot import RobotSpec
from motion_policy.streams import Row, Sampler, observation_from_row
from motion_policy.streams.joint_values import JointVectors
from motion_policy.streams.joints import Int64Array

INSPECTION_PERIOD_S = 1.0  # of the rates of the streams and of the endpoints of topics
TELL_PERIOD_S = 0.1
SILENCE_S = 3.0  # after which a stream that never spoke is named
SETTLE_MARGIN_S = 1.0
HANGS_LOOKS = 5  # of TELL_PERIOD_S, in which the tick thread did nothing
LOCK_TIMEOUT_S = 1.0  # a tick holds the lock for less than a period
GLANCE_S = 0.05  # what comes again by itself waits no longer, or a hanging tick is noticed late
HANGS = 'the control tick hangs'
NANOSECONDS_PER_S = 1_000_000_000
NUMBER = re.compile(r'\d+(\.\d+)?')
MEANING = {
    'disabled': 'nothing is published',
    'ramp': 'slowly to the first target',
    'run': 'following the actions',
    'hold': 'braking and staying',
    'brake': 'braking, then silent',
}


def declare_arm_parameters(node: Node) -> None:
    """Declare the parameters that every node has which drives an arm."""
    declare_group(node, ControlParameters)
    declare_guard_parameters(node)
    declare_group(node, SwitchParameters)


def make_controller(
    node: Node,
    robot: RobotSpec,
    policy_period_ns: int,
    *,
    chunks: ChunkExecution | None = None,
    first_due_ns: int | None = None,
    interpolation: Interpolation | None = None,
) -> Controller:
    """Make the controller that the node's parameters ask for; `chunks` as `Controller` has it.

    With `interpolation` that one holds, whatever the parameter says.
    """
    parameters = read_group(node, ControlParameters)
    return Controller(
        robot,
        policy_period_ns,
        interpolation=interpolation or parameters.interpolation,
        ramp_speed=parameters.ramp_speed,
        auto_resume_s=0.0 if parameters.latch_faults else parameters.auto_resume,
        chunks=chunks,
        first_due_ns=first_due_ns,
        guard=make_guard(read_group(node, GuardParameters), robot),
        effort_limit=parameters.effort_limit or None,
        speed=parameters.speed,
    )


class ArmDriver:
    """Subscribes the robot's streams, ticks its controller, publishes its commands.

    `cameras` and `vectors` are those that must be alive.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        controller: Controller,
        source: ActionSource,
        cameras: tuple[str, ...] = (),
        vectors: tuple[str, ...] = (),
    ) -> None:
        parameters = read_group(node, ControlParameters)
        ahead_ns = send_ahead_ns(node, robot, parameters.chunk.send_ahead)
        self.node = node
        self.controller = controller
        self.lock = threading.RLock()
        self.active = False
        self._seen_robot = robot_as_seen(robot, cameras, vectors)
        self._source = source
        self._sampler = Sampler(self._seen_robot.streams())
        self._measured = MeasuredJoints(robot)
        self._state_streams = [name for name, _ in self._seen_robot.joint_streams('state')]
        self._row: Row | None = None
        self._faults: dict[str, str] = {}
        self._absent = set(self._seen_robot.stream_names)
        self._silent = set(self._absent)
        self._jump = ''  # of the clock, since the last tick
        self._skew = SkewMonitors(self._seen_robot)
        self._clocks_agree = True  # as of the last tick: with the clock that stamps joint states
        self._told_defect = ''
        self._defect = ''  # an exception in a tick: from then on the arm only brakes
        self._rounds, self._idle_looks = 0, 0  # of the tick thread, and how often it had made none
        self._clock_values: diagnostics.Values = {'clock jumps': 0}
        self._events: deque[tuple[str, str, str]] = deque(maxlen=100)
        self._told = ('disabled', '')
        self._rate_mark = (0, time.monotonic_ns())
        self._created_ns = time.monotonic_ns()
        self._ramp_speed = parameters.ramp_speed
        self._realtime = realtime_settings(parameters.realtime)
        self._scheduling: list[SchedulingRequest] = []
        self._publishers = CommandPublishers(node, robot)
        self._ahead: ChunkOutput | None = None
        self._guards = [controller.guard]
        if self._publishers.looks_ahead:
            guard = make_guard(read_group(node, GuardParameters), robot)
            self._guards.append(guard)
            self._ahead = ChunkOutput(
                node, controller, self._publishers, guard, ahead_ns,
                lambda positions: self._foreign.sent_trajectory(positions),
                lambda: prepare_thread_beside_tick(self._realtime),
            )  # fmt: skip
        self.subscriptions = StreamSubscriptions(
            node,
            self._seen_robot,
            self._sampler,
            reliable=parameters.reliable,
            serialized_images=True,
            on_image=source.image_came,
        )
        self._rates = StreamRates(
            robot, self.subscriptions, NANOSECONDS_PER_S / controller.policy_period_ns,
            reliable=parameters.reliable,
        )  # fmt: skip
        self._check = StreamCheck(node, self.subscriptions, self._examine)
        self._switches = StopSwitches(node, self._stop_at_once)
        self._foreign = ForeignCommands(node, robot, self._take_foreign)
        self._controllers = ControllerCheck(node, robot)
        self._grippers = ActingGrippers(node, robot, self._take_foreign_goal)
        self._speed = subscribe_to_all(node, Float64, '~/speed', self._take_speed, 1, ONLY_NEW)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        node.get_logger().info(f'tracking error limits: {controller.tracking}')
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(TELL_PERIOD_S, self._tell, clock=steady),
            node.create_timer(INSPECTION_PERIOD_S, self._inspect, clock=steady),
            node.create_timer(parameters.diagnostics_period, self._diagnose, clock=steady),
        ]
        if self._grippers:
            looks = node.create_timer(LOOK_PERIOD_S, self._grippers.look, clock=steady)
            self._timers.append(looks)
        self._loop: ControlLoop | None = None
        self._steady_ns: Callable[[], int] = time.monotonic_ns
        self._clock_ahead_ns: Callable[[], int] = int  # 0

    def activate(self) -> None:
        """Start ticking; nothing is published before `enable`."""
        self._loop = ControlLoop(
            self.node,
            self.controller.control_period_ns,
            self._tick,
            self._take_jump,
            self._prepare_tick_thread,
        )
        self._steady_ns = self._loop.steady_ns
        self._clock_ahead_ns = self._loop.clock_ahead_ns
        self._loop.start()
        self.active = True

    def deactivate(self) -> None:
        """Brake, hold, send that as the last command and stop ticking."""
        if self._loop is None:
            return
        self.active = False
        with suppress(UserError):
            self.disable()
        self._loop.settle()
        until = time.monotonic() + self._braking_s()
        while self.controller.state != 'disabled' and time.monotonic() < until:
            time.sleep(self.controller.control_period_ns / NANOSECONDS_PER_S)
        self._loop.stop()
        if self._loop.alive:
            # It may go on at any time, with all that would be taken from it here.
            self.node.get_logger().fatal(f'{HANGS}: this process ends as it is')
            os._exit(1)
        self._loop = None
        self._grippers.finish()
        self._tell()

    def _braking_s(self) -> float:
        """Longer than the arm takes to rest."""
        return self.controller.guard.limiter.longest_stop_s + SETTLE_MARGIN_S

    def destroy(self) -> None:
        """Stop everything and remove it from the node."""
        self.deactivate()
        for timer in self._timers:
            self.node.destroy_timer(timer)
        self.subscriptions.destroy()
        self._switches.destroy()
        self._foreign.destroy()
        self._controllers.destroy()
        self._grippers.destroy()
        for subscription in self._speed:
            self.node.destroy_subscription(subscription)
        if self._ahead is not None:
            self._ahead.close()
        self._publishers.destroy()
        self.node.destroy_publisher(self._diagnostics)

    def enable(self) -> str:
        """Let the arm move; return what happens next. UserError says why it must not."""
        if self.controller.enabled:
            return 'already enabled'
        try:
            now_ns, row, measured = self._ready(self._seen_robot.stream_names, driven=True)
            self._check_observation(row)
            self._grippers.forgive()
            self._start(lambda: self.controller.enable(now_ns, measured))
        except UserError as error:
            raise UserError(f'not enabled: {error}') from None
        return 'enabled: ramping to the first target'

    def home(self) -> str:
        """Let the arm drive to its home position; return that. UserError says why it must not."""
        try:
            now_ns, _, measured = self._ready(self._state_streams)
            self._start(lambda: self.controller.go_home(now_ns, measured))
        except UserError as error:
            raise UserError(f'not driven home: {error}') from None
        return 'driving home'

    def _ready(
        self, streams: Iterable[str], driven: bool = False
    ) -> tuple[int, Row, Float64Array]:
        """The time, the row and the measured position of now; UserError if the arm may not move.

        Only these `streams` have to be there; `driven`: grippers that act, too.
        """
        if not self.active:
            raise UserError('the node is not active, configure and activate it first')
        now_ns = self.node.get_clock().now().nanoseconds
        if not now_ns:
            raise UserError('use_sim_time is set and nothing is heard on /clock')
        self._switches.check()
        # Whoever came later would have to jump to where the commands are by then.
        problems = [
            *self._publishers.unheard(), *self._controllers.inactive(),
            self._foreign.streaming(), self._skewed() or self._skew_unknown(),
            *(self._grippers.problems() if driven else ()),
        ]  # fmt: skip
        row = self._observe(now_ns)
        measured, faults = self._measured_and_faults(row)
        if measured is not None:
            problems.append(self.controller.effort.check(self._measured.effort()))
        wanted = {name: fault for name, fault in faults.items() if name in set(streams)}
        problems += [f'{self.subscriptions.describe(n)}: {f}' for n, f in wanted.items()]
        problems = list(filter(None, problems))
        if problems or measured is None:
            raise UserError('; '.join(problems) or 'the joint state is not there')
        return now_ns, row, measured

    @contextmanager
    def lock_in_time(self, patience_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the lock, in a thread that must not hang with a tick: then UserError."""
        if not self.lock.acquire(timeout=0 if self._hangs else patience_s):
            raise UserError(HANGS)
        try:
            yield
        finally:
            self.lock.release()

    @property
    def measured_last(self) -> Float64Array | None:
        """Where the joints (J,) were measured at the last tick; None: nobody knows."""
        row = self._row
        return None if row is None else self._measured_and_faults(row)[0]

    @property
    def _hangs(self) -> bool:
        return self._idle_looks >= HANGS_LOOKS

    def _start(self, begin: Callable[[], None]) -> None:
        with self.lock_in_time():
            begin()
            self._defect = self._told_defect = ''

    def check_topics(self) -> None:
        """UserError if a stream's topic is published with other types than the spec's only."""
        self._check.check_types()

    def disable(self) -> str:
        """Let the arm brake and hold."""
        with self.lock_in_time():
            self.controller.disable(self.node.get_clock().now().nanoseconds)
        return 'disabled: the arm brakes and holds'

    def reset(self) -> str:
        """Forget plan, latched fault and publishers of the emergency stop that are gone."""
        self._switches.reset()
        self._grippers.forgive()
        with self.lock_in_time():
            self.controller.reset()
        return 'reset: plan and faults are forgotten'

    def joints(self) -> JointVectors:
        """Joint values (J,) of the last tick's row, in the plan's time; called in its thread."""
        return self._measured.joints(self.controller.pace or 1.0)

    def measured(self, row: Row) -> tuple[Float64Array, Int64Array] | None:
        """Positions (J,) of a tick's row, and how old they were (J,); called in its thread.

        None where they are not there.
        """
        position, _ = self._measured.read(row)
        return None if position is None else (position, self._measured.ages_ns(row))

    def _check_observation(self, row: Row) -> None:
        self._source.check_observation(observation_from_row(row, self._seen_robot))

    def _examine(self) -> bool:
        """Whether all streams could be looked at; UserError for what is not as the spec says."""
        row = self._observe(self.node.get_clock().now().nanoseconds)
        for name, fault in self._measured_and_faults(row)[1].items():
            # Those of age are told elsewhere.
            if name not in row.faults or row.counters[name].unusable:
                raise UserError(f'{self.subscriptions.describe(name)}: {fault}')
        if row.complete:
            self._check_observation(row)
        return row.complete

    def _stop_at_once(self, reason: str, lost: bool = False) -> None:
        try:
            with self.lock_in_time():
                if lost:
                    self.controller.forget_place()
                if not self.controller.enabled:
                    return
                now_ns = self.node.get_clock().now().nanoseconds
                self.controller.disable(now_ns, reason)
        except UserError as error:
            self._defect = f'defect: {error}; {reason}'  # for the next tick, if there is one
            return
        self.node.get_logger().error(f'disabled: {reason}')

    def _skewed(self) -> str:
        """Why no trajectory may be sent; '' if the clocks agree, or none is sent."""
        return self._skew.problem(self._clock_ahead_ns()) if self._ahead is not None else ''

    def _skew_unknown(self) -> str:
        return self._skew.unknown() if self._ahead is not None else ''

    def _take_foreign(self, line: str) -> None:
        self._stop_at_once(line, lost=True)

    def _take_foreign_goal(self, line: str) -> None:
        if not self.controller.homing:
            self._stop_at_once(line)

    def _take_speed(self, message: Float64) -> None:
        """The parameter says what holds, whoever has set it."""
        if message.data == read_group(self.node, ControlParameters).speed:
            return  # the same message again
        results = self.node.set_parameters([Parameter('speed', value=float(message.data))])
        if not results[0].successful:
            self.node.get_logger().error(f'~/speed: {results[0].reason}')
        with suppress(UserError):  # then when events are told
            self._set_speed()

    def _set_speed(self) -> None:
        speed = read_group(self.node, ControlParameters).speed
        if speed != self.controller.speed:
            with self.lock_in_time(GLANCE_S):
                self.controller.speed = speed
            self.node.get_logger().info(f'speed override: {speed:g}')

    def _set_tool_speed(self) -> None:
        limit = read_group(self.node, GuardParameters).tool_speed_limit
        with self.lock_in_time(GLANCE_S):
            changed = [guard.limit_tool_speed(limit) for guard in self._guards]
            self.controller.plan_number += any(changed)  # what was sent ahead is sent anew
        if any(changed):
            self.node.get_logger().info(f'tool speed limit: {limit:g} m/s')

    def _observe(self, now_ns: int) -> Row:
        with self.subscriptions.lock:
            row = self._sampler.observe(now_ns)
            parts = {}
            if self._ahead is not None:
                parts = {name: self._sampler.parts(name) for name in self._state_streams}
        for name, messages in parts.items():
            self._skew.add(name, messages, self._clock_ahead_ns())
        return row

    def reject(self, row: Row, camera: str, reason: str) -> Row:
        """The row without an image that turned out to be unusable; any thread may ask."""
        with self.subscriptions.lock:
            return self._sampler.reject(row, camera, reason)

    def _measured_and_faults(self, row: Row) -> tuple[Float64Array | None, dict[str, str]]:
        with self.lock_in_time():
            return self._measured.read(row)

    def _prepare_tick_thread(self) -> None:
        self._scheduling = prepare_tick_thread(self._realtime)
        told = '; '.join(map(str, self._scheduling))
        self._events.append(('scheduling', '', told or 'as usual'))

    def _take_jump(self, by_ns: int) -> None:
        """What was seen and planned before the clock jumped belongs to another time."""
        self._rates.forget()
        self._skew.forget()
        if self._ahead is not None:
            self._ahead.shift(by_ns)
        by_s = by_ns / NANOSECONDS_PER_S
        self._jump = f'jumped {abs(by_s):.2f} s {"ahead" if by_ns > 0 else "back"}'
        jumps = int(str(self._clock_values['clock jumps'])) + 1
        self._clock_values = {'clock jumps': jumps, 'last clock jump [s]': by_s}

    def _tick(self, now_ns: int) -> None:
        """An exception anywhere in a tick lets the arm brake, and is told as what stopped it."""
        try:
            if not self._defect:
                self._follow(now_ns)
                return
        except Exception as error:
            self._defect = f'defect: {failure_text(error)}'
            if self._defect != self._told_defect:  # not in each tick, when it stays
                self._told_defect = self._defect
                self._events.append(('defect', '', traceback.format_exc()))
        self._only_brake(now_ns)

    def _only_brake(self, now_ns: int) -> None:
        with self.lock:
            if self.controller.enabled:
                self.controller.disable(now_ns, self._defect, lost=True)
            command = self.controller.command(now_ns, None, steady_ns=self._steady_ns())
            if self._ahead is not None:
                self._ahead.follow(now_ns, command, clocks_agree=self._clocks_agree)
            self._grippers.follow(self.controller)
            if self.controller.state == 'disabled':
                self._defect = ''
        if command is not None:
            self._send(command)
        self._note_state()

    def _follow(self, now_ns: int) -> None:
        row = self._observe(now_ns)
        jump, self._jump = self._jump, ''
        doubts = {'clock': jump} if jump else {}
        skewed = self._skewed()
        if skewed:
            doubts['clock skew'] = skewed
        with self.lock:
            measured, faults = self._measured.read(row)
            doubts |= {name: faults[name] for name in row.skews_ns if name in faults}
            # A joint state that seems old may come from a clock that was set back.
            self._clocks_agree = measured is not None and not doubts
            problems = {**faults, **self._switches.faults()}
            if not self.controller.homing:
                problems |= self._source.faults() | self._grippers.faults()
            self.controller.look(now_ns, problems, doubts, steady_ns=self._steady_ns())
            self._source.after_look(row)
            due = self.controller.policy_due(now_ns)
            if due:
                self._source.before_command(row)
            effort = self._measured.effort() if self.controller.effort.watches else None
            age_ns = self._measured.ages_ns(row)
            command = self.controller.command(
                now_ns, measured, effort=effort, steady_ns=self._steady_ns(), age_ns=age_ns
            )
            self._grippers.follow(self.controller)
            if self._ahead is not None:
                self._ahead.follow(now_ns, command, clocks_agree=self._clocks_agree)
        if command is not None:
            self._send(command, measured, age_ns)
        if due:
            self._source.action_due(row)
        self._source.after_tick(row, command)
        self._row, self._faults = row, faults
        if jump:
            self._events.append(('clock', '', jump))
        self._note_events(faults)

    def _send(
        self, command: Command, measured: Float64Array | None = None, age_ns: int | Int64Array = 0
    ) -> None:
        """Send it; when it left is known only as well as this thread is not held up."""
        motion = self._motion(command, measured, age_ns)
        self._foreign.sent(command.position, motion)
        first_ns = self._steady_ns()
        self._publishers.send(command.position, motion)
        last_ns = self._steady_ns()
        with self.lock:
            self.controller.was_sent(first_ns, last_ns)

    def _motion(
        self, command: Command, measured: Float64Array | None, age_ns: int | Int64Array
    ) -> CommandMotion:
        """How the arm moves at a command, where its joints were measured (J,) so long ago."""
        tool_speed = self.controller.guard.tool_speed
        return CommandMotion(
            command.velocity,
            measured,
            age_ns / NANOSECONDS_PER_S,
            braking=command.state not in ('ramp', 'run'),
            speed=self.controller.pace * (self._ramp_speed if command.state == 'ramp' else 1.0),
            tool_speed_limit=0.0 if tool_speed is None else tool_speed.limit,
        )

    def _note_events(self, faults: dict[str, str]) -> None:
        """Queue what is to be told: logging may block, so it is not done in the tick thread."""
        if self.active:  # else the thread that takes messages waits until the arm stands
            absent = set(faults)
            for name in absent - self._absent:
                self._events.append(('gone', name, faults[name]))
            for name in self._absent - absent:
                self._events.append(('back', name, ''))
            self._absent = absent
        self._note_state()

    def _note_state(self) -> None:
        state, reason = self.controller.state, self.controller.reason
        # While the arm holds, another reason is news; another number in it is not.
        news = (state, NUMBER.sub('', reason))
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
                log.info(f'{self.subscriptions.describe(name, arrives=True)}: there')
            elif kind == 'clock':
                log.warning(f'the clock {text}')
            elif kind == 'scheduling':
                log.info(f'scheduling of the control tick: {text}')
            elif kind == 'defect':
                log.error(f'control tick failed: {text}')
            elif text and name in ('brake', 'disabled'):
                log.error(f'{name}: {text}')
            elif name == 'hold':
                log.warning(f'hold: {text}')
            else:
                log.info(f'{name}: {text or MEANING[name]}')
        self._watch_tick_thread()
        with suppress(UserError):  # then with the next look
            self._set_speed()
            self._set_tool_speed()
        self._tell_silence()
        self._watch_listeners()

    def _watch_listeners(self) -> None:
        """Disable when the arm no longer listens: it may be anywhere when it comes back."""
        unheard = self._publishers.unheard()
        if unheard:
            self._stop_at_once('; '.join(unheard), lost=True)

    def _watch_tick_thread(self) -> None:
        """Brake from this thread when that of the ticks is no more, or later when it hangs."""
        if self._loop is None or not self.active:
            return
        if self._loop.alive:
            self._watch_hanging_tick(self._loop.rounds)
            return
        self.node.get_logger().error('the thread of the control tick ended: the arm brakes')
        self._defect = 'defect: the thread of the control tick ended'
        self.active = False
        until = time.monotonic() + self._braking_s()
        while self.controller.state != 'disabled' and time.monotonic() < until:
            self._tick(self.node.get_clock().now().nanoseconds)
            time.sleep(self.controller.control_period_ns / NANOSECONDS_PER_S)

    def _watch_hanging_tick(self, rounds: int) -> None:
        """Looks count, not time: after a process stood still both threads go on."""
        self._idle_looks = self._idle_looks + 1 if rounds == self._rounds else 0
        self._rounds = rounds
        if self._idle_looks == HANGS_LOOKS:
            self.node.get_logger().error(f'{HANGS}: the arm gets no commands')
        if self._hangs:
            self._defect = self._defect or f'defect: {HANGS.replace("hangs", "hung")}'

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

    def _inspect(self) -> None:
        for line in self._rates.look(self.node.get_clock().now().nanoseconds):
            self.node.get_logger().warning(line)
        self.subscriptions.check(self._row)
        self._check.look()
        self._controllers.look()

    def _diagnose(self) -> None:
        now = self.node.get_clock().now()
        name, controller = self.node.get_fully_qualified_name(), self.controller
        values: diagnostics.Values = {}
        with suppress(UserError), self.lock_in_time(GLANCE_S):
            values = diagnostics.controller_values(controller, now.nanoseconds)
        if self._loop is not None:
            values.update(self._loop_values(self._loop))
        level, told = diagnostics.level_of(controller), HANGS if self._hangs else controller.reason
        reason = f': {told}' if told else ''
        robot_name = self._seen_robot.name
        statuses = [
            diagnostics.status(
                f'{name}: control', robot_name, f'{controller.state}{reason}', values,
                level=DiagnosticStatus.ERROR if self._hangs else level,
            ),
            diagnostics.status(
                f'{name}: streams', robot_name,
                ', '.join(self._faults or sorted(self._rates.slow)) or self._check.problem
                or 'all there',
                {
                    **diagnostics.stream_values(self._row, self._faults), **self._rates.values(),
                    **self.subscriptions.bad_messages.values(),
                },
                not (self._faults or self._rates.slow or self._check.problem),
            ),
        ]  # fmt: skip
        statuses += self._grippers.statuses(name, robot_name) + self._source.statuses()
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
