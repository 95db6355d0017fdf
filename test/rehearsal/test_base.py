# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A base in a rehearsal follows velocities, stops by itself, and tells whether it was stopped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from mobile_robots import mobile_robot

from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.commands import CommandPort
from motion_policy.rehearsal.guiding import Guide

ROBOT = mobile_robot()
PERIOD_NS = ROBOT.period_ns
STANDS = np.array([0.1, 0.2, 0.0, 0.0])


def twist(forward: float, turn: float) -> Any:
    xyz = {'x': 0.0, 'y': 0.0, 'z': 0.0}
    linear, angular = SimpleNamespace(**xyz), SimpleNamespace(**xyz)
    linear.x, angular.z = forward, turn
    return SimpleNamespace(twist=SimpleNamespace(linear=linear, angular=angular))


class Felt:
    """A base that is told velocities; `seconds` of silence may follow."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.arm = StandInArm(ROBOT)
        self.port = CommandPort(ROBOT, ROBOT.joints.command[1], self.arm, self.lines.append)
        self.now_ns = 1_700_000_000_000_000_000

    def send(self, forward: float, turn: float = 0.0) -> None:
        self.now_ns += PERIOD_NS
        self.port.take(twist(forward, turn), self.now_ns, self.now_ns - 300_000)
        self.step(self.now_ns)

    def step(self, now_ns: int) -> None:
        self.port.step(now_ns)
        self.arm.step(now_ns)

    def silence(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.now_ns += PERIOD_NS
            self.step(self.now_ns)


SPEEDING_UP = 0.15 * (1 - np.cos(np.linspace(0, np.pi, 40)))  # to 0.3 m/s


def speed_up(felt: Felt) -> None:
    for forward in SPEEDING_UP:
        felt.send(float(forward))


def test_a_base_follows_and_stops_by_itself_when_commands_end_while_it_drives() -> None:
    felt = Felt()
    speed_up(felt)
    for _ in range(30):
        felt.send(0.3)
    np.testing.assert_allclose(felt.arm.position, STANDS + [0, 0, 0.3, 0], atol=1e-2)
    assert felt.lines == []
    felt.silence(0.4)
    assert felt.arm.position[2] > 0.25
    felt.silence(0.8)
    np.testing.assert_allclose(felt.arm.position, STANDS, atol=1e-3)
    assert felt.lines == ["joint 'base_forward': commands ended while it moved"]
    assert felt.port.felt.joints['base_forward'].left_moving == 1


def test_one_that_was_sent_to_zero_was_stopped() -> None:
    felt = Felt()
    speed_up(felt)
    for forward in [*SPEEDING_UP[::-1], 0.0, 0.0]:
        felt.send(float(forward))
    felt.silence(1.0)
    assert felt.lines == [] and felt.port.felt.joints['base_forward'].kept


def test_too_quick_an_end_is_told() -> None:
    felt = Felt()
    speed_up(felt)
    felt.send(0.0)
    assert any("'base_forward'" in line for line in felt.lines)
    assert not felt.port.felt.joints['base_forward'].kept


def test_a_blocked_base_stands() -> None:
    felt = Felt()
    speed_up(felt)
    felt.arm.blocked = {2}
    felt.send(0.3, 0.1)
    assert felt.arm.position[2] == 0.0


def test_it_stands_at_first_and_is_guided_from_there_and_back() -> None:
    still = mobile_robot('home: [0.1, 0.2, 0.0, 0.0]', '')
    arm = StandInArm(still)
    assert arm.position[2:].tolist() == [0.0, 0.0]
    guide = Guide(still.joints.limits, arm.position)
    ways = np.array([guide.position(t) for t in np.arange(0, 6, 0.1)])
    assert np.abs(ways[:, 2:]).max(axis=0).min() > 0.05
    np.testing.assert_allclose(guide.position(6.0), arm.position, atol=1e-9)
