# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy teach`: records demonstrations of the scripted expert of a simulated task.

Over ROS topics, as in life, or without ROS and without waiting for the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from motion_policy.errors import UserError
from motion_policy.evaluation.scenes import SCENES, Scene, find_scene

PER_POSITION, EPISODES, SPEED = 12, 50, 2.0


@dataclass(frozen=True)
class Arguments:
    """Let the scripted teacher demonstrate and record it; failed ones are done again.

    sim:tabletop:grasp is taught over ROS topics by the nodes of a real session; the other tasks
    are recorded directly, as fast as the machine can, and the seed fixes every episode. With
    --directly all are; with --over-ros those of which sim_node has the scene are taught as the
    first is.
    With --correct a policy drives, and the teacher takes over where it goes wrong.
    """

    out: Path
    """Folder of the episodes, made when needed; new ones are added."""

    scene: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar='SCENE', help='what is taught, one of: ' + ', '.join(SCENES)),
    ] = 'sim:tabletop:grasp'

    positions: tuple[str, ...] = ()
    """Where the cube stands: places of the scene, or 'random'; the taught ones if not given."""

    seed: int = 0
    """Fixes the variation of scene and teacher."""

    task: str | None = None
    """Noted in the episodes; the name of the task if not given."""

    over_ros: bool = False
    """Teach over ROS topics what is else recorded directly."""

    directly: bool = False
    """Record directly what is else taught over ROS topics."""

    per_position: int | None = None
    """Over ROS: demonstrations at each position, 12 if not given."""

    speed: float | None = None
    """Over ROS: simulated seconds per second, 2 if not given."""

    correct: str | None = None
    """A policy that drives, a checkpoint or the name of one in models/: its rollouts are recorded,
    directly, in which the teacher had to take over; for sim:tabletop:grasp."""

    episodes: int | None = None
    """Directly: demonstrations in all, 50 if not given; positions take turns."""

    jpeg_quality: int | None = None
    """Directly: of the images, 95 if not given; sim:tabletop:push keeps their pixels."""


def run(arguments: Arguments) -> int:
    """Record all demonstrations; 0 when every one succeeded in the end, else 1."""
    scene = find_scene(arguments.scene)
    positions = arguments.positions or scene.taught
    task = scene.name.rpartition(':')[2] if arguments.task is None else arguments.task
    if arguments.seed < 0:
        raise UserError(f'teach: --seed is {arguments.seed}, expected at least 0')
    if scene.nodes is None and arguments.over_ros:
        raise UserError(f'teach: --over-ros is not for {scene.name}, which sim_node does not have')
    if arguments.over_ros and arguments.directly:
        raise UserError('teach: --over-ros and --directly were both given, expected one of them')
    if arguments.correct is not None and arguments.over_ros:
        raise UserError('teach: --correct and --over-ros were both given, expected one of them')
    if arguments.correct is not None and not scene.corrects:
        known = ', '.join(name for name, each in SCENES.items() if each.corrects)
        raise UserError(f'teach: --correct is not for {scene.name}, expected one of: {known}')
    directly = arguments.directly or arguments.correct is not None
    if arguments.over_ros or (scene.over_ros and not directly):
        return _over_ros(arguments, scene, positions, task)
    return _directly(arguments, scene, positions, task)


def _over_ros(arguments: Arguments, scene: Scene, positions: tuple[str, ...], task: str) -> int:
    from motion_policy.cli.teach_over_ros import Session, teach_over_ros

    _refuse(arguments, scene, ('episodes', 'jpeg_quality'), 'recorded over ROS topics')
    per_position = PER_POSITION if arguments.per_position is None else arguments.per_position
    if per_position < 1:
        raise UserError(f'--per-position is {per_position}, expected at least 1')
    speed = SPEED if arguments.speed is None else arguments.speed
    session = Session(arguments.out, scene, positions, per_position, speed, arguments.seed, task)
    return teach_over_ros(session, Console())


def _directly(arguments: Arguments, scene: Scene, positions: tuple[str, ...], task: str) -> int:
    from motion_policy.cli.teach_directly import Lesson, teach_directly

    _refuse(arguments, scene, ('per_position', 'speed'), 'recorded directly')
    if scene.raw_pixels:
        _refuse(arguments, scene, ('jpeg_quality',), 'recorded in pixels')
    episodes = EPISODES if arguments.episodes is None else arguments.episodes
    quality = 95 if arguments.jpeg_quality is None else arguments.jpeg_quality
    if episodes < 1:
        raise UserError(f'teach: --episodes is {episodes}, expected at least 1')
    if not 1 <= quality <= 100:
        raise UserError(f'teach: --jpeg-quality is {quality}, expected 1 to 100')
    lesson = Lesson(arguments.out, scene, positions, episodes, arguments.seed, task, quality)
    if arguments.correct is not None:
        from motion_policy.cli.teach_corrections import teach_corrections

        return teach_corrections(lesson, arguments.correct, Console())
    return teach_directly(lesson, Console())


def _refuse(arguments: Arguments, scene: Scene, names: Sequence[str], how: str) -> None:
    """UserError if an option was given that this scene has no use for."""
    for name in names:
        if getattr(arguments, name) is not None:
            option = name.replace('_', '-')
            raise UserError(f'teach: --{option} is not for {scene.name}, which is {how}')
