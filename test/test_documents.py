# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""YAML and JSON from outside are bounded before anything is built, and wrong ones are one line."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recordings import tabletop

from motion_policy.cli.main import main
from motion_policy.documents import (
    MOST_BYTES,
    MOST_DEPTH,
    json_mapping,
    parse_yaml,
    read_json,
    read_yaml,
)
from motion_policy.errors import UserError
from motion_policy.files import FileError, read_bytes, regular_file
from motion_policy.policies import read_policy_spec
from motion_policy.robot import RobotSpecError, load_robot_spec, robot_spec_from_yaml
from motion_policy.training import load_train_config


def alias_bomb(key: str) -> str:
    """Return 1.8 kB of YAML below a key that stand for 10 ** 9 values."""
    lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
    for before, name in zip('abcdefgh', 'bcdefghi', strict=True):
        lines.append(f'{name}: &{name} [{", ".join([f"*{before}"] * 10)}]')
    return '\n'.join([f'{key}:', *(f'  {line}' for line in lines)]) + '\n'


WRONG_YAML = [
    (alias_bomb('robot'), 'stands for more than'),
    ('a: ' + '[' * 3000 + ']' * 3000, f'line 1: is nested deeper than {MOST_DEPTH} levels'),
    ('[' * 3000, 'is nested deeper'),
    ('rate: 50\nname: x\nrate: 60', "line 3: key 'rate' stands twice, first in line 1"),
    ('limits: {a: 1, a: 2}', "line 1: key 'a' stands twice, first in line 1"),
    ('a: &x\n  b: *x', "line 2: alias 'x' stands within what it stands for"),
    ('a: !!timestamp 2020-99-99', 'line 1: not YAML'),
    ('a: !!python/object/apply:os.system [ls]', 'line 1: not YAML: could not determine'),
    ('a: 1\nb: [2', 'not YAML: while parsing a flow sequence'),
    ('b: 1\na: ' + '9' * 5000, 'line 2: not YAML'),
    ('a: !!int many', 'line 1: not YAML'),
    ('a: *unknown', 'line 1: not YAML: found undefined alias'),
    ('a: \x00', 'not YAML'),
    ('a: \udcff', 'not YAML'),
    ('--- 1\n--- 2', 'not YAML: expected a single document'),
    ('a: !!binary "###"', 'not YAML'),
    (f'a: {"x" * MOST_BYTES}', f'at most {MOST_BYTES}'),
]


@pytest.mark.parametrize(('text', 'words'), WRONG_YAML, ids=[words for _, words in WRONG_YAML])
def test_yaml_that_is_wrong_or_boundless_is_one_line(text: str, words: str) -> None:
    with pytest.raises(FileError) as caught:
        parse_yaml(text, 'arm.yaml')
    line = str(caught.value)
    assert line.startswith('arm.yaml:') and words in line and line.isprintable()


def test_yaml_that_people_write_is_read() -> None:
    text = (
        'base: &base {a: 1.5, b: [2, 0x10]}\nother: {<<: *base, a: 3}\nagain: [*base, *base]\n'
        'day: 2020-99-99\nflag: yes\nnone: ~\n'
    )
    base = {'a': 1.5, 'b': [2, 16]}
    assert parse_yaml(text, 'x') == {
        'base': base,
        'other': {'b': [2, 16], 'a': 3},
        'again': [base, base],
        'day': '2020-99-99',
        'flag': True,
        'none': None,
    }


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('[' * 100_000, 'is nested too deep'),
        ('{"a": 1, "a": 2}', "key 'a' stands twice"),
        ('{"a": ', 'not JSON: Expecting value'),
        ('9' * 5000, 'not JSON'),
        ('', 'not JSON'),
        ('{"a": NaN}', 'holds NaN, expected a finite number'),
        ('[1]', 'holds list, expected keys and values'),
    ],
)
def test_json_that_is_wrong_is_one_line(text: str, words: str) -> None:
    with pytest.raises(FileError) as caught:
        json_mapping(text, 'info.json')
    line = str(caught.value)
    assert line.startswith('info.json: ') and words in line and line.isprintable()


def test_a_document_without_keys_is_refused(tmp_path: Path) -> None:
    for read, content in ((read_yaml, '- 1'), (read_json, '[1]'), (read_yaml, '1: 2')):
        path = tmp_path / 'x'
        path.write_text(content)
        with pytest.raises(FileError, match=r'x: (holds list|key 1 is no text), expected'):
            read(path)


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / 'x.yaml')
    return folder / 'x.yaml'


def endless(folder: Path) -> Path:
    (folder / 'x.yaml').symlink_to('/dev/zero')
    return folder / 'x.yaml'


def large(folder: Path) -> Path:
    with (folder / 'x.yaml').open('wb') as file:
        file.truncate(2**40)
    return folder / 'x.yaml'


def is_folder(folder: Path) -> Path:
    (folder / 'x.yaml').mkdir()
    return folder / 'x.yaml'


def no_text(folder: Path) -> Path:
    (folder / 'x.yaml').write_bytes(b'name: \xff\xfe')
    return folder / 'x.yaml'


UNREADABLE = [
    (pipe, 'is a pipe or a device, expected'),
    (endless, 'is a pipe or a device, expected'),
    (large, 'has 1099511627776 bytes, expected'),
    (is_folder, 'is a folder, expected'),
    (no_text, 'byte 6 is no UTF-8, expected'),
    (lambda folder: folder / 'x.yaml', 'no such file, expected'),
    (lambda folder: folder / ('x' * 300), 'cannot be read: File name too long'),
]


@pytest.mark.parametrize(('place', 'words'), UNREADABLE)
def test_what_is_no_file_of_text_is_refused_before_it_is_read(
    tmp_path: Path, place: Callable[[Path], Path], words: str
) -> None:
    path = place(tmp_path)
    readers: list[Callable[[Path], Any]] = [read_yaml, read_json, load_train_config]
    readers += [load_robot_spec] if os.path.exists(path) else []
    for read in readers:
        with pytest.raises(UserError) as caught:
            read(path)
        assert str(caught.value).startswith(f'{path}: ') and words in str(caught.value)


def test_a_file_whose_size_is_unknown_is_read_up_to_the_bound_only(tmp_path: Path) -> None:
    path = Path('/proc/self/smaps')  # a regular file of 0 bytes, in the words of the system
    with pytest.raises(FileError, match='has 1001 bytes, expected a file of at most 1000'):
        read_bytes(path, 1000)
    assert regular_file(path) == path


def test_an_alias_bomb_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    spec = tabletop().to_yaml()
    (tmp_path / 'policy.yaml').write_text(
        f'format: motion_policy/policy/1\nkind: sarnn\n{alias_bomb("data")}'
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    for read in (
        lambda: robot_spec_from_yaml(f'{spec}\n{alias_bomb("more")}', 'arm.yaml'),
        lambda: read_policy_spec(tmp_path),
    ):
        with pytest.raises(UserError, match=r'\.yaml: line \d+: stands for more than'):
            read()
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 100 * 1024


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('rate: 50.0', 'rate: .inf', 'rate: found inf, expected a finite number'),
        ('rate: 50.0', 'rate: .nan', 'rate: found nan, expected a finite number'),
        ('rate: 50.0', 'rate: true', 'rate: found true or false, expected a number'),
        ('rate: 50.0', 'rate: 2020-99-99', "rate: found '2020-99-99', expected number"),
        ('velocity: [', 'velocity: [true, ', 'joints.limits.velocity: found true or false'),
        ('acceleration: [', 'acceleration: [.inf, ', 'expected a finite number'),
    ],
)
def test_a_number_is_a_finite_number(old: str, new: str, words: str) -> None:
    text = tabletop().to_yaml()
    assert old in text
    with pytest.raises(RobotSpecError) as caught:
        robot_spec_from_yaml(text.replace(old, new, 1), 'arm.yaml')
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ('old', 'new', 'rate'),
    [('rate: 50.0', 'rate: 010', 10), ('rate: 50.0', 'rate: 0640', 640), ('', '', 50)],
)
def test_a_number_is_decimal_as_people_read_it(old: str, new: str, rate: float) -> None:
    spec = robot_spec_from_yaml(tabletop().to_yaml().replace(old, new, 1), 'arm.yaml')
    assert spec.rate == rate
    assert parse_yaml('[1:30, 1:30.5, 0x10, -0.5, .5, 1e+3, 0]', 'x') == [
        '1:30', '1:30.5', 16, -0.5, 0.5, '1e+3', 0,
    ]  # fmt: skip


def test_the_command_line_says_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'run\n\x1b[31m.yaml'
    path.write_text(alias_bomb('data'))
    assert main(['train', str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: {tmp_path}/run\\n\\x1b[31m.yaml: line ')
    assert error.count('\n') == 1 and error[:-1].isprintable()
