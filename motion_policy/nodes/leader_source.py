# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A leader arm on its topics: what it says in each tick, and the clutch.

A leader that is silent, or says nothing that can be used, is a fault of the arm that follows.
"""

from __future__ import annotations

import time

from rclpy.node import Node

from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.switches import DeadManSwitch
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.parameters.teleop import ClutchParameters
from motion_policy.nodes.stop_switches import held_button
from motion_policy.nodes.teleop_source import TeleopSource
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import TeleopSpec
from motion_policy.streams.joint_values import JointValues

CLUTCH = 'clutch'


class LeaderSource(TeleopSource):
    """Hears the topics of `teleop.leader`, obeys the clutch and tells `follower`."""

    def __init__(
        self, node: Node, robot: RobotSpec, teleop: TeleopSpec, follower: LeaderFollower,
        clutch: ClutchParameters, *, reliable: bool = False,
    ) -> None:  # fmt: skip
        joints = robot.joints.model_copy(update={'leader': teleop.leader})
        led = robot.model_copy(update={'joints': joints})
        super().__init__(node, led, 'leader', 'leader', follower, reliable=reliable)
        self._follower = follower
        self._values = JointValues(led, 'leader')
        self._faults: dict[str, str] = dict.fromkeys(self.subscriptions.streams, 'missing')
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
        row = self.observe(now_ns)
        self._values.update(row.samples)
        self._faults = {**self._values.faults, **row.faults}
        if not self._faults:
            self._follower.see(self._values.position, now_ns - max(row.ages_ns.values()))
        fault = self._follower.fault
        return {**self._faults, 'leader': fault} if fault else self._faults

    def obey(self, rest: Float64Array, *, enabled: bool) -> None:
        """Obey the button of the clutch, of an arm that will rest at (J,)."""
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
        """Press the clutch, or release it."""
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
            problems = [self._follower.too_far(measured), self._follower.drives()]
        if any(problems):
            raise UserError('not enabled: ' + '; '.join(filter(None, problems)))

    def start(self, rest: Float64Array) -> str:
        """The arm was enabled and stands at (J,)."""
        self._refused = ''
        self._follower.start(rest, pressed=self._follows_at_once)
        return 'enabled: going to the leader, then following it'

    def take_over(self, rest: Float64Array) -> str:
        """A person takes over; an arm stands whose leader is not there, or too far off."""
        self._follower.stop(rest)
        if self._faults:
            self._refused = '; '.join(f'{name}: {why}' for name, why in self._faults.items())
            return f'the arm holds: {self._refused}'
        if not self._follows_at_once:
            self._refused = ''
            return 'the arm stands until the clutch is pressed'
        self._refused = self._follower.take_over(rest)
        if self._refused:
            return f'the arm stands, take over again when it is nearer: {self._refused}'
        return 'the arm moves as the leader does'

    def faults(self) -> dict[str, str]:
        """What is wrong with the leader, and why it is not followed."""
        fault = self._follower.fault or self._refused
        return {**self._faults, 'leader': fault} if fault else self._faults

    def values(self, position: Float64Array) -> diagnostics.Values:
        """How far each joint is off."""
        off = {f'{j} off [rad or m]': off for j, off in self._follower.off(position).items()}
        return {'state': self._follower.state, **off}

    def told(self, position: Float64Array, *, enabled: bool) -> str:
        """Say in one line how the arm follows that was sent to (J,), or what is wrong."""
        if self._faults:
            return '; '.join(f'{name}: {fault}' for name, fault in self._faults.items())
        if self._refused:
            return f'clutch not pressed: {self._refused}'
        if not enabled:
            return self._follower.fault or 'not followed'
        return self._follower.told(position)

    def off(self, position: Float64Array) -> dict[str, float]:
        """How far the leader is from an arm at (J,), by joint [rad or m]."""
        return self._follower.off(position)

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        super().destroy()
        if self._button_subscription is not None:
            self.node.destroy_subscription(self._button_subscription)
            self._button_subscription = None

    @property
    def _follows_at_once(self) -> bool:
        return self._pressed if self._button is None else self._held
