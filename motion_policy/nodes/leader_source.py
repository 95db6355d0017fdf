# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A leader arm on its topics: what it says in each tick, and the clutch.

A leader that is silent, or says nothing that can be used, is a fault of the arm that follows.
"""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.switches import DeadManSwitch
from motion_policy.control.timing import RecentDurations
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.parameters.teleop import ClutchParameters
from motion_policy.nodes.stop_switches import held_button
from motion_policy.nodes.stream_check import StreamCheck
from motion_policy.nodes.subscriptions import StreamSubscriptions
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import TeleopSpec
from motion_policy.streams import Row, Sampler
from motion_policy.streams.joint_values import JointValues

LATENCIES = 1000  # of the newest messages
CLUTCH = 'clutch'


class LeaderSource:
    """Subscribes the topics of `teleop.leader` and keeps `follower` told.

    `look` is called in the tick thread, once per tick; the others in the executor's thread, those
    of the clutch with the driver's lock.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        teleop: TeleopSpec,
        follower: LeaderFollower,
        clutch: ClutchParameters,
        *,
        reliable: bool = False,
    ) -> None:
        self._node, self._robot, self._follower = node, robot, follower
        joints = robot.joints.model_copy(update={'leader': teleop.leader})
        led = robot.model_copy(update={'joints': joints})
        streams = [stream for stream in led.streams() if stream.role == 'leader']
        self._sampler = Sampler(streams)
        self._values = JointValues(led, 'leader')
        self._row: Row | None = None
        self._faults: dict[str, str] = {stream.name: 'missing' for stream in streams}
        self._heard_ns: dict[str, int] = {}
        self._answers_ns: list[int] = []  # receptions that the next command answers
        self.latency = RecentDurations(LATENCIES)  # from reception to command
        self.subscriptions = StreamSubscriptions(
            node, led, self._sampler, roles=('leader',), reliable=reliable
        )
        self._check = StreamCheck(node, self.subscriptions, lambda: True)
        self._pressed, self._held = True, False
        self._refused = ''
        self._button: DeadManSwitch | None = None
        self._button_subscription = None
        if clutch.topic:
            self._button, self._button_subscription = held_button(
                node, clutch.topic, clutch.button, clutch.timeout, CLUTCH
            )

    def look(self, now_ns: int) -> dict[str, str]:
        """Take in what the leader says by now; return what lets the arm hold, by name."""
        self._answers_ns.clear()
        with self.subscriptions.lock:
            row = self._sampler.observe(now_ns)
        self._values.update(row.samples)
        self._row, self._faults = row, {**self._values.faults, **row.faults}
        for name, sample in row.samples.items():
            if self._heard_ns.get(name) != sample.receive_ns:
                self._heard_ns[name] = sample.receive_ns
                self._answers_ns.append(sample.receive_ns)
        if not self._faults:
            self._follower.see(self._values.position, now_ns - max(row.ages_ns.values()))
        fault = self._follower.fault
        return {**self._faults, 'leader': fault} if fault else self._faults

    def answered(self, now_ns: int) -> None:
        """A command is out that follows what was looked at last."""
        for heard_ns in self._answers_ns:
            self.latency.add(now_ns - heard_ns)

    def clutch(self, rest: Float64Array) -> None:
        """Obey the button of the clutch, of an arm that will rest at (J,); in each tick."""
        if self._button is None:
            return
        held = not self._button.problem(time.monotonic_ns())
        if held and not self._held:
            self._refused = self._follower.press(rest)
        elif self._held and not held:
            self._refused = ''
            self._follower.release(rest)
        self._held = held

    def press(self, on: bool, rest: Float64Array | None) -> str:
        """Press the clutch, or release it; return what that leads to, UserError says why not.

        `rest` (J,) is where the arm will rest; None: it is not enabled.
        """
        if self._button is not None:
            raise UserError(f'the clutch is a button: {self._button.name}')
        if rest is not None and on:
            problem = self._follower.press(rest)
            if problem:
                raise UserError(f'clutch not pressed: {problem}')
        elif rest is not None:
            self._follower.release(rest)
        self._pressed = on
        return 'clutch pressed: the arm follows' if on else 'clutch released: the arm stands'

    def check(self, measured: Float64Array | None) -> None:
        """UserError that says why an arm that is measured at (J,) must not be enabled."""
        problems = [
            f'{self.subscriptions.describe(name)}: {fault}' for name, fault in self._faults.items()
        ]
        if not problems and measured is not None and self._follows_at_once:
            problems = [self._follower.too_far(measured)]
        if any(problems):
            raise UserError('not enabled: ' + '; '.join(filter(None, problems)))

    def check_topics(self) -> None:
        """UserError if a topic of the leader is published with other types than the spec's."""
        self._check.check_types()

    def start(self, rest: Float64Array) -> None:
        """The arm was enabled and stands at (J,)."""
        self._refused = ''
        self._follower.start(rest, pressed=self._follows_at_once)

    def inspect(self) -> None:
        """Log what is odd about the publishers; about once per second."""
        self.subscriptions.check(self._row)

    def status(self, sent: Float64Array, *, enabled: bool) -> DiagnosticStatus:
        """Say how the arm follows that was sent to (J,), and how far each joint is off."""
        told = self.told(sent, enabled=enabled)
        values: diagnostics.Values = {
            'state': self._follower.state,
            **{f'{j} off [rad or m]': off for j, off in self._follower.off(sent).items()},
            **diagnostics.stream_values(self._row, self._faults),
            **self.subscriptions.bad_messages.values(),
            **diagnostics.durations('leader to command', self.latency),
        }
        name = self._node.get_fully_qualified_name()
        ok = not (self._faults or self._follower.fault or self._refused)
        return diagnostics.status(f'{name}: leader', self._robot.name, told, values, ok)

    def told(self, sent: Float64Array, *, enabled: bool) -> str:
        """Say in one line how the arm follows that was sent to (J,), or what is wrong."""
        if self._faults:
            return '; '.join(f'{name}: {fault}' for name, fault in self._faults.items())
        if self._refused:
            return f'clutch not pressed: {self._refused}'
        if not enabled:
            return self._follower.fault or 'not followed'
        return self._follower.told(sent)

    def off(self, position: Float64Array) -> dict[str, float]:
        """How far the leader is from an arm at (J,), by joint [rad or m]."""
        return self._follower.off(position)

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        self.subscriptions.destroy()
        if self._button_subscription is not None:
            self._node.destroy_subscription(self._button_subscription)
            self._button_subscription = None

    @property
    def _follows_at_once(self) -> bool:
        return self._pressed if self._button is None else self._held
