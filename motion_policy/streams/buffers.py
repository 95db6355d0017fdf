# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Ring buffer of the recent samples of one stream, and lookup by time.

Here it is decided what an unusable message is: it is counted with its reason and never taken.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from motion_policy.robot.joint_topic import JointTopic
from motion_policy.robot.spec import (
    NANOSECONDS_PER_S,
    CameraSpec,
    DepthSpec,
    StreamSpec,
)
from motion_policy.streams.errors import StreamError
from motion_policy.streams.frames import ImageReading, check_image, decode_image
from motion_policy.streams.images import own_jpeg
from motion_policy.streams.joints import Float64Array, JointReading, columns_in, read_joint_part
from motion_policy.streams.samples import Sample, StreamCounters

# Samples are kept this much longer than they count, for a caller that asks for rows late.
HORIZON_NS = 3 * NANOSECONDS_PER_S

# Periods that the median is taken of: long enough to be calm, short enough to follow a change.
PERIODS_KEPT = 50
PERIODS_NEEDED = 4
GAP_FACTOR = 1.5

# Sets of joints that the messages of one topic carry, or twice as many as it has joints.
MOST_PARTS = 32
MOST_NAMES = 12  # of a message that are told

# A joint that jumps so far and back within so short a time, so often, is that of several senders.
JUMP = 0.1  # rad or m
THERE_AND_BACK_NS = 50_000_000
JUMPS = 5
JUMPS_WITHIN_NS = 3 * NANOSECONDS_PER_S


class Entry:
    """A sample, and the joints (places in their topic) that it holds.

    `time_ns`, from which its age counts, is the earlier of stamp and reception; `lead_ns` is by
    how much the stamp leads the reception, `late_ns` by how much that is later than `time_ns`.
    """

    __slots__ = ('columns', 'late_ns', 'lead_ns', 'sample', 'stamp_ns', 'time_ns')

    def __init__(self, stamp_ns: int, sample: Sample, columns: tuple[int, ...] = ()) -> None:
        self.sample = sample
        self.columns = columns
        self.stamp_ns = stamp_ns
        self.time_ns = min(stamp_ns, sample.receive_ns)
        self.lead_ns = max(0, stamp_ns - sample.receive_ns)
        self.late_ns = sample.receive_ns - self.time_ns


class StreamBuffer:
    """The recent samples of one stream; `_read` of each kind of stream says what can be used."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self._by_header = spec.stamp == 'header'
        self._last_receive_ns = 0
        self._unusable_since = False  # the last that was taken
        self._reason = ''
        self._left_out: dict[str, str] = {}  # by field
        self._counters: StreamCounters | None = None
        self.reset_counters()

    def reset_counters(self) -> None:
        """Count from zero again."""
        self._received = self._unusable = self._foreign = self._partial = 0
        self._lost: int | None = None  # where messages are numbered
        self._counters = None
        for series in self._all_series():
            series.reset_counters()

    def counters(self) -> StreamCounters:
        """What came in so far."""
        if self._counters is None:
            series = self._all_series()
            estimate = self._of_all([each.dropped for each in series])
            self._counters = StreamCounters(
                self._received,
                estimate if self._lost is None else max(0, self._lost),
                self._of_all([each.duplicates for each in series]),
                max([each.max_gap_ns for each in series], default=0),
                self._unusable,
                self._foreign,
                self._reason,
                self._partial,
                '; '.join(self._left_out.values()),
                self._dropped_of(),
            )
        return self._counters

    def push(self, sample: Sample) -> None:
        """Take in one sample, if it can be used."""
        self._received += 1
        self._counters = None
        if sample.missing is not None:
            self._lost = (self._lost or 0) + sample.missing
        if sample.receive_ns < self._last_receive_ns:  # the clock went back
            self._clear()
        self._last_receive_ns = sample.receive_ns
        try:
            self._take(sample)
        except StreamError as error:
            self._note_unusable(str(error))
        except Exception as error:  # bytes that are no such message, as their reader says it
            self._note_unusable(f'cannot be read: {" ".join(str(error).split())}')

    def pick(self, t_ns: int) -> Entry | None:
        """Return what stands at `t_ns`, and forget what no later row can use."""
        raise NotImplementedError

    def reject(self, sample: Sample, reason: str) -> None:
        """Forget a sample that turned out to be unusable."""
        for series in self._all_series():
            series.remove(sample)
        self._note_unusable(reason)

    def absence(self) -> str:
        """Say why nothing stands."""
        if self._unusable_since:
            return f'missing, its messages cannot be used: {self._reason}'
        return 'missing'

    def since(self) -> str:
        """Say what became of the messages since the last that was taken, if that is known."""
        return f', its newest message is unusable: {self._reason}' if self._unusable_since else ''

    def older_than(self, limit_ns: int) -> str:
        """Name what is older in what was picked last, where the rest is not as old."""
        return ''

    def ahead_by_more(self, limit_ns: int) -> str:
        """Name that of which stamps lead the reception by more in what was picked last.

        Only where the rest does not.
        """
        return ''

    def keep_from(self, before: StreamBuffer) -> None:
        """Take over what holds for all time of the buffer that this one stands for from now on."""

    def parts(self) -> list[tuple[tuple[str, ...], Sample]]:
        """The messages of which what was picked last is put together, each with its joints."""
        return []

    def conflict(self, t_ns: int) -> str:
        """Say what makes the stream unusable though messages come; empty if nothing does."""
        return ''

    def _take(self, sample: Sample) -> None:
        raise NotImplementedError

    def _all_series(self) -> tuple[Series, ...]:
        raise NotImplementedError

    def _of_all(self, counts: list[int]) -> int:
        """What the counts of all series are together."""
        return sum(counts)

    def _dropped_of(self) -> str:
        """How many samples of which joints are missing, where they come apart."""
        return ''

    def _clear(self) -> None:
        for series in self._all_series():
            series.clear()

    def _stamp(self, sample: Sample) -> int:
        return sample.header_ns if self._by_header and sample.header_ns else sample.receive_ns

    def _note_unusable(self, reason: str) -> None:
        self._unusable += 1
        self._counters = None
        self._unusable_since = True
        self._reason = reason


class CameraBuffer(StreamBuffer):
    """The frames of a camera, of colours or depth, decoded as they are picked if `decodes`."""

    def __init__(self, spec: StreamSpec, decodes: bool = False) -> None:
        self._series = Series(spec)
        source = spec.source if decodes else None
        self._camera = source if isinstance(source, (CameraSpec, DepthSpec)) else None
        super().__init__(spec)

    def pick(self, t_ns: int) -> Entry | None:
        for entry in self._series.until(t_ns):
            if self._camera is not None and entry.sample.value is not None:
                try:
                    entry.sample = self._decoded(entry.sample, self._camera)
                except StreamError as error:
                    self.reject(entry.sample, str(error))
                    continue
            # Undecoded, this one may turn out to be unusable: older ones stay while they count.
            limit_ns = t_ns - (0 if self._camera is not None else self.spec.max_age_ns)
            self._series.forget_before(entry, limit_ns)
            return entry
        return None

    def _decoded(self, sample: Sample, camera: CameraSpec | DepthSpec) -> Sample:
        image = decode_image(sample.value, camera)
        if isinstance(sample.value, (ImageReading, np.ndarray)):
            return sample
        return replace(sample, value=image, jpeg=own_jpeg(sample.value))

    def _take(self, sample: Sample) -> None:
        camera = self.spec.source
        if sample.value is not None and isinstance(camera, (CameraSpec, DepthSpec)):
            check_image(sample.value, camera)
        self._series.add(self._stamp(sample), sample)
        self._unusable_since = False

    def _all_series(self) -> tuple[Series, ...]:
        return (self._series,)


class JointBuffer(StreamBuffer):
    """The joint states of a topic, on which several nodes may publish, each joints of its own."""

    def __init__(self, spec: StreamSpec) -> None:
        self._topic = spec.source if isinstance(spec.source, JointTopic) else None
        self._names = self._topic.joints if self._topic else ()
        self._labels = tuple(f"joint '{name}'" for name in self._names)
        self._whole = tuple(range(len(self._names)))  # the columns of a message with all joints
        self._parts: dict[tuple[int, ...], Series] = {}
        # By joints: the series of others of which some are the same, and whether all are.
        self._overlapping: dict[tuple[int, ...], list[tuple[Series, bool]]] = {}
        self._sources: tuple[Entry, ...] = ()  # of each joint, of which `_assembled` was made
        self._assembled: Entry | None = None
        self._picked: Entry | None = None  # last, where a message holds all joints; or:
        self._is_assembled = False  # of `_sources`
        self._missing: tuple[str, ...] = ()  # joints, when others are there
        self._unusable_columns: tuple[int, ...] = ()  # not heard of since an unusable message
        self._found: tuple[str, ...] = ()  # names in the newest message
        self._jumps = Jumps(self._labels)
        self._reported = self._nothing_reported(spec)
        super().__init__(spec)

    def pick(self, t_ns: int) -> Entry | None:
        self._missing = ()
        self._picked, self._is_assembled = None, False
        if len(self._parts) == 1 and self._whole in self._parts:
            self._picked = self._parts[self._whole].pick(t_ns)
            return self._picked
        newest: dict[int, Entry] = {}
        for part in self._parts.values():
            entry = part.pick(t_ns)
            if entry is None:
                continue
            for column in entry.columns:
                if column not in newest or newest[column].time_ns < entry.time_ns:
                    newest[column] = entry
        if not newest:
            return None
        if len(newest) < len(self._names):
            self._missing = tuple(self._names[c] for c in self._whole if c not in newest)
            return None
        return self._put_together(tuple(newest[column] for column in self._whole))

    def absence(self) -> str:
        """Say why nothing stands."""
        if self._unusable_since or not self._found:
            return super().absence()
        found = ', '.join(self._found[:MOST_NAMES])
        joints = named_joints(self._missing) or 'every joint'
        return f'{joints} missing, the newest message has: {found}'

    def older_than(self, limit_ns: int) -> str:
        """Name the joints in what was picked last that are older, where others are not as old."""
        return self._those_of(lambda entry: entry.time_ns < limit_ns)

    def ahead_by_more(self, limit_ns: int) -> str:
        """Name the joints in what was picked last whose stamps lead their reception by more."""
        return self._those_of(lambda entry: entry.lead_ns > limit_ns)

    def parts(self) -> list[tuple[tuple[str, ...], Sample]]:
        """The messages of which what was picked last is put together, each with its joints."""
        if self._picked is not None:
            return [(self._names, self._picked.sample)]
        entries = dict.fromkeys(self._sources) if self._is_assembled else ()
        return [
            (tuple(self._names[column] for column in entry.columns), entry.sample)
            for entry in entries
        ]

    def conflict(self, t_ns: int) -> str:
        """Say which joint has several senders that disagree; empty if none has."""
        return self._jumps.told(t_ns)

    def _clear(self) -> None:
        super()._clear()
        self._jumps = Jumps(self._labels)
        self._reported = self._nothing_reported(self.spec)

    def _take(self, sample: Sample) -> None:
        columns = self._whole
        if self._topic is not None and sample.value is not None:
            try:
                part = read_joint_part(sample.value, self._topic)
            except Exception:
                self._unusable_columns = columns_in(sample.value, self._topic)
                raise
            self._found = part.names
            if part.reading is None:
                self._foreign += 1
                return
            columns = part.columns
            reading = self._completed(part.reading, columns, sample.receive_ns)
            sample = replace(sample, value=reading)
            if not self._topic.of_velocities:  # these may jump
                self._jumps.look(sample.receive_ns, columns, part.reading.position)
        if columns not in self._parts:
            self._add_part(columns)
        for other, holds_all in self._overlapping[columns]:
            other.note_other(holds_all)
        self._parts[columns].add(self._stamp(sample), sample, columns)
        # Messages of another driver say nothing of the joints in one that could not be used.
        if self._unusable_since:
            left = [column for column in self._unusable_columns if column not in columns]
            self._unusable_columns, self._unusable_since = tuple(left), bool(left)

    def _completed(
        self, reading: JointReading, columns: tuple[int, ...], receive_ns: int
    ) -> JointReading:
        """The reading, in which what a joint lacks is what it last had, while that is fresh."""
        if reading.left_out:
            self._partial += 1
            for line in reading.left_out.split('; '):
                self._left_out[line.partition(' ')[0]] = line
        completed = [
            reported.completed(getattr(reading, field), columns, receive_ns)
            for field, reported in self._reported.items()
        ]
        held = tuple(f for f, v in zip(self._reported, completed, strict=True) if v is not None)
        if not held:
            return reading
        velocity, effort = completed
        return replace(
            reading,
            velocity=reading.velocity if velocity is None else velocity,
            effort=reading.effort if effort is None else effort,
            held=held,
        )

    def _nothing_reported(self, spec: StreamSpec) -> dict[str, _LastReported]:
        count, max_age_ns = len(self._names), spec.max_age_ns
        return {field: _LastReported(count, max_age_ns) for field in ('velocity', 'effort')}

    def _add_part(self, columns: tuple[int, ...]) -> None:
        if len(self._parts) >= max(MOST_PARTS, 2 * len(self._names)):
            oldest = min(self._parts, key=lambda part: self._parts[part].received_ns)
            gone = self._parts.pop(oldest)
            del self._overlapping[oldest]
            for these, overlapping in self._overlapping.items():
                self._overlapping[these] = [each for each in overlapping if each[0] is not gone]
        series, joints = Series(self.spec), set(columns)
        self._overlapping[columns] = []
        for others, part in self._parts.items():
            if not joints.isdisjoint(others):
                self._overlapping[columns].append((part, joints.issuperset(others)))
                self._overlapping[others].append((series, joints.issubset(others)))
        self._parts[columns] = series

    def _those_of(self, condition: Callable[[Entry], bool]) -> str:
        """Names of joints by their messages; '' where all joints are of one."""
        if not self._is_assembled or len(set(self._sources)) == 1:
            return ''
        pairs = zip(self._names, self._sources, strict=True)
        return named_joints(tuple(name for name, entry in pairs if condition(entry)))

    def _put_together(self, sources: tuple[Entry, ...]) -> Entry:
        """One entry with the joint of each source, as old as the oldest of them."""
        if self._assembled is None or sources != self._sources:
            self._sources, self._assembled = sources, _assembled(sources)
        self._is_assembled = True
        return self._assembled

    def _all_series(self) -> tuple[Series, ...]:
        return tuple(self._parts.values())

    def _dropped_of(self) -> str:
        if len(self._parts) < 2:
            return ''
        return '; '.join(
            f'{named_joints(tuple(self._names[c] for c in columns))}: {part.dropped}'
            for columns, part in self._parts.items()
            if part.dropped
        )


def named_joints(names: tuple[str, ...]) -> str:
    """Name joints in a line; '' for none."""
    told = ', '.join(f"'{name}'" for name in names[:MOST_NAMES])
    more = f' and {len(names) - MOST_NAMES} more' if len(names) > MOST_NAMES else ''
    return f'joint{"s" * (len(names) > 1)} {told}{more}' if names else ''


class _LastReported:
    """The last velocity or effort of each joint, by whichever message."""

    def __init__(self, count: int, max_age_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self._values = np.full(count, np.nan)
        self._receive_ns = np.zeros(count, np.int64)
        # By joints: the last that all of them had, which is not looked at before one lacks some.
        self._whole: dict[tuple[int, ...], tuple[int, Float64Array]] = {}
        self._any = False

    def completed(
        self, values: Float64Array | None, columns: tuple[int, ...], receive_ns: int
    ) -> Float64Array | None:
        """Values (n,) of the joints in `columns`, of which a message has these; None: as they are.

        Where it has none, those of earlier messages stand as long as they are fresh.
        """
        if values is not None:
            self._any = True
            if not math.isnan(math.hypot(*values.tolist())):
                if len(self._whole) == MOST_PARTS:
                    self._keep_whole()
                self._whole[columns] = receive_ns, values
                return None
        elif not self._any:
            return None
        self._keep_whole()
        places = list(columns)
        if values is None:
            values = np.full(len(places), np.nan)
        self._keep(places, receive_ns, values)
        fresh = receive_ns - self._receive_ns[places] <= self._max_age_ns
        held = np.isnan(values) & ~np.isnan(self._values[places]) & fresh
        return np.where(held, self._values[places], values) if held.any() else None

    def _keep_whole(self) -> None:
        for columns, (receive_ns, values) in self._whole.items():
            self._keep(list(columns), receive_ns, values)
        self._whole.clear()

    def _keep(self, places: list[int], receive_ns: int, values: Float64Array) -> None:
        newer = ~np.isnan(values) & (self._receive_ns[places] <= receive_ns)
        self._values[places] = np.where(newer, values, self._values[places])
        self._receive_ns[places] = np.where(newer, receive_ns, self._receive_ns[places])


class Jumps:
    """Finds what jumps to and fro from message to message, as no arm can; `names` tell of it."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        nothing = np.full(len(names), np.nan)
        self._newest, self._second = nothing.copy(), nothing.copy()
        self._newest_ns, self._second_ns = (np.zeros(len(names), np.int64) for _ in range(2))
        self._jumps_ns: deque[int] = deque(maxlen=JUMPS)
        self._last = ''

    def look(self, t_ns: int, columns: tuple[int, ...], position: Float64Array) -> None:
        """Look at the newest values (n,) of these columns [rad or m]."""
        places = list(columns)
        newest, second = self._newest[places], self._second[places]
        jump = np.abs(newest - position)
        if (jump > JUMP).any():
            returned = (jump > JUMP) & (np.abs(second - position) < jump / 4)
            returned &= t_ns - self._second_ns[places] <= THERE_AND_BACK_NS
            if returned.any():
                place = int(np.flatnonzero(returned)[0])
                self._jumps_ns.append(t_ns)
                self._last = (
                    f'{self._names[places[place]]} is {position[place]:.3g} and '
                    f'{newest[place]:.3g} in turn'
                )
        self._second[places], self._second_ns[places] = newest, self._newest_ns[places]
        self._newest[places], self._newest_ns[places] = position, t_ns

    def told(self, t_ns: int) -> str:
        """A line on one that does so at `t_ns`; empty if none does."""
        jumps = self._jumps_ns
        if len(jumps) < JUMPS or t_ns - jumps[0] > JUMPS_WITHIN_NS:
            return ''
        return f'{self._last}: do several nodes publish it?'


class Series:
    """The samples of one sender in the order of their times, and what is missing between them."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self._times: list[int] = []
        self._entries: list[Entry] = []
        self._newest_stamp_ns: int | None = None
        self._periods: deque[int] = deque(maxlen=PERIODS_KEPT)
        self._bridges: deque[int] = deque(maxlen=PERIODS_NEEDED)  # of the first periods
        # Messages since the newest one that hold some of its joints, and whether one holds all.
        self._others, self._covered = 0, False
        self.received_ns = 0  # the newest
        self.reset_counters()

    def reset_counters(self) -> None:
        """Count from zero again."""
        self.duplicates = self.max_gap_ns = 0
        self._lost: int | None = None  # where messages are numbered
        self._estimate = 0  # of what is missing, by gaps
        self._overdue = 0  # of those dropped, what may still come: it was late

    @property
    def dropped(self) -> int:
        """How many samples were sent and did not come, an estimate where nobody numbers them."""
        return self._estimate if self._lost is None else max(0, self._lost)

    def add(self, stamp_ns: int, sample: Sample, columns: tuple[int, ...] = ()) -> None:
        """Put a sample in its place; one that repeats a stamp is counted only."""
        newest_ns = self._newest_stamp_ns
        if newest_ns is not None and stamp_ns < newest_ns - self._spec.max_age_ns:
            # The sender's clock was set back; a sample that is merely late is put in its place.
            self.clear()
            newest_ns = None
        if sample.missing is not None:
            self._lost = (self._lost or 0) + sample.missing
        receive_ns = self.received_ns = sample.receive_ns
        time_ns = min(stamp_ns, receive_ns)
        place = bisect_left(self._times, time_ns)
        known = self._entries[place].stamp_ns if place < len(self._entries) else None
        if stamp_ns in (newest_ns, known):
            self.duplicates += 1
            return
        self._times.insert(place, time_ns)
        self._entries.insert(place, Entry(stamp_ns, sample, columns))
        if newest_ns is None or stamp_ns > newest_ns:
            if newest_ns is not None and stamp_ns <= receive_ns + self._spec.max_lead_ns:
                self._count_gap(stamp_ns - newest_ns)
            self._newest_stamp_ns = stamp_ns
        counts_ns = max(self._spec.max_age_ns, self._spec.window_ns)
        self._forget_received_before(receive_ns - counts_ns - HORIZON_NS)

    def note_other(self, holds_all: bool) -> None:
        """Note a message of another set of joints, in which some or all of these are."""
        self._others += 1
        self._covered |= holds_all

    def pick(self, t_ns: int) -> Entry | None:
        """Return the newest entry that was received by `t_ns`, and forget those before it."""
        for index, entry in self._received_by(t_ns):
            self._forget_first(index)
            return entry
        return None

    def newest(self, t_ns: int) -> Entry | None:
        """Return the newest entry that was received by `t_ns`."""
        return next(self.newest_first(t_ns), None)

    def around(self, t_ns: int, stamp_ns: int) -> tuple[Entry, Entry] | None:
        """Return the entries nearest before and after a stamp, of those received by `t_ns`.

        Both are that of this very stamp, where there is one; None where none is before.
        """
        after: Entry | None = None
        for _, entry in self._received_by(t_ns):
            if entry.stamp_ns == stamp_ns or (entry.stamp_ns < stamp_ns and after is None):
                return entry, entry
            if after is not None and entry.stamp_ns < stamp_ns:
                return entry, after
            after = entry
        return None

    def until(self, t_ns: int) -> list[Entry]:
        """Return the entries that were received by `t_ns`, the newest first."""
        return list(self.newest_first(t_ns))

    def newest_first(self, t_ns: int) -> Iterator[Entry]:
        """Yield the entries that were received by `t_ns`, the newest first."""
        return (entry for _, entry in self._received_by(t_ns))

    def remove(self, sample: Sample) -> None:
        """Forget one sample."""
        for index, entry in enumerate(self._entries):
            if entry.sample is sample:
                del self._times[index], self._entries[index]
                return

    def forget_before(self, entry: Entry, time_ns: int) -> None:
        """Forget the entries that are older than this one and than `time_ns`."""
        self._forget_first(bisect_left(self._times, min(entry.time_ns, time_ns)))

    def clear(self) -> None:
        """Forget all entries, and what was seen of their period."""
        self._times.clear()
        self._entries.clear()
        self._periods.clear()
        self._bridges.clear()
        self._newest_stamp_ns = None

    def _received_by(self, t_ns: int) -> Iterator[tuple[int, Entry]]:
        """Yield place and entry of those received by `t_ns`, the newest first."""
        for index in range(bisect_right(self._times, t_ns) - 1, -1, -1):
            if self._entries[index].sample.receive_ns <= t_ns:
                yield index, self._entries[index]

    def _count_gap(self, gap_ns: int) -> None:
        others, covered = self._others, self._covered
        self._others, self._covered = 0, False
        if not covered:
            self.max_gap_ns = max(self.max_gap_ns, gap_ns)
        self._periods.append(gap_ns)
        if len(self._periods) <= PERIODS_NEEDED:
            self._bridges.append(others)
        if len(self._periods) < PERIODS_NEEDED:
            return
        median_ns = statistics.median_low(self._periods)
        # The first periods are judged together, once there are enough of them for a median.
        first = len(self._periods) == PERIODS_NEEDED
        judged = zip(self._periods, self._bridges, strict=True) if first else [(gap_ns, others)]
        for period_ns, bridges in judged:
            if period_ns > GAP_FACTOR * median_ns:
                # A driver that sends other joints with these now and then has dropped nothing.
                self._overdue = max(0, round(period_ns / median_ns) - 1 - bridges)
                self._estimate += self._overdue
            elif self._overdue and period_ns * GAP_FACTOR < median_ns:
                self._estimate -= 1
                self._overdue -= 1
                if not first:
                    self._periods.pop()  # it says nothing of how often the sender sends
            else:
                self._overdue = 0

    def _forget_received_before(self, limit_ns: int) -> None:
        keep, most = 0, len(self._entries) - self._spec.window_count
        while keep < most and self._entries[keep].sample.receive_ns < limit_ns:
            keep += 1
        self._forget_first(keep)

    def _forget_first(self, count: int) -> None:
        count = min(count, len(self._entries) - self._spec.window_count)
        if count > 0:
            del self._times[:count]
            del self._entries[:count]


def _assembled(sources: tuple[Entry, ...]) -> Entry:
    oldest = min(sources, key=lambda entry: entry.time_ns)
    places = [entry.columns.index(column) for column, entry in enumerate(sources)]
    readings = [entry.sample.value for entry in sources]

    def gathered(field: str) -> Float64Array | None:
        parts = [getattr(reading, field) for reading in readings]
        if all(part is None for part in parts):
            return None
        pairs = zip(parts, places, strict=True)
        return np.array([np.nan if part is None else part[place] for part, place in pairs])

    position = gathered('position')
    assert position is not None
    held = dict.fromkeys(field for reading in readings for field in reading.held)
    reading = JointReading(
        position,
        gathered('velocity'),
        gathered('effort'),
        held=tuple(held),
        newer_ns=np.array([entry.time_ns - oldest.time_ns for entry in sources], np.int64),
    )
    entry = Entry(oldest.stamp_ns, replace(oldest.sample, value=reading))
    entry.lead_ns = max(source.lead_ns for source in sources)
    return entry
