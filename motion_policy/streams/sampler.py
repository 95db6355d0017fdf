# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Sampler: which sample of each stream stands in the row of time t.

Rule: the newest usable sample, by its stamp, that was received by t; a joint state is put together
of the newest value of each joint. So a row never depends on what comes later, and a bag gives the
rows that the recorder wrote. What cannot be used is a gap with a name, never an end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from motion_policy.robot.spec import NANOSECONDS_PER_S, StreamSpec
from motion_policy.robot.vector import VectorSpec
from motion_policy.streams.buffers import (
    CameraBuffer,
    Entry,
    JointBuffer,
    StreamBuffer,
)
from motion_policy.streams.errors import StreamError
from motion_policy.streams.grid import Grid
from motion_policy.streams.samples import Sample, StreamCounters
from motion_policy.streams.transform_buffer import TransformBuffer
from motion_policy.streams.vector_buffer import VectorBuffer

__all__ = ['GridSampler', 'Row', 'Sample', 'Sampler', 'StreamCounters']


T = TypeVar('T')


@dataclass(frozen=True)
class Row:
    """The samples that stand at `time_ns`, by stream name, and what is wrong with any stream.

    `ages_ns` is row time minus sample time, which is the earlier of stamp and reception; that of
    a joint state is its oldest joint's. `faults` says 'missing', how stale, or how far clocks
    disagree; `skews_ns` is by how much a stamp leads its own reception, where that is too much;
    `conflicts` are those faults that say that senders of one stream disagree.
    """

    time_ns: int
    samples: dict[str, Sample]
    faults: dict[str, str]
    ages_ns: dict[str, int] = field(default_factory=dict)
    counters: dict[str, StreamCounters] = field(default_factory=dict)
    skews_ns: dict[str, int] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True when every stream has a sample that is fresh enough."""
        return not self.faults


class Sampler:
    """Hold the recent samples of each stream and pick those that stand in a row.

    With `decodes`, images are decoded as they are picked: one that cannot be is not taken, and
    the one before it stands. Without, only what needs no decoding is looked at.
    """

    def __init__(self, streams: Iterable[StreamSpec], *, decodes: bool = False) -> None:
        self._buffers: dict[str, StreamBuffer] = {}
        for stream in streams:
            self._buffers[stream.name] = _buffer(stream, decodes)

    @property
    def counters(self) -> dict[str, StreamCounters]:
        """Counters per stream name."""
        return {name: buffer.counters() for name, buffer in self._buffers.items()}

    def reset_counters(self) -> None:
        """Count from zero again, as at the start of a recording."""
        for buffer in self._buffers.values():
            buffer.reset_counters()

    def keep_from(self, before: Sampler) -> None:
        """Take over what is sent once and holds for all time: transforms that do not move."""
        for name, buffer in self._buffers.items():
            buffer.keep_from(before._buffers[name])

    def push(self, name: str, sample: Sample) -> None:
        """Take in one sample of stream `name`; one that cannot be used is counted only.

        Raises:
            StreamError: no stream has this name.
        """
        if name not in self._buffers:
            known = ', '.join(self._buffers)
            raise StreamError(f"stream '{name}': not sampled here, expected one of: {known}")
        self._buffers[name].push(sample)

    def observe(self, now_ns: int) -> Row:
        """Return the row of time `now_ns`, and forget what no later row can use."""
        row = Row(now_ns, {}, {}, {}, self.counters, {})
        for buffer in self._buffers.values():
            _put(row, buffer, buffer.pick(now_ns))
        return row

    def parts(self, name: str) -> list[tuple[tuple[str, ...], Sample]]:
        """The messages that a joint stream of the newest row is put together of.

        Each comes with the joints of the topic that it holds.
        """
        return self._buffers[name].parts()

    def reject(self, row: Row, name: str, reason: str) -> Row:
        """Return the row with the camera's sample before the one in it, which cannot be used.

        Nor is it in any later row. Only the newest row may be asked about.
        """
        buffer = self._buffers[name]
        buffer.reject(row.samples[name], reason)
        changed = Row(
            row.time_ns,
            _without(row.samples, name),
            _without(row.faults, name),
            _without(row.ages_ns, name),
            self.counters,
            _without(row.skews_ns, name),
            row.conflicts,
        )
        _put(changed, buffer, buffer.pick(row.time_ns))
        return changed


class GridSampler:
    """Rows on the grid, each given once, in order, as time goes on; images are decoded."""

    def __init__(self, streams: Iterable[StreamSpec], rate_hz: float, start_ns: int) -> None:
        self._sampler = Sampler(streams, decodes=True)
        self._grid = Grid(rate_hz)
        self._next = self._grid.index_at_or_after(start_ns)

    @property
    def counters(self) -> dict[str, StreamCounters]:
        """Counters per stream name."""
        return self._sampler.counters

    def reset_counters(self) -> None:
        """Count from zero again, as at the start of a recording."""
        self._sampler.reset_counters()

    def keep_from(self, before: GridSampler) -> None:
        """Take over what is sent once and holds for all time: transforms that do not move."""
        self._sampler.keep_from(before._sampler)

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

    def skip_to(self, now_ns: int) -> None:
        """Leave out the rows before `now_ns`, in which nothing comes."""
        self._next = max(self._next, self._grid.index_at_or_after(now_ns))


def _buffer(stream: StreamSpec, decodes: bool) -> StreamBuffer:
    if stream.role in ('camera', 'depth'):
        return CameraBuffer(stream, decodes)
    if stream.role != 'vector':
        return JointBuffer(stream)
    moves = isinstance(stream.source, VectorSpec) and stream.source.transform is not None
    return (TransformBuffer if moves else VectorBuffer)(stream)


def _without(values: dict[str, T], name: str) -> dict[str, T]:
    return {key: value for key, value in values.items() if key != name}


def _put(row: Row, buffer: StreamBuffer, standing: Entry | None) -> None:
    """Put what stands of a stream into the row, and what is wrong with it."""
    spec = buffer.spec
    if standing is None:
        row.faults[spec.name] = buffer.absence()
        return
    row.samples[spec.name] = standing.sample
    age_ns = row.ages_ns[spec.name] = row.time_ns - standing.time_ns
    if standing.lead_ns > spec.max_lead_ns:
        row.skews_ns[spec.name] = standing.lead_ns
        whose = buffer.ahead_by_more(spec.max_lead_ns)
        row.faults[spec.name] = (
            f'{whose}{": " * bool(whose)}clocks disagree by '
            f'{standing.lead_ns / NANOSECONDS_PER_S:.3g} s: chrony or PTP, or stamp: receive'
        )
    if age_ns > spec.max_age_ns:
        whose = buffer.older_than(row.time_ns - spec.max_age_ns)
        age_s = age_ns / NANOSECONDS_PER_S
        named = f'{whose}: ' if whose else ''
        late = (
            ', as it came: late, or its clock is behind'
            if standing.late_ns > spec.max_age_ns
            else ''
        )
        row.faults[spec.name] = (
            f'{named}stale ({age_s:.2f} s old{late}, limit {spec.max_age:g} s){buffer.since()}'
        )
    conflict = buffer.conflict(row.time_ns)
    if conflict:
        row.faults[spec.name] = row.conflicts[spec.name] = conflict
