# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy check`: checks and judges episode files; --repair recovers what a crash left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from motion_policy.cli.literal import escape
from motion_policy.episodes import (
    EpisodeError,
    examine_episode,
    list_episodes,
    repair,
)
from motion_policy.episodes.check import Examined
from motion_policy.episodes.editing.journal import EditJournal
from motion_policy.episodes.formats.rosbag.write import repair_bag
from motion_policy.episodes.paths import unfinished_bags
from motion_policy.episodes.quality.page import page_of_set
from motion_policy.episodes.quality.sets import EpisodeSet
from motion_policy.episodes.quality.verdict import (
    LEVELS,
    as_values,
    odd_verdicts,
    worst_first,
    worst_level,
)
from motion_policy.episodes.rollouts import all_interventions
from motion_policy.errors import UserError
from motion_policy.files import PART_SUFFIX, check_output, make_folder, write_json

MOST_SHOWN = 30  # episodes in the table of those that are no pass
COLOURS = {'pass': 'green', 'warn': 'yellow', 'fail': 'red'}


@dataclass(frozen=True)
class Arguments:
    """Check episodes and name what is wrong; exit code 0 only if every one is sound.

    What is odd and may well be right is a note: joints a little beyond their limits, images
    without colours. How good a demonstration is, by itself and beside the others of its folder,
    is judged by the thresholds of its robot spec (quality): pass, warn or fail.
    """

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Episodes, or folders of episodes."""

    repair: bool = False
    """Finish what a crash left (*.hdf5.part, *_bag.part): every whole row becomes an episode."""

    strict: bool = False
    """Exit code 1 also if an episode is judged as fail."""

    report: Path | None = None
    """Write one HTML page of the set, the worst episodes first: a file that ends in .html, or a
    folder, which gets report.html."""

    json: Path | None = None
    """Write the problems, the notes and the verdicts of each file as JSON."""


def run(arguments: Arguments) -> int:
    """Check every file; 0 when all are sound, else 1."""
    console = Console()
    report = None if arguments.report is None else _report_path(arguments.report)
    found: dict[Path, Examined] = {}
    known = EpisodeSet()
    bags = unfinished_bags(arguments.paths)
    paths = [path for path in arguments.paths if path not in bags]
    broken_bags = sum(not _look_at_bag(bag, arguments.repair, console) for bag in bags)
    if bags and not paths:
        return 1 if broken_bags else 0
    episodes = list_episodes(paths, unfinished=True)
    for path in track(
        episodes, 'checking', console=console, transient=True, disable=not console.is_terminal
    ):
        episode, examined = _check(path, arguments.repair, known, console)
        found[episode] = examined
        for problem in examined.problems:
            console.print(f'[red]unsound[/] {escape(f"{episode}: {problem}")}', soft_wrap=True)
        for note in examined.notes:
            console.print(f'[yellow]note[/] {escape(f"{episode}: {note}")}', soft_wrap=True)
    for folder in {episode.parent for episode in found}:
        if EditJournal(folder).is_interrupted():
            line = f'{folder}: an edit was interrupted: `motion-policy edit list {folder}` ends it'
            console.print(f'[yellow]note[/] {escape(line)}', soft_wrap=True)
    for episode, examined in found.items():  # now that the set is known
        against = known.verdicts(episode)
        found[episode] = replace(examined, verdicts=[*examined.verdicts, *against])
    _show_verdicts(found, console)
    unsound = sum(bool(examined.problems) for examined in found.values())
    console.print(f'{len(found) - unsound} of {len(found)} episodes are sound')
    driven = all_interventions(examined.interventions for examined in found.values())
    if driven is not None:
        line = f'{driven.rollouts} of them are rollouts of a policy: {driven}'
        console.print(line, soft_wrap=True)
    if arguments.json:
        write_json(arguments.json, _content(found))
    if report is not None:
        page_of_set(found).write(report)
        console.print(f'[green]written[/] {escape(str(report))}', soft_wrap=True)
    failed = any(worst_level(examined.verdicts) == 'fail' for examined in found.values())
    return 1 if unsound or broken_bags or (arguments.strict and failed) else 0


def _report_path(given: Path) -> Path:
    """The file of the report; what cannot be written is told before the long work."""
    if given.suffix.lower() in ('.html', '.htm'):
        check_output(given)
        return given
    make_folder(given)
    check_output(given / 'report.html')
    return given / 'report.html'


def _look_at_bag(bag: Path, repairs: bool, console: Console) -> bool:
    """Finish a bag that a crash left, or say so; returns whether all is well."""
    if not repairs:
        line = (
            f'{bag}: the messages of an episode, unfinished: `motion-policy check --repair {bag}`'
        )
        console.print(f'[yellow]note[/] {escape(line)}', soft_wrap=True)
        return True
    try:
        path, count = repair_bag(bag)
    except UserError as error:
        console.print(f'[red]unsound[/] {escape(str(error))}', soft_wrap=True)
        return False
    line = f'{path}: {count} messages are kept'
    console.print(f'[green]repaired[/] {escape(line)}', soft_wrap=True)
    return True


def _check(
    path: Path, repairs: bool, known: EpisodeSet, console: Console
) -> tuple[Path, Examined]:
    if repairs and path.name.endswith(PART_SUFFIX):
        try:
            repaired = repair(path)
        except EpisodeError as error:
            return path, Examined([str(error).removeprefix(f'{path}: ')])
        console.print(f'[green]repaired[/] {escape(str(repaired))}', soft_wrap=True)
        path = repaired.path
    return path, examine_episode(path, known)


def _show_verdicts(found: dict[Path, Examined], console: Console) -> None:
    """A table of the episodes that are no pass, the worst first, and how many are which."""
    judged = {path: examined.verdicts for path, examined in found.items() if examined.verdicts}
    if not judged:
        return
    odd = {path: odd_verdicts(verdicts) for path, verdicts in judged.items()}
    order = [path for path in worst_first(judged) if odd[path]]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ('episode', 'verdict', 'what was measured'):
        table.add_column(column, overflow='fold')
    for path in order[:MOST_SHOWN]:
        for place, verdict in enumerate(odd[path]):
            level = f'[{COLOURS[verdict.level]}]{verdict.level}[/]'
            table.add_row(escape(path.name if place == 0 else ''), level, escape(verdict.line()))
    if order:
        console.print(table)
    if len(order) > MOST_SHOWN:
        console.print(f'and {len(order) - MOST_SHOWN} more episodes: --report shows them')
    counts = Counter(worst_level(verdicts) for verdicts in judged.values())
    counted = ', '.join(f'{counts[level]} {level}' for level in LEVELS)
    console.print(f'{len(judged)} episodes were judged: {counted}')


def _content(found: dict[Path, Examined]) -> dict[str, object]:
    judged = {str(path): each.verdicts for path, each in found.items() if each.verdicts}
    driven = {str(path): each.interventions for path, each in found.items()}
    return {
        'sound': not any(examined.problems for examined in found.values()),
        'problems': {str(path): examined.problems for path, examined in found.items()},
        'notes': {str(path): found[path].notes for path in found if found[path].notes},
        'rollouts': {path: one.to_json() for path, one in driven.items() if one is not None},
        'quality': {path: worst_level(verdicts) for path, verdicts in judged.items()},
        'verdicts': {path: [*map(as_values, verdicts)] for path, verdicts in judged.items()},
    }
