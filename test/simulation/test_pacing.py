# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A paced loop keeps its average rate, spreads slower duties evenly and admits what it lost."""

from __future__ import annotations

from itertools import pairwise

import pytest

from motion_policy.simulation.pacing import Divider, Pacer


def test_a_late_step_does_not_delay_the_next() -> None:
    """Deadlines stand where they stood, and the overrun is counted."""
    pacer = Pacer(period_ns=10, start_ns=100, max_lag_ns=50)
    assert (pacer.wait_ns(97), pacer.wait_ns(103)) == (3, 0)
    pacer.step_done(104)
    assert (pacer.deadline_ns, pacer.overruns) == (110, 0)
    pacer.step_done(125)
    assert (pacer.deadline_ns, pacer.overruns) == (120, 1)
    assert pacer.wait_ns(125) == 0
    pacer.step_done(126)
    assert (pacer.deadline_ns, pacer.overruns, pacer.lost_ns) == (130, 1, 0)


def test_time_that_cannot_be_caught_up_is_given_up_and_counted() -> None:
    """Beyond the greatest lag the loop goes on from now."""
    pacer = Pacer(period_ns=10, start_ns=100, max_lag_ns=50)
    pacer.step_done(171)
    assert (pacer.deadline_ns, pacer.lost_ns, pacer.overruns) == (171, 61, 1)


@pytest.mark.parametrize(('rate', 'loop'), [(25, 100), (30, 100), (100, 100), (10, 240), (7, 50)])
def test_a_divider_gives_its_rate_evenly(rate: float, loop: float) -> None:
    """Over ten seconds the count is exact, and no gap differs by more than a step."""
    divider = Divider(rate, loop)
    due = [step for step in range(round(10 * loop)) if divider.due(step)]
    assert len(due) == 10 * rate
    assert due[0] == 0
    gaps = {after - before for before, after in pairwise(due)}
    assert max(gaps) - min(gaps) <= 1
