# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Deadlines of a paced simulation loop and of its slower duties.

Deadlines are absolute, so a late step is followed by a short wait and the average rate holds;
the time is always given, never read.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Pacer:
    """Absolute deadlines `start_ns + k * period_ns`, with overruns counted.

    Attributes:
        period_ns: time between two steps [ns].
        start_ns: the first deadline [ns].
        max_lag_ns: a loop that is further behind than this gives the lost time up [ns].
        deadline_ns: when the next step is to be done [ns].
        overruns: steps whose successor was already due when they ended.
        lost_ns: time given up [ns]; above zero, the loop ran slower than asked.
    """

    period_ns: int
    start_ns: int
    max_lag_ns: int
    overruns: int = 0
    lost_ns: int = 0
    deadline_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.deadline_ns = self.start_ns

    def wait_ns(self, now_ns: int) -> int:
        """How long to wait before the next step; 0 when it is due."""
        return max(0, self.deadline_ns - now_ns)

    def step_done(self, now_ns: int) -> None:
        """Note that the step ended at `now_ns` and move to the next deadline."""
        self.deadline_ns += self.period_ns
        lag_ns = now_ns - self.deadline_ns
        if lag_ns > 0:
            self.overruns += 1
        if lag_ns > self.max_lag_ns:
            self.lost_ns += lag_ns
            self.deadline_ns = now_ns


@dataclass(frozen=True)
class Divider:
    """A slower duty inside a loop: `rate_hz` out of `loop_hz`, evenly spread, first step due."""

    rate_hz: float
    loop_hz: float

    def due(self, step: int) -> bool:
        """Whether the duty falls on step `step` (counted from 0)."""
        return self._count(step) > self._count(step - 1)

    def _count(self, step: int) -> int:
        # The little bonus keeps 25 of 100 exact where the division is not.
        return int(step * self.rate_hz / self.loop_hz + 1e-9 + 1.0) if step >= 0 else 0
