# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: no order of ticks, faults and buttons breaks a limit or moves an arm without leave.

Limits hold in true time. A short form of `motion-policy bench guards`; and its judge sees what is
broken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip('hypothesis')

from guard_campaign.campaign import run_batch
from guard_campaign.led import LedMachine
from guard_campaign.machine import COUNTS
from guard_campaign.mobile import MobileMachine
from guard_campaign.stick import StickMachine
from guard_campaign.taken import TakenMachine, change_hands

from motion_policy.control import Controller, GuardChain
from motion_policy.control.motion_limiter import MotionLimiter
from motion_policy.control.send_times import SendTimes
from motion_policy.rehearsal.judge import Drive, Limits, breaches, ends_at_rest

pytestmark = pytest.mark.slow

LIMITS = Limits(np.array([[-1.0, 1.0]]), np.array([2.0]), np.array([5.0]), 20_000_000)


@pytest.mark.parametrize('number', range(4))
def test_no_promise_is_broken_whatever_comes(number: int) -> None:
    ticks = COUNTS['ticks']
    run_batch(10_000 + number)
    assert COUNTS['ticks'] - ticks > 3000
    assert COUNTS['commands in run'] and COUNTS['commands in hold'] and COUNTS['stops']


def test_an_arm_that_is_led_keeps_every_promise_whatever_comes() -> None:
    COUNTS.clear()
    run_batch(30_000, runs=8, kind=LedMachine)
    assert COUNTS['ticks'] > 3000 and COUNTS['ticks following'] and COUNTS['ticks with a jump']


def test_an_arm_that_is_moved_by_a_stick_keeps_every_promise_whatever_comes() -> None:
    pytest.importorskip('pinocchio')
    COUNTS.clear()
    for number in range(40_000, 40_010):  # which robots it draws depends on what is imported, too
        run_batch(number, runs=8, kind=StickMachine)
        if COUNTS['ticks of a tool moved'] and COUNTS['ticks moved'] > 100:
            break
    assert COUNTS['ticks of a tool moved'] and COUNTS['ticks moved'] > 100


def test_an_arm_that_changes_hands_keeps_every_promise_whatever_comes() -> None:
    COUNTS.clear()
    run_batch(50_000, runs=16, kind=TakenMachine)
    assert COUNTS['ticks'] > 3000 and COUNTS['ticks by hand'] > 100 and COUNTS['given back']


def test_a_change_of_hands_changes_the_speed_by_no_more_than_the_acceleration_limit() -> None:
    found = change_hands(200, seed=7)
    assert found.moving > 100 and 0.5 < found.greatest <= 1.0


def test_a_base_ends_at_zero_whatever_comes() -> None:
    COUNTS.clear()
    run_batch(20_000, runs=40, kind=MobileMachine)
    assert COUNTS['ticks'] > 3000 and COUNTS['commands in run'] and COUNTS['stops']


@pytest.mark.parametrize(
    ('name', 'broken', 'number'),
    [
        ('was_silent', lambda self, silent_ns: None, 0),
        ('at_rest', property(lambda self: not self.velocity.any()), 1),
    ],
)
def test_the_campaign_notices_a_base_that_drives_on(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Any, number: int
) -> None:
    monkeypatch.setattr(MotionLimiter, name, broken)
    with pytest.raises(AssertionError, match=r'silence|driving'):
        run_batch(number, shortest=False, kind=MobileMachine)


def nominal_period(step: Callable[..., Any]) -> Callable[..., Any]:
    """As if every tick were on time."""

    def nominal(self: MotionLimiter, target: Any, dt_ns: int, *speed: float) -> Any:
        return step(self, target, round(self._period_s * 1e9), *speed)

    return nominal


def always(enabled: bool) -> Callable[..., Any]:
    return lambda *_args, **_named: '' if enabled else None


@pytest.mark.parametrize(
    ('owner', 'name', 'broken'),
    [
        (MotionLimiter, 'step', nominal_period(MotionLimiter.step)),
        (MotionLimiter, 'took_longer', lambda self, by_ns: None),
        (Controller, '_doubt', always(True)),
        (SendTimes, 'since_last_ns', lambda self, steady_ns: self._period_ns),
        (GuardChain, 'start', lambda self, measured: self.limiter.start(measured + 0.3)),
    ],
)
def test_the_campaign_notices_a_broken_guard(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any
) -> None:
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises(AssertionError):
        for number in range(8):
            run_batch(number, shortest=False)


def sent(*steps: tuple[float, float]) -> dict[str, int]:
    """Breaches of a drive from rest at 0 with commands (ms since the last, position)."""
    drive, time_ns = Drive(np.zeros(1)), 0
    for after_ms, position in steps:
        time_ns += round(after_ms * 1e6)
        drive.add(time_ns, np.array([position]))
    return breaches(drive, LIMITS)


def test_the_judge_sees_each_kind_of_breach() -> None:
    speeding_up = [(20.0, 0.002), (20.0, 0.006), (20.0, 0.012)]
    assert sent(*speeding_up) == {}
    assert set(sent((20.0, 0.01))) == {'acceleration'}
    assert 'velocity' in sent((20.0, 0.05))
    assert 'step' in sent((20.0, 0.0), (60.0, 0.06))
    assert 'speeding late' in sent((20.0, 0.0), (100.0, 0.03))
    assert 'position' in sent((20.0, 1.1))
    assert 'finite' in sent((20.0, np.nan))
    assert 'too soon' in sent(*speeding_up, (5.0, 0.0123))
    assert ends_at_rest(Drive(np.zeros(1), [1, 2], [np.ones(1), np.ones(1)]))
    assert not ends_at_rest(Drive(np.zeros(1), [1, 2], [np.zeros(1), np.ones(1)]))
