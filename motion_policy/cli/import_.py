# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy import`: recordings of other kinds become episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.episodes import EpisodeReader, import_bag
from motion_policy.episodes.bags import bag_duration_ns
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.streams import Row


@dataclass(frozen=True)
class Arguments:
    """Turn rosbag2 recordings into episodes, through the sampler that the recorder uses.

    One bag becomes one episode: its rows begin when every stream has spoken and end when the
    first one falls silent for good. A gap between is refused with one line that names stream and
    time; with --split-at-gaps each stretch without a gap (of 1 s or more) becomes an episode.
    """

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """rosbag2 folders (sqlite3 or mcap) or storage files."""

    out: Path
    """Folder for the episodes; they take the next free numbers."""

    robot: str = ''
    """Robot spec: a YAML file, or the name of a shipped one."""

    kind: Annotated[Literal['rosbag2'], tyro.conf.arg(name='from')] = 'rosbag2'
    """What the sources are."""

    namespace: str = ''
    """Put before the robot's relative topics."""

    task: str = ''
    """What is demonstrated."""

    operator: str = ''
    """Who demonstrates."""

    sim: bool = False
    """The robot is simulated."""

    raw: bool = False
    """Store raw pixels instead of JPEG."""

    split_at_gaps: bool = False
    """Where a stream is stale in the middle, end one episode and begin another."""


def run(arguments: Arguments) -> int:
    """Import every bag; stops at the first that is wrong, keeping the episodes before it."""
    if not arguments.sources:
        raise UserError('import: no source was given, expected rosbag2 folders or files')
    if not arguments.robot:
        raise UserError('import: --robot is missing, expected a robot spec (YAML file or name)')
    robot = load_robot_spec(arguments.robot)
    console = Console()
    for source in arguments.sources:
        for episode in _import(source, robot, arguments, console):
            with EpisodeReader(episode) as reader:
                seconds = reader.length / reader.rate
                line = f'{episode}: {reader.length} rows, {seconds:.1f} s, from {source}'
            console.print(escape(line), soft_wrap=True, highlight=False)
    return 0


def _import(source: Path, robot: RobotSpec, arguments: Arguments, console: Console) -> list[Path]:
    columns = (TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        rows = bag_duration_ns(source) // robot.period_ns
        bar = progress.add_task(escape(source.name), total=max(1, rows))

        def on_row(row: Row) -> None:
            progress.advance(bar)

        def note(line: str) -> None:
            console.print(f'[yellow]note[/] {escape(line)}', soft_wrap=True, highlight=False)

        return import_bag(
            source,
            robot,
            arguments.out,
            namespace=arguments.namespace,
            split_at_gaps=arguments.split_at_gaps,
            note=note,
            on_row=on_row,
            task=arguments.task,
            operator=arguments.operator,
            sim=arguments.sim,
            compress=not arguments.raw,
        )
