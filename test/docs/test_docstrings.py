# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Docstrings say what stands in a module, the shapes of arrays, and where formulas come from."""

from __future__ import annotations

import ast
from pathlib import Path

from repository import ROOT

FOLDERS = ('benchmarks', 'launch', 'motion_policy', 'scripts', 'test')


def modules(*folders: str) -> dict[str, ast.Module]:
    """Return the syntax tree of every module below `folders` by its path from the root."""
    files = sorted(path for folder in folders for path in (ROOT / folder).rglob('*.py'))
    return {path.relative_to(ROOT).as_posix(): parsed(path) for path in files}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


def test_the_first_line_of_a_module_is_one_whole_sentence() -> None:
    wrong = []
    for name, tree in modules(*FOLDERS).items():
        first, *others = (ast.get_docstring(tree) or '').split('\n')
        if not first.endswith('.') or (others and others[0]):
            wrong.append(f'{name}: {first}')
    assert wrong == []
