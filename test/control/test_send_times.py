# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: limits hold between the times at which commands leave, and no arm is slower for it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control import Controller
from motion_policy.share import share_dir

sys.path.insert(0, str(share_dir() / 'benchmarks'))
from motion_policy.rehearsal.judge import Drive, Limits, breaches, send_time_known_to_ns

START_NS = 1_000_000_000
Sending = Callable[[int], tuple[int, int, int]]  # tick -> ns after it: first, true, last


def drive_to_the_limits(rate: float, seconds: float, sending: Sending) -> tuple[Drive, Limits]:
    """Send an arm as far as it goes; what left when."""
    robot = formula_arm(rate=rate)
    low, high = robot.joints.limits.position_array().T
    controller = Controller(robot, robot.period_ns, ramp_speed=1.0)
    drive = Drive(low.copy())
    controller.enable(START_NS, low)
    for tick in range(round(seconds * rate)):
        now_ns = START_NS + tick * robot.period_ns
        measured = drive.positions[-1] if drive.positions else low
        command = controller.tick(now_ns, measured, {})
        if controller.policy_due(now_ns):
            controller.add_chunk(high[None], now_ns)
        if command is not None:
            first_ns, true_ns, last_ns = sending(tick)
            controller.was_sent(now_ns + first_ns, now_ns + last_ns)
            drive.add(now_ns + true_ns, command.position)
    limits = robot.joints.limits
    judged = Limits(
        limits.position_array(), limits.velocity_array(), limits.acceleration_array(),
        robot.period_ns,
    )  # fmt: skip
    return drive, judged


@pytest.mark.slow
@pytest.mark.parametrize('rate', [50.0, 200.0, 500.0, 1000.0])
@pytest.mark.parametrize('latency', [0.0, 0.05, 0.3])
def test_an_arm_whose_commands_take_a_part_of_each_period_to_leave_is_as_fast_as_it_may_be(
    rate: float, latency: float
) -> None:
    later_ns = round(latency * 1e9 / rate)
    drive, limits = drive_to_the_limits(rate, 4.0, lambda tick: (later_ns,) * 3)
    velocity = np.diff(drive.positions, axis=0) / np.diff(drive.times_ns)[:, None] * 1e9
    assert (velocity.max(axis=0) > 0.98 * limits.velocity).all()
    assert breaches(drive, limits, send_time_known_to_ns(limits.period_ns)) == {}


@pytest.mark.parametrize('rate', [50.0, 500.0, 1000.0])
def test_an_arm_whose_commands_leave_up_to_a_tenth_of_a_period_late_is_not_much_slower(
    rate: float,
) -> None:
    rng = np.random.default_rng(0)

    def sending(tick: int) -> tuple[int, int, int]:
        late_ns = round(rng.uniform(0, min(0.1, 500e-6 * rate)) * 1e9 / rate)
        return 0, late_ns, late_ns

    drive, limits = drive_to_the_limits(rate, 4.0, sending)
    assert breaches(drive, limits, send_time_known_to_ns(limits.period_ns)) == {}
    way, seconds = drive.positions[-1] - drive.start, np.ptp(drive.times_ns) * 1e-9
    assert len(drive.positions) > 3.9 * rate and seconds < 4.0
    fastest = np.max(np.diff(drive.positions, axis=0), axis=0) * rate
    assert (fastest > 0.95 * limits.velocity).all() and (way > 0).all()


@pytest.mark.parametrize('left', ['at once', 'in the end'])
def test_a_thread_that_is_held_up_while_it_sends_speeds_no_arm_up_beyond_its_limits(
    left: str,
) -> None:
    # Half a period late, each tenth time: nobody knows whether before or after the command left.
    def sending(tick: int) -> tuple[int, int, int]:
        held_up_ns = 10_000_000 if tick % 10 == 9 else 0
        return 0, held_up_ns if left == 'in the end' else 0, held_up_ns

    drive, limits = drive_to_the_limits(50.0, 4.0, sending)
    assert breaches(drive, limits, send_time_known_to_ns(limits.period_ns)) == {}
    assert len(drive.positions) > 100
