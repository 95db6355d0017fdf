# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Buffer of the recent numbers of a vector, of which a row has the newest, a mean or the last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motion_policy.robot.spec import StreamSpec
from motion_policy.robot.vector import VectorSpec
from motion_policy.streams.buffers import Entry, Series, StreamBuffer
from motion_policy.streams.samples import Sample
from motion_policy.streams.vectors import VectorReader


class VectorBuffer(StreamBuffer):
    """The numbers of a vector: the newest or a mean (n,), or those of the last messages (k, n)."""

    def __init__(self, spec: StreamSpec) -> None:
        self._series = Series(spec)
        self._reader = VectorReader(spec.source) if isinstance(spec.source, VectorSpec) else None
        super().__init__(spec)

    def pick(self, t_ns: int) -> Entry | None:
        if self.spec.window_count:
            return self._last(t_ns)
        if not self.spec.window_ns:
            return self._series.pick(t_ns)
        there = self._series.until(t_ns)
        if not there:
            return None
        newest, begin_ns = there[0], t_ns - self.spec.window_ns
        self._series.forget_before(newest, begin_ns)
        averaged = [entry.sample.value for entry in there if entry.time_ns > begin_ns]
        if len(averaged) < 2 or self._reader is None:
            return newest
        mean = np.mean(averaged, axis=0)
        return Entry(newest.stamp_ns, replace(newest.sample, value=mean))

    def _last(self, t_ns: int) -> Entry | None:
        """The last messages, of which none is older than the next by more than their age limit.

        Where there are fewer, the oldest stands in place of those before it.
        """
        found: list[Entry] = []
        for entry in self._series.newest_first(t_ns):
            if found and found[-1].time_ns - entry.time_ns > self.spec.max_age_ns:
                break
            found.append(entry)
            if len(found) == self.spec.window_count:
                break
        if not found or self._reader is None:
            return found[0] if found else None
        newest, oldest = found[0], found[-1]
        self._series.forget_before(oldest, oldest.time_ns)
        missing = self.spec.window_count - len(found)
        values = [entry.sample.value for entry in (*[oldest] * missing, *reversed(found))]
        value = np.concatenate(values).reshape(self.spec.window_count, -1)
        sample = replace(newest.sample, value=value, messages=len(found))
        return Entry(newest.stamp_ns, sample)

    def _take(self, sample: Sample) -> None:
        if self._reader is not None and sample.value is not None:
            sample = replace(sample, value=self._reader.read(sample.value))
        self._series.add(self._stamp(sample), sample)
        self._unusable_since = False

    def _all_series(self) -> tuple[Series, ...]:
        return (self._series,)
