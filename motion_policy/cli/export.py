# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy export`: episodes become data sets of other tools.

An option that means nothing for a kind of set is refused, never ignored; nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.cli.literal import escape
from motion_policy.episodes.formats.aloha.from_episodes import export_aloha
from motion_policy.episodes.formats.bair.from_episodes import bair_parts, export_bair
from motion_policy.episodes.formats.eipl.from_episodes import eipl_parts, export_eipl
from motion_policy.episodes.formats.export_set import ExportSet, export_set
from motion_policy.errors import UserError

Kind = Literal['aloha', 'lerobot', 'eipl', 'bair']
OnRow = Callable[[], None]
NOTE = '[yellow]note[/]'

# Options that belong to some kinds of sets only.
OPTIONS_OF: dict[Kind, tuple[str, ...]] = {
    'aloha': ('raw',),
    'lerobot': ('task', 'crf'),
    'eipl': ('camera', 'channels'),
    'bair': ('camera',),
}


@dataclass(frozen=True)
class Arguments:
    """Turn episodes into a data set of another tool.

    aloha: episode_0.hdf5, episode_1.hdf5, ... with ALOHA's names; attributes tell the rest. JPEGs
    stay JPEGs, as act-plus-plus and Interbotix read them; tonyzhaozh/act reads pixels only: --raw.

    lerobot: a data set of version 3.0 (Parquet, H.264 videos, meta/). Needs pyarrow and PyAV.

    eipl: images.npy, joints.npy and joint_bounds.npy; a folder with train/ and test/ gives both.

    bair: traj_*/N/ with 0.png, ..., actions.csv and endeffector_positions.csv, for joints that are
    x, y, z of the end effector; train/, validate/ and test/ stay apart.
    """

    source: tyro.conf.Positional[Path]
    """Folder of episodes, or one episode; they must have the same joints, cameras and rate."""

    out: Path
    """The new folder."""

    kind: Annotated[Kind, tyro.conf.arg(name='to')]
    """What the set becomes."""

    raw: bool = False
    """aloha: store pixels also where the episodes hold JPEGs."""

    task: str = ''
    """lerobot: what is demonstrated; default: what each episode says."""

    crf: int = 18
    """lerobot: quality of the videos, 0 (best) to 51."""

    camera: str = ''
    """eipl, bair: the camera to export; default: the only one there is."""

    channels: Literal['bgr', 'rgb'] = 'bgr'
    """eipl: the order of the colours to write."""


def run(arguments: Arguments) -> int:
    """Export everything; what is wrong is one line, and no folder is left then."""
    _refuse_foreign_options(arguments)
    if not 0 <= arguments.crf <= 51:
        raise UserError(f'export: --crf is {arguments.crf}, expected 0 to 51')
    console = Console()
    columns = (TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        lines = EXPORTS[arguments.kind](arguments, progress)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    return 0


def _refuse_foreign_options(arguments: Arguments) -> None:
    defaults = {field.name: field.default for field in fields(arguments)}
    for name in sorted({name for names in OPTIONS_OF.values() for name in names}):
        kinds = [kind for kind, names in OPTIONS_OF.items() if name in names]
        if arguments.kind not in kinds and getattr(arguments, name) != defaults[name]:
            raise UserError(
                f'export: --{name} means nothing for --to {arguments.kind}, '
                f'expected it with --to {" or ".join(kinds)} only'
            )


def _to_aloha(arguments: Arguments, progress: Progress) -> list[str]:
    chosen = export_set(arguments.source)
    images = sum(chosen.rows) * len(chosen.cameras)
    on_row = _bar(arguments, progress, images)
    files = export_aloha(chosen, arguments.out, raw=arguments.raw, on_row=on_row)
    least, most = min(chosen.rows), max(chosen.rows)
    hint = f'; of {least} to {most} rows, tonyzhaozh/act wants equal lengths'
    told = hint if least != most else ''
    summary = f'{arguments.out}: {len(files)} episodes, {sum(chosen.rows)} rows{told}'
    return [*_failures(chosen), escape(summary)]


def _to_lerobot(arguments: Arguments, progress: Progress) -> list[str]:
    # Only here are pyarrow and PyAV needed.
    from motion_policy.episodes.formats.lerobot.from_episodes import export_lerobot

    chosen = export_set(arguments.source)
    on_row = _bar(arguments, progress, sum(chosen.rows))
    task, crf = arguments.task, arguments.crf
    export_lerobot(chosen, arguments.out, task=task, crf=crf, on_row=on_row)
    summary = f'{arguments.out}: {len(chosen.rows)} episodes, {sum(chosen.rows)} rows'
    return [*_failures(chosen), *_partial_efforts(chosen), escape(summary)]


def _to_eipl(arguments: Arguments, progress: Progress) -> list[str]:
    parts = eipl_parts(arguments.source)
    on_row = _bar(arguments, progress, _rows(parts))
    camera, channels = arguments.camera, arguments.channels
    export_eipl(parts, arguments.out, camera=camera, channels=channels, on_row=on_row)
    return _told(arguments, parts)


def _to_bair(arguments: Arguments, progress: Progress) -> list[str]:
    parts = bair_parts(arguments.source)
    on_row = _bar(arguments, progress, _rows(parts))
    export_bair(parts, arguments.out, camera=arguments.camera, on_row=on_row)
    return _told(arguments, parts)


def _rows(parts: Mapping[str, ExportSet]) -> int:
    return sum(sum(part.rows) for part in parts.values())


def _failures(*parts: ExportSet) -> list[str]:
    failed, count = sum(part.failed for part in parts), sum(len(part.rows) for part in parts)
    line = f'{NOTE} {failed} of {count} episodes were judged as failed, which others do not see'
    return [line] if failed else []


def _partial_efforts(chosen: ExportSet) -> list[str]:
    some, count = chosen.with_effort, len(chosen.episodes)
    line = f'{NOTE} efforts are left out: only {some} of {count} episodes have them'
    return [line] if 0 < some < count else []


def _told(arguments: Arguments, parts: Mapping[str, ExportSet]) -> list[str]:
    counts = [
        f'{len(part.rows)} episodes' + (f' in {split}' if split else '')
        for split, part in parts.items()
    ]
    return [*_failures(*parts.values()), escape(f'{arguments.out}: {", ".join(counts)}')]


def _bar(arguments: Arguments, progress: Progress, total: int) -> OnRow:
    bar = progress.add_task(escape(arguments.source.name), total=total)
    return lambda: progress.advance(bar)


EXPORTS: dict[Kind, Callable[[Arguments, Progress], list[str]]] = {
    'aloha': _to_aloha,
    'lerobot': _to_lerobot,
    'eipl': _to_eipl,
    'bair': _to_bair,
}
