# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a set of episodes: verdicts, thumbnails and joints, the worst episodes first."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.quality.numbers import Array
from motion_policy.episodes.quality.verdict import (
    LEVELS,
    QualityVerdict,
    odd_verdicts,
    worst_first,
    worst_level,
)
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.html_report import Report, Table
from motion_policy.palette import FAINT_INK, POLICY, RULE, TRUTH

MOST_DRAWN = 200  # episodes with thumbnails and joints: some 20 MB
THUMBNAIL_WIDTH, THUMBNAIL_QUALITY = 160, 80
COLUMNS, CELL_WIDTH, CELL_HEIGHT, LABEL = 7, 150, 58, 14  # of the plots of joints [px]
MOST_POINTS = 120  # of a line


class JudgedEpisode(Protocol):
    """What is known of an episode that was checked."""

    @property
    def problems(self) -> list[str]:
        """What is wrong with the file, one line each."""

    @property
    def verdicts(self) -> list[QualityVerdict]:
        """How it was judged."""


def page_of_set(found: Mapping[Path, JudgedEpisode]) -> Report:
    """The page of the episodes that were checked; it reads their joints and some images anew."""
    judged = {path: each.verdicts for path, each in found.items() if each.verdicts}
    counts = Counter(worst_level(verdicts) for verdicts in judged.values())
    unsound = [path for path, each in found.items() if each.problems]
    folders = sorted({str(path.parent) for path in found})
    report = Report(
        f'{len(found)} demonstrations',
        f'in {", ".join(folders)}, each judged by itself and beside the others of its folder',
    )
    report.headline(
        ', '.join(f'{counts[level]} {level}' for level in LEVELS)
        + (f'; {len(unsound)} unsound' if unsound else '')
    )
    if unsound:
        report.section('Unsound files', 'fail')
        report.lines([('', f'{path.name}: {line}') for path in unsound
                       for line in found[path].problems])  # fmt: skip
    report.section('What was measured')
    report.table(_checks(judged), 'words')
    order = worst_first(judged)
    for path in order[:MOST_DRAWN]:
        _add_episode(report, path, judged[path])
    if len(order) > MOST_DRAWN:
        report.caption(f'{len(order) - MOST_DRAWN} more episodes, none of them worse.')
    return report


def _checks(judged: Mapping[Path, Iterable[QualityVerdict]]) -> Table:
    """A row for each kind of check: how many episodes are which, and the worst of them."""
    by_kind: dict[str, dict[Path, QualityVerdict]] = {}
    for path, verdicts in judged.items():
        for verdict in verdicts:
            worst = by_kind.setdefault(verdict.kind, {})
            if path not in worst or verdict.excess > worst[path].excess:
                worst[path] = verdict
    rows = []
    for kind, worst in by_kind.items():
        counts = Counter(verdict.level for verdict in worst.values())
        path = max(worst, key=lambda each: worst[each].excess)
        counted = [str(counts[level] or '') for level in LEVELS]
        rows.append((kind, *counted, f'{path.name}: {worst[path].sentence}'))
    return Table(('check', *LEVELS, 'nearest to its threshold, or farthest beyond'), rows)


def _add_episode(report: Report, path: Path, verdicts: list[QualityVerdict]) -> None:
    report.section(path.name, worst_level(verdicts))
    odd = odd_verdicts(verdicts)
    report.lines([(each.level, each.line()) for each in odd])
    try:
        with EpisodeReader(path) as episode:
            facts = (
                f'{episode.length} rows at {episode.rate:g} Hz, {episode.created}',
                episode.task,
                {True: 'success', False: 'failure', None: ''}[episode.success],
                episode.operator,
                f'ended early: {episode.ended}' if episode.ended else '',
            )
            report.caption('; '.join(filter(None, facts)))
            report.strip(list(_thumbnails(episode)))
            action = episode.action if episode.has_commands else None
            report.drawing(_joints(episode, action))
    except EpisodeError as error:
        report.lines([('fail', str(error))])


def _thumbnails(episode: EpisodeReader) -> Iterable[tuple[bytes, str]]:
    """The first, the middle and the last image of each camera, those that can be decoded."""
    for camera in episode.cameras:
        for row in sorted({0, episode.length // 2, episode.length - 1}):
            try:
                image = episode.image(camera, row)
            except EpisodeError:
                continue
            height, width = image.shape[:2]
            size = THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            quality = [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY]
            data = cv2.imencode('.jpg', small[..., ::-1], quality)[1].tobytes()
            yield data, f'{camera}, {row / episode.rate:.1f} s'


def _joints(episode: EpisodeReader, action: Array | None) -> str:
    """A small plot of each joint: grey its command, green its measured position."""
    names = episode.joint_names
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    width, height = columns * CELL_WIDTH, rows * (CELL_HEIGHT + LABEL)
    parts = []
    for joint, name in enumerate(names):
        left = joint % columns * CELL_WIDTH
        top = joint // columns * (CELL_HEIGHT + LABEL)
        lines = [(episode.qpos[:, joint], POLICY)]
        if action is not None:
            lines.insert(0, (action[:, joint], TRUTH))
        low = float(min(values.min() for values, _ in lines))
        high = float(max(values.max() for values, _ in lines))
        label = html.escape(f'{name} {low:.2f} to {high:.2f}')
        parts.append(
            f'<text x="{left}" y="{top + LABEL - 4}" font-size="10" fill="{FAINT_INK}">{label}'
            f'</text><rect x="{left}" y="{top + LABEL}" width="{CELL_WIDTH - 8}" '
            f'height="{CELL_HEIGHT - 6}" fill="none" stroke="{RULE}"/>'
        )
        parts += [
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" '
            f'points="{_points(values, low, high, left, top + LABEL)}"/>'
            for values, colour in lines
        ]
    words = 'positions of the joints over time: grey commanded, green measured'
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{words}"><title>{words}</title>{"".join(parts)}</svg>'
    )


def _points(values: Array, low: float, high: float, left: int, top: int) -> str:
    """Points of a line of (T,) values in a plot whose corner is at `left` and `top`."""
    rows = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).round())
    inner_width, inner_height = CELL_WIDTH - 12, CELL_HEIGHT - 14
    across = left + 2 + inner_width * rows / max(1, len(values) - 1)
    share = (values[rows.astype(int)].astype(np.float64) - low) / ((high - low) or 1.0)
    down = top + 4 + inner_height * (1 - share)
    return ' '.join(f'{x:.1f},{y:.1f}' for x, y in zip(across, down, strict=True))
