# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of an evaluation video: camera image, predicted image, joint curves.

Everything that stands still is drawn once by matplotlib; a frame pastes the images in, marks
the attention points and uncovers the curves up to now, so that it costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.lines import Line2D
from PIL import Image, ImageDraw, ImageFont

from motion_policy.control.attention_drawing import (
    DECODER_COLOUR,
    ENCODER_COLOUR,
    draw_attention,
)
from motion_policy.evaluation.plots import STYLE, JointCurves, draw_joints
from motion_policy.palette import FAINT_INK, INK

Array = npt.NDArray[Any]

DPI = 100
WIDTH, HEIGHT = 1280, 480
MARGIN, TOP, BOTTOM = 24, 84, 32
PANEL_HEIGHT = HEIGHT - TOP - BOTTOM
JOINTS_MIN_WIDTH = 400
GAP, CAPTION = 16, 30
CAPTION_SIZE, LEAST_SIZE = 10, 5  # pt


@dataclass(frozen=True)
class MarkedImage:
    """One image panel at one time.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        encoder_points, decoder_points: (K, 2) as (x, y), 0 and 1 being the centres of the first
            and last pixel; what the policy looks at now, and where it expects that next.
    """

    image: Array
    encoder_points: Array | None = None
    decoder_points: Array | None = None


@dataclass(frozen=True)
class Panel:
    """A place for images: the line above it, and width / height of what it will show."""

    caption: str
    aspect: float


@dataclass(frozen=True)
class VideoFrame:
    """What all panels show at `time_s`: one image each, column after column."""

    time_s: float
    images: tuple[MarkedImage, ...]


class Storyboard:
    """Composes the frames of one video, (HEIGHT, WIDTH, 3) uint8 RGB each.

    Args:
        title: printed at the top left.
        columns: the image panels from left to right, those of a column one above the other.
        curves: the joints, drawn at the right.
        attention: whether the legend explains attention points.
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[Sequence[Panel]],
        curves: JointCurves,
        *,
        attention: bool,
    ) -> None:
        self.curves = curves
        self._boxes = _image_boxes(columns)
        self._font = ImageFont.truetype(findfont('DejaVu Sans'), 16)
        right = max((box[2] for box in self._boxes), default=MARGIN - 8)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
            canvas = FigureCanvasAgg(figure)
            _write(figure, MARGIN, 30, title, fontsize=14, weight='bold')
            captions = [panel.caption for column in columns for panel in column]
            for caption, box in zip(captions, self._boxes, strict=True):
                size = caption_size(caption, box[2] - box[0] + 2)
                _write(figure, box[0], box[1] - 8, caption, fontsize=size)
            grid = figure.add_gridspec(
                1, 1, left=(right + 62) / WIDTH, right=1 - MARGIN / WIDTH,
                top=1 - (TOP + 16) / HEIGHT, bottom=(BOTTOM + 8) / HEIGHT,
            )  # fmt: skip
            axes, policy = draw_joints(figure, grid[0], curves)
            self._legend(figure, axes[0], attention, right + 62)
            self._full = _render(canvas)
            for line in policy:
                line.set_visible(False)
            self._bare = _render(canvas)
            self._spans = [_pixel_span(axis) for axis in axes]

    def _legend(self, figure: Figure, axis: Axes, attention: bool, left: float) -> None:
        handles, labels = axis.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc='lower left', ncols=2, fontsize=10, borderpad=0, handlelength=1.6,
            bbox_to_anchor=(left / WIDTH, 1 - (TOP - 6) / HEIGHT), borderaxespad=0,
        )  # fmt: skip
        if attention:
            words = ((ENCODER_COLOUR, 'looks at now'), (DECODER_COLOUR, 'expects next'))
            marks = [
                Line2D(
                    [], [], ls='', marker='o', ms=7, mec='white', color=_unit(colour), label=label
                )
                for colour, label in words
            ]
            figure.legend(
                handles=marks, loc='lower left', ncols=2, fontsize=10, borderpad=0,
                bbox_to_anchor=(MARGIN / WIDTH, 8 / HEIGHT), borderaxespad=0, handletextpad=0.1,
            )  # fmt: skip

    def frame(self, shown: VideoFrame) -> Array:
        """The frame (HEIGHT, WIDTH, 3) uint8 RGB at its time, all curves up to then."""
        frame = self._bare.copy()
        for left, right, top, bottom, end_s in self._spans:
            now = left + round((right - left) * min(shown.time_s / end_s, 1.0))
            frame[top:bottom, left : now + 1] = self._full[top:bottom, left : now + 1]
            cv2.line(frame, (now, top), (now, bottom), _bytes(FAINT_INK), 1)
        for box, marked in zip(self._boxes, shown.images, strict=True):
            _paste(frame, box, marked)
        return self._with_clock(frame, f'{shown.time_s:.1f} s / {self.curves.end_s:.1f} s')

    def _with_clock(self, frame: Array, words: str) -> Array:
        image = Image.fromarray(frame)
        ImageDraw.Draw(image).text(
            (WIDTH - MARGIN, 31), words, fill=_bytes(INK), font=self._font, anchor='rs'
        )
        return np.asarray(image)

    def frames(self, shown: Sequence[VideoFrame]) -> Iterator[Array]:
        """Every frame in turn."""
        for one in shown:
            yield self.frame(one)


def caption_size(caption: str, room: int) -> float:
    """Points in which a caption is no wider than `room` pixels; what cannot be read is no less."""
    font = ImageFont.truetype(findfont('DejaVu Sans'), CAPTION_SIZE * DPI / 72)
    return max(LEAST_SIZE, CAPTION_SIZE * min(1.0, room / max(1.0, font.getlength(caption))))


def _image_boxes(columns: Sequence[Sequence[Panel]]) -> list[tuple[int, int, int, int]]:
    """Left, top, right, bottom of each image: all columns of one height, room for the joints."""
    shapes = [_column_heights(column) for column in columns]
    widths = [
        max(panel.aspect for panel in column) * heights[0]
        for column, heights in zip(columns, shapes, strict=True)
    ]
    room = WIDTH - 2 * MARGIN - JOINTS_MIN_WIDTH - GAP * len(columns)
    scale = min(1.0, room / sum(widths)) if widths else 1.0
    boxes, left = [], MARGIN
    for column, heights, column_width in zip(columns, shapes, widths, strict=True):
        top = TOP
        for panel, full in zip(column, heights, strict=True):
            height = int(full * scale)
            boxes.append((left, top, left + int(height * panel.aspect), top + height))
            top += height + CAPTION
        left += int(column_width * scale) + GAP
    return boxes


def _column_heights(column: Sequence[Panel]) -> list[float]:
    return [(PANEL_HEIGHT - CAPTION * (len(column) - 1)) / len(column)] * len(column)


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    figure.text(x / WIDTH, 1 - y / HEIGHT, text, **style)


def _render(canvas: Any) -> Array:
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _pixel_span(axis: Axes) -> tuple[int, int, int, int, float]:
    """Left, right, top, bottom pixel of the axis, and the time at its right edge."""
    box = axis.get_window_extent()
    top, bottom = HEIGHT - box.y1, HEIGHT - box.y0
    return round(box.x0), round(box.x1), round(top), round(bottom), float(axis.get_xlim()[1])


def _paste(frame: Array, box: tuple[int, int, int, int], marked: MarkedImage) -> None:
    left, top, right, bottom = box
    image = draw_attention(
        marked.image, marked.encoder_points, marked.decoder_points, bottom - top
    )
    size = (right - left, bottom - top)
    frame[top:bottom, left:right] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _bytes(colour: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in to_rgb(colour))
    return red, green, blue
