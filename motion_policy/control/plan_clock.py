# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The time base of a plan under speed override: slower than the clock.

An action that is due at a time of the plan is reached later then, over the same way.
"""

from __future__ import annotations

from collections import deque

from motion_policy.robot.spec import NANOSECONDS_PER_S

PACE_PER_S = 2.0  # how fast the speed override takes effect, from full to none in half a second
TICKS_KEPT = 512  # for observations that are answered later


class PlanClock:
    """Plan time at speed 1 is the clock's; `pace` follows `speed` in [0, 1] smoothly."""

    def __init__(self) -> None:
        self.speed = 1.0
        self.restart()

    def restart(self) -> None:
        """Plan time is the clock's again, and the override has its effect at once."""
        self.pace = self.speed
        self.behind_ns = 0
        self._ticks: deque[tuple[int, int]] = deque(maxlen=TICKS_KEPT)

    def advance(self, now_ns: int, passed_ns: int) -> bool:
        """Let `passed_ns` pass until `now_ns`; return whether the pace is another one now."""
        if self.pace == self.speed == 1.0:
            return False
        before, step = self.pace, PACE_PER_S * passed_ns / NANOSECONDS_PER_S
        self.pace = min(max(self.speed, before - step), before + step)
        if not self._ticks:
            self._ticks.append((now_ns - passed_ns, self.behind_ns))
        self.behind_ns += passed_ns - round(self.pace * passed_ns)
        self._ticks.append((now_ns, self.behind_ns))
        return self.pace != before

    def at(self, time_ns: int) -> int:
        """The plan's time at a time: now, or some ticks ago."""
        for tick_ns, behind_ns in reversed(self._ticks):
            if tick_ns <= time_ns:
                return time_ns - behind_ns
        _, behind_ns = self._ticks[0] if self._ticks else (0, 0)
        return time_ns - behind_ns
