# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: no trajectory is sent to a controller whose clock is another one than ours."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from motion_policy.control.clock_skew import SkewMonitor

PERIOD_NS, MS = 20_000_000, 1_000_000
START_NS = 1_700_000_000_000_000_000
SAMPLES = 100  # joint states after which the reference says that a clock behind is noticed


class Clocks:
    """Ticks and joint states at 50 Hz; delays of 0.3 ms and more, now and then very much more."""

    def __init__(self) -> None:
        self.monitor = SkewMonitor(PERIOD_NS)
        self.rng = np.random.default_rng(2)
        self.true_ns, self.ours_ns, self.theirs_ns = START_NS, 0, 0

    def tick(self, ours_ms: float = 0.0, theirs_ms: float = 0.0, before: bool = True) -> str:
        """The clocks are set by so much, `before` or after the joint state of this tick came."""
        self.true_ns += PERIOD_NS
        ours_ns = self.ours_ns
        self.ours_ns += round(ours_ms * MS)
        self.theirs_ns += round(theirs_ms * MS)
        delay_ns = round(self.rng.exponential(0.5) * MS) + 300_000
        receive_ns = self.true_ns + (self.ours_ns if before else ours_ns)
        self.monitor.add(self.true_ns - delay_ns + self.theirs_ns, receive_ns, self.ours_ns)
        return self.monitor.problem(self.ours_ns)


@pytest.fixture
def clocks() -> Clocks:
    """Two clocks that agree."""
    clocks = Clocks()
    assert not any(clocks.tick() for _ in range(300))
    return clocks


@pytest.mark.parametrize('before', [True, False])
@pytest.mark.parametrize(('by_ms', 'side'), [(20.0, 'behind'), (-20.0, 'ahead of')])
def test_ours_that_is_set_is_noticed_within_two_ticks(
    clocks: Clocks, by_ms: float, side: str, before: bool
) -> None:
    told = [clocks.tick(ours_ms=by_ms, before=before), clocks.tick()]
    assert f' {side} ours' in told[1]
    assert all(side in clocks.tick() for _ in range(2 * SAMPLES))


@pytest.mark.parametrize(('by_ms', 'side'), [(1.6, 'behind'), (-1.6, 'ahead of')])
def test_ours_that_is_slewed_is_noticed_as_soon_as_it_is_too_far(
    clocks: Clocks, by_ms: float, side: str
) -> None:
    told = [clocks.tick(ours_ms=by_ms) for _ in range(6)]  # by chrony's greatest rate
    assert not told[1] and side in told[5]


def test_theirs_ahead_is_noticed_at_once_and_behind_when_no_other_is_known_any_more(
    clocks: Clocks,
) -> None:
    assert 'ahead of' in clocks.tick(theirs_ms=10.0)
    for _ in range(SAMPLES):
        told = clocks.tick(theirs_ms=-10.0 if not clocks.theirs_ns < 10 * MS else 0.0)
    assert not told
    clocks.tick(theirs_ms=-20.0)
    told_behind = [clocks.tick() for _ in range(SAMPLES)]
    assert 'behind' in told_behind[-1]
    assert not any(told_behind[: SAMPLES - 2])


@pytest.mark.parametrize('by_ms', [1.6, -1.6])
def test_one_clock_for_both_that_is_slewed_is_none_that_disagrees(
    clocks: Clocks, by_ms: float
) -> None:
    assert not any(clocks.tick(ours_ms=by_ms, theirs_ms=by_ms) for _ in range(3 * SAMPLES))


def test_a_clock_of_which_nothing_is_known_yet_is_waited_for() -> None:
    monitor = SkewMonitor(PERIOD_NS)
    for number in range(10):
        assert 'waiting for 10 joint states' in monitor.unknown()
        monitor.add(START_NS + number * PERIOD_NS, START_NS + number * PERIOD_NS + MS)
    assert monitor.unknown() == ''
    monitor.forget()
    assert 'waiting for 10 joint states' in monitor.unknown()
    monitor.add(0, START_NS)
    assert 'the joint states have no stamps' in monitor.unknown()


def test_a_service_may_ask_while_the_tick_adds_and_forgets() -> None:
    monitor, over = SkewMonitor(PERIOD_NS), threading.Event()

    def add() -> None:
        for number in range(1000 * SAMPLES):
            monitor.add(START_NS + number * PERIOD_NS, START_NS + number * PERIOD_NS + MS)
            if number % (5 * SAMPLES) == 0:
                monitor.forget()
        over.set()

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=add)
        thread.start()
        while not over.is_set():
            assert monitor.skew_ns() in (0, MS)
        thread.join()
    finally:
        sys.setswitchinterval(interval_s)
