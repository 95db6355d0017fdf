# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy`: 0 done, 1 failed, 2 bad usage; a mistake is one line, and start-up is light."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import pytest
import tyro

from motion_policy.cli import main as cli
from motion_policy.cli.main import SUBCOMMANDS, main
from motion_policy.errors import UserError

MODULES = {name: module for name, (module, _) in SUBCOMMANDS.items()}


@dataclass(frozen=True)
class Arguments:
    """Greet somebody."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """whom"""

    out: Path
    """where to"""

    tone: Annotated[Literal['kind', 'short'], tyro.conf.arg(name='from')] = 'kind'

    loud: bool = False
    """shout"""


@pytest.fixture
def greet(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A subcommand `greet`; its `outcome` is returned, or raised when it is an exception."""
    module = ModuleType('motion_policy.cli.greet')

    def run(arguments: Arguments) -> int:
        module.seen = arguments
        if isinstance(module.outcome, BaseException):
            raise module.outcome
        return int(module.outcome)

    module.Arguments, module.run, module.outcome = Arguments, run, 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'motion_policy.cli.greet', module)
    monkeypatch.setitem(SUBCOMMANDS, 'greet', ('greet', 'say hello'))
    yield module


def test_arguments_reach_the_subcommand(greet: ModuleType) -> None:
    assert main(['greet', 'a', 'b', '--out', 'x', '--from', 'short', '--loud']) == 0
    assert greet.seen == Arguments(('a', 'b'), Path('x'), 'short', True)


@pytest.mark.parametrize('code', [0, 1, 2])
def test_the_exit_code_is_that_of_the_subcommand(greet: ModuleType, code: int) -> None:
    greet.outcome = code  # type: ignore[attr-defined]
    assert main(['greet', '--out', 'x']) == code


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['greet'], ['greet', '--out', 'required', 'motion-policy greet --help']),
        (['greet', '--out', 'x', '--volume', '3'], ['greet', '--volume']),
        (['greet', '--out', 'x', '--from', 'rude'], ['rude', '--from', 'kind']),
        (['greet', '--out'], ['--out']),
        (['shout'], ['unknown subcommand', 'shout', 'inspect']),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    greet: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ''
    (line,) = output.err.splitlines()
    assert line.startswith('error: ')
    for word in words:
        assert word in line


def test_a_users_mistake_is_one_line_and_exit_code_2(
    greet: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    greet.outcome = UserError('arm.yaml: rate: found -1')  # type: ignore[attr-defined]
    assert main(['greet', '--out', 'x']) == 2
    assert capsys.readouterr().err == 'error: arm.yaml: rate: found -1\n'


def test_a_missing_extra_says_what_to_install(
    greet: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    greet.outcome = ModuleNotFoundError("No module named 'mujoco'", name='mujoco')  # type: ignore[attr-defined]
    assert main(['greet', '--out', 'x']) == 2
    assert "pip install 'motion_policy[sim]'" in capsys.readouterr().err
    # Anything else that is missing is our fault, and shows as such.
    greet.outcome = ModuleNotFoundError("No module named 'nonsense'", name='nonsense')  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError):
        main(['greet', '--out', 'x'])


def test_an_interruption_is_no_traceback(
    greet: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    greet.outcome = KeyboardInterrupt()  # type: ignore[attr-defined]
    assert main(['greet', '--out', 'x']) == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_help_is_shown(greet: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--help']) == 0
    overview = capsys.readouterr().out
    assert all(name in overview for name in SUBCOMMANDS)
    assert main(['greet', '--help']) == 0
    assert 'Greet somebody' in capsys.readouterr().out
    assert main([]) == 2
    assert main(['--version']) == 0
    assert 'motion-policy' in capsys.readouterr().out


@pytest.mark.parametrize('name', sorted(MODULES))
def test_every_subcommand_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (Path(cli.__file__).parent / f'{MODULES[name]}.py').is_file()
    assert main([name, '--help']) == 0
    assert f'motion-policy {name}' in capsys.readouterr().out


@pytest.mark.slow
def test_nothing_is_loaded_that_a_command_or_a_process_of_a_training_does_not_need() -> None:
    # One process, lightest first: what one has loaded, the others have too.
    code = """
import sys
from motion_policy.cli.main import main

def hold(names, heavy):
    for name in names:
        assert main([name, '--help']) == 0
    found = (heavy | {'pytorch_lightning', 'torchmetrics'}) & set(sys.modules)
    assert not found, (names, found)

hold(('inspect', 'check', 'import', 'robot'), {'torch', 'mujoco', 'rclpy', 'matplotlib'})
import motion_policy.cli.video_process  # beside a demo
hold((), {'torch', 'rclpy'})
hold(('evaluate', 'convert-checkpoint'), {'rclpy'})
import motion_policy.training.learning  # what brings data to a training
assert 'torch' in sys.modules
hold((), {'rclpy'})
"""
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['import', 'x', '--out', 'y', '--grippers', '0.1'], "'0.1', expected FLOAT FLOAT"),
        (['import', 'x', '--out', 'y', '--grippers', 'a', 'b'], "'a', 'b', expected FLOAT FLOAT"),
        (['import', 'x', '--out', 'y', '--rate', 'fast'], "'fast', expected FLOAT"),
        (['convert-checkpoint', 'x', 'y', '--heads', '1.5'], "'1.5', expected INT"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_option(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    option = next(word for word in reversed(arguments) if word.startswith('--'))
    error = f'error: {arguments[0]}: {option} is {words}; see motion-policy {arguments[0]} --help'
    assert capsys.readouterr().err.strip() == error


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['import', 'x', '--out', 'y', '--grippers', 'nan', '1'], '--grippers is (nan, 1.0)'),
        (['import', 'x', '--out', 'y', '--rate', 'inf'], '--rate is inf'),
        (['evaluate', 'x', 'y', '--mix', 'nan'], '--mix is nan'),
    ],
)
def test_a_number_that_is_not_finite_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert f'{words}, expected finite numbers' in capsys.readouterr().err
