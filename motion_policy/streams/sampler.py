# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The one sampler: which sample of each stream stands in the row of time t.

Rule: the newest sample, by its stamp, whose stamp and whose reception are both not after t. So a
row never depends on what comes later, and a bag gives the rows that the recorder wrote.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from motion_policy.robot.spec import NANOSECONDS_PER_S, StreamSpec
from motion_policy.streams.errors import StreamError
from motion_policy.streams.grid import Grid

# Samples are kept this much longer than they count, for a caller that asks for rows late.
HORIZON_NS = 3 * NANOSECONDS_PER_S

# Periods that the median is taken of: long enough to be calm, short enough to follow a change.
PERIODS_KEPT = 50
PERIODS_NEEDED = 4
GAP_FACTOR = 1.5


@dataclass(frozen=True)
class Sample:
    """One message: the stamp its sender gave it (0: none), when it arrived, and itself."""

    header_ns: int
    receive_ns: int
    value: Any


@dataclass(frozen=True)
class StreamCounters:
    """What came in on one stream so far.

    `received` counts every message; `duplicates` repeat a stamp and are ignored; `dropped`
    estimates the samples missing in gaps; `max_gap_ns` is the widest gap between stamps.
    """

    received: int = 0
    dropped: int = 0
    duplicates: int = 0
    max_gap_ns: int = 0


@dataclass(frozen=True)
class Row:
    """The samples that stand at `time_ns`, by stream name, and what is wrong with any stream.

    `ages_ns` is row time minus sample time; `faults` says 'missing' or how stale.
    """

    time_ns: int
    samples: dict[str, Sample]
    faults: dict[str, str]
    ages_ns: dict[str, int] = field(default_factory=dict)
    counters: dict[str, StreamCounters] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True when every stream has a sample that is fresh enough."""
        return not self.faults


class Sampler:
    """Hold the recent samples of each stream and pick those that stand in a row."""

    def __init__(self, streams: Iterable[StreamSpec]) -> None:
        self._buffers = {stream.name: _Buffer(stream) for stream in streams}

    @property
    def counters(self) -> dict[str, StreamCounters]:
        """Counters per stream name."""
        return {name: buffer.counters() for name, buffer in self._buffers.items()}

    def reset_counters(self) -> None:
        """Count from zero again, as at the start of a recording."""
        for buffer in self._buffers.values():
            buffer.reset_counters()

    def push(self, name: str, sample: Sample) -> None:
        """Take in one sample of stream `name`.

        Raises:
            StreamError: no stream has this name.
        """
        if name not in self._buffers:
            known = ', '.join(self._buffers)
            raise StreamError(f"stream '{name}': not sampled here, expected one of: {known}")
        self._buffers[name].push(sample)

    def observe(self, now_ns: int) -> Row:
        """Return the row of time `now_ns`, and forget what no later row can use."""
        row = Row(now_ns, {}, {}, {}, self.counters)
        for name, buffer in self._buffers.items():
            picked = buffer.pick(now_ns)
            if picked is None:
                row.faults[name] = buffer.absence(now_ns)
                continue
            stamp, row.samples[name] = picked
            age_ns = row.ages_ns[name] = now_ns - stamp
            if age_ns > buffer.spec.max_age_ns:
                age_s = age_ns / NANOSECONDS_PER_S
                row.faults[name] = f'stale ({age_s:.2f} s old, limit {buffer.spec.max_age:g} s)'
        return row


class GridSampler:
    """Rows on the grid, each given once, in order, as time goes on."""

    def __init__(self, streams: Iterable[StreamSpec], rate_hz: float, start_ns: int) -> None:
        self._sampler = Sampler(streams)
        self._grid = Grid(rate_hz)
        self._next = self._grid.index_at_or_after(start_ns)

    @property
    def counters(self) -> dict[str, StreamCounters]:
        """Counters per stream name."""
        return self._sampler.counters

    def reset_counters(self) -> None:
        """Count from zero again, as at the start of a recording."""
        self._sampler.reset_counters()

    def push(self, name: str, sample: Sample) -> None:
        """Take in one sample of stream `name`."""
        self._sampler.push(name, sample)

    def advance(self, now_ns: int) -> list[Row]:
        """Return all rows with time <= `now_ns` that were not given yet.

        Samples received up to a row's time must have been pushed before: a bag reader calls
        `advance(receive_ns - 1)` before each push, a live node `advance(now)` from a timer.
        """
        rows = []
        while self._grid.time_ns(self._next) <= now_ns:
            rows.append(self._sampler.observe(self._grid.time_ns(self._next)))
            self._next += 1
        return rows


class _Buffer:
    """The recent samples of one stream in the order of their stamps."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self._stamps: list[int] = []
        self._samples: list[Sample] = []
        self._newest_ns: int | None = None
        self._last_receive_ns = 0
        self._periods: deque[int] = deque(maxlen=PERIODS_KEPT)
        self.reset_counters()

    def reset_counters(self) -> None:
        self._received = self._dropped = self._duplicates = self._max_gap_ns = 0

    def push(self, sample: Sample) -> None:
        stamp = self._stamp(sample)
        self._received += 1
        if self._clock_was_reset(stamp, sample.receive_ns):
            self._clear()
        self._last_receive_ns = sample.receive_ns
        place = bisect_left(self._stamps, stamp)
        if stamp == self._newest_ns or self._stamps[place : place + 1] == [stamp]:
            self._duplicates += 1
            return
        self._stamps.insert(place, stamp)
        self._samples.insert(place, sample)
        if self._newest_ns is None or stamp > self._newest_ns:
            self._count_gap(stamp)
            self._newest_ns = stamp
        self._forget_received_before(sample.receive_ns - self.spec.max_age_ns - HORIZON_NS)

    def pick(self, t_ns: int) -> tuple[int, Sample] | None:
        for index in range(bisect_right(self._stamps, t_ns) - 1, -1, -1):
            if self._samples[index].receive_ns <= t_ns:
                self._forget_first(index)
                return self._stamps[0], self._samples[0]
        return None

    def absence(self, t_ns: int) -> str:
        """Say why there is no sample for time t."""
        if self._stamps and self._samples[0].receive_ns <= t_ns:
            ahead_s = (self._stamps[0] - t_ns) / NANOSECONDS_PER_S
            return f'missing (its stamps run {ahead_s:.2f} s ahead of the clock)'
        return 'missing'

    def counters(self) -> StreamCounters:
        return StreamCounters(self._received, self._dropped, self._duplicates, self._max_gap_ns)

    def _stamp(self, sample: Sample) -> int:
        if self.spec.stamp == 'header' and sample.header_ns:
            return sample.header_ns
        return sample.receive_ns

    def _clock_was_reset(self, stamp: int, receive_ns: int) -> bool:
        """True for a jump back in time; a sample that is merely late is put in its place."""
        if self._newest_ns is None:
            return False
        return receive_ns < self._last_receive_ns or stamp < self._newest_ns - self.spec.max_age_ns

    def _clear(self) -> None:
        self._stamps.clear()
        self._samples.clear()
        self._periods.clear()
        self._newest_ns = None

    def _count_gap(self, stamp: int) -> None:
        if self._newest_ns is None:
            return
        gap_ns = stamp - self._newest_ns
        self._max_gap_ns = max(self._max_gap_ns, gap_ns)
        self._periods.append(gap_ns)
        if len(self._periods) < PERIODS_NEEDED:
            return
        median_ns = statistics.median_low(self._periods)
        # The first periods are judged together, once there are enough of them for a median.
        first = len(self._periods) == PERIODS_NEEDED
        for period_ns in list(self._periods) if first else [gap_ns]:
            if period_ns > GAP_FACTOR * median_ns:
                self._dropped += round(period_ns / median_ns) - 1

    def _forget_received_before(self, limit_ns: int) -> None:
        keep = 0
        while self._samples[keep].receive_ns < limit_ns:
            keep += 1
        self._forget_first(keep)

    def _forget_first(self, count: int) -> None:
        del self._stamps[:count]
        del self._samples[:count]
