# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy bench WHAT...`: run benchmarks/WHAT.py and show ours against its reference.

Every file in benchmarks/ is one benchmark, with SUMMARY, `lines(seconds, device)` and, where it
measures on a GPU too, DEVICES; nothing else is offered. What is measured is told at once, and
kept in the file whatever comes after: a line that fails ends no other line.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from motion_policy.cli.measurement import GPU, Line, Measurement
from motion_policy.errors import UserError
from motion_policy.files import write_json
from motion_policy.share import share_dir

CPU = 'cpu'


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
    device: Literal['auto', 'cpu', 'cuda'] = 'auto'
    """where the networks compute; auto: on the GPU if there is one and the benchmark is for it"""
    json: Path | None = None
    """write {"results": [...]} to this file, anew after each line"""


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
    failed: list[str] = []
    _write(arguments.json, results, failed)
    for name in arguments.what:
        module = _load(name, files[name])
        device = _device(name, module, arguments.device)
        lines = module.lines(arguments.seconds, device)
        console.print(
            f'[bold]{name}[/bold]: {module.SUMMARY}; {len(lines)} parts on {device}, each for '
            f'about {arguments.seconds:g} s after it is set up'
        )
        for number, line in enumerate(lines, 1):
            try:
                if not _measure(line, f'{name}, part {number} of {len(lines)}', results, console):
                    failed.append(f'{name}, part {number}')
            finally:  # also of a part that was stopped
                _write(arguments.json, results, failed)
    console.print(_table(results))
    if failed:
        console.print(f'failed: {"; ".join(failed)}', style='red', markup=False)
    return 1 if failed else 0


def _device(name: str, module: ModuleType, wanted: str) -> str:
    """Where a benchmark computes. UserError for a GPU that it cannot use."""
    knows_gpu = GPU in getattr(module, 'DEVICES', (CPU,))
    if wanted == CPU or (wanted == 'auto' and not knows_gpu):
        return CPU
    if not knows_gpu:
        raise UserError(f'bench: {name} measures on the CPU only, found --device cuda')
    import torch  # slow to load, and not every benchmark needs it

    if torch.cuda.is_available():
        return GPU
    if wanted == GPU:
        raise UserError('bench: --device cuda, but PyTorch finds no GPU here')
    return CPU


def _measure(line: Line, name: str, results: list[Measurement], console: Console) -> bool:
    """Measure one part, tell what was found; whether it came to its end."""
    try:
        for result in line():
            results.append(result)
            console.print(_told(result), markup=False, highlight=False, soft_wrap=True)
    except Exception:  # a network that a machine cannot compute must not cost the other lines
        console.print(f'{name} failed:', style='red', markup=False)
        console.print(traceback.format_exc(), markup=False, highlight=False, soft_wrap=True)
        return False
    return True


def _told(result: Measurement) -> str:
    verdict = 'met' if result.met else 'missed'
    return (
        f'  {result.what}: {result.ours:.3f} of {result.reference:.3f} {result.unit}, ratio '
        f'{result.ratio:.2f}, target <= {result.target:.2f} {verdict}'
    )


def _write(path: Path | None, results: Sequence[Measurement], failed: Sequence[str]) -> None:
    """All that was measured so far."""
    if path is not None:
        content = {
            'results': [result.to_json() for result in results],
            'failed': list(failed),
            'machine': _machine(),
        }
        write_json(path, content)


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f'motion_policy_benchmark_{name}', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # What benchmarks are made of lies in folders beside them, which are no installed packages.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
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
    """Where the figures were taken; its GPU where a benchmark has loaded what could use it."""
    torch = sys.modules.get('torch')
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
        **({'gpu': torch.cuda.get_device_name()} if torch and torch.cuda.is_available() else {}),
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
