# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Shared by subcommands that evaluate: option checks, progress bars, tables, output files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich.table
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.control import ChunkExecution
from motion_policy.errors import UserError
from motion_policy.files import make_folder, write_json
from motion_policy.html_report import Table

MAX_LATENCY_S = 60.0


def refuse(command: str, arguments: Any, names: Sequence[str], purpose: str) -> None:
    """UserError if one of these options was given a value of its own."""
    for name in names:
        if getattr(arguments, name) != getattr(type(arguments), name):
            raise UserError(f'{command}: --{name.replace("_", "-")} is for {purpose}')


def check_least(command: str, arguments: Any, **least: int) -> None:
    """UserError if one of these options is less than it may be."""
    for name, value in least.items():
        given = getattr(arguments, name)
        if given < value:
            raise UserError(f'{command}: --{name} is {given}, expected at least {value}')


def check_latency(command: str, latency_s: float) -> None:
    """UserError for a latency of inference that is out of range."""
    if not 0 <= latency_s <= MAX_LATENCY_S:
        raise UserError(
            f'{command}: --latency is {latency_s:g}, expected 0 to {MAX_LATENCY_S:g} s'
        )


def check_device(command: str, name: str) -> None:
    """UserError if torch cannot use this device."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{command}: --device '{name}' cannot be used: {first}") from None


def execution_of_options(arguments: Any) -> ChunkExecution:
    """How --execute, --crossfade and --ensemble say that chunks are to be played."""
    return ChunkExecution(arguments.execute, arguments.crossfade, arguments.ensemble)


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Any]:
    """A progress bar; yields what is called after each piece of work."""
    columns = (
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda result: shown.advance(task)


def print_table(console: Console, title: str, table: Table) -> None:
    """A title and a table; the first column is of words."""
    console.print(f'[bold]{title}[/bold]', highlight=False)
    shown = rich.table.Table(box=None, pad_edge=False, header_style='bold')
    for place, column in enumerate(table.columns):
        shown.add_column(column, justify='right' if place else 'left', no_wrap=not place)
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)


def write_numbers(arguments: Any, content: dict[str, Any]) -> None:
    """All numbers, to --json and to --out."""
    if arguments.out is not None:
        make_folder(arguments.out)
    for path in (arguments.json, arguments.out and arguments.out / 'evaluation.json'):
        if path is not None:
            write_json(path, content)


def say_where(console: Console, arguments: Any, video: Path | None) -> None:
    """What was written."""
    report = arguments.out and arguments.out / 'report.html'
    for path in (report, arguments.json, video):
        if path is not None:
            console.print(f'wrote {path}', highlight=False)
