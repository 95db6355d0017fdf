# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Rotating 3D view of hidden states as a seamless video.

The projection is our own: it costs a tenth of matplotlib's, and shadows on the floor show depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from motion_policy.evaluation.hidden_state_plots import (
    TrajectoryGroup,
    axis_label,
    dot,
    legend,
    ring,
)
from motion_policy.evaluation.hidden_states import HiddenStates
from motion_policy.evaluation.plots import STYLE
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.palette import FAINT_INK, RULE

Array = npt.NDArray[Any]

SIZE = (7.0, 5.4)  # inches of 100 pixels
FPS = 12.5
FRAMES = 75  # one turn in 6 s
FIRST_AZIMUTH = np.radians(30.0)
ELEVATION = np.radians(24.0)
EYE_DISTANCE = 6.0  # in half edges of the box
FLOOR_LINES = 7
RUN_SHARE = 0.9  # of the video in which the dots reach the end, where they then rest
SHADOW = '#dfe3e8'


def write_hidden_state_video(
    path: Path,
    hidden: HiddenStates,
    groups: Sequence[TrajectoryGroup],
    title: str,
    frames: int = FRAMES,
) -> None:
    """One turn about the trajectories, while a dot runs along each from its start to its end."""
    with matplotlib.rc_context(STYLE), VideoFile(path, FPS, hold_s=0) as video:
        figure = Figure(figsize=SIZE, dpi=100)
        canvas: Any = FigureCanvasAgg(figure)
        axis = figure.add_axes((0.01, 0.01, 0.98, 0.9))
        axis.set_axis_off()
        figure.text(0.02, 0.945, title, fontsize=12, weight='bold')
        figure.legend(
            handles=legend(groups, 'now'), loc='upper right', fontsize=9, handlelength=2.4,
            bbox_to_anchor=(0.99, 0.925),
        )  # fmt: skip
        stage = _Stage(axis, hidden, groups)
        canvas.draw()
        still = canvas.copy_from_bbox(figure.bbox)
        for index in range(frames):
            canvas.restore_region(still)
            stage.show(index / frames)
            video.write(np.array(canvas.buffer_rgba())[..., :3])


class _Stage:
    """The box around all trajectories, scaled alike in all directions, and what stands in it."""

    def __init__(
        self, axis: Axes, hidden: HiddenStates, groups: Sequence[TrajectoryGroup]
    ) -> None:
        self._axis = axis
        points = np.concatenate([path for group in groups for path in group.paths])
        low, high = points.min(axis=0), points.max(axis=0)
        middle, scale = (low + high) / 2, max(float((high - low).max()) / 2, 1e-9)
        self._half = np.maximum((high - low) / 2 / scale, 0.05) * 1.08
        self._lines: list[tuple[Line2D, Array]] = []
        self._heads: list[tuple[Line2D, list[Array]]] = []
        self._labels: list[tuple[Text, Array]] = []
        paths = [[(path - middle) / scale for path in group.paths] for group in groups]
        self._draw_box(hidden, [path for here in paths for path in here])
        for group, here in zip(groups, paths, strict=True):
            self._add(here, {'zorder': 2, **group.line})
            self._add([path[:1] for path in here], ring(group.colour))
            self._heads.append((self._line(dot(group.colour)), here))
        self._set_limits()

    def show(self, share: float) -> None:
        """Draw all at this share of the turn, and the dots at this share of the time."""
        azimuth = FIRST_AZIMUTH + 2 * np.pi * share
        for line, points in self._lines:
            line.set_data(*project(points, azimuth))
        for line, paths in self._heads:
            run = min(1.0, share / RUN_SHARE)
            now = np.stack([path[round(run * (len(path) - 1))] for path in paths])
            line.set_data(*project(now, azimuth))
        for text, point in self._labels:
            text.set_position(tuple(project(point[None], azimuth)[:, 0]))
        drawn = [thing for thing, _ in (*self._lines, *self._heads, *self._labels)]
        for artist in sorted(drawn, key=lambda artist: artist.get_zorder()):
            self._axis.draw_artist(artist)

    def _line(self, style: dict[str, Any]) -> Line2D:
        [line] = self._axis.plot([], [], animated=True, **style)
        return line

    def _add(self, paths: Sequence[Array], style: dict[str, Any]) -> None:
        """Lines that are drawn as one, with gaps between them."""
        gap = np.full((1, 3), np.nan)
        parts = [part for path in paths for part in (path, gap)]
        self._lines.append((self._line(style), np.concatenate(parts)))

    def _draw_box(self, hidden: HiddenStates, paths: Sequence[Array]) -> None:
        x, y, z = self._half
        shares = np.linspace(-1, 1, FLOOR_LINES)
        grid = [np.array([(share * x, -y, -z), (share * x, y, -z)]) for share in shares]
        grid += [np.array([(-x, share * y, -z), (x, share * y, -z)]) for share in shares]
        self._add(grid, {'color': RULE, 'lw': 0.6, 'zorder': 0})
        shadows = [path * (1, 1, 0) - (0, 0, z) for path in paths]
        self._add(shadows, {'color': SHADOW, 'lw': 1.2, 'zorder': 1})
        for place in range(3):
            tip, away = -self._half, np.zeros(3)
            tip[place], away[place] = self._half[place], 0.14
            edge = np.stack([-self._half, tip])
            self._add([edge], {'color': FAINT_INK, 'lw': 1.1, 'zorder': 0})
            words = axis_label(hidden, place)
            label = self._axis.text(
                0, 0, words, color=FAINT_INK, fontsize=9, ha='center', va='center', animated=True
            )
            self._labels.append((label, tip + away))

    def _set_limits(self) -> None:
        """Limits that hold the box at every angle."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        corners = signs * (self._half + 0.1)
        views = [project(corners, angle) for angle in np.linspace(0, 2 * np.pi, 72)]
        low, high = np.min(views, axis=(0, 2)), np.max(views, axis=(0, 2))
        # The place has another shape than the box: widen what would be stretched.
        place = self._axis.get_window_extent()
        pixels = np.array([place.width, place.height])
        wanted = (high - low) / pixels
        spare = (wanted.max() - wanted) * pixels / 2
        self._axis.set_xlim(low[0] - spare[0], high[0] + spare[0])
        self._axis.set_ylim(low[1] - spare[1], high[1] + spare[1])


def project(points: Array, azimuth: float) -> Array:
    """Points (N, 3) about the origin -> (2, N) as seen from the azimuth, nearer ones larger."""
    x, y, z = points.T
    right = np.cos(azimuth) * x + np.sin(azimuth) * y
    away = np.cos(azimuth) * y - np.sin(azimuth) * x
    up = np.cos(ELEVATION) * z + np.sin(ELEVATION) * away
    depth = np.cos(ELEVATION) * away - np.sin(ELEVATION) * z
    size = EYE_DISTANCE / (EYE_DISTANCE + depth)
    return np.stack([right * size, up * size])
