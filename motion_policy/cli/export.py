# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy export`: writes episodes as data sets of other tools.

An option that means nothing for a kind of set is refused, never ignored; nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.cli.kind_options import refuse_foreign_options
from motion_policy.cli.literal import escape
from motion_policy.episodes.formats.aloha.from_episodes import export_aloha
from motion_policy.episodes.formats.bair.from_episodes import bair_parts, export_bair
from motion_policy.episodes.formats.eipl.from_episodes import eipl_parts, export_eipl
from motion_policy.episodes.formats.export_set import ExportSet, export_set
from motion_policy.errors import UserError

Kind = Literal['aloha', 'lerobot', 'eipl', 'bair']
OnRow = Callable[[], None]
NOTE = '[yellow]note[/]'


@dataclass(frozen=True)
class Target:
    """What every kind of set has."""

    source: tyro.conf.Positional[Path]
    """Folder of episodes, or one episode; they must have the same joints, cameras and rate."""

    out: Path
    """The new folder."""

    kind: Annotated[Kind, tyro.conf.arg(name='to')]
    """What the set becomes."""


@dataclass(frozen=True)
class ExportCamera:
    """For what has the images of one camera."""

    camera: str = ''
    """eipl, bair: the camera to export; default: the only one there is."""


@dataclass(frozen=True)
class ToAloha(Target):
    """Options of aloha."""

    raw: bool = False
    """aloha: store pixels also where the episodes hold JPEGs."""


@dataclass(frozen=True)
class ToLerobot(Target):
    """Options of lerobot."""

    task: str = ''
    """lerobot: what is demonstrated; default: what each episode says."""

    crf: int = 18
    """lerobot: quality of the videos, 0 (best) to 51."""


@dataclass(frozen=True)
class ToEipl(ExportCamera, Target):
    """Options of eipl."""

    channels: Literal['bgr', 'rgb'] = 'bgr'
    """eipl: the order of the colours to write."""


@dataclass(frozen=True)
class ToBair(ExportCamera, Target):
    """Options of bair."""


@dataclass(frozen=True)
class Arguments(ToEipl, ToBair, ToLerobot, ToAloha):
    """Turn episodes into a data set of another tool.

    aloha: episode_0.hdf5, episode_1.hdf5, ... with ALOHA's names; attributes tell the rest. JPEGs
    stay JPEGs, as act-plus-plus and Interbotix read them; tonyzhaozh/act reads pixels only: --raw.

    lerobot: a data set of version 3.0 (Parquet, H.264 videos, meta/). Needs pyarrow and PyAV.

    eipl: images.npy, joints.npy and joint_bounds.npy; a folder with train/ and test/ gives both.

    bair: traj_*/N/ with 0.png, ..., actions.csv and endeffector_positions.csv, for joints that are
    x, y, z of the end effector; train/, validate/ and test/ stay apart.
    """


def run(arguments: Arguments) -> int:
    """Export everything; what is wrong is one line, and no folder is left then."""
    refuse_foreign_options(
        arguments, {kind: exporter.options for kind, exporter in EXPORTS.items()}, 'export', '--to'
    )
    if not 0 <= arguments.crf <= 51:
        raise UserError(f'export: --crf is {arguments.crf}, expected 0 to 51')
    console = Console()
    columns = (TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        lines = EXPORTS[arguments.kind].export(arguments, progress)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    return 0


def _to_aloha(options: ToAloha, progress: Progress) -> list[str]:
    chosen = export_set(options.source)
    images = sum(chosen.rows) * len(chosen.cameras)
    on_row = _bar(options, progress, images)
    files = export_aloha(chosen, options.out, raw=options.raw, on_row=on_row)
    least, most = min(chosen.rows), max(chosen.rows)
    hint = f'; of {least} to {most} rows, tonyzhaozh/act wants equal lengths'
    told = hint if least != most else ''
    summary = f'{options.out}: {len(files)} episodes, {sum(chosen.rows)} rows{told}'
    return [*_unseen(chosen), *_no_vectors(chosen), *_no_depth(chosen), escape(summary)]


def _to_lerobot(options: ToLerobot, progress: Progress) -> list[str]:
    # Only here are pyarrow and PyAV needed.
    from motion_policy.episodes.formats.lerobot.from_episodes import export_lerobot

    chosen = export_set(options.source)
    on_row = _bar(options, progress, sum(chosen.rows))
    task, crf = options.task, options.crf
    export_lerobot(chosen, options.out, task=task, crf=crf, on_row=on_row)
    summary = f'{options.out}: {len(chosen.rows)} episodes, {sum(chosen.rows)} rows'
    told = [*_unseen(chosen), *_partial_efforts(chosen), *_no_depth(chosen)]
    return [*told, escape(summary)]


def _to_eipl(options: ToEipl, progress: Progress) -> list[str]:
    parts = eipl_parts(options.source)
    on_row = _bar(options, progress, _rows(parts))
    camera, channels = options.camera, options.channels
    export_eipl(parts, options.out, camera=camera, channels=channels, on_row=on_row)
    return _told(options, parts)


def _to_bair(options: ToBair, progress: Progress) -> list[str]:
    parts = bair_parts(options.source)
    on_row = _bar(options, progress, _rows(parts))
    export_bair(parts, options.out, camera=options.camera, on_row=on_row)
    return _told(options, parts)


def _rows(parts: Mapping[str, ExportSet]) -> int:
    return sum(sum(part.rows) for part in parts.values())


def _unseen(*parts: ExportSet) -> list[str]:
    failed, count = sum(part.failed for part in parts), sum(len(part.rows) for part in parts)
    line = f'{NOTE} {failed} of {count} episodes were judged as failed, which others do not see'
    driven = sum(part.rollouts for part in parts)
    who = (
        f'{NOTE} {driven} of {count} episodes are rollouts of a policy: who drove in which row is '
        'left out, and others would imitate the policy, too'
    )
    return [line] * bool(failed) + [who] * bool(driven)


def _partial_efforts(chosen: ExportSet) -> list[str]:
    some, count = chosen.with_effort, len(chosen.episodes)
    line = f'{NOTE} efforts are left out: only {some} of {count} episodes have them'
    return [line] if 0 < some < count else []


def _no_vectors(*parts: ExportSet) -> list[str]:
    names = ', '.join(dict.fromkeys(name for part in parts for name in part.vectors))
    return [f'{NOTE} vectors are left out: {names}'] if names else []


def _no_depth(*parts: ExportSet) -> list[str]:
    names = ', '.join(dict.fromkeys(name for part in parts for name in part.depth))
    return [f'{NOTE} depth is left out: {names}'] if names else []


def _told(options: Target, parts: Mapping[str, ExportSet]) -> list[str]:
    counts = [
        f'{len(part.rows)} episodes' + (f' in {split}' if split else '')
        for split, part in parts.items()
    ]
    every = parts.values()
    told = [*_unseen(*every), *_no_vectors(*every), *_no_depth(*every)]
    return [*told, escape(f'{options.out}: {", ".join(counts)}')]


def _bar(options: Target, progress: Progress, total: int) -> OnRow:
    bar = progress.add_task(escape(options.source.name), total=total)
    return lambda: progress.advance(bar)


@dataclass(frozen=True)
class Exporter:
    """How episodes become one kind of set.

    Attributes:
        options: its dataclass.
        export: exports everything; returns what to say of it.
    """

    options: type[Target]
    export: Callable[[Arguments, Progress], list[str]]


EXPORTS: dict[Kind, Exporter] = {
    'aloha': Exporter(ToAloha, _to_aloha),
    'lerobot': Exporter(ToLerobot, _to_lerobot),
    'eipl': Exporter(ToEipl, _to_eipl),
    'bair': Exporter(ToBair, _to_bair),
}
