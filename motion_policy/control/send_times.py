# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Send times of commands on a monotonic clock: a command is computed for when it leaves.

Each command is made for the time at which commands usually leave: the least latency of the last
ones. If that were taken for lateness in every period, an arm at 500 Hz would never be fast.
"""

from __future__ import annotations

# A command that leaves this late is as fast as one on time: a twentieth of a period, or what a
# thread is held up by without a real-time kernel, up to a quarter of one.
TOLERANCE, MOST_TOLERANCE, USUAL_JITTER_NS = 1 / 20, 1 / 4, 500_000
LATENCY_RISE = 300  # share of a period by which the usual latency rises at most with each command


class SendTimes:
    """The time between commands that are `period_ns` apart, made for when they leave."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._tolerance_ns = max(
            round(TOLERANCE * period_ns),
            min(USUAL_JITTER_NS, round(MOST_TOLERANCE * period_ns)),
        )
        self.last_ns: int | None = None  # when the last command left, or is to leave
        self._latency_ns = 0  # from when a command is made to when it leaves
        self._unsure_ns = 0  # how much earlier the last command can have left

    def restart(self) -> None:
        """Forget the last command: the next one comes a period after none."""
        self.last_ns, self._unsure_ns = None, 0

    def since_last_ns(self, steady_ns: int) -> int:
        """Time from the last command to one that is made at `steady_ns`."""
        if self.last_ns is None:
            return self._period_ns
        return steady_ns + self._latency_ns - self.last_ns

    def make(self, steady_ns: int) -> None:
        """Take note of a command that is made at `steady_ns`."""
        self.last_ns = steady_ns + self._latency_ns

    def sent(self, first_ns: int, last_ns: int) -> int:
        """Take that it left from `first_ns` to `last_ns`; how much longer [ns] its step took.

        After a command that left late the next one is that much nearer. Beyond a tolerance its
        step took longer, so that the arm was slower; and so may that of the next one, as nobody
        knows when in between it left.
        """
        if self.last_ns is None:
            return 0
        late_ns = last_ns - self.last_ns
        longer_ns, self._unsure_ns = self._unsure_ns, 0
        if late_ns > self._tolerance_ns:
            longer_ns += late_ns
            self._unsure_ns = last_ns - max(first_ns, self.last_ns)
        self.last_ns = last_ns
        most_ns = self._latency_ns + self._period_ns // LATENCY_RISE
        self._latency_ns = min(self._latency_ns + late_ns, most_ns)
        return longer_ns
