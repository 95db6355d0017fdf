# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One self-contained report.html: images, plots and video are inside, nothing is fetched."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motion_policy.files import write_text
from motion_policy.palette import FAIL, FAINT_INK, INK, POLICY, RULE, WARN

_STYLE = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; max-width: 1080px;
       margin: 2.5rem auto 4rem; padding: 0 1.25rem; }}
h1 {{ font-size: 1.6rem; margin-bottom: .2rem; }}
h2 {{ font-size: 1.15rem; margin-top: 2.4rem; }}
p.lead {{ color: {FAINT_INK}; margin-top: 0; }}
p.headline {{ font-size: 1.3rem; color: {POLICY}; font-weight: 600; }}
img, video {{ max-width: 100%; display: block; margin: .8rem 0; }}
table {{ border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .32rem 1rem .32rem 0; text-align: right; border-bottom: 1px solid {RULE}; }}
th {{ font-weight: 600; }}
th:first-child, td:first-child {{ text-align: left; }}
p.caption {{ color: {FAINT_INK}; font-size: .88rem; margin-top: -.3rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; }}
dt {{ color: {FAINT_INK}; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
div.strip {{ display: flex; flex-wrap: wrap; gap: .5rem; margin: .6rem 0; }}
div.strip figure {{ margin: 0; }} div.strip img {{ margin: 0; }}
figcaption {{ color: {FAINT_INK}; font-size: .78rem; }}
svg {{ max-width: 100%; height: auto; display: block; margin: .4rem 0; }}
span.pass, span.warn, span.fail {{ color: white; border-radius: .3rem; font-size: .8rem;
       padding: .1rem .5rem; margin-right: .6rem; font-weight: 600; }}
span.pass {{ background: {POLICY}; }} span.warn {{ background: {WARN}; }}
span.fail {{ background: {FAIL}; }}
ul.lines {{ padding-left: 0; list-style: none; margin: .4rem 0; }}
ul.lines li {{ margin: .25rem 0; }}
table.words th, table.words td {{ text-align: left; }}
@media (max-width: 640px) {{ table {{ display: block; overflow-x: auto; }} }}
"""

_VIDEO_TYPES = {'.mp4': 'video/mp4', '.gif': 'image/gif'}


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; the first column names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Report:
    """Collects the parts of a report in the order in which they are read."""

    def __init__(self, title: str, lead: str) -> None:
        self.title = title
        self._parts = [f'<h1>{_text(title)}</h1>', f'<p class="lead">{_text(lead)}</p>']

    def headline(self, words: str) -> None:
        """The result in one line."""
        self._parts.append(f'<p class="headline">{_text(words)}</p>')

    def section(self, title: str, level: str = '') -> None:
        """Begin a new part; `level`: pass, warn or fail, before its title."""
        self._parts.append(f'<h2>{_badge(level)}{_text(title)}</h2>')

    def lines(self, lines: Sequence[tuple[str, str]]) -> None:
        """Sentences, each with its level: pass, warn, fail or ''."""
        items = ''.join(f'<li>{_badge(level)}{_text(words)}</li>' for level, words in lines)
        self._parts.append(f'<ul class="lines">{items}</ul>')

    def caption(self, words: str) -> None:
        """A sentence under what stands before."""
        self._parts.append(f'<p class="caption">{_text(words)}</p>')

    def table(self, table: Table, kind: str = '') -> None:
        """A table of numbers, or of `words`."""
        head = ''.join(f'<th>{_text(cell)}</th>' for cell in table.columns)
        rows = ''.join(
            '<tr>' + ''.join(f'<td>{_text(cell)}</td>' for cell in row) + '</tr>'
            for row in table.rows
        )
        self._parts.append(
            f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        )

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names and values: how the numbers were made."""
        items = ''.join(f'<dt>{_text(name)}</dt><dd>{_text(value)}</dd>' for name, value in facts)
        self._parts.append(f'<dl>{items}</dl>')

    def image(self, png: bytes, words: str) -> None:
        """A PNG file's bytes; `words` say what it shows."""
        self._parts.append(_image(png, 'png', words))

    def strip(self, thumbnails: Sequence[tuple[bytes, str]]) -> None:
        """Small images beside each other: the bytes of a JPEG file, and what it shows."""
        figures = ''.join(
            f'<figure>{_image(jpeg, "jpeg", words)}'
            f'<figcaption>{_text(words)}</figcaption></figure>'
            for jpeg, words in thumbnails
        )
        self._parts.append(f'<div class="strip">{figures}</div>')

    def drawing(self, svg: str) -> None:
        """An SVG element, every text of which is escaped already."""
        self._parts.append(svg)

    def video(self, path: Path) -> None:
        """An .mp4 or .gif file, copied into the report."""
        kind = _VIDEO_TYPES[path.suffix.lower()]
        source = f'data:{kind};base64,{base64.b64encode(path.read_bytes()).decode("ascii")}'
        if kind == 'image/gif':
            self._parts.append(f'<img src="{source}" alt="video of the evaluation">')
        else:
            self._parts.append(f'<video src="{source}" controls loop muted playsinline></video>')

    def write(self, path: Path) -> None:
        """Write the file; it appears under its name only when it is whole."""
        content = (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{_text(self.title)}</title><style>{_STYLE}</style></head>\n<body>\n'
            + '\n'.join(self._parts)
            + '\n</body></html>\n'
        )
        write_text(path, content)


def _image(data: bytes, kind: str, words: str) -> str:
    source = f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'
    return f'<img src="{source}" alt="{_text(words)}">'


def _badge(level: str) -> str:
    return f'<span class="{level}">{level}</span>' if level else ''


def _text(words: str) -> str:
    return html.escape(str(words))
