# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn a data set of LeRobot into episodes: the same joints, the images of its videos.

Its rows have a rate, but neither stamps nor a robot spec. What does not fit the robot is refused
before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.fitting import (
    Foreign,
    check_fit,
    chosen_cameras,
    recorded_robot,
    stand_in,
)
from motion_policy.episodes.joint_range import beyond_limits
from motion_policy.episodes.lerobot_data import (
    ACTION,
    EFFORT,
    INFO,
    STATE,
    VELOCITY,
    LerobotEpisode,
    LerobotSet,
)
from motion_policy.episodes.stampless import StamplessEpisodes
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation

Array = npt.NDArray[Any]


def import_lerobot(
    source: str | Path,
    robot: RobotSpec,
    out_dir: str | Path,
    *,
    cameras: Mapping[str, str] | None = None,
    task: str = '',
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[tuple[Path, Path]]:
    """Import one data set; return pairs: an episode, and the file that its rows were in.

    Args:
        source: folder of the set.
        robot: whose joints and cameras they are.
        out_dir: where the episodes go, under the next free numbers.
        cameras: the robot's name of a camera to its name in the set; default: all of the set.
        task: what is demonstrated; default: what the set says of each episode.
        note: told in one line each what is assumed, left out or suspicious.
        on_row: called after every row that is written, for a progress bar.
        **options: of `EpisodeWriter` (operator, sim, compress, ...).

    Raises:
        EpisodeError: no such set, or it does not fit the robot. No episode is left behind then.
    """
    data = LerobotSet(source)
    foreign = _foreign(data)
    chosen = chosen_cameras(foreign, robot, cameras)
    recorded = recorded_robot(robot, chosen, data.rate, Path(source), note)
    check_fit(foreign, recorded, chosen)
    unused = [name for name in data.cameras if name not in chosen.values()]
    note(f'{source}: no stamps: rows stand at {data.rate:g} Hz, as the set says')
    if unused:
        note(f'{source}: camera {", ".join(unused)} is left out')
    line = beyond_limits(_positions([data]), recorded)
    if line:
        note(f'{source}: {line}')
    created_ns = (Path(source) / INFO).stat().st_mtime_ns
    with StamplessEpisodes(recorded, on_row, {**options, 'created_ns': created_ns}) as new:
        return [
            (
                new.write(Path(out_dir), _rows(data, each, chosen), task=task or each.task),
                each.data,
            )
            for each in data.episodes
        ]


def placeholder_for(
    sources: Iterable[str | Path], *, cameras: Mapping[str, str] | None = None
) -> RobotSpec:
    """Return a robot that stands in for the one of these sets, whose limits hold all their data.

    Raises:
        EpisodeError: no such set, or sets of different robots.
    """
    sets = [LerobotSet(source) for source in sources]
    for each in sets:
        if each.joints != sets[0].joints:
            raise EpisodeError(
                f'{each.path}: has {each.joints} joints, expected {sets[0].joints} as '
                f'{sets[0].path}'
            )
    values = _positions(sets).astype(np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    return stand_in(_foreign(sets[0]), low, high, cameras, sets[0].rate)


def rows_of(source: str | Path) -> int:
    """Return the number of rows of a set.

    Raises:
        EpisodeError: no such set.
    """
    return sum(episode.length for episode in LerobotSet(source).episodes)


def _foreign(data: LerobotSet) -> Foreign:
    return Foreign(data.path, data.joints, data.cameras)


def _positions(sets: Iterable[LerobotSet]) -> Array:
    """All measured and commanded positions (N, J)."""
    parts = [data.vectors(each) for data in sets for each in data.episodes]
    return np.concatenate([vectors[name] for vectors in parts for name in (STATE, ACTION)])


def _rows(
    data: LerobotSet, episode: LerobotEpisode, cameras: Mapping[str, str]
) -> Iterator[Observation]:
    vectors = data.vectors(episode)
    effort = vectors.get(EFFORT)
    qvel = vectors.get(VELOCITY, np.zeros_like(vectors[STATE]))
    streams = {ours: data.images(episode, theirs) for ours, theirs in cameras.items()}
    for row in range(episode.length):
        yield Observation(
            qpos=vectors[STATE][row],
            qvel=qvel[row],
            effort=None if effort is None else effort[row],
            images={name: next(images) for name, images in streams.items()},
            action=vectors[ACTION][row],
        )
