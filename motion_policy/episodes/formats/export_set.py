# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Shared by exporters: a set of episodes of one kind, and a new output folder.

Other formats describe a whole set once, so episodes that differ are refused before anything is
written; the folder has its name only once it is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motion_policy.episodes.alike import check_alike
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.layout import SUFFIX
from motion_policy.episodes.paths import list_episodes
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.robot import CameraSpec, DepthSpec, VectorSpec


@dataclass(frozen=True)
class ExportSet:
    """Episodes with the same joints, cameras, vectors, depth and rate, and the rows of each.

    `velocity` tells whether any of them has velocities, `with_effort` how many have efforts, and
    `failed` how many were judged as failed; `rollouts` how many a policy drove.
    """

    episodes: tuple[Path, ...]
    rows: tuple[int, ...]
    robot_name: str
    rate: float
    joint_names: tuple[str, ...]
    cameras: dict[str, CameraSpec]
    vectors: dict[str, VectorSpec]
    depth: dict[str, DepthSpec]
    with_effort: int
    velocity: bool
    failed: int
    rollouts: int

    @property
    def effort(self) -> bool:
        """Whether all of them have efforts."""
        return self.with_effort == len(self.episodes)


def export_set(paths: Path | list[Path]) -> ExportSet:
    """Look at the episodes in folders and files.

    Raises:
        EpisodeError: no episode, not an episode, or one that is of another kind than the first.
    """
    episodes = list_episodes(paths)
    check_alike(episodes, 'episodes that differ are exported apart')
    rows = []
    with_effort = failed = rollouts = 0
    velocity = False
    for path in episodes:
        with EpisodeReader(path) as episode:
            rows.append(episode.length)
            with_effort += episode.effort is not None
            failed += episode.success is False
            rollouts += episode.intervention is not None
            velocity = velocity or bool(episode.qvel.any())
    with EpisodeReader(episodes[0]) as episode:
        robot = episode.robot
    return ExportSet(
        episodes=tuple(episodes),
        rows=tuple(rows),
        robot_name=robot.name,
        rate=robot.rate,
        joint_names=robot.joints.names,
        cameras=dict(robot.cameras),
        vectors=dict(robot.vectors),
        depth=dict(robot.depth),
        with_effort=with_effort,
        velocity=velocity,
        failed=failed,
        rollouts=rollouts,
    )


def split_sets(source: Path, splits: Sequence[str]) -> dict[str, ExportSet]:
    """Look at a folder: one set, named '', or one for each of the folders `splits` it holds.

    Raises:
        EpisodeError: no episode, or episodes of different kinds.
    """
    folders = {split: source / split for split in splits if (source / split).is_dir()}
    if not folders or list(source.glob(f'*{SUFFIX}')):
        return {'': export_set(source)}
    parts = {split: export_set(folder) for split, folder in folders.items()}
    export_set(list(folders.values()))
    return parts


def one_camera(part: ExportSet, name: str, what: str) -> str:
    """Return the camera `name`, or the only one there is; `what` has room for one.

    Raises:
        EpisodeError: no such camera, or several and no name.
    """
    known = ', '.join(part.cameras) or 'none'
    if name and name not in part.cameras:
        raise EpisodeError(f"{part.episodes[0]}: has no camera '{name}', it has: {known}")
    if not name and len(part.cameras) != 1:
        raise EpisodeError(
            f'{part.episodes[0]}: has the cameras: {known}; {what} has one, expected '
            '--camera to choose it'
        )
    return name or next(iter(part.cameras))
