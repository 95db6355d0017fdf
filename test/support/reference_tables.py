# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the reference pages: which names have a row of their own."""

from __future__ import annotations

import re

from repository import ROOT


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


def row_names(text: str) -> list[str]:
    """Return, sorted, what all tables of a text have rows for; of `--name N` that is `--name`."""
    names = []
    for table in re.findall(r'(?:^\|.*\n)+', f'{text}\n', re.MULTILINE):
        for row in table.splitlines()[2:]:
            cell = re.split(r'(?<!\\)\|', row)[1]
            names += [code.split()[0] for code in re.findall(r'`([^`]+)`', cell)]
    return sorted(names)
