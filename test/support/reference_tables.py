# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the reference pages: rows, the names in them, the defaults that they tell."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from repository import ROOT

CODE = re.compile(r'`([^`]+)`')


@dataclass(frozen=True)
class Table:
    """A table of a page: its header and its rows, cell by cell, as they are written."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, header: str) -> list[str]:
        """Return the cells below a header, from above to below."""
        at = self.header.index(header)
        return [row[at] for row in self.rows]

    def by_name(self, header: str) -> dict[str, str]:
        """Return the cells below a header by the names in the first column.

        Where that has several names in a row, each gets its part of a cell with as many parts
        (`1, 0`), else the whole.
        """
        cells: dict[str, str] = {}
        for row, cell in zip(self.rows, self.column(header), strict=True):
            names, parts = codes(row[0]), cell.split(', ')
            if len(parts) != len(names):
                parts = [cell] * len(names)
            for name, part in zip(names, parts, strict=True):
                assert name not in cells, f'{name} has two rows'
                cells[name] = part
        return cells


def page(name: str) -> str:
    """Return the text of a page in docs/reference."""
    return (ROOT / 'docs' / 'reference' / name).read_text(encoding='utf-8')


def section(text: str, heading: str) -> str:
    """Return what stands below `## heading`, of any level, up to the next one of that or above;
    of '' what stands before the first section.
    """
    if not heading:
        return text.partition('\n## ')[0]
    found = re.search(rf'^(#+) {re.escape(heading)}\n', text, re.MULTILINE)
    assert found, f'no section "{heading}"'
    below = text[found.end() :]
    return re.split(rf'^#{{1,{len(found[1])}}} ', below, flags=re.MULTILINE)[0]


def tables(text: str) -> list[Table]:
    """Return all tables of a text."""
    found = []
    for lines in re.findall(r'(?:^\|.*\n)+', f'{text}\n', re.MULTILINE):
        header, _, *rows = (_cells(line) for line in lines.splitlines())
        assert {len(row) for row in rows} <= {len(header)}, f'cells of {header}'
        found.append(Table(header, tuple(rows)))
    return found


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in re.split(r'(?<!\\)\|', line.strip())[1:-1])


def codes(cell: str) -> list[str]:
    """Return what stands as code in a cell; of `--name N` that is `--name`."""
    return [code.split()[0] for code in CODE.findall(cell)]


def row_names(text: str) -> list[str]:
    """Return, sorted, what all tables of a text have rows for; of `--name N` that is `--name`."""
    return sorted(name for table in tables(text) for row in table.rows for name in codes(row[0]))


def keys_of_evaluate() -> dict[str, set[str]]:
    """Return the keys of the JSON file of `evaluate` that have a row, by what they are for.

    That is 'simulation' or 'frame predictor', as the row says, or '': recordings.
    """
    keys: dict[str, set[str]] = {'': set(), 'simulation': set(), 'frame predictor': set()}
    for table in tables(section(page('command_line.md'), 'evaluate')):
        if table.header == ('key', 'meaning'):
            for names, meaning in table.rows:
                kind = meaning.partition(':')[0]
                keys[kind if kind in keys else ''] |= {*codes(names)}
    return keys


def tells(cell: str, default: Any, text: str = '') -> bool:
    """Whether a cell tells a default.

    That is its value, or of what has none (None, an empty text or list) nothing, or words that
    stand in `text`: what is said of it in the code, and has to be where that tells a default.
    """
    plain = cell.replace('`', '')
    if isinstance(default, bool):
        return plain == str(default).lower()
    if isinstance(default, (int, float)):
        return re.fullmatch(r'[-+.e\d]+', plain) is not None and float(plain) == default
    if isinstance(default, (tuple, list)) and default:
        return plain == json.dumps(default)
    if isinstance(default, str) and default:
        return plain == default
    return words(plain) <= words(text) and bool(plain or not re.search('[Dd]efault|unset', text))


def words(text: str) -> set[str]:
    """Return the words and numbers of a text."""
    return set(re.findall(r'[\w.]*\w', text))
