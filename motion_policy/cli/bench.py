# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy bench WHAT...`: run benchmarks/WHAT.py and show ours against its reference.

Every file in benchmarks/ is one benchmark, with SUMMARY and `run(seconds)`; nothing else is
offered.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from motion_policy.cli.measurement import Measurement
from motion_policy.errors import UserError
from motion_policy.evaluation.report import write_text
from motion_policy.share import share_dir


def benchmark_files() -> dict[str, Path]:
    """Benchmark name -> its file."""
    folder = share_dir() / 'benchmarks'
    return {path.stem.replace('_', '-'): path for path in sorted(folder.glob('[a-z]*.py'))}


@dataclass(frozen=True)
class Arguments:
    """Measure ours against a named reference in the same run; less is better in every line.

    Machine load spoils figures: close what else runs. Thread counts are set by each benchmark.
    """

    what: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar='WHAT...', help=f'what to measure: {", ".join(benchmark_files()) or "-"}'
        ),
    ]
    seconds: float = 10.0
    """how long each line is measured"""
    json: Path | None = None
    """write {"results": [...]} to this file"""


def run(arguments: Arguments) -> int:
    """Run the benchmarks, print a table, write the JSON file."""
    files = benchmark_files()
    if not arguments.what:
        raise UserError(f'bench: nothing named, expected one or more of: {", ".join(files)}')
    for name in arguments.what:
        if name not in files:
            raise UserError(f"bench: unknown benchmark '{name}', expected: {', '.join(files)}")
    if not arguments.seconds > 0:
        raise UserError(f'bench: --seconds is {arguments.seconds}, expected a number > 0')
    console = Console()
    results: list[Measurement] = []
    for name in arguments.what:
        module = _load(name, files[name])
        console.print(f'[bold]{name}[/bold]: {module.SUMMARY}')
        results += module.run(arguments.seconds)
    console.print(_table(results))
    if arguments.json is not None:
        content = {'results': [result.to_json() for result in results], 'machine': _machine()}
        write_text(arguments.json, json.dumps(content, indent=2) + '\n')
    return 0


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f'motion_policy_benchmark_{name}', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _table(results: Sequence[Measurement]) -> Table:
    table = Table(box=None, pad_edge=False, header_style='bold')
    table.add_column('what')
    for column in ('ours', 'reference', 'ratio', 'target'):
        table.add_column(column, justify='right')
    table.add_column('unit')
    table.add_column('')
    for result in results:
        verdict = '[green]met[/green]' if result.met else '[red]missed[/red]'
        table.add_row(
            result.what,
            f'{result.ours:.3f}',
            f'{result.reference:.3f}',
            f'{result.ratio:.2f}',
            f'<= {result.target:.2f}',
            result.unit,
            verdict,
        )
    return table


def _machine() -> dict[str, Any]:
    """Where the figures were taken."""
    versions = {}
    for package in ('torch', 'numpy'):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        'processor': _processor(),
        'cores': len(os.sched_getaffinity(0)),
        'load_average': os.getloadavg()[0],
        'python': platform.python_version(),
        **versions,
    }


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()
