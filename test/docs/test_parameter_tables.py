# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of parameters are those of the code, row by row."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest
from repository import ROOT

NODES = ROOT / 'motion_policy' / 'nodes'
PAGE = (ROOT / 'docs' / 'reference' / 'nodes.md').read_text(encoding='utf-8')
AGAIN = 'run: scripts/run.sh python scripts/parameter_tables.py'


@pytest.fixture(scope='module')
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / 'scripts' / 'parameter_tables.py'))


def test_the_tables_are_those_of_the_code(script: dict[str, Any]) -> None:
    assert script['with_tables'](PAGE) == PAGE, AGAIN


def test_no_row_can_go_or_change_unnoticed(script: dict[str, Any]) -> None:
    rows = [row for node in script['TABLES'] for row in script['table'](node).splitlines(True)]
    for row in rows:
        assert row in PAGE, AGAIN
        assert script['with_tables'](PAGE.replace(row, '')) == PAGE
        assert script['with_tables'](PAGE.replace(row, row.upper())) == PAGE


def test_each_table_has_the_groups_that_its_node_declares(script: dict[str, Any]) -> None:
    for node, groups in script['TABLES'].items():
        code = (NODES / f'{node}.py').read_text(encoding='utf-8')
        if node == 'arm_driver':
            code += (NODES / 'guard_parameters.py').read_text(encoding='utf-8')
        declared = re.findall(r'declare_group\(\s*(?:self|node),\s*(\w+)', code)
        assert sorted(declared) == sorted(group.__name__ for group in groups)
        begin = PAGE.index(script['begin_mark'](node))
        heading = re.findall(r'^## (.*)', PAGE[:begin], re.MULTILINE)[-1]
        assert heading == ('policy_node' if node == 'arm_driver' else node)


def test_parameters_are_declared_in_groups_only(script: dict[str, Any]) -> None:
    files = {path.relative_to(NODES).as_posix(): path for path in NODES.rglob('*.py')}
    codes = {name: path.read_text(encoding='utf-8') for name, path in files.items()}
    declaring = {
        name for name, code in codes.items() if re.search(r'\.declare_parameters?\(', code)
    }
    assert declaring == {'parameters/declaring.py'}
    grouping = {
        name for name, code in codes.items() if re.search(r'(?<!def )declare_group\(', code)
    }
    assert grouping == {*(f'{node}.py' for node in script['TABLES']), 'guard_parameters.py'}
