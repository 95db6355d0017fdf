# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Time-indexed action buffer: action chunks in, the interpolated target for any time out.

Row i of a chunk that starts at s is reached at s + (i + 1) * period, whenever it arrives: rows
whose time has passed are lost, and the rest goes on from where the command stands.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from motion_policy.control.cubic import monotone_slopes, piece
from motion_policy.control.motion_limiter import Float64Array

Interpolation = Literal['linear', 'cubic', 'hold']
INTERPOLATIONS: tuple[Interpolation, ...] = ('linear', 'cubic', 'hold')
Int64Array = npt.NDArray[np.int64]

FAR = 1e9  # rad or m: what lies beyond it is beyond every limit, and may be brought there


class ActionBuffer:
    """Holds one plan.

    `linear` moves straight between the rows, `cubic` without a jump of speed at any of them nor
    where a new plan takes over, `hold` steps to each row at its start.
    """

    def __init__(self, interpolation: Interpolation = 'linear') -> None:
        self.interpolation = interpolation
        self.lost_rows = 0
        self.clear()

    def clear(self) -> None:
        """Forget the plan."""
        self._times_ns: Int64Array = np.zeros(0, dtype=np.int64)
        self._rows: Float64Array = np.zeros((0, 0))
        self._slopes: Float64Array = np.zeros((0, 0))  # per ns, of `cubic` only

    @property
    def covers_until_ns(self) -> int | None:
        """When the last row is reached; None without a plan."""
        return int(self._times_ns[-1]) if len(self._times_ns) else None

    def add(
        self,
        chunk: Float64Array,
        start_ns: int,
        period_ns: int,
        *,
        join_ns: int | None = None,
        join_position: Float64Array | None = None,
        fade_ns: int = 0,
    ) -> int:
        """Replace the plan by `chunk` (k, A), k >= 1; return how many of its rows were in time.

        The new plan starts at `join_ns` (default: `start_ns`) from `join_position` (A,) (default:
        the old plan there, or row 0). For `fade_ns` from there, rows are blended with the old
        plan, whose last row lasts as long as it must; without one, with `join_position`. A chunk
        that is over by then changes nothing.
        """
        join_ns = start_ns if join_ns is None else join_ns
        times = start_ns + np.arange(1, len(chunk) + 1, dtype=np.int64) * period_ns
        late = int(np.searchsorted(times, join_ns, side='right'))
        self.lost_rows += late
        if late == len(chunk):
            return 0
        if join_position is None:
            join_position = self.target(join_ns)
        if join_position is None:
            join_position = chunk[late]
        times, rows = times[late:], chunk[late:].astype(np.float64)
        if fade_ns > 0:
            self._fade(times, rows, join_ns, join_position, fade_ns)
        times = np.concatenate(([join_ns], times))
        rows = np.concatenate((join_position[None], rows)).astype(np.float64)
        if self.interpolation == 'cubic':
            rows = np.clip(rows, -FAR, FAR)
            slope = self._slope(join_ns, rows.shape[1])
            self._slopes = monotone_slopes(np.diff(times).astype(np.float64), rows, slope)
        self._times_ns, self._rows = times, rows
        return len(chunk) - late

    def target(self, now_ns: int) -> Float64Array | None:
        """Return the target (A,) at `now_ns`; the last row once it is reached; None if empty."""
        if not len(self._times_ns):
            return None
        before, after, share = self._place(now_ns)
        if self.interpolation == 'cubic':
            return self._curve(before, after, share)[0]
        # A weighted sum: the difference of two huge rows would overflow.
        target: Float64Array = (1 - share) * self._rows[before] + share * self._rows[after]
        return target

    def upcoming(self, now_ns: int) -> tuple[Int64Array, Float64Array]:
        """Return the rows still ahead: times in ns (n,) and positions (n, A)."""
        ahead = self._times_ns > now_ns
        return self._times_ns[ahead], self._rows[ahead]

    def _place(self, now_ns: int) -> tuple[int, int, float]:
        """Return the rows before and after a time, and how much of the way between is gone."""
        after = int(self._times_ns.searchsorted(now_ns, side='right'))
        before = max(after - 1, 0)
        after = min(after, len(self._times_ns) - 1)
        share = 1.0
        if self.interpolation != 'hold' and before != after:
            begin, end = self._times_ns[before], self._times_ns[after]
            share = float(now_ns - begin) / float(end - begin)
        return before, after, share

    def _curve(self, before: int, after: int, share: float) -> tuple[Float64Array, Float64Array]:
        """Return position and slope per ns (A,) of the cubic plan; it rests beyond its ends."""
        if before == after:
            return self._rows[after], np.zeros(self._rows.shape[1])
        span = float(self._times_ns[after] - self._times_ns[before])
        return piece(
            share, span, (self._rows[before], self._rows[after]),
            (self._slopes[before], self._slopes[after]),
        )  # fmt: skip

    def _slope(self, now_ns: int, joints: int) -> Float64Array:
        """Return the slope per ns (A,) of the plan so far; it rests without one."""
        if self._slopes.shape[1:] != (joints,):
            return np.zeros(joints)
        if now_ns == self.covers_until_ns:
            last: Float64Array = self._slopes[-1]
            return last
        return self._curve(*self._place(now_ns))[1]

    def _fade(
        self,
        times: Int64Array,
        rows: Float64Array,
        join_ns: int,
        join_position: Float64Array,
        fade_ns: int,
    ) -> None:
        """Blend the rows (n, A) due before the fade is over with what was planned until now."""
        shares = (times - join_ns) / fade_ns
        count = int(np.count_nonzero(shares < 1))
        if not count:
            return
        share = shares[:count, None]
        # Flat at both ends, so that the command changes its speed at neither of them.
        share = share * share * (3 - 2 * share)
        # With `hold`, the step at a row's time is to the row after it.
        due = times[:count] if self.interpolation != 'hold' else times[:count] - 1
        old = self._targets(due) if len(self._times_ns) else join_position
        rows[:count] = (1 - share) * old + share * rows[:count]

    def _targets(self, times_ns: Int64Array) -> Float64Array:
        """The targets (n, A) at these times (n,), of a plan that is not empty."""
        if self.interpolation == 'cubic':
            return np.stack([self._curve(*self._place(time))[0] for time in times_ns.tolist()])
        after = self._times_ns.searchsorted(times_ns, side='right')
        before = np.maximum(after - 1, 0)
        after = np.minimum(after, len(self._times_ns) - 1)
        share = np.ones(len(times_ns))
        if self.interpolation == 'linear':
            begin, end = self._times_ns[before], self._times_ns[after]
            between = before != after
            np.divide(times_ns - begin, end - begin, out=share, where=between)
        share = share[:, None]
        targets: Float64Array = (1 - share) * self._rows[before] + share * self._rows[after]
        return targets
