# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The grid of row times: absolute multiples of the period, so that everyone agrees on it."""

from __future__ import annotations

from motion_policy.robot.spec import NANOSECONDS_PER_S


class Grid:
    """Row times at `rate_hz`; row `i` stands at `i * period_ns` since the epoch of the clock."""

    def __init__(self, rate_hz: float) -> None:
        self.period_ns = round(NANOSECONDS_PER_S / rate_hz)

    def time_ns(self, index: int) -> int:
        """Return the time of row `index` in nanoseconds."""
        return index * self.period_ns

    def index_at_or_after(self, t_ns: int) -> int:
        """Return the index of the first row that is not before `t_ns`."""
        return -(-t_ns // self.period_ns)
