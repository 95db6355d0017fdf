# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Records demonstrations: every stream of the robot spec, on the robot's grid, into HDF5 files.

Messages wait in their queues until the node takes them, some 20 times a second, and count as
received when the middleware had them: whatever holds this process up shifts no row. Images are
decoded and encoded, and rows and bags written, in the recorder's own threads.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import Trigger

from motion_policy.episodes.message_recorder import BagMessage, KeptBag, MessageRecorder, PreRoll
from motion_policy.episodes.recorder import EpisodeRecorder
from motion_policy.errors import UserError
from motion_policy.nodes.message_definitions import bag_channels, static_topics
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.episodes import RecorderParameters
from motion_policy.nodes.rollout_topics import RolloutTopics
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.subscriptions import StreamSubscriptions, fields_of
from motion_policy.robot import load_robot_spec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams.message_fields import with_known_fields

STATUS_PERIOD_S = 1.0
# A recording shall lose nothing when this process has to wait: 5 s of joints at 100 Hz, 10 s of a
# wrench at 1 kHz (3 MB), 0.8 s of images at 30 Hz (23 MB of each camera with 640x480 raw pixels).
QUEUE_DEPTH, IMAGE_QUEUE_DEPTH = 500, 25
# A message stands in its queue so soon after its reception, unless no core is free; rows are made
# so much later.
SETTLING_S = 0.1
SETTLING_NS = round(SETTLING_S * NANOSECONDS_PER_S)
PATIENCE_S = 20.0  # with what waits, when a recording begins or ends


class RecorderNode(Node):
    """Shell around `EpisodeRecorder`: subscriptions, services and the status of every stream."""

    def __init__(self, **options: Any) -> None:
        super().__init__('recorder_node', **options)
        declare_group(self, RecorderParameters)
        parameters = read_group(self, RecorderParameters)
        if not parameters.robot:
            raise UserError("parameter 'robot' is empty, expected a robot spec: name or YAML file")
        self._robot = with_known_fields(load_robot_spec(parameters.robot), fields_of)
        self.recorder = EpisodeRecorder(self._robot)
        self.streams = StreamSubscriptions(
            self, self._robot, self.recorder,
            reliable=parameters.reliable, depth=QUEUE_DEPTH, image_depth=IMAGE_QUEUE_DEPTH,
            left_waiting=True,
            on_message=self._keep,
        )  # fmt: skip
        self._rollout: RolloutTopics | None = None
        if parameters.rollout:
            self._rollout = RolloutTopics(
                self, self._robot, parameters.rollout, QUEUE_DEPTH, self.recorder.counted_ns
            )
        topics = self.streams.full_topics
        static = [topics[topic] for topic in static_topics(self._robot)]
        self.messages = MessageRecorder(
            PreRoll(self._robot, topics, static),
            functools.cache(lambda: bag_channels(self._robot, topics)),
        )
        self.messages.enabled = parameters.keep_bag
        self._rates_hz = dict.fromkeys(self.streams.streams, 0.0)
        self._counted = dict(self.streams.own)
        self._counted_at_s = time.monotonic()
        self._reported_end = self._reported_bag = ''
        self._told_few = False  # that the disk has little room
        self._status = self.create_publisher(DiagnosticArray, '~/status', 10)
        for name, action in (
            ('~/start', self._start),
            ('~/stop', self._stop),
            ('~/discard', self._discard),
            ('~/mark_success', lambda: self._mark(True)),
            ('~/mark_failure', lambda: self._mark(False)),
        ):
            self.create_service(Trigger, name, self._answer(action))
        # Steady clocks: a /clock that stands still must not silence the watch over the streams.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self._robot.rate, self._tick, clock=steady)
        self.create_timer(STATUS_PERIOD_S, self._report, clock=steady)

    def _answer(self, action: Callable[[], str]) -> Callable[[Any, Any], Any]:
        def answer(_request: Any, response: Any) -> Any:
            try:
                response.message, response.success = action(), True
                self.get_logger().info(response.message)
            except UserError as error:
                response.message, response.success = str(error), False
                self.get_logger().error(response.message)
            self._report()
            return response

        return answer

    def _keep(self, message: BagMessage) -> None:
        """Let a bag have the message with the time at which it counts as received in rows."""
        receive_ns = self.recorder.counted_ns(message.receive_ns)
        if receive_ns != message.receive_ns:
            message = replace(message, receive_ns=receive_ns)
        self.messages.add(message)

    def _start(self) -> str:
        self._catch_up()
        silent = self.streams.silent()
        if silent:
            raise UserError('not started: ' + '; '.join(silent))
        parameters, rollout = read_group(self, RecorderParameters), self._rollout
        is_rollout = rollout is not None and rollout.there
        try:
            path = self.recorder.start(
                Path(parameters.directory).expanduser(),
                rollout=rollout.messages if rollout is not None and is_rollout else None,
                task=parameters.task,
                operator=parameters.operator,
                sim=parameters.sim,
                compress=parameters.compress,
                jpeg_quality=parameters.jpeg_quality,
                storage=parameters.storage,
                created_ns=time.time_ns(),
            )
        except UserError as error:
            raise UserError(f'not started: {error}') from error
        self.recorder.begin(self._now_ns())
        self._reported_end, self._told_few = '', False
        self._reported_bag = ''
        self.messages.enabled = parameters.keep_bag
        told = f'recording {path}' + f', a rollout of {parameters.rollout}' * is_rollout
        try:
            self.messages.start(path)
        except UserError as error:
            self.get_logger().warning(f'{path.name} gets no bag: {error}')
            return f'{told}; without its bag: {error}'
        return told

    def _stop(self) -> str:
        self._catch_up()
        try:
            result = self.recorder.stop()
            lines = [f'recorded {result}', *result.odd_lines[:1]]
        finally:
            self._log_verdicts()
            bag = self._stop_bag()
        if bag is not None and bag.ended:
            lines.append(f'its bag: {bag}')
        return '; '.join(lines)

    def _stop_bag(self) -> KeptBag | None:
        """Finish the bag with all that came so far."""
        bag = self.messages.stop()
        self._tell_bag(bag)
        return bag

    def _tell_bag(self, bag: KeptBag | None) -> None:
        """Warn once of a bag that does not hold all."""
        if bag is not None and bag.ended and bag.ended != self._reported_bag:
            self._reported_bag = bag.ended
            self.get_logger().warning(f'the bag {bag}')
            self._report()

    def _log_verdicts(self) -> None:
        last = self.recorder.last
        if last is not None:
            for line in last.odd_lines:
                self.get_logger().warning(f'{last.path.name}: {line}')

    def _discard(self) -> str:
        try:
            place = self.recorder.discard()
        finally:
            self._stop_bag()
        self.messages.discard(place)
        return 'discarded: it had no row' if place is None else f'discarded: it is {place} now'

    def _mark(self, success: bool) -> str:
        return f'{self.recorder.mark(success)} is a {"success" if success else "failure"}'

    def _now_ns(self) -> int:
        now_ns: int = self.get_clock().now().nanoseconds
        return now_ns

    def _catch_up(self) -> None:
        """Have all that was received by now in rows."""
        now_ns, end_s = self._now_ns(), time.monotonic() + PATIENCE_S
        time.sleep(SETTLING_S)
        until_ns = 0
        while until_ns < now_ns <= self._now_ns() and time.monotonic() < end_s:
            until_ns = min(now_ns, self._take_waiting())
            self.recorder.advance(until_ns)
            self.recorder.settle()
            if until_ns < now_ns:
                time.sleep(SETTLING_S / 10)  # for there was no room

    def _take_waiting(self) -> int:
        """Take what was received; returns the time before which nothing is left."""
        if self._rollout is not None:
            self._rollout.take_waiting()
        return self.streams.take_waiting(self.recorder.has_room)

    def _tick(self) -> None:
        self.recorder.advance(self._take_waiting(), SETTLING_NS)
        self.recorder.watch(self._now_ns())
        current = self.recorder.current
        if current is not None and current.ended and current.ended != self._reported_end:
            self._reported_end = current.ended
            self.get_logger().error(f'the recording {current}')
            self._stop_bag()
            self._report()
        if current is not None and current.few_left and not self._told_few:
            self._told_few = True
            self.get_logger().warning(current.few_left)
        self._tell_bag(self.messages.current)

    def _report(self) -> None:
        self._measure_rates()
        self.messages.enabled = read_group(self, RecorderParameters).keep_bag
        self.streams.check(self.recorder.row)
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [self._recording_status(), *map(self._stream_status, self._rates_hz)]
        self._status.publish(message)

    def _measure_rates(self) -> None:
        now_s = time.monotonic()
        elapsed_s = now_s - self._counted_at_s
        if elapsed_s < STATUS_PERIOD_S / 2:
            return
        for name, count in self.streams.own.items():
            self._rates_hz[name] = (count - self._counted[name]) / elapsed_s
            self._counted[name] = count
        self._counted_at_s = now_s

    def _recording_status(self) -> DiagnosticStatus:
        current, last = self.recorder.current, self.recorder.last
        level, state, line = DiagnosticStatus.OK, 'idle', 'idle'
        if current is not None and current.ended:
            level, state, line = DiagnosticStatus.ERROR, 'ended', str(current)
        elif current is not None:
            state, line = 'recording', f'recording: {current}'
            if current.few_left:
                level, line = DiagnosticStatus.WARN, f'{line}; {current.few_left}'
        left_s = None if current is None else current.seconds_left
        return self._diagnostic(
            'recording', level, line,
            state=state,
            file='' if current is None else current.path,
            rows=0 if current is None else current.rows,
            rows_waiting=self.recorder.rows_waiting,
            rows_on_disk=0 if current is None else current.rows_on_disk,
            minutes_left='' if left_s is None else f'{left_s / 60:.1f}',
            last_file='' if last is None else last.path,
            last_quality='' if last is None else last.quality,
            last_verdicts='' if last is None else '; '.join(last.odd_lines),
            **self._bag_values(),
        )  # fmt: skip

    def _bag_values(self) -> dict[str, Any]:
        bag = self.messages.current or self.messages.last
        if bag is None:
            return {}
        left_out = sum(bag.left_out.values())
        values = {'bag': bag.path, 'bag_messages': bag.messages, 'bag_left_out': left_out}
        return values | ({'bag_ended': bag.ended} if bag.ended else {})

    def _stream_status(self, name: str) -> DiagnosticStatus:
        rate_hz, row = self._rates_hz[name], self.recorder.row
        fault = 'missing' if row is None else row.faults.get(name, '')
        level, line = DiagnosticStatus.OK, f'{rate_hz:.1f} Hz'
        if fault:
            label = self.recorder.stream_label(name)
            level, line = DiagnosticStatus.ERROR, f'{label}: {fault}'
        elif rate_hz < read_group(self, RecorderParameters).min_rate:
            level, line = DiagnosticStatus.WARN, f'only {rate_hz:.1f} Hz'
        values: dict[str, Any] = {'topic': self.streams.streams[name].topic}
        values['rate_hz'] = f'{rate_hz:.1f}'
        values['unusable'] = self.streams.bad_messages.count(name)
        if row is not None and name in row.ages_ns:
            values['age_ms'] = f'{row.ages_ns[name] * 1e-6:.1f}'
        if row is not None and name in row.counters:
            counters = row.counters[name]
            values |= {'received': counters.received, 'dropped': counters.dropped}
            values['max_gap_ms'] = f'{counters.max_gap_ns * 1e-6:.1f}'
            if counters.dropped_of:
                values['dropped_of'] = counters.dropped_of
            if counters.unusable:
                values |= {'unusable': counters.unusable, 'newest_unusable': counters.reason}
            if counters.partial:
                values |= {'partial': counters.partial, 'left_out': counters.left_out}
        return self._diagnostic(f'stream {name}', level, line, **values)

    def _diagnostic(self, name: str, level: bytes, line: str, **values: Any) -> DiagnosticStatus:
        return DiagnosticStatus(
            name=f'{self.get_name()}: {name}',
            level=level,
            message=line,
            hardware_id=self._robot.name,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )

    def close(self) -> None:
        """Finish a recording that is under way; the last thing the node does."""
        if self.recorder.recording:
            self._catch_up()
        result = self.recorder.close()
        self._stop_bag()
        if result is not None:
            self.get_logger().warning(f'the recording {result}')


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    return run_node(RecorderNode, args, images='in')


if __name__ == '__main__':
    raise SystemExit(main())
