# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`ControllerMachine` whose arm follows a leader, with a clutch, beside all that goes wrong.

A policy may put its chunks in between, as it may when one takes over from the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from guard_campaign.machine import COUNTS, JITTERS, ControllerMachine, random_values
from motion_policy.control import Command, Controller
from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.rehearsal.judge import Float64Array

LEADER = {'topic': 'leader', 'type': 'sensor_msgs/msg/JointState'}
SPEED = 1.5  # of the joints' full speed: how fast a person may be
LEADER_HZ = (5.0, 30.0, 100.0, 500.0)
TURN_S = 0.2  # in which a hand changes its mind


class LedMachine(ControllerMachine):
    """The leader wanders, jumps, goes beyond limits; nobody or everybody watches its jumps."""

    def random_values(self, seed: int, rng: np.random.Generator) -> dict[str, Any]:
        """The robot of the seed, with a leader of some or all of its joints."""
        values, apart = random_values(rng), np.random.default_rng((seed, 3))
        names = values['joints']['names']
        led = [name for name in names if apart.random() < 0.8] or names
        values['teleop'] = {'leader': {**LEADER, 'joints': led}}
        for key in ('apart', 'jump'):
            if apart.random() < 0.5:
                values['teleop'][key] = [float(apart.choice((0.0, 0.1, 1.0))) for _ in names]
        return values

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        """A new robot that stands, and its leader somewhere."""
        super().begin(seed)
        robot, ramp_speed = self.robot, float(self.rng.uniform(0.05, 1.0))
        self.controller = Controller(
            robot, robot.period_ns, interpolation='hold', ramp_speed=ramp_speed,
            auto_resume_s=self.auto_resume_s, guard=self.controller.guard,
        )  # fmt: skip
        self.rows = 1
        self.lead_by(ramp_speed)

    def lead_by(self, ramp_speed: float) -> None:
        """Let a leader stand where the arm does."""
        robot = self.robot
        assert robot.teleop is not None
        self.follower = LeaderFollower(
            robot, robot.teleop, ramp_speed, indexes=bool(self.rng.integers(2))
        )
        self.teleoperation = Teleoperation(self.controller, self.follower)
        led = {joint for topic in robot.teleop.leader for joint in topic.joints}
        self.led = np.array([name in led for name in robot.joints.names])
        self.leader = self.measured.copy()
        self.wanders, self.age_ns = True, 0

    @rule()
    def enable(self) -> None:
        """Press enable, after the leader was brought near, or not."""
        if self.rng.random() < 0.8:
            self.leader = self.measured + self.rng.uniform(-0.1, 0.1, len(self.measured))
        super().enable()
        if self.controller.enabled:
            self.follower.start(self.teleoperation.rest, pressed=self.rng.random() < 0.8)

    @rule(kind=st.sampled_from(('jump', 'wrap', 'far', 'near', 'wander', 'rest')))
    def lead(self, kind: str) -> None:
        """The person, or the leader's driver, does something."""
        joints = len(self.leader)
        self.wanders = kind == 'wander' or (self.wanders and kind != 'rest')
        if kind == 'jump':
            self.leader = self.rng.uniform(*self.limits.position.T)
        elif kind == 'wrap':
            self.leader = self.leader + 2 * np.pi * self.rng.choice((-1, 0, 1), joints)
        elif kind == 'far':
            self.leader = self.rng.uniform(-1e3, 1e3, joints)
        elif kind == 'near':
            self.leader = self.controller.guard.sent + self.rng.uniform(-0.01, 0.01, joints)

    @rule(
        count=st.integers(50, 400), kind=st.sampled_from(tuple(JITTERS)),
        hertz=st.sampled_from(LEADER_HZ), hand=st.sampled_from((0.1, 0.5, 1.0, SPEED)),
    )  # fmt: skip
    def follow(self, count: int, kind: str, hertz: float, hand: float) -> None:
        """A hand moves the leader, which speaks at a rate of its own, and the arm follows."""
        self.faults, self.follows, self.wanders = {}, True, False
        if self.controller.speed < 0.5:
            self.controller.speed = 1.0
        if self.controller.state == 'disabled':
            self.measured = np.where(self.base, 0.0, self.measured)
            self.leader = self.measured.copy()
            super().enable()
            if self.controller.enabled:
                self.follower.start(self.teleoperation.rest)
        elif self.follower.state == 'released' or self.follower.fault:
            self.follower.release(self.teleoperation.rest)
            self.leader = self.controller.guard.sent.copy()
            self.follower.see(np.where(self.led, self.leader, np.nan), self.now_ns)
            self.follower.press(self.teleoperation.rest)
        rng, limits = self.rng, self.limits
        at, speed = self.leader.copy(), np.zeros(len(self.leader))
        before_ns = said_ns = self.now_ns
        for _ in range(count):
            factor = JITTERS[kind](rng)
            self._pass(factor, factor)
            passed_s = max(self.now_ns - before_ns, 0) * 1e-9
            before_ns = self.now_ns
            change = rng.normal(0.0, hand, len(at)) * limits.velocity
            share = min(passed_s / TURN_S, 1.0)
            most = hand * limits.velocity
            speed = np.clip((1 - share) * speed + share * 2 * change, -most, most)
            low, high = limits.position.T
            at = np.clip(at + speed * passed_s, low - 0.02, high + 0.02)
            if self.now_ns - said_ns >= rng.uniform(0.5, 1.5) / hertz * 1e9:
                self.leader, said_ns = at.copy(), self.now_ns
            self.age_ns = self.now_ns - said_ns + int(rng.choice((0, 0, 10_000_000)))
            self._tick(self.measured, self.faults, {})
            if not self.controller.enabled:
                break
        self.age_ns = 0

    @rule(press=st.booleans())
    def clutch(self, press: bool) -> None:
        """Press the clutch, or release it."""
        if press:
            self.follower.press(self.teleoperation.rest)
        else:
            self.follower.release(self.teleoperation.rest)

    def _tick(
        self,
        measured: Float64Array | None,
        faults: dict[str, str],
        doubts: dict[str, str],
        answers: bool = False,
    ) -> None:
        if self.wanders:
            most = SPEED * self.limits.velocity * self.robot.period_ns * 1e-9
            self.leader = self.leader + self.rng.uniform(-most, most)
        self.follower.see(np.where(self.led, self.leader, np.nan), self.now_ns - self.age_ns)
        fault = {'leader': self.follower.fault} if self.follower.fault else {}
        COUNTS[f'ticks {self.follower.state}'] += 1
        COUNTS['ticks with a jump'] += bool(fault)
        super()._tick(measured, {**faults, **fault}, doubts)

    def command_in_tick(
        self, measured: Float64Array | None, faults: dict[str, str], doubts: dict[str, str]
    ) -> Command | None:
        """The command of a tick in which the arm is led."""
        self.controller.look(self.now_ns, faults, doubts, steady_ns=self.steady_ns)
        self.teleoperation.give(self.now_ns)
        return self.controller.command(self.now_ns, measured, steady_ns=self.steady_ns)
