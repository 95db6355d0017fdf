# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Curves of the joints as a strip beneath the images of a video, with a line at the time shown.

All that stands still is drawn once; a frame adds its line, in a millisecond.
"""

from __future__ import annotations

from typing import Any

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from motion_policy.evaluation.plots import STYLE, JointCurves, draw_joints
from motion_policy.palette import FAINT_INK

DPI = 100
PLOT_WIDTH, PLOT_HEIGHT = 260, 92  # of the plot of one joint, at least
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 46


class JointStrip:
    """The joints of an episode over time, as wide as the images above.

    Args:
        curves: what is drawn.
        width: of the strip in pixels; one that is too narrow to be read is made wider.
    """

    def __init__(self, curves: JointCurves, width: int) -> None:
        self.width = max(width, PLOT_WIDTH + LEFT + RIGHT)
        joints = len(curves.names)
        columns = max(1, min(joints, (self.width - LEFT - RIGHT) // PLOT_WIDTH))
        self.height = TOP + BOTTOM + PLOT_HEIGHT * -(-joints // columns)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI)
            canvas = FigureCanvasAgg(figure)
            grid = figure.add_gridspec(
                1, 1, left=LEFT / self.width, right=1 - RIGHT / self.width,
                top=1 - TOP / self.height, bottom=BOTTOM / self.height,
            )  # fmt: skip
            axes, _ = draw_joints(figure, grid[0], curves, columns=columns)
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc='upper left', ncols=len(labels), fontsize=9, borderpad=0.2,
                bbox_to_anchor=(LEFT / self.width, 1), borderaxespad=0,
            )  # fmt: skip
            canvas.draw()
            self._drawn = np.array(canvas.buffer_rgba())[..., :3]
            self._spans = [self._span(axis) for axis in axes]

    def at(self, time_s: float) -> npt.NDArray[np.uint8]:
        """The strip (height, width, 3) uint8 RGB, with a line at a time."""
        frame = self._drawn.copy()
        for left, right, top, bottom, end_s in self._spans:
            now = left + round((right - left) * min(time_s / end_s, 1.0))
            cv2.line(frame, (now, top), (now, bottom), _LINE, 2)
        return frame

    def _span(self, axis: Axes) -> tuple[int, int, int, int, float]:
        """Left, right, top, bottom pixel of the axis, and the time at its right edge."""
        box: Any = axis.get_window_extent()
        top, bottom = self.height - box.y1, self.height - box.y0
        return round(box.x0), round(box.x1), round(top), round(bottom), float(axis.get_xlim()[1])


_LINE = tuple(round(255 * value) for value in to_rgb(FAINT_INK))
