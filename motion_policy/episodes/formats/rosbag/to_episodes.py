# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn a rosbag2 recording into an episode, through the sampler that the recorder uses.

An episode never has a gap: rows begin when every stream has spoken and end when the first one
falls silent for good; a gap between is refused, or ends one episode and begins the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats import SHORTEST_STRETCH_S
from motion_policy.episodes.formats.rosbag.read import (
    TIME,
    absent_static_topics,
    read_bag_rows,
    robot_of_bag,
)
from motion_policy.episodes.paths import next_episode_path
from motion_policy.episodes.row_checks import Found, Notes, RowChecks
from motion_policy.episodes.writer import EpisodeWriter
from motion_policy.files import remove_empty
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import (
    GridSampler,
    Row,
    StreamCounters,
    StreamError,
    observation_from_row,
)

MOST_NOTES = 5  # on single messages of a stream


def import_bag(
    path: str | Path,
    robot: RobotSpec,
    out_dir: str | Path,
    *,
    namespace: str = '',
    split_at_gaps: bool = False,
    any_speed: bool = False,
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[Row], None] = lambda row: None,
    **options: Any,
) -> list[Path]:
    """Import one bag; return the episodes, which is one, unless it is split at gaps.

    Args:
        path: rosbag2 folder, or one of its storage files.
        robot: whose streams are in the bag.
        out_dir: where the episodes go, under the next free numbers.
        namespace: put before the robot's relative topics.
        split_at_gaps: where a stream is stale in the middle, end one episode and begin another,
            instead of refusing the bag; stretches under 1 s are left out.
        any_speed: take joints that are far faster or far further than the robot spec allows, with
            a note.
        note: told in one line each what was left out.
        on_row: told every row, for a progress bar.
        **options: of `EpisodeWriter` (task, operator, sim, compress, ...).

    Raises:
        EpisodeError: not a readable bag, a topic is missing or silent, the streams never fit
            together, or there is a gap in the middle. No episode is left behind then.
    """
    robot = robot_of_bag(path, robot)
    for line in absent_static_topics(path, robot, namespace=namespace):
        note(line)
    with _Episodes(
        Path(path), robot, Path(out_dir), split_at_gaps, any_speed, note, options
    ) as episodes:
        rows = read_bag_rows(
            path,
            robot,
            namespace=namespace,
            split_at_steps=split_at_gaps,
            started=episodes.begin_stretch,
        )
        for row in rows:
            on_row(row)
            episodes.take(row)
        return episodes.finish()


@dataclass
class _Episodes:
    """The episodes that the rows of one bag become."""

    bag: Path
    robot: RobotSpec
    out_dir: Path
    split_at_gaps: bool
    any_speed: bool
    note: Callable[[str], None]
    options: dict[str, Any]
    written: list[Path] = field(default_factory=list)
    writer: EpisodeWriter | None = None
    start_ns: int | None = None
    begin_ns: int = 0  # of the episode that is being written
    gap: list[Row] = field(default_factory=list)
    checks: RowChecks = field(init=False)
    found: Notes = field(init=False)
    made_folders: tuple[Path, ...] = ()
    sampler: GridSampler | None = None
    counters: dict[str, StreamCounters] = field(default_factory=dict)
    counted_before: dict[str, StreamCounters] = field(default_factory=dict)
    counters_then: dict[str, StreamCounters] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    reasons: set[str] = field(default_factory=set)  # that are told, each once

    def __post_init__(self) -> None:
        self.found = Notes(self.note)

    def __enter__(self) -> _Episodes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_details: object) -> None:
        """After an error nothing is left behind; the bag can simply be imported again."""
        if kind is None:
            return
        if self.writer is not None:
            self.writer.discard()
        for episode in self.written:
            episode.unlink()
        remove_empty(self.made_folders)

    def begin_stretch(self, sampler: GridSampler) -> None:
        """Take rows of this sampler from now on, which counts from zero."""
        self._count_anew()
        self.sampler = sampler

    def _count_anew(self) -> None:
        """Let the counters of an episode be those of its own time, as the recorder's are."""
        for name, counters in self.counters.items():
            self.counted_before[name] = self._counted(name) + counters
        self.counters, self.counters_then = {}, self.counters
        if self.sampler is not None:
            self.sampler.reset_counters()

    def _counted(self, name: str) -> StreamCounters:
        return self.counted_before.get(name, StreamCounters())

    def take(self, row: Row) -> None:
        if self.start_ns is None:
            self.start_ns = row.time_ns
        self._tell_unusable(row)
        if self.any_speed:
            faults = {name: row.faults[name] for name in row.faults if name not in row.conflicts}
            row = replace(row, faults=faults)
        elif row.conflicts and not self.split_at_gaps:
            line = f'{self.bag}: at {self._seconds(row):.2f} s: {self._why(row)}'
            raise EpisodeError(f'{line} Expected one, or --split-at-gaps; --any-speed takes it')
        if not row.complete:
            # Only the ends of a gap are told about.
            self.gap = [*self.gap[:1], row]
            return
        if self.gap and self.writer is not None:
            self._end_at_gap()
        elif self.gap and self._gap_s() >= SHORTEST_STRETCH_S:
            why = self._why(self.gap[-1])
            self.note(f'{self.bag}: left out the first {self._gap_s():.2f} s: {why}')
        self.gap = []
        if self.writer is None:
            self._count_anew()
            path = next_episode_path(self.out_dir)
            self.writer = EpisodeWriter(path, self.robot, **self.options)
            self.checks, self.begin_ns = RowChecks(self.robot), row.time_ns
            self.made_folders = (*self.writer.made_folders, *self.made_folders)
        try:
            observation = observation_from_row(row, self.robot)
        except StreamError as error:
            raise EpisodeError(f'{self.bag}: at {self._seconds(row):.2f} s: {error}') from None
        impossible = self.checks.add(row, observation)
        if impossible and not self.any_speed:
            line = f'{self.bag}: at {self._seconds(row):.2f} s: {impossible}'
            raise EpisodeError(f'{line} --any-speed takes it')
        self.writer.append(row.time_ns, observation, row)

    def _judge(self) -> None:
        """Refuse or tell what the rows of an episode say against themselves."""
        verdict = self.checks.verdict()
        if verdict.failures and not self.any_speed:
            raise EpisodeError(f'{self.bag}: {self._at(verdict.failures[0])} --any-speed takes it')
        self.found.tell(self.bag, map(self._at, verdict.failures))
        self.found.add(self.bag, verdict.notes)

    def _at(self, found: Found) -> str:
        time_ns = self.begin_ns + found.row * self.robot.period_ns
        return f'{found.of}at {self._seconds_at(time_ns):.2f} s: {found.line}'

    def finish(self) -> list[Path]:
        self._tell_counters()
        if self.writer is None and not self.written:
            raise EpisodeError(self._nothing())
        if self.writer is not None:
            self._close()
            if self.gap:
                first = self.gap[0]
                end = 'rest' if TIME in first.faults else f'last {self._gap_s():.2f} s'
                self.note(f'{self.bag}: left out the {end}: {self._why(first)}')
        self.found.end(self.bag)
        if not self.written:
            raise EpisodeError(
                f'{self.bag}: holds no stretch of {SHORTEST_STRETCH_S:g} s without a gap'
            )
        return self.written

    def _gap_s(self) -> float:
        first, last = self.gap[0], self.gap[-1]
        return (last.time_ns - first.time_ns + self.robot.period_ns) / NANOSECONDS_PER_S

    def _end_at_gap(self) -> None:
        first, last = self.gap[0], self.gap[-1]
        where = f'gap from {self._seconds(first):.2f} s to {self._seconds(last):.2f} s: '
        line = f'{self.bag}: {"" if TIME in first.faults else where}{self._why(first)}'
        if not self.split_at_gaps:
            raise EpisodeError(f'{line}; expected no gap, or --split-at-gaps')
        self.note(line)
        self._close()

    def _tell_unusable(self, row: Row) -> None:
        """Note what of the messages since the last row was not taken, unless it is much."""
        if row.counters == self.counters_then:  # made before counting began anew
            return
        for name, counters in row.counters.items():
            before = self.counters.get(name, StreamCounters())
            self.counters[name] = counters
            told = counters.reason in self.reasons or self.told[name] == MOST_NOTES
            if counters.unusable > before.unusable and not told:
                self.told[name] += 1
                self.reasons.add(counters.reason)
                self.note(
                    f'{self.bag}: at {self._seconds(row):.2f} s: {self._label(name)}: not taken: '
                    f'{counters.reason}'
                )

    def _tell_counters(self) -> None:
        for name in dict.fromkeys([*self.counted_before, *self.counters]):
            counters = self._counted(name) + self.counters.get(name, StreamCounters())
            if counters.unusable > 1:
                self.note(
                    f'{self.bag}: {self._label(name)}: {counters.unusable} of '
                    f'{counters.received} messages were not taken'
                )
            if counters.partial:
                self.note(
                    f'{self.bag}: {self._label(name)}: {counters.left_out}, in '
                    f'{counters.partial} of {counters.received} messages'
                )

    def _label(self, name: str) -> str:
        topics = {stream.name: stream.topic for stream in self.robot.streams()}
        return f"stream '{name}' ({topics[name]})"

    def _close(self) -> None:
        assert self.writer is not None
        shortest = SHORTEST_STRETCH_S * self.robot.rate
        if self.split_at_gaps and self.writer.length < shortest:
            self.note(f'{self.bag}: left out a stretch of {self.writer.length} rows')
            self.writer.discard()
        else:
            self._judge()
            self.writer.close()
            self.written.append(self.writer.path)
            self.found.tell(self.bag, self.writer.left_out)
        self.writer = None

    def _nothing(self) -> str:
        if self.start_ns is not None and self.gap:
            why = self._why(self.gap[-1])
            hint = (
                ' (a camera that stamps with another clock needs `stamp: receive` in the robot '
                'spec)'
            )
            return (
                f'{self.bag}: at no time all streams are fresh; at its end: {why}'
                f'{hint if "stale" in why else ""}'
            )
        return f'{self.bag}: holds no row of {self.robot.rate:g} Hz, expected a longer recording'

    def _why(self, row: Row) -> str:
        if TIME in row.faults:
            return row.faults[TIME]
        return '; '.join(f'{self._label(name)}: {fault}' for name, fault in row.faults.items())

    def _seconds(self, row: Row) -> float:
        return self._seconds_at(row.time_ns)

    def _seconds_at(self, time_ns: int) -> float:
        assert self.start_ns is not None
        return (time_ns - self.start_ns) / NANOSECONDS_PER_S
