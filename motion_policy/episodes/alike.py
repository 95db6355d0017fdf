# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What episodes of one set have in common: joints, cameras, vectors, depth and rate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.reader import EpisodeReader


def check_alike(paths: Iterable[Path], why: str, *, of_one_robot: bool = False) -> None:
    """Refuse an episode that is of another kind than the first one.

    Args:
        paths: episodes.
        why: what becomes of those that differ, for the message.
        of_one_robot: whether its name must be the same, too.

    Raises:
        EpisodeError: not an episode, or one of another kind.
    """
    first: tuple[Path, dict[str, Any]] | None = None
    for path in paths:
        found = _described(path, of_one_robot)
        if first is None:
            first = path, found
        for what, expected in first[1].items():
            if found[what] != expected:
                raise EpisodeError(
                    f'{path}: its {what}: {_shown(found[what])}; expected {_shown(expected)} as '
                    f'in {first[0]}; {why}'
                )


def _described(path: Path, of_one_robot: bool) -> dict[str, Any]:
    with EpisodeReader(path) as episode:
        robot = episode.robot
        cameras, depth = (
            {name: f'{one.width}x{one.height}' for name, one in images.items()}
            for images in (robot.cameras, robot.depth)
        )
        fields = {name: vector.meaning for name, vector in robot.vectors.items()}
        joints = robot.joints.names
        named = {'robot': robot.name} if of_one_robot else {}
        return {
            **named, 'joints': joints, 'cameras': cameras, 'vectors': fields, 'depth': depth,
            'rate': robot.rate,
        }  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{name} {size}' for name, size in value.items()) or 'none'
    if isinstance(value, str):
        return value
    return ', '.join(value) if isinstance(value, tuple) else f'{value:g} Hz'
