# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The site has every page, in the order of docs/index.md, and links that lead somewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

DOCS = ROOT / 'docs'
SITE = runpy.run_path(str(ROOT / 'scripts' / 'site_pages.py'))
PAGES = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob('*.md')}


def leaves(navigation: list[Any]) -> Iterator[str]:
    for entry in navigation:
        value = entry if isinstance(entry, str) else next(iter(entry.values()))
        yield from [value] if isinstance(value, str) else leaves(value)


def test_the_index_names_every_page_but_notes() -> None:
    listed = {page for _, page in SITE['index_entries']()}
    assert {page for page in PAGES - listed if '/notes/' not in page} == {'index.md'}


def test_the_navigation_has_every_page_once() -> None:
    pages = list(leaves(SITE['navigation']()))
    assert len(pages) == len(set(pages)) and set(pages) >= PAGES
    assert {'api/robot.md', 'api/policies.md', 'repository/CHANGELOG.md'} <= set(pages)


def test_links_out_of_docs_lead_to_copies() -> None:
    text = '[a](../../config/train/sarnn_tabletop.yaml) [b](../howto/act.md#x) [c](https://x.y/z)'
    mended = '[a](../repository/config/train/sarnn_tabletop.yaml) [b](../howto/act.md#x) '
    assert SITE['relinked'](text, DOCS / 'results' / 'index.md') == mended + '[c](https://x.y/z)'
    back = SITE['relinked']('[d](docs/howto/act.md)', ROOT / 'CHANGELOG.md')
    assert back == '[d](../howto/act.md)'


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip('mkdocstrings', reason='the site needs `make docs` once')
    built = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(tmp_path)],
        cwd=ROOT, env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'}, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    api = (tmp_path / 'api' / 'streams.html').read_text(encoding='utf-8')
    assert 'id="motion_policy.streams.GridSampler"' in api
    loaded = re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', api)
    assert loaded == [], 'nothing is loaded from other sites'
