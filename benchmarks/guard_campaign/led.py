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

from guard_campaign.machine import COUNTS, ControllerMachine, random_values
from motion_policy.control import Command, Controller
from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.rehearsal.judge import Float64Array

LEADER = {'topic': 'leader', 'type': 'sensor_msgs/msg/JointState'}
SPEED = 1.5  # of the joints' full speed: how fast a person may be


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
        assert robot.teleop is not None
        self.follower = LeaderFollower(
            robot, robot.teleop, ramp_speed, indexes=bool(self.rng.integers(2))
        )
        self.teleoperation = Teleoperation(self.controller, self.follower)
        led = {joint for topic in robot.teleop.leader for joint in topic.joints}
        self.led = np.array([name in led for name in robot.joints.names])
        self.leader = self.measured.copy()
        self.wanders = True

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
        self.follower.see(np.where(self.led, self.leader, np.nan), self.now_ns)
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
