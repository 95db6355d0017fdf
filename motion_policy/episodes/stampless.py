# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write episodes from data that has no stamps: rows follow each other from a fixed start.

After an error none of the episodes of one import is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.motion import MotionWatch
from motion_policy.episodes.paths import next_episode_path
from motion_policy.episodes.writer import EpisodeWriter
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


class StamplessEpisodes:
    """Writes the episodes of one import; a context manager.

    Args:
        robot: the robot whose rows are written, with the cameras and the rate of the data.
        on_row: called after every row that is written.
        note: told once of each joint that is taken as a gripper.
        options: of `EpisodeWriter`, and `any_speed`: take joints that are far faster than the
            robot spec allows.
    """

    def __init__(
        self,
        robot: RobotSpec,
        on_row: Callable[[], None],
        note: Callable[[str], None],
        options: dict[str, Any],
    ) -> None:
        self._robot = robot
        self._on_row = on_row
        self._note = note
        self._told: set[str] = set()
        self._options = dict(options)
        self._any_speed = self._options.pop('any_speed', False)
        self._written: list[Path] = []

    def __enter__(self) -> StamplessEpisodes:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            for episode in self._written:
                episode.unlink()

    def write(
        self, folder: Path, source: Path, rows: Iterable[Observation], **options: Any
    ) -> Path:
        """Write one episode under the next free number in `folder`; return its path.

        Raises:
            EpisodeError: it cannot be written, or joints of `source` move as no arm's do.
        """
        stamped = ((self._stamps(number), each) for number, each in enumerate(rows))
        return self.write_sampled(folder, source, stamped, **options)

    def write_sampled(
        self,
        folder: Path,
        source: Path,
        rows: Iterable[tuple[Row, Observation]],
        **options: Any,
    ) -> Path:
        """Write one episode of rows that have stamps; else as `write`."""
        path = next_episode_path(folder)
        writer = EpisodeWriter(path, self._robot, **{**self._options, **options})
        motion = MotionWatch(self._robot)
        try:
            for number, (row, observation) in enumerate(rows):
                impossible = motion.look(row, observation.qpos)
                if impossible and not self._any_speed:
                    line = f'{source}: row {number}: {impossible}'
                    raise EpisodeError(f'{line} --any-speed takes it')
                writer.append(row.time_ns, observation, row)
                self._on_row()
            writer.close()
        except BaseException:
            writer.discard()
            raise
        self._written.append(path)
        for line in motion.open_or_closed:
            if line not in self._told:
                self._told.add(line)
                self._note(f'{source}: {line}')
        return path

    def _stamps(self, number: int) -> Row:
        time_ns = (number + 1) * self._robot.period_ns
        names = self._robot.stream_names
        samples = {name: Sample(0, time_ns, None) for name in names}
        counted = StreamCounters(number + 1, 0, 0, self._robot.period_ns if number else 0)
        ages_ns, counters = dict.fromkeys(names, 0), dict.fromkeys(names, counted)
        return Row(time_ns, samples, {}, ages_ns, counters)
