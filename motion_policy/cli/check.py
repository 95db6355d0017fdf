# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy check`: checks episode files; --repair recovers what a crash left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track

from motion_policy.cli.literal import escape
from motion_policy.episodes import (
    EpisodeError,
    examine_episode,
    list_episodes,
    repair,
)
from motion_policy.episodes.check import Examined
from motion_policy.files import PART_SUFFIX, write_json


@dataclass(frozen=True)
class Arguments:
    """Check episodes and name what is wrong; exit code 0 only if every one is sound.

    What is odd and may well be right is a note: joints a little beyond their limits, images
    without colours.
    """

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Episodes, or folders of episodes."""

    repair: bool = False
    """Finish what a crash left (*.hdf5.part): every whole row becomes an episode."""

    json: Path | None = None
    """Write the problems and the notes of each file as JSON."""


def run(arguments: Arguments) -> int:
    """Check every file; 0 when all are sound, else 1."""
    console = Console()
    found: dict[str, Examined] = {}
    episodes = list_episodes(arguments.paths, unfinished=True)
    for path in track(
        episodes, 'checking', console=console, transient=True, disable=not console.is_terminal
    ):
        episode, examined = _check(path, arguments.repair, console)
        found[str(episode)] = examined
        for problem in examined.problems:
            console.print(f'[red]unsound[/] {escape(f"{episode}: {problem}")}', soft_wrap=True)
        for note in examined.notes:
            console.print(f'[yellow]note[/] {escape(f"{episode}: {note}")}', soft_wrap=True)
    unsound = sum(bool(examined.problems) for examined in found.values())
    console.print(f'{len(found) - unsound} of {len(found)} episodes are sound')
    if arguments.json:
        problems = {path: examined.problems for path, examined in found.items()}
        notes = {path: examined.notes for path, examined in found.items() if examined.notes}
        write_json(arguments.json, {'sound': unsound == 0, 'problems': problems, 'notes': notes})
    return 1 if unsound else 0


def _check(path: Path, repairs: bool, console: Console) -> tuple[Path, Examined]:
    if repairs and path.name.endswith(PART_SUFFIX):
        try:
            repaired = repair(path)
        except EpisodeError as error:
            return path, Examined([str(error).removeprefix(f'{path}: ')])
        console.print(f'[green]repaired[/] {escape(str(repaired))}', soft_wrap=True)
        path = repaired.path
    return path, examine_episode(path)
