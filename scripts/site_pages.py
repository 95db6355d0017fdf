# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What `make docs` adds to docs/: the navigation, the API pages, and files that pages link to.

The navigation follows docs/index.md; an API page is a room's `__all__`. MkDocs calls the functions
that begin with `on_`.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
PACKAGE = ROOT / 'motion_policy'
REPOSITORY, API = 'repository', 'api'  # folders of the site that docs/ does not have
SECTIONS = {
    'tutorials': 'Tutorials', 'howto': 'How-to', 'reference': 'Reference',
    'explanation': 'Explanation', 'results': 'Results',
}  # fmt: skip
LINK = re.compile(r'(\]\()([^)#\s]+)([^)]*\))')


def index_entries() -> list[tuple[str, str]]:
    """List (title, page) of every link of docs/index.md."""
    text = (DOCS / 'index.md').read_text(encoding='utf-8')
    return re.findall(r'\[([^\]]+)\]\(([^)#\s]+\.md)\)', text)


def navigation() -> list[Any]:
    """Return MkDocs' `nav`: the pages of docs/index.md by folder, then the API."""
    sections: dict[str, list[Any]] = {title: [] for title in SECTIONS.values()}
    listed = []
    for title, page in index_entries():
        if not page.startswith('..'):
            sections[SECTIONS[page.partition('/')[0]]].append({title: page})
            listed.append(page)
    for path in sorted(DOCS.rglob('*.md')):  # notes, which the index leaves to the results
        page = path.relative_to(DOCS).as_posix()
        if page not in [*listed, 'index.md']:
            sections[SECTIONS[page.partition('/')[0]]].append(page)
    project = [{'Changes': site_path(ROOT / 'CHANGELOG.md')}]
    project += [
        {title: site_path(DOCS / page)} for title, page in index_entries() if page.startswith('..')
    ]
    return [
        {'Start': 'index.md'},
        *({title: pages} for title, pages in sections.items()),
        {'API': [{f'motion_policy.{room}': f'{API}/{room}.md'} for room in public_rooms()]},
        {'Project': project},
    ]


def public_rooms() -> dict[str, list[str]]:
    """Map each room that says what is public to those names."""
    rooms = {}
    for path in sorted(PACKAGE.glob('*/__init__.py')):
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
                rooms[path.parent.name] = sorted(ast.literal_eval(node.value))
    return rooms


def api_page(room: str, names: list[str]) -> str:
    """Return the page of a room: its docstring, then every public name."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / '__init__.py').read_text('utf-8')))
    entries = [f'::: motion_policy.{room}.{name}' for name in names]
    return '\n\n'.join([f'# motion_policy.{room}', docstring or '', *entries]) + '\n'


def site_path(path: Path) -> str:
    """Where a file of the repository is on the site."""
    path = path.resolve()
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return f'{REPOSITORY}/{path.relative_to(ROOT).as_posix()}'


def linked_files() -> Iterator[Path]:
    """Yield every file outside docs/ that a page of the site links to, and the changes."""
    found = [ROOT / 'CHANGELOG.md']
    pages = [*sorted(DOCS.rglob('*.md')), *found]
    while pages:
        page = pages.pop()
        for match in LINK.finditer(page.read_text(encoding='utf-8')):
            target = _target(page, match[2])
            if target and not target.is_relative_to(DOCS) and target not in found:
                found.append(target)
                pages += [target] if target.suffix == '.md' else []
    yield from found


def _target(page: Path, link: str) -> Path | None:
    if '://' in link or link.startswith('mailto:'):
        return None
    path = (page.parent / link).resolve()
    return path if path.is_file() else None


def relinked(text: str, page: Path) -> str:
    """Return a page whose links lead to where the site has the files."""
    here = Path(site_path(page)).parent

    def relink(match: re.Match[str]) -> str:
        target = _target(page, match[2])
        if target is None:
            return match[0]
        return match[1] + os.path.relpath(site_path(target), here) + match[3]

    return LINK.sub(relink, text)


def on_config(config: Any) -> Any:
    """Set the navigation."""
    config.nav = navigation()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the API pages and the linked files."""
    from mkdocs.structure.files import File

    for room, names in public_rooms().items():
        files.append(File.generated(config, f'{API}/{room}.md', content=api_page(room, names)))
    for path in linked_files():
        files.append(File.generated(config, site_path(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Mend links that leave docs/."""
    source = page.file.src_uri
    path = ROOT / source.removeprefix(f'{REPOSITORY}/') if source.startswith(REPOSITORY) else None
    return relinked(markdown, path or DOCS / source)
