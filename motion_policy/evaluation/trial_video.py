# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Video of a demonstration run: the arm redrawn large, with what the policy sees beside it.

It is drawn from what was heard over ROS (joints, cube, attention images), after the fact, so the
images are smooth whatever the machine was busy with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

from motion_policy.control.attention_drawing import DECODER_COLOUR, ENCODER_COLOUR
from motion_policy.simulation import TabletopSim

Array = npt.NDArray[Any]
Colour = tuple[int, int, int]

FPS = 25
SPEED = 2.0  # simulated seconds per second of video
WIDTH, HEIGHT = 960, 540
MARGIN = 20
INSET = 212
STRIP_HEIGHT = 92
CLOSING_S = 4.0
AFTER_END_S = 0.6
HOLD_S = 0.8  # of video, so that the result of a trial can be read

WHITE: Colour = (255, 255, 255)
FAINT: Colour = (190, 198, 208)
PANEL: Colour = (24, 30, 38)
PANEL_ALPHA = 168
GOOD: Colour = (38, 166, 110)
BAD: Colour = (200, 72, 60)
JOINT_COLOURS: tuple[Colour, ...] = (
    (255, 183, 77), (129, 199, 132), (79, 195, 247), (186, 147, 255), (255, 138, 158),
)  # fmt: skip


@dataclass(frozen=True)
class TrialRecord:
    """One trial as it was heard.

    Attributes:
        number, count: which trial of how many.
        position, taught: where the cube stood, and whether the policy was taught there.
        success_s: when the cube counted as lifted and held; NaN when it did not.
        state_s, qpos: (N,) and (N, J), joint positions over time from the start of the trial.
        cube_s, cube_pose: (M,) and (M, 7), position and quaternion (w, x, y, z).
        attention_s, attention: (K,) and (K, h, w, 3) uint8, what the policy sees; K may be 0.
    """

    number: int
    count: int
    position: str
    taught: bool
    success_s: float
    state_s: Array
    qpos: Array
    cube_s: Array
    cube_pose: Array
    attention_s: Array
    attention: Array

    @property
    def success(self) -> bool:
        """Whether the cube was lifted and held."""
        return bool(np.isfinite(self.success_s))

    def save(self, path: Path) -> None:
        """Write to an .npz file."""
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> TrialRecord:
        """Read from an .npz file."""
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        scalars = {name: value.item() for name, value in values.items() if value.ndim == 0}
        return cls(**{**values, **scalars})


class TrialVideo:
    """Draws frames, (HEIGHT, WIDTH, 3) uint8 RGB each; the scene is rendered in this thread."""

    def __init__(self, speed: float = SPEED) -> None:
        self._sim = TabletopSim()
        # A third less work than the scene's own settings, and hardly to be seen.
        visual = self._sim.model.vis
        visual.quality.offsamples, visual.quality.shadowsize = 2, 1024
        visual.global_.offheight, visual.global_.offwidth = HEIGHT, WIDTH
        self._step_s = speed / FPS
        self._speed = speed
        self._last: Array = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def frames(self, record: TrialRecord) -> Iterator[Array]:
        """Yield the frames of one trial."""
        # Drawn apart, since an overlay costs what the rectangle around it covers.
        panels = [_Overlay(_draw_caption(record, self._speed)), _Overlay(_draw_inset(record))]
        badge = _Overlay(_draw_badge(record))
        strip = _JointStrip(record)
        end_s = float(record.state_s[-1])
        decided_s = record.success_s if record.success else end_s - AFTER_END_S
        for time_s in np.arange(0.0, end_s, self._step_s):
            frame = self._scene(record, float(time_s))
            for panel in panels:
                panel.put_on(frame)
            strip.put_on(frame, float(time_s))
            _put_inset(frame, record, float(time_s))
            if time_s >= decided_s:
                badge.put_on(frame)
            self._last = frame
            yield frame
        for _ in range(round(HOLD_S * FPS)):
            yield self._last

    def closing(self, results: Sequence[tuple[str, bool, bool]]) -> Iterator[Array]:
        """Yield the last frames: (position, taught, success) of every trial, summed up."""
        frame = cv2.GaussianBlur(self._last, (0, 0), 9)
        _Overlay(_draw_summary(results)).put_on(frame)
        for _ in range(round(CLOSING_S * FPS)):
            yield frame

    def close(self) -> None:
        """Free the renderer."""
        self._sim.close()

    def _scene(self, record: TrialRecord, time_s: float) -> Array:
        cube = _at(record.cube_s, record.cube_pose, time_s)
        cube[3:] /= np.linalg.norm(cube[3:])
        self._sim.show(_at(record.state_s, record.qpos, time_s), cube)
        return self._sim.render('view', HEIGHT, WIDTH)


class _Overlay:
    """A drawing with transparency; only the rows and columns that it covers are blended."""

    def __init__(self, image: Image.Image) -> None:
        left, top, right, bottom = image.getbbox() or (0, 0, 1, 1)
        self._place = (slice(top, bottom), slice(left, right))
        pixels = np.asarray(image)[self._place].astype(np.uint16)
        self._clear = 255 - pixels[..., 3:]
        self._colour = pixels[..., :3] * pixels[..., 3:]

    def put_on(self, frame: Array) -> None:
        below = frame[self._place]
        # Over 256 instead of 255: nobody sees it, and it is a shift.
        frame[self._place] = (below * self._clear + self._colour) >> 8


class _JointStrip:
    """The joints over time at the lower edge, uncovered as time goes on."""

    def __init__(self, record: TrialRecord) -> None:
        self._left, self._right = MARGIN + 14, WIDTH - MARGIN - 14
        self._end_s = float(record.state_s[-1])
        bare = _canvas()
        top = HEIGHT - MARGIN - STRIP_HEIGHT
        _panel(bare, (MARGIN, top, WIDTH - MARGIN, HEIGHT - MARGIN))
        ImageDraw.Draw(bare).text(
            (MARGIN + 4, top - 20), 'joints', font=_font(13), fill=(*WHITE, 220)
        )
        self._bare = _Overlay(bare)
        self._curves = self._draw_curves(record)

    def _draw_curves(self, record: TrialRecord) -> Array:
        """Return the curves (STRIP_HEIGHT, WIDTH, 4): each joint over its own range."""
        times = self._left + (self._right - self._left) * record.state_s / self._end_s
        canvas = np.zeros((STRIP_HEIGHT, WIDTH, 3), np.uint8)
        for joint, colour in zip(record.qpos.T, JOINT_COLOURS, strict=False):
            spread = max(float(np.ptp(joint)), 1e-6)
            heights = STRIP_HEIGHT - 12 - (STRIP_HEIGHT - 24) * (joint - joint.min()) / spread
            points = np.stack([times, heights], axis=1)
            line = np.round(points * 16).astype(np.int32)
            cv2.polylines(canvas, [line], False, colour, 2, cv2.LINE_AA, shift=4)
        return canvas

    def put_on(self, frame: Array, time_s: float) -> None:
        self._bare.put_on(frame)
        now = round(self._left + (self._right - self._left) * min(time_s / self._end_s, 1.0))
        top = HEIGHT - MARGIN - STRIP_HEIGHT
        area = frame[top : top + STRIP_HEIGHT, :now]
        curves = self._curves[:, :now]
        strength = curves.max(axis=2, keepdims=True).astype(np.float32) / 255
        area[:] = (area * (1 - strength) + curves).clip(0, 255).astype(np.uint8)
        cv2.line(frame, (now, top + 8), (now, top + STRIP_HEIGHT - 8), FAINT, 1, cv2.LINE_AA)


def _put_inset(frame: Array, record: TrialRecord, time_s: float) -> None:
    """Paste what the policy saw last at `time_s` at the upper right."""
    if not len(record.attention):
        return
    index = max(int(np.searchsorted(record.attention_s, time_s, side='right')) - 1, 0)
    image = cv2.resize(record.attention[index], (INSET, INSET), interpolation=cv2.INTER_AREA)
    left, top = WIDTH - MARGIN - 8 - INSET, MARGIN + 8
    frame[top : top + INSET, left : left + INSET] = image


def _draw_caption(record: TrialRecord, speed: float) -> Image.Image:
    image = _canvas()
    draw = ImageDraw.Draw(image)
    place = 'a taught place' if record.taught else 'a place it was never taught'
    lines = (
        (f'Cube at {record.position}', 30, True, WHITE),
        (place, 17, False, WHITE if record.taught else JOINT_COLOURS[0]),
        (f'trial {record.number} of {record.count}   ·   {speed:g} x speed', 14, False, FAINT),
    )
    widest = max(_font(size, bold).getlength(text) for text, size, bold, _ in lines)
    _panel(image, (MARGIN, MARGIN, MARGIN + 32 + round(widest), MARGIN + 108))
    y = MARGIN + 10
    for text, size, bold, colour in lines:
        draw.text((MARGIN + 16, y), text, font=_font(size, bold), fill=(*colour, 255))
        y += round(size * 1.45)
    return image


def _draw_inset(record: TrialRecord) -> Image.Image:
    image = _canvas()
    if not len(record.attention):
        return image
    draw = ImageDraw.Draw(image)
    left, top = WIDTH - MARGIN - 16 - INSET, MARGIN
    _panel(image, (left, top, WIDTH - MARGIN, top + INSET + 60))
    y = top + INSET + 14
    draw.text((left + 10, y), 'what the policy sees', font=_font(14, True), fill=(*WHITE, 255))
    x = left + 10
    for colour, words in ((ENCODER_COLOUR, 'looks at now'), (DECODER_COLOUR, 'expects next')):
        draw.ellipse((x, y + 26, x + 9, y + 35), fill=(*colour, 255), outline=(*WHITE, 255))
        draw.text((x + 14, y + 22), words, font=_font(12), fill=(*FAINT, 255))
        x += 26 + round(_font(12).getlength(words))
    return image


def _draw_badge(record: TrialRecord) -> Image.Image:
    image = _canvas()
    text = '✓  lifted and held' if record.success else '✗  not lifted in time'
    font = _font(22, True)
    width = round(font.getlength(text)) + 36
    box = (MARGIN, MARGIN + 120, MARGIN + width, MARGIN + 162)
    _panel(image, box, GOOD if record.success else BAD, 235)
    ImageDraw.Draw(image).text(
        ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), text, font=font, anchor='mm',
        fill=(*WHITE, 255),
    )  # fmt: skip
    return image


def _draw_summary(results: Sequence[tuple[str, bool, bool]]) -> Image.Image:
    image = _canvas()
    _panel(image, (0, 0, WIDTH, HEIGHT), alpha=190, radius=0)
    draw = ImageDraw.Draw(image)
    won = sum(success for _, _, success in results)
    title = f'{won} of {len(results)} lifted'
    draw.text((WIDTH / 2, 128), title, font=_font(44, True), anchor='mm', fill=(*WHITE, 255))
    positions = dict.fromkeys(position for position, _, _ in results)
    for column, position in enumerate(positions):
        here = [(taught, success) for name, taught, success in results if name == position]
        x = WIDTH / 2 + (column - (len(positions) - 1) / 2) * 150
        draw.text((x, 220), position, font=_font(28, True), anchor='mm', fill=(*WHITE, 255))
        kind = 'taught' if here[0][0] else 'never taught'
        draw.text((x, 252), kind, font=_font(15), anchor='mm', fill=(*FAINT, 255))
        _draw_dots(draw, x, [success for _, success in here])
    words = 'camera images in, joint commands out, over ROS 2 topics'
    draw.text((WIDTH / 2, 452), words, font=_font(17), anchor='mm', fill=(*FAINT, 255))
    return image


def _draw_dots(draw: ImageDraw.ImageDraw, x: float, outcomes: Sequence[bool]) -> None:
    """One dot per trial, green or red, in rows of five."""
    for index, success in enumerate(outcomes):
        row, place = divmod(index, 5)
        in_row = min(5, len(outcomes) - 5 * row)
        left = x + (place - (in_row - 1) / 2) * 24 - 8
        top = 284 + row * 24
        draw.ellipse((left, top, left + 16, top + 16), fill=(*(GOOD if success else BAD), 255))


def _canvas() -> Image.Image:
    return Image.new('RGBA', (WIDTH, HEIGHT), (0, 0, 0, 0))


def _panel(
    image: Image.Image,
    box: tuple[int, int, int, int],
    colour: Colour = PANEL,
    alpha: int = PANEL_ALPHA,
    radius: int = 10,
) -> None:
    ImageDraw.Draw(image).rounded_rectangle(box, radius, fill=(*colour, alpha))


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    weight = 'bold' if bold else 'normal'
    return ImageFont.truetype(findfont(FontProperties(family='DejaVu Sans', weight=weight)), size)


def _at(times_s: Array, values: Array, time_s: float) -> Array:
    """Interpolate `values` (N, D) linearly at `time_s`."""
    return np.array([np.interp(time_s, times_s, column) for column in values.T])
