# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`LedMachine` whose arm a policy drives until a person takes over, who may give it back.

And hand-overs one after the other, with ticks that are on time: how much they change the speed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from guard_campaign.led import LEADER, LedMachine
from guard_campaign.machine import COUNTS, JITTERS, ControllerMachine, random_values, robot_of
from motion_policy.control import INTERPOLATIONS, ChunkExecution, Command, Controller
from motion_policy.control.leader_follower import LeaderFollower
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.errors import UserError
from motion_policy.rehearsal.judge import Float64Array

CHANGES_PER_ARM = 20
MOST_TICKS = 40  # between two changes


class TakenMachine(LedMachine):
    """Hands change at any moment; nothing but a person, or enable, brings the policy back."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        """A new robot with a policy, and a person beside it."""
        ControllerMachine.begin(self, seed)
        self.lead_by(float(self.rng.uniform(0.05, 1.0)))
        self.by_hand = False

    @rule()
    def take_over(self) -> None:
        """The person takes over."""
        before = self.controller.state
        try:
            self.controller.take_over()
        except UserError:
            COUNTS['takeovers refused'] += 1
            assert not self.controller.enabled or self.controller.homing
            return
        COUNTS[f'takeovers in {before}'] += not self.by_hand
        self.by_hand = True
        self.fault_since_ns = None
        self.follower.take_over(self.teleoperation.rest)

    @rule()
    def give_back(self) -> None:
        """The person gives back."""
        COUNTS['given back'] += self.by_hand and self.controller.enabled
        self.controller.give_back()
        self.by_hand = False
        self.fault_since_ns = None

    @rule(
        count=st.integers(20, 200), kind=st.sampled_from(tuple(JITTERS)), share=st.floats(0.0, 0.2)
    )
    def drive(self, count: int, kind: str, share: float) -> None:
        """Policy and person drive in turn, each as it should."""
        self.faults, self.follows, self.wanders = {}, True, True
        self.tick(1, 'on time', answers=True, enables=True)
        for _ in range(count if self.controller.enabled else 0):
            if self.rng.random() < share:
                self.lead('near')
                (self.give_back if self.by_hand else self.take_over)()
            self.tick(1, kind, answers=True, enables=False)

    @invariant()
    def only_a_person_brings_the_policy_back(self) -> None:
        """Who drives changes by nothing else."""
        if hasattr(self, 'by_hand') and self.controller.enabled:
            assert self.controller.by_hand == self.by_hand

    def _press(self, press: Callable[[], None]) -> None:
        """Enable, or home: what begins where the arm was disabled begins with the policy."""
        begins = not self.controller.enabled
        super()._press(press)
        if begins and self.controller.enabled:
            self.by_hand = False

    def _tick(
        self,
        measured: Float64Array | None,
        faults: dict[str, str],
        doubts: dict[str, str],
        answers: bool = False,
    ) -> None:
        if self.wanders:
            most = self.limits.velocity * self.robot.period_ns * 1e-9
            self.leader = self.leader + self.rng.uniform(-most, most)
        self.follower.see(np.where(self.led, self.leader, np.nan), self.now_ns - self.age_ns)
        fault = {'leader': self.follower.fault} if self.follower.fault and self.by_hand else {}
        COUNTS['ticks by hand'] += self.controller.by_hand and self.controller.enabled
        ControllerMachine._tick(self, measured, {**faults, **fault}, doubts, answers)

    def command_in_tick(
        self, measured: Float64Array | None, faults: dict[str, str], doubts: dict[str, str]
    ) -> Command | None:
        """The command of a tick, as of a policy node."""
        controller = self.controller
        controller.look(self.now_ns, faults, doubts, steady_ns=self.steady_ns)
        if controller.by_hand:
            self.teleoperation.give(self.now_ns)
        else:
            self.follower.stop(controller.guard.sent)
        return controller.command(self.now_ns, measured, steady_ns=self.steady_ns)


@dataclass
class HandOvers:
    """How many there were, and the greatest step of a commanded velocity at one, in shares of
    the acceleration limit times a period.
    """

    count: int = 0
    greatest: float = 0.0
    moving: int = 0  # of arms that moved


def change_hands(count: int, seed: int = 0) -> HandOvers:
    """Let policy and person take turns so often, on random arms with random policies."""
    rng, found = np.random.default_rng(seed), HandOvers()
    while found.count < count:
        _change_hands_of_an_arm(rng, found)
    return found


def _change_hands_of_an_arm(rng: np.random.Generator, found: HandOvers) -> None:
    values = random_values(rng)
    values['teleop'] = {'leader': {**LEADER, 'joints': values['joints']['names']}}
    robot = robot_of(values)
    assert robot.teleop is not None
    limits, period_s = robot.joints.limits, robot.period_ns * 1e-9
    low, high = limits.position_array().T
    velocity = limits.velocity_array()
    chunks = ChunkExecution() if rng.random() < 0.5 else None
    rows = 1 if chunks is None else int(rng.integers(2, 40))
    policy_ns = robot.period_ns * int(rng.choice((1, 5)))
    controller = Controller(
        robot, policy_ns, interpolation=rng.choice(INTERPOLATIONS), chunks=chunks,
        ramp_speed=float(rng.uniform(0.05, 1.0)), first_due_ns=0 if chunks else None,
    )  # fmt: skip
    follower = LeaderFollower(robot, robot.teleop, 0.25, indexes=bool(rng.integers(2)))
    person = Teleoperation(controller, follower)
    now_ns, measured = 10**15, rng.uniform(low, high)
    controller.enable(now_ns, measured)
    leader, before, speed = measured.copy(), measured.copy(), np.zeros(len(measured))
    hand = np.zeros(len(measured))
    for _ in range(CHANGES_PER_ARM):
        for tick in range(int(rng.integers(1, MOST_TICKS))):
            hand = np.clip(hand + rng.normal(0, 0.1, len(hand)) * velocity, -velocity, velocity)
            leader = np.clip(leader + hand * period_s, low, high)
            follower.see(leader, now_ns)
            fault = {'leader': follower.fault} if follower.fault and controller.by_hand else {}
            controller.look(now_ns, fault)
            hands_change = tick == 0 and controller.enabled
            if hands_change and controller.by_hand:
                controller.give_back()
            elif hands_change:
                leader = np.clip(before + rng.uniform(-0.2, 0.2, len(before)), low, high)
                follower.stop(person.rest)
                follower.see(leader, now_ns)
                controller.take_over()
                follower.take_over(person.rest)
            if controller.by_hand:
                person.give(now_ns)
            command = controller.command(now_ns, measured)
            if controller.policy_due(now_ns):
                way = rng.uniform(-1, 1, (rows, len(before))) * velocity * policy_ns * 1e-9
                controller.add_chunk(np.clip(before + np.cumsum(way, axis=0), low, high), now_ns)
            if command is None:
                return
            measured = command.position
            now_speed = (command.position - before) / period_s
            if hands_change:
                step = np.abs(now_speed - speed) / (limits.acceleration_array() * period_s)
                found.count += 1
                found.moving += bool(np.abs(speed).max() > 0.01)
                found.greatest = max(found.greatest, float(step.max()))
            before, speed = command.position, now_speed
            now_ns += robot.period_ns
