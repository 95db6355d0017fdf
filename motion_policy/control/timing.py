# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Tick deadlines, missed ticks, and statistics of recent durations.

Deadlines are absolute: a late tick does not delay the next, and missed ones are never caught up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


class Deadlines:
    """The deadlines start_ns + k * period_ns, k >= 1; `missed` counts those never kept."""

    def __init__(self, period_ns: int, start_ns: int) -> None:
        self.period_ns = period_ns
        self.ticks = 0
        self.missed = 0
        self.restart(start_ns)

    def restart(self, start_ns: int) -> None:
        """Count the deadlines from `start_ns`, which may be on another clock."""
        self.next_ns = start_ns + self.period_ns

    def shift(self, by_ns: int) -> None:
        """Move the deadlines with a clock that jumped: none is missed, and none comes sooner."""
        self.next_ns += by_ns

    def arrive(self, now_ns: int) -> int | None:
        """Return how late `now_ns` is for the next deadline, in ns; None if it is too early.

        Then the deadline after `now_ns` is next; a clock that went back starts the count anew.
        """
        late_ns = now_ns - self.next_ns
        if late_ns < -self.period_ns:
            self.restart(now_ns)
            return None
        if late_ns < 0:
            return None
        missed = late_ns // self.period_ns
        self.ticks += 1
        self.missed += missed
        self.next_ns += (missed + 1) * self.period_ns
        return late_ns


@dataclass(frozen=True)
class Percentiles:
    """Median, 95th percentile and maximum of recent durations, in ms."""

    p50_ms: float
    p95_ms: float
    max_ms: float


class RecentDurations:
    """The newest `size` durations."""

    def __init__(self, size: int) -> None:
        self._durations_ns: deque[int] = deque(maxlen=size)

    def add(self, duration_ns: int) -> None:
        """Add one duration."""
        self._durations_ns.append(duration_ns)

    def percentiles(self) -> Percentiles | None:
        """Return their percentiles; None when there are none."""
        durations = np.array(self._durations_ns.copy(), dtype=np.float64) * 1e-6
        if not len(durations):
            return None
        p50, p95 = np.percentile(durations, (50, 95))
        return Percentiles(float(p50), float(p95), float(durations.max()))
