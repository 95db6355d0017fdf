# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Dead-man key of the page: whether it is held, as the server's own clock says.

The server numbers and sends ticks; the page returns the newest number it has seen for as long as
the key is held. So what was held up on either way, for whatever reason, is known to be old.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

HELD_S = 0.2  # after the tick that was returned last the key counts as released
MOST_TICKS = 100  # that are remembered: some seconds
FIELDS = 6


@dataclass(frozen=True)
class WantedMotion:
    """Shares, -1 to 1, of the greatest velocity along x, y, z and about x, y, z."""

    shares: tuple[float, ...]


class HeldMotion:
    """What one browser wants the tool to do; time is an argument, any thread may call.

    Each press of the key has a number. A press that once counted as released is over, whatever
    is heard of it later: only a new one moves the arm again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticks: dict[int, float] = {}
        self._last_tick = 0
        self.reason = ''  # why the last press is over, '' if it was let go
        self._forget()
        self._ended_press = 0

    def _forget(self) -> None:
        self._press, self._until_s, self._echo = 0, 0.0, 0
        self._shares = (0.0,) * FIELDS

    def begin(self) -> None:
        """Somebody else drives from now on: nothing of before counts."""
        with self._lock:
            self._forget()
            self._ticks.clear()
            self._ended_press, self.reason = 0, ''

    def tick(self, now_s: float) -> int:
        """The number of the tick that is sent now."""
        with self._lock:
            self._last_tick += 1
            self._ticks[self._last_tick] = now_s
            while len(self._ticks) > MOST_TICKS:
                del self._ticks[next(iter(self._ticks))]
            return self._last_tick

    def hold(self, press: int, echo: int, shares: Sequence[float], now_s: float) -> None:
        """The page says that the key is held since press `press`, and has seen tick `echo`."""
        with self._lock:
            sent_s = self._ticks.get(echo)
            self._end_if_over(now_s)
            if press <= self._ended_press or sent_s is None or echo < self._echo:
                return
            if now_s > sent_s + HELD_S:
                return
            self._press, self._echo, self._until_s = press, echo, sent_s + HELD_S
            self._shares = tuple(max(-1.0, min(1.0, float(share))) for share in shares)
            self.reason = ''

    def release(self, reason: str = '') -> None:
        """The key was let go, or counts as that for this reason."""
        with self._lock:
            self._end(reason)

    def wanted(self, now_s: float) -> WantedMotion | None:
        """What is wanted now; None while the key is not held."""
        with self._lock:
            self._end_if_over(now_s)
            return WantedMotion(self._shares) if self._press else None

    def _end_if_over(self, now_s: float) -> None:
        if self._press and now_s > self._until_s:
            self._end(f'released: nothing was heard of the page for {HELD_S:g} s; press again')

    def _end(self, reason: str) -> None:
        if self._press:
            self._ended_press, self.reason = max(self._ended_press, self._press), reason
            self._forget()
