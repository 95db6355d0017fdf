# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Monitor of the offset between the clock that stamps joint states and the node's clock.

A trajectory is played by the clock of its controller. The least time from stamp to reception is
the offset of the two clocks and the quickest way of a message, which takes next to nothing. A
clock there that falls behind looks like messages that take longer, until no other is known any
more; how far ours went ahead meanwhile is known at once, from a clock that nobody sets.
"""

from __future__ import annotations

from collections import deque

from motion_policy.robot.spec import NANOSECONDS_PER_S

SAMPLES = 100
SAMPLES_NEEDED = 10
SHARE, LEAST_NS = 0.25, 2_000_000  # of a control period: so far apart the clocks may be
SET_NS = 2_000_000  # from tick to tick a clock that nobody set goes less far


class SkewMonitor:
    """Estimates the skew from the newest joint states; `period_ns` is the control period.

    `ours_ns` is how far our clock is now ahead of one that nobody sets.
    """

    def __init__(self, period_ns: int) -> None:
        self._limit_ns = max(LEAST_NS, round(SHARE * period_ns))
        # From stamp to reception, and `ours_ns` then.
        self._delays_ns: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        self._ours_ns = 0
        self._last_ns = 0
        self._has_stamps = True  # as of the newest joint state

    def add(self, header_ns: int, receive_ns: int, ours_ns: int = 0) -> None:
        """Take the two times of a joint state; one without a stamp says nothing."""
        self._has_stamps = bool(header_ns)
        if header_ns and header_ns != self._last_ns:
            # Where ours was set since the last one, nobody knows on which side of that it came.
            if abs(ours_ns - self._ours_ns) <= SET_NS:
                self._delays_ns.append((receive_ns - header_ns, ours_ns))
            self._last_ns = header_ns
        self._ours_ns = ours_ns

    def forget(self) -> None:
        """Begin anew: a clock was set."""
        self._delays_ns.clear()

    def unknown(self) -> str:
        """Why nothing is known of the other clock; '' if it is."""
        if not self._has_stamps:
            return (
                'the joint states have no stamps, so that nobody knows how far the clock of the '
                'controller is from ours: let the driver stamp them, or use send: tick'
            )
        if len(self._delays_ns) < SAMPLES_NEEDED:
            return (
                f'waiting for {SAMPLES_NEEDED} joint states, to compare the clock of the '
                'controller with ours; ask again'
            )
        return ''

    def skew_ns(self, ours_ns: int = 0) -> int:
        """How far our clock is ahead of the other, negative behind; 0 while it is unknown."""
        delays_ns = self._delays_ns.copy()  # in one step: the tick may add or forget meanwhile
        if len(delays_ns) < SAMPLES_NEEDED:
            return 0
        # If ours went back, the other may be the same one: then only what came since counts.
        return min(delay + max(0, ours_ns - then) for delay, then in delays_ns)

    def problem(self, ours_ns: int = 0) -> str:
        """Why no trajectory may be sent; '' if the clocks agree."""
        skew_ns = self.skew_ns(ours_ns)
        if abs(skew_ns) <= self._limit_ns:
            return ''
        skew_s, limit_s = skew_ns / NANOSECONDS_PER_S, self._limit_ns / NANOSECONDS_PER_S
        side = 'behind' if skew_ns > 0 else 'ahead of'
        return (
            f'the clock of the joint states is {abs(skew_s):.3f} s {side} ours, limit '
            f'{limit_s:.3f} s for trajectories: chrony or PTP'
        )
