# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The page on the architecture is what the code says: its drawing, its table, its processes."""

from __future__ import annotations

import ast
import re
import runpy
from typing import Any

import pytest
from repository import ROOT

PACKAGE = ROOT / 'motion_policy'
PAGE = ROOT / 'docs' / 'explanation' / 'architecture.md'
# What starts a thread or a process.
STARTING = {
    'threading.Thread', 'subprocess.Popen', 'subprocess.run', 'ThreadPoolExecutor',
    'ProcessPoolExecutor', 'DataLoader', 'WorkerProcess', 'start_child',
}  # fmt: skip


@pytest.fixture(scope='module')
def drawing() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / 'scripts' / 'draw_rooms.py'))


def test_drawing_and_table_are_those_of_the_code(drawing: dict[str, Any]) -> None:
    rooms = drawing['read_rooms']()
    page = PAGE.read_text(encoding='utf-8')
    again = 'run: scripts/run.sh python scripts/draw_rooms.py'
    assert drawing['DRAWING'].read_text(encoding='utf-8') == drawing['draw'](rooms), again
    assert page == drawing['with_table'](page, rooms), again


def test_an_arrow_is_drawn_for_every_import_that_does_not_follow(drawing: dict[str, Any]) -> None:
    room = drawing['Room']
    rooms = {
        'low': room('low', '', frozenset(), frozenset(), ()),
        'middle': room('middle', '', frozenset({'low'}), frozenset(), ()),
        'beside': room('beside', '', frozenset({'low'}), frozenset(), ()),
        'high': room('high', '', frozenset({'low', 'middle', 'beside'}), frozenset(), ()),
    }
    assert set(drawing['arrows'](rooms)) == {
        ('middle', 'low'), ('beside', 'low'), ('high', 'middle'), ('high', 'beside'),
    }  # fmt: skip
    assert [sorted(row) for row in drawing['layers'](rooms)] == [
        ['high'], ['beside', 'middle'], ['low'],
    ]  # fmt: skip


def test_every_file_that_starts_a_thread_or_a_process_is_on_the_page() -> None:
    starting = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTING
    }
    named = set(re.findall(r'`((?:\w+/)+\w+\.py)`', PAGE.read_text(encoding='utf-8')))
    assert starting - named == set()
    places = (PACKAGE, ROOT)
    assert {name for name in named if not any((at / name).is_file() for at in places)} == set()


def test_every_test_that_the_page_names_is_there() -> None:
    names = set(re.findall(r'`(test/[\w/.]+)`', PAGE.read_text(encoding='utf-8')))
    assert names and {name for name in names if not (ROOT / name).exists()} == set()
