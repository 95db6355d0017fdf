# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A clock that jumps stops the arm, is named once, and is not taken for missed ticks."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode, SimulatedArm, assert_safe
from ros_testing import Bench

from motion_policy.nodes import clock_watch

ROBOT = formula_arm()
NANOSECONDS_PER_S = 1_000_000_000


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Give what reads the lines that nodes have logged so far."""
    lines: list[str] = []

    def read() -> list[str]:
        printed = capfd.readouterr().err.splitlines()
        lines.extend(line.split(']: ', 1)[1] for line in printed if ']: ' in line)
        return lines

    return read


def state_after(arm: SimulatedArm, state: str) -> None:
    """Let simulated time go on until the node says that it is in this state."""

    def reached() -> bool:
        for _ in range(10):
            arm.step()
        return arm.diagnostic('control', 'state') == state

    arm.diagnostics.clear()
    arm.bench.spin_until(reached, state)


@pytest.mark.parametrize(('by_s', 'told'), [(5, 'jumped 5.0'), (-3, 'jumped 2.9')])
def test_a_jump_of_simulated_time_is_named_once_and_misses_no_tick(
    bench: Bench, make_node: MakeNode, log: Callable[[], list[str]], by_s: int, told: str
) -> None:
    arm = SimulatedArm(bench)
    make_node(use_sim_time=True)

    def enabled() -> bool:
        for _ in range(20):
            arm.step()
        return bool(arm.enable().success)

    bench.spin_until(enabled, 'enable')
    state_after(arm, 'run')
    missed = int(arm.diagnostic('control', 'missed ticks'))
    arm.time_ns += by_s * NANOSECONDS_PER_S
    state_after(arm, 'disabled')  # nobody knows where the arm is meanwhile
    assert any(line.startswith('brake: clock: ' + told) for line in log())
    bench.spin_until(enabled, 'enable')
    state_after(arm, 'run')
    jumps = [line for line in log() if line.startswith('the clock ' + told)]
    assert len(jumps) == 1 and jumps[0].endswith('ahead' if by_s > 0 else 'back')
    assert arm.diagnostic('control', 'clock jumps') == '1'
    # 5 s are 250 ticks; some may be missed for want of a processor.
    assert int(arm.diagnostic('control', 'missed ticks')) < missed + 100
    assert_safe(arm.commands, ROBOT, simulated_time=True, steps_only=True)


def test_a_jump_of_the_systems_clock_stops_the_arm_and_is_named(
    arm: FakeArm,
    make_node: MakeNode,
    log: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead_ns = 0
    # Seen from a monotonic clock that went back, the system's clock has gone ahead.
    shifted = SimpleNamespace(
        monotonic_ns=lambda: time.monotonic_ns() - ahead_ns, time_ns=time.time_ns
    )
    monkeypatch.setattr(clock_watch, 'time', shifted)
    make_node()
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert arm.diagnostic('control', 'clock jumps') == '0'
    ahead_ns = 2 * NANOSECONDS_PER_S
    arm.bench.spin_until(
        lambda: any(line.startswith('brake: clock: jumped 2.00 s ahead') for line in log()),
        'a log',
    )
    arm.wait_for_idle()
    assert 'clock: jumped' in arm.diagnostic('control', 'reason')
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert arm.diagnostic('control', 'clock jumps') == '1'
    assert len([line for line in log() if line.startswith('the clock jumped')]) == 1
    assert_safe(arm.commands, ROBOT)
