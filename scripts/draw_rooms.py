# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws which room of the package imports which, and lists it, both read from the code.

Writes docs/images/rooms.svg and the table in docs/explanation/architecture.md. Run it again when
`test/docs/test_architecture.py` says that they differ from the code.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'motion_policy'
RULES = ROOT / 'test' / 'test_rooms.py'
DRAWING = ROOT / 'docs' / 'images' / 'rooms.svg'
PAGE = ROOT / 'docs' / 'explanation' / 'architecture.md'
BEGIN, END = '<!-- written by scripts/draw_rooms.py -->\n', '<!-- end -->\n'

# Libraries that decide where a room can run; every room may use NumPy.
LIBRARIES = ('h5py', 'mujoco', 'pytorch_lightning', 'rclpy', 'torch')

WIDTH, HEIGHT, GAP, ROW, MARGIN = 250, 92, 40, 150, 20  # pixels
LINE, LETTERS = 16, 36


@dataclass(frozen=True)
class Room:
    """A folder of the package.

    Attributes:
        name: of the folder.
        about: the first line of its docstring.
        imports: rooms that its files import, in functions too.
        may: rooms that they may import.
        libraries: which of LIBRARIES they import.
    """

    name: str
    about: str
    imports: frozenset[str]
    may: frozenset[str]
    libraries: tuple[str, ...]


def read_rooms() -> dict[str, Room]:
    """Read every room of the package by its name."""
    rules = _rules()
    folders = sorted(path.parent for path in PACKAGE.glob('*/__init__.py'))
    names = {folder.name for folder in folders}
    return {
        folder.name: _read_room(folder, names - {folder.name}, rules[folder.name])
        for folder in folders
    }


def _rules() -> dict[str, set[str]]:
    """What each room may import, as the test that guards the rooms has it."""
    for node in ast.parse(RULES.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'LEFT_OF':
            rules = ast.unparse(node.value).replace('set()', '[]')
            return {room: set(left) for room, left in ast.literal_eval(rules).items()}
    raise SystemExit(f'{RULES}: no LEFT_OF')


def _read_room(folder: Path, others: set[str], may: set[str]) -> Room:
    modules = {
        module
        for path in folder.rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        for module in _modules(node)
    }
    ours = {module.split('.')[1] for module in modules if module.startswith('motion_policy.')}
    tops = {module.split('.')[0] for module in modules}
    docstring = ast.get_docstring(ast.parse((folder / '__init__.py').read_text(encoding='utf-8')))
    about = ' '.join((docstring or '').split('\n\n')[0].split())
    libraries = tuple(name for name in LIBRARIES if name in tops)
    return Room(folder.name, about, frozenset(ours & others), frozenset(may), libraries)


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f'{node.module}.{alias.name}' for alias in node.names]
    return []


def layers(rooms: Mapping[str, Room]) -> list[list[str]]:
    """Order the rooms in rows: each below all that import it, as high as that allows."""

    @cache
    def depth(name: str) -> int:
        above = [room.name for room in rooms.values() if name in room.imports]
        return 1 + max(map(depth, above), default=-1)

    rows: list[list[str]] = [[] for _ in range(1 + max(map(depth, rooms)))]
    for name in rooms:
        rows[depth(name)].append(name)
    return rows


def arrows(rooms: Mapping[str, Room]) -> list[tuple[str, str]]:
    """List (importer, imported) without those that follow from two others."""

    @cache
    def reached(name: str) -> frozenset[str]:
        below = rooms[name].imports
        return below.union(*(reached(other) for other in below))

    return [
        (name, other)
        for name, room in rooms.items()
        for other in sorted(room.imports)
        if not any(other in reached(between) for between in room.imports - {other})
    ]


@dataclass(frozen=True)
class Layout:
    """Where everything is drawn: middles in pixels, by row and name.

    Attributes:
        rows: rooms, and the bends of arrows that pass a row, from left to right.
        ways: the items that each arrow touches, from the importer down.
        middles: of every item.
        width: of the drawing.
    """

    rows: list[list[str]]
    ways: list[list[str]]
    middles: dict[str, float]
    width: float


def lay_out(rooms: Mapping[str, Room]) -> Layout:
    """Place every item below the middle of what leads to it."""
    rows = layers(rooms)
    level = {name: number for number, row in enumerate(rows) for name in row}
    ways = []
    for start, end in arrows(rooms):
        between = range(level[start] + 1, level[end])
        bends = [f'{start} > {end} in row {number}' for number in between]
        for number, bend in zip(between, bends, strict=True):
            rows[number].append(bend)
        ways.append([start, *bends, end])
    links = [link for way in ways for link in pairwise(way)]
    middles: dict[str, float] = {}
    for row in rows:
        above = {
            item: [middles[start] for start, end in links if end == item] or [0.0] for item in row
        }
        row.sort(key=lambda item, above=above: (sum(above[item]) / len(above[item]), item))
        left = -_row_width(row, rooms) / 2
        for item in row:
            middles[item] = left + _item_width(item, rooms) / 2
            left += _item_width(item, rooms) + GAP
    width = max(_row_width(row, rooms) for row in rows) + 2 * MARGIN
    return Layout(rows, ways, {item: x + width / 2 for item, x in middles.items()}, width)


def _item_width(item: str, rooms: Mapping[str, Room]) -> float:
    return WIDTH if item in rooms else 0


def _row_width(row: Sequence[str], rooms: Mapping[str, Room]) -> float:
    return sum(_item_width(item, rooms) + GAP for item in row) - GAP


def draw(rooms: Mapping[str, Room]) -> str:
    """Draw the rooms as SVG: an arrow leads from a room to one that it imports."""
    layout = lay_out(rooms)
    tops = {item: MARGIN + n * ROW for n, row in enumerate(layout.rows) for item in row}
    width, height = round(layout.width), len(layout.rows) * ROW - (ROW - HEIGHT) + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        '<title>The rooms of motion_policy: an arrow leads to what a room imports</title>',
        '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path d="M0 0 L9 4 L0 8 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *(_arrow(way, layout, tops) for way in layout.ways),
    ]
    for name, room in rooms.items():
        lines += _box(room, round(layout.middles[name]), tops[name])
    return '\n'.join([*lines, '</svg>']) + '\n'


def _arrow(way: Sequence[str], layout: Layout, tops: Mapping[str, int]) -> str:
    start, *bends, end = way
    points = [(_port(layout, way, 0), tops[start] + HEIGHT)]
    for bend in bends:
        points += [(layout.middles[bend], tops[bend]), (layout.middles[bend], tops[bend] + HEIGHT)]
    points.append((_port(layout, way, -1), tops[end]))
    path = ' '.join(f'{"L" if number else "M"}{x:.0f} {y}' for number, (x, y) in enumerate(points))
    style = 'fill="none" stroke="#555" stroke-width="1.5" marker-end="url(#tip)"'
    return f'<path d="{path}" {style}/>'


def _port(layout: Layout, way: Sequence[str], end: int) -> float:
    """Where an arrow meets the box at its beginning (0) or its end (-1): they share the edge."""
    after = 1 if end == 0 else -2
    mine = [other for other in layout.ways if other[end] == way[end]]
    mine.sort(key=lambda other: layout.middles[other[after]])
    share = (mine.index(list(way)) + 1) / (len(mine) + 1)
    return layout.middles[way[end]] + (share - 0.5) * WIDTH


def _box(room: Room, middle: int, top: int) -> list[str]:
    about = wrap(room.about, LETTERS, max_lines=3, placeholder=' ...')
    libraries = f' ({", ".join(room.libraries)})' if room.libraries else ''
    return [
        f'<rect x="{middle - WIDTH // 2}" y="{top}" width="{WIDTH}" height="{HEIGHT}" '
        'rx="6" fill="#eef3fb" stroke="#456"/>',
        f'<text x="{middle}" y="{top + 21}" text-anchor="middle"><tspan font-weight="bold">'
        f'{escape(room.name)}</tspan>{escape(libraries)}</text>',
        *(
            f'<text x="{middle}" y="{top + 43 + number * LINE}" text-anchor="middle" '
            f'font-size="12" fill="#333">{escape(line.replace("`", ""))}</text>'
            for number, line in enumerate(about)
        ),
    ]


def table(rooms: Mapping[str, Room]) -> str:
    """List the rooms in Markdown, each after all that it imports."""
    lines = [
        '| room | what it is | imports | may also import | libraries |',
        '|---|---|---|---|---|',
    ]
    order = [name for row in reversed(layers(rooms)) for name in row]
    for name in order:
        room = rooms[name]
        imports = ', '.join(other for other in order if other in room.imports)
        may = ', '.join(other for other in order if other in room.may - room.imports)
        libraries = ', '.join(f'`{library}`' for library in room.libraries)
        about = room.about.replace('|', '\\|')
        lines.append(f'| `{name}` | {about} | {imports} | {may} | {libraries} |')
    return '\n'.join(lines) + '\n'


def with_table(page: str, rooms: Mapping[str, Room]) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f'{before}{BEGIN}\n{table(rooms)}\n{END}{after}'


def main() -> None:
    """Write both anew."""
    rooms = read_rooms()
    DRAWING.write_text(draw(rooms), encoding='utf-8')
    PAGE.write_text(with_table(PAGE.read_text(encoding='utf-8'), rooms), encoding='utf-8')


if __name__ == '__main__':
    main()
