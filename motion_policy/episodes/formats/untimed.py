# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes episodes from data without time stamps: rows at a fixed rate from a fixed start.

After an error none of the episodes of one import is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.paths import next_episode_path
from motion_policy.episodes.row_checks import Notes, RowChecks, Verdict
from motion_policy.episodes.writer import EpisodeWriter
from motion_policy.files import remove_empty
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation, Row, Sample, StreamCounters

FASTEST_HZ = 1000.0  # as in a robot spec


@dataclass(frozen=True)
class SplitEpisodes:
    """The episodes that one part of a set became; `split` is its folder's name, '' without one."""

    split: str
    source: Path
    episodes: tuple[Path, ...]


def rate_or_robots(rate: float | None, robot: RobotSpec) -> float:
    """Return the rows per second that were asked for, or else the robot's rate.

    Raises:
        EpisodeError: no robot has such a rate.
    """
    if rate is not None and not 0 < rate <= FASTEST_HZ:
        raise EpisodeError(f'--rate is {rate:g}, expected rows per second, up to {FASTEST_HZ:g}')
    return robot.rate if rate is None else float(rate)


class UntimedEpisodes:
    """Writes the episodes of one import; a context manager.

    Args:
        robot: the robot whose rows are written, with the cameras and the rate of the data.
        source: what is imported.
        on_row: called after every row that is written.
        note: told in one line each what is odd in the rows.
        options: of `EpisodeWriter`, and `any_speed`: take joints that are far faster, or are far
            further, than the robot spec allows; `any_place`: only the latter.
    """

    def __init__(
        self,
        robot: RobotSpec,
        source: Path,
        on_row: Callable[[], None],
        note: Callable[[str], None],
        options: dict[str, Any],
    ) -> None:
        self._robot = robot
        self._source = source
        self._on_row = on_row
        self._notes = Notes(note)
        self._options = dict(options)
        self._any_speed = self._options.pop('any_speed', False)
        self._any_place = self._options.pop('any_place', False) or self._any_speed
        self._written: list[Path] = []
        self._made_folders: tuple[Path, ...] = ()

    def __enter__(self) -> UntimedEpisodes:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._notes.end(self._source)
            return
        for episode in self._written:
            episode.unlink()
        remove_empty(self._made_folders)

    def write(
        self, folder: Path, source: object, rows: Iterable[Observation], **options: Any
    ) -> Path:
        """Write one episode under the next free number in `folder`; return its path.

        `source` is named in errors and notes; `options` are those of `EpisodeWriter`, and
        `success`: how it was judged.

        Raises:
            EpisodeError: it cannot be written, or joints of `source` move as no arm's do, or are
                where none is.
        """
        stamped = ((self._stamps(number), each) for number, each in enumerate(rows))
        return self.write_sampled(folder, source, stamped, **options)

    def write_sampled(
        self,
        folder: Path,
        source: object,
        rows: Iterable[tuple[Row, Observation]],
        **options: Any,
    ) -> Path:
        """Write one episode of rows that have stamps; else as `write`."""
        path = next_episode_path(folder)
        success = options.pop('success', None)
        writer = EpisodeWriter(path, self._robot, **{**self._options, **options})
        writer.success = success
        checks = RowChecks(self._robot)
        try:
            for number, (row, observation) in enumerate(rows):
                impossible = checks.add(row, observation)
                if impossible and not self._any_speed:
                    line = f'{source}: row {number}: {impossible}'
                    raise EpisodeError(f'{line} --any-speed takes it')
                writer.append(row.time_ns, observation, row)
                self._on_row()
            self._judge(source, checks.verdict())
            writer.close()
            self._notes.tell(source, writer.left_out)
        except BaseException:
            writer.discard()
            raise
        self._written.append(path)
        self._made_folders = (*writer.made_folders, *self._made_folders)
        return path

    def _judge(self, source: object, verdict: Verdict) -> None:
        for failure in verdict.failures:
            if not (self._any_place if failure.kind == 'far' else self._any_speed):
                raise EpisodeError(f'{source}: {failure} --any-speed takes it')
        self._notes.add(source, (*verdict.failures, *verdict.notes))

    def _stamps(self, number: int) -> Row:
        time_ns = (number + 1) * self._robot.period_ns
        names = self._robot.stream_names
        samples = {name: Sample(0, time_ns, None) for name in names}
        counted = StreamCounters(number + 1, 0, 0, self._robot.period_ns if number else 0)
        ages_ns, counters = dict.fromkeys(names, 0), dict.fromkeys(names, counted)
        return Row(time_ns, samples, {}, ages_ns, counters)
