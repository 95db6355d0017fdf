# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn a rosbag2 recording into an episode, through the sampler that the recorder uses.

An episode never has a gap: rows begin when every stream has spoken and end when the first one
falls silent for good; a gap between is refused, or ends one episode and begins the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motion_policy.episodes.bags import read_bag_rows
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.paths import next_episode_path
from motion_policy.episodes.writer import EpisodeWriter
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Row, StreamError, observation_from_row

# A stretch between two gaps that is shorter shows no motion worth learning.
SHORTEST_STRETCH_S = 1.0


def import_bag(
    path: str | Path,
    robot: RobotSpec,
    out_dir: str | Path,
    *,
    namespace: str = '',
    split_at_gaps: bool = False,
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
        note: told in one line each what was left out.
        on_row: told every row, for a progress bar.
        **options: of `EpisodeWriter` (task, operator, sim, compress, ...).

    Raises:
        EpisodeError: not a readable bag, a topic is missing or silent, the streams never fit
            together, or there is a gap in the middle. No episode is left behind then.
    """
    with _Episodes(Path(path), robot, Path(out_dir), split_at_gaps, note, options) as episodes:
        for row in read_bag_rows(path, robot, namespace=namespace):
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
    note: Callable[[str], None]
    options: dict[str, Any]
    written: list[Path] = field(default_factory=list)
    writer: EpisodeWriter | None = None
    start_ns: int | None = None
    gap: list[Row] = field(default_factory=list)

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

    def take(self, row: Row) -> None:
        if self.start_ns is None:
            self.start_ns = row.time_ns
        if not row.complete:
            # Only the ends of a gap are told about.
            self.gap = [*self.gap[:1], row]
            return
        if self.gap and self.writer is not None:
            self._end_at_gap()
        self.gap = []
        if self.writer is None:
            path = next_episode_path(self.out_dir)
            self.writer = EpisodeWriter(path, self.robot, **self.options)
        try:
            observation = observation_from_row(row, self.robot)
        except StreamError as error:
            raise EpisodeError(f'{self.bag}: at {self._seconds(row):.2f} s: {error}') from None
        self.writer.append(row.time_ns, observation, row)

    def finish(self) -> list[Path]:
        if self.writer is None and not self.written:
            raise EpisodeError(self._nothing())
        if self.writer is not None:
            self._close()
            if self.gap:
                first, last = self.gap[0], self.gap[-1]
                left_out_s = (last.time_ns - first.time_ns + self.robot.period_ns) / 1e9
                self.note(f'{self.bag}: left out the last {left_out_s:.2f} s: {self._why(first)}')
        return self.written

    def _end_at_gap(self) -> None:
        first, last = self.gap[0], self.gap[-1]
        where = f'{self._seconds(first):.2f} s to {self._seconds(last):.2f} s'
        line = f'{self.bag}: gap from {where}: {self._why(first)}'
        if not self.split_at_gaps:
            raise EpisodeError(f'{line}; expected no gap, or --split-at-gaps')
        self.note(line)
        self._close()

    def _close(self) -> None:
        assert self.writer is not None
        shortest = SHORTEST_STRETCH_S * self.robot.rate
        if self.split_at_gaps and self.writer.length < shortest:
            self.note(f'{self.bag}: left out a stretch of {self.writer.length} rows')
            self.writer.discard()
        else:
            self.writer.close()
            self.written.append(self.writer.path)
        self.writer = None

    def _nothing(self) -> str:
        if self.start_ns is not None and self.gap:
            return (
                f'{self.bag}: at no time all streams are fresh; at its end: '
                f'{self._why(self.gap[-1])} (a camera that stamps with another clock needs '
                '`stamp: receive` in the robot spec)'
            )
        return f'{self.bag}: holds no row of {self.robot.rate:g} Hz, expected a longer recording'

    def _why(self, row: Row) -> str:
        topics = {stream.name: stream.topic for stream in self.robot.streams()}
        return '; '.join(
            f"stream '{name}' ({topics[name]}): {fault}" for name, fault in row.faults.items()
        )

    def _seconds(self, row: Row) -> float:
        assert self.start_ns is not None
        return (row.time_ns - self.start_ns) / NANOSECONDS_PER_S
