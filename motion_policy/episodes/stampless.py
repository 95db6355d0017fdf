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
        raise EpisodeError(f'rate {rate:g}: expected rows per second, up to {FASTEST_HZ:g}')
    return robot.rate if rate is None else float(rate)


class StamplessEpisodes:
    """Writes the episodes of one import; a context manager.

    Args:
        robot: the robot whose rows are written, with the cameras and the rate of the data.
        on_row: called after every row that is written.
        options: of `EpisodeWriter`.
    """

    def __init__(
        self, robot: RobotSpec, on_row: Callable[[], None], options: dict[str, Any]
    ) -> None:
        self._robot = robot
        self._on_row = on_row
        self._options = options
        self._written: list[Path] = []

    def __enter__(self) -> StamplessEpisodes:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            for episode in self._written:
                episode.unlink()

    def write(self, folder: Path, rows: Iterable[Observation], **options: Any) -> Path:
        """Write one episode under the next free number in `folder`; return its path."""
        path = next_episode_path(folder)
        writer = EpisodeWriter(path, self._robot, **{**self._options, **options})
        try:
            for number, observation in enumerate(rows):
                time_ns = (number + 1) * self._robot.period_ns
                writer.append(time_ns, observation, self._stamps(number, time_ns))
                self._on_row()
            writer.close()
        except BaseException:
            writer.discard()
            raise
        self._written.append(path)
        return path

    def _stamps(self, number: int, time_ns: int) -> Row:
        names = self._robot.stream_names
        samples = {name: Sample(0, time_ns, None) for name in names}
        counted = StreamCounters(number + 1, 0, 0, self._robot.period_ns if number else 0)
        ages_ns, counters = dict.fromkeys(names, 0), dict.fromkeys(names, counted)
        return Row(time_ns, samples, {}, ages_ns, counters)
