# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy SUBCOMMAND`: find the subcommand, read its arguments, run it.

A user's mistake becomes one line on stderr. Exit code: 0 done, 1 failed, 2 bad usage.
Only the chosen subcommand is imported.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from motion_policy import __version__
from motion_policy.errors import UserError
from motion_policy.files import check_output, check_output_folder, shown

# Subcommand: (module, what it does in one line).
SUBCOMMANDS = {
    'demo': ('demo', 'the simulated arm under a shipped policy, over real ROS topics'),
    'rehearse': ('rehearse', 'stand in for the driver of any arm, and tell what it felt'),
    'robot': ('robot', 'write a first robot spec from what is on the topics, or check one'),
    'cockpit': ('cockpit', 'a web page to watch and drive an arm from'),
    'teach': ('teach', 'record demonstrations of a scripted teacher in simulation'),
    'import': ('import_', 'turn rosbag2, ALOHA, LeRobot, EIPL and BAIR data into episodes'),
    'export': ('export', 'turn episodes into a data set of ALOHA, LeRobot, EIPL or BAIR'),
    'inspect': ('inspect', 'show what is in an episode, a bag or a checkpoint'),
    'edit': ('edit', 'mend sets of episodes: trim, split, merge, relabel, undo and more'),
    'check': ('check', 'say whether episodes are sound; finish what a crash left'),
    'convert-checkpoint': (
        'convert_checkpoint',
        'bring models of EIPL, ACT and LeRobot, and take ours there',
    ),
    'export-policy': ('export_policy', "write a policy's step for other run times"),
    'train': ('train', 'train a policy from a configuration file'),
    'evaluate': ('evaluate', 'judge a policy on episodes, a bag or the simulated arm'),
    'calibrate': ('calibrate', 'say how wrong foresight may be before that is an alarm'),
    'bench': ('bench', 'measure against a named reference'),
}

# Options that name a folder or a file to write, and those that name what is read.
OUTPUT_FOLDERS = {
    'convert-checkpoint': 'destination',
    'evaluate': 'out',
    'export': 'out',
    'import': 'out',
    'teach': 'out',
}
# A report may lie beside what it is about; what was made from a folder may not.
OUT_OF_THE_INPUT = ('convert-checkpoint', 'export', 'import')
OUTPUT_FILES = ('json', 'plot', 'video', 'foxglove')
INPUTS = ('paths', 'data', 'config', 'checkpoint', 'source', 'sources')

# How tyro complains of a value for an option that may be left out.
_NO_TYPE = re.compile(
    r'^.*?Error parsing (--\S+): no type matching \{None\}\|\{?([^}]*?)\}? could be instantiated '
    r'from \[(.*?)\]\. Got errors: .*'
)

# Extras that bring a module which a subcommand may find missing.
_EXTRAS = {
    'torchvision': 'train',
    'pytorch_lightning': 'train',
    'tensorboard': 'train',
    'matplotlib': 'train',
    'av': 'train',
    'aiohttp': 'cockpit',
    'pyarrow': 'export',
    'foxglove': 'foxglove',
    'rerun': 'rerun',
    'mujoco': 'sim',
    'rclpy': 'ros',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `motion-policy` with these arguments (default: of the process); return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ('-h', '--help'):
        _print_overview()
        return 0 if arguments else 2
    if arguments[0] == '--version':
        print(f'motion-policy {__version__}')
        return 0
    try:
        return _run(arguments[0], arguments[1:])
    except UserError as error:
        return _usage_error(str(error))
    except BrokenPipeError:
        # Whoever read our words has gone; there is nobody to tell, also not at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno is None:
            raise
        named = '' if error.filename is None else f'{shown(error.filename)}: '
        return _usage_error(f'{named}{error.strerror}')
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


def _run(name: str, rest: list[str]) -> int:
    if name not in SUBCOMMANDS:
        raise UserError(f"unknown subcommand '{name}', expected one of: {', '.join(SUBCOMMANDS)}")
    try:
        module = import_module(f'motion_policy.cli.{SUBCOMMANDS[name][0]}')
        arguments = _parse(module, name, rest)
        if arguments is None:
            return 0
        _check_numbers(name, arguments)
        _check_outputs(name, arguments)
        return int(module.run(arguments))
    except ModuleNotFoundError as error:
        missing = (error.name or '').partition('.')[0]
        if missing not in _EXTRAS:
            raise
        raise UserError(
            f"{name}: the Python package '{missing}' is not installed, "
            f"expected: pip install 'motion_policy[{_EXTRAS[missing]}]'"
        ) from None


def _parse(module: ModuleType, name: str, rest: list[str]) -> Any:
    """Read the arguments of a subcommand; None when it only showed its help.

    Raises:
        UserError: the arguments are wrong.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                module.Arguments,
                prog=f'motion-policy {name}',
                args=rest,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as exit_request:
        if exit_request.code in (0, None):
            return None
        raise UserError(
            f'{name}: {_one_line(complaint.getvalue())}; see motion-policy {name} --help'
        ) from None


def _check_numbers(name: str, arguments: Any) -> None:
    """UserError for an option that is NaN or infinite: no number of ours may be."""
    for option, value in vars(arguments).items():
        numbers = value if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(one, float) and not math.isfinite(one) for one in numbers):
            raise UserError(
                f'{name}: --{option.replace("_", "-")} is {value}, expected finite numbers'
            )


def _check_outputs(name: str, arguments: Any) -> None:
    """UserError, before any work, for a file to write that could not be written at its end."""
    folder = getattr(arguments, OUTPUT_FOLDERS[name]) if name in OUTPUT_FOLDERS else None
    if folder is not None:
        check_output_folder(folder, _named(arguments) if name in OUT_OF_THE_INPUT else ())
    for option in OUTPUT_FILES:
        path = getattr(arguments, option, None)
        if path is not None:
            check_output(path, _inputs(arguments), folder)


def _named(arguments: Any) -> Iterator[Path]:
    """The files and folders that these arguments name as sources."""
    for option in INPUTS:
        given = getattr(arguments, option, ())
        yield from map(Path, (given,) if isinstance(given, (str, Path)) else given)


def _inputs(arguments: Any) -> Iterator[Path]:
    """The files that these arguments name as sources, and those in the folders."""
    for path in _named(arguments):
        yield from path.iterdir() if path.is_dir() else (path,)


def _one_line(boxed: str) -> str:
    """Take the words out of the box that tyro draws around a complaint."""
    sections = ['']
    for line in re.sub(r'\x1b\[[0-9;]*m', '', boxed).splitlines():
        words = line.strip('│ ')
        if words.startswith(('For full helptext', 'Argument helptext')):
            break
        if words.startswith('─'):
            sections.append('')
        elif not words.startswith(('╭', '╰')):
            sections[-1] = f'{sections[-1]} {words}'.strip()
    text = '; '.join(filter(None, sections)) or 'bad arguments'
    return _NO_TYPE.sub(r'\1 is \3, expected \2', text)


def _print_overview() -> None:
    console = Console()
    console.print('motion-policy SUBCOMMAND ...   teach a robot arm by demonstration\n')
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, (_, summary) in SUBCOMMANDS.items():
        table.add_row(f'  {name}', summary)
    console.print(table)
    console.print(
        '\nmotion-policy SUBCOMMAND --help tells more. Exit code: 0 done, 1 failed, 2 bad usage.'
    )


def _usage_error(line: str) -> int:
    print(f'error: {shown(line)}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    raise SystemExit(main())
