# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy check`: are these episodes sound? With --repair, finish what a crash left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track

from motion_policy.cli.literal import escape
from motion_policy.episodes import (
    EpisodeError,
    check_episode,
    list_episodes,
    repair_episode,
)
from motion_policy.episodes.layout import PART_SUFFIX
from motion_policy.files import write_json


@dataclass(frozen=True)
class Arguments:
    """Check episodes and name what is wrong; exit code 0 only if every one is sound."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Episodes, or folders of episodes."""

    repair: bool = False
    """Finish what a crash left (*.hdf5.part): every whole row becomes an episode."""

    json: Path | None = None
    """Write the problems of each file as JSON."""


def run(arguments: Arguments) -> int:
    """Check every file; 0 when all are sound, else 1."""
    console = Console()
    found: dict[str, list[str]] = {}
    episodes = list_episodes(arguments.paths, unfinished=True)
    for path in track(
        episodes, 'checking', console=console, transient=True, disable=not console.is_terminal
    ):
        episode, problems = _check(path, arguments.repair, console)
        found[str(episode)] = problems
        for problem in problems:
            console.print(f'[red]unsound[/] {escape(f"{episode}: {problem}")}', soft_wrap=True)
    unsound = sum(bool(problems) for problems in found.values())
    console.print(f'{len(found) - unsound} of {len(found)} episodes are sound')
    if arguments.json:
        write_json(arguments.json, {'sound': unsound == 0, 'problems': found})
    return 1 if unsound else 0


def _check(path: Path, repair: bool, console: Console) -> tuple[Path, list[str]]:
    if repair and path.name.endswith(PART_SUFFIX):
        try:
            path = repair_episode(path)
        except EpisodeError as error:
            return path, [str(error).removeprefix(f'{path}: ')]
        console.print(f'[green]repaired[/] {escape(str(path))}', soft_wrap=True)
    return path, check_episode(path)
