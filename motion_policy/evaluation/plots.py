# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of an evaluation, drawn with matplotlib without a display."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator

from motion_policy.evaluation.depth_colours import COLOURS, DepthColours, DepthImage
from motion_policy.palette import FAINT_INK, FREE, INK, POLICY, RULE, TRUTH, UNTAUGHT

Array = npt.NDArray[Any]

STRIP_INCHES = 2.6  # of the height of a figure

STYLE: dict[Any, Any] = {
    'font.size': 9.0,
    'axes.edgecolor': RULE,
    'axes.labelcolor': INK,
    'axes.titlesize': 9.0,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'text.color': INK,
    'xtick.color': FAINT_INK,
    'ytick.color': FAINT_INK,
    'xtick.labelsize': 8.0,
    'ytick.labelsize': 8.0,
    'legend.frameon': False,
    'figure.facecolor': 'white',
    'savefig.facecolor': 'white',
}


@dataclass(frozen=True)
class DepthStrip:
    """Depth images of one camera beside each other, (H, W) uint16 [mm], at some times."""

    name: str
    time_s: Sequence[float]
    images: Sequence[DepthImage]
    colours: DepthColours


@dataclass(frozen=True)
class ImageStrip:
    """Images beside each other, (H, W, 3) uint8 RGB each, and what stands above them."""

    captions: Sequence[str]
    images: Sequence[Array]


@dataclass(frozen=True)
class JointCurves:
    """What one joint plot shows.

    Attributes:
        names: the J joints.
        truth_time_s, truth: (T,) and (T, J), what was recorded (or, live, measured).
        time_s, predicted: (N,) and (N, J), what the policy asks for, at the time it is due.
        truth_label, predicted_label: words for the legend.
        free: (N, J), what it asks for when it runs freely; None where that was not tried.
    """

    names: Sequence[str]
    truth_time_s: Array
    truth: Array
    time_s: Array
    predicted: Array
    truth_label: str = 'recorded'
    predicted_label: str = 'predicted'
    free: Array | None = None

    @property
    def end_s(self) -> float:
        """The last moment that any curve shows; 1 where it would be the first, too."""
        ends = [times[-1] for times in (self.truth_time_s, self.time_s) if len(times)]
        return float(max(ends, default=1.0)) or 1.0


def joint_columns(joints: int) -> int:
    """How many columns of small plots keep `joints` plots readable."""
    return 1 if joints <= 5 else 2 if joints <= 16 else 3


def draw_joints(
    figure: Figure, where: SubplotSpec, curves: JointCurves, *, columns: int | None = None
) -> tuple[list[Axes], list[Any]]:
    """Draw one small plot per joint into `where`.

    Returns:
        The axes, and the artists of the policy's curves (a video reveals these over time).
    """
    joints = len(curves.names)
    columns = columns or joint_columns(joints)
    rows = math.ceil(joints / columns)
    grid = where.subgridspec(rows, columns, hspace=0.42, wspace=0.24)
    axes: list[Axes] = []
    policy: list[Any] = []
    for index, name in enumerate(curves.names):
        axis = figure.add_subplot(grid[index % rows, index // rows])
        axis.plot(
            curves.truth_time_s, curves.truth[:, index], color=TRUTH, lw=2.8,
            solid_capstyle='round', label=curves.truth_label,
        )  # fmt: skip
        policy += axis.plot(
            curves.time_s, curves.predicted[:, index], color=POLICY, lw=1.5,
            label=curves.predicted_label,
        )  # fmt: skip
        if curves.free is not None:
            axis.plot(
                curves.time_s, curves.free[:, index], color=FREE, lw=1.3, ls=(0, (3.2, 1.6)),
                label='running freely',
            )  # fmt: skip
        axis.set_xlim(0, curves.end_s * 1.01)
        shown = [curves.truth, curves.predicted, *([] if curves.free is None else [curves.free])]
        _set_value_range(axis, *(values[:, index] for values in shown))
        axis.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        axis.grid(axis='y', color=RULE, lw=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(length=0)
        axis.set_title(name, loc='left', pad=2.5, fontsize=8.5, weight='bold')
        last = index % rows == rows - 1 or index == joints - 1
        axis.tick_params(labelbottom=last)
        if last:
            axis.set_xlabel('time (s)')
        axes.append(axis)
    return axes, policy


def _set_value_range(axis: Axes, *curves: Array) -> None:
    """Limits around the finite values; a still joint keeps a span in which noise stays small."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    span = max(high - low, 0.004)
    middle = (low + high) / 2
    axis.set_ylim(middle - 0.6 * span, middle + 0.6 * span)


def joints_figure(
    curves: JointCurves, title: str, strips: Sequence[DepthStrip | ImageStrip] = ()
) -> Figure:
    """The joints of one episode, prediction over truth, one small plot each; images below."""
    columns = joint_columns(len(curves.names))
    rows = math.ceil(len(curves.names) / columns)
    with matplotlib.rc_context(STYLE):
        below = STRIP_INCHES * len(strips)
        figure = Figure(figsize=(9.6, 1.0 + 1.05 * rows + below))
        height = figure.get_figheight()
        grid = figure.add_gridspec(
            1, 1, left=0.075, right=0.985, bottom=(0.45 + below) / height, top=1 - 0.62 / height
        )
        axes, _ = draw_joints(figure, grid[0], curves)
        figure.text(0.012, 1 - 0.26 / height, title, fontsize=11, weight='bold')
        figure.text(
            0.012, 0.5 * (1 + below / height), 'joint position (rad; m for sliding joints)',
            rotation='vertical',
            va='center', ha='left', fontsize=8.5,
        )  # fmt: skip
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='upper right', ncols=len(labels), borderaxespad=0.3)
        for place, strip in enumerate(strips):
            top = STRIP_INCHES * (len(strips) - place) / height
            edges = top - (STRIP_INCHES - 0.2) / height, top - 0.35 / height
            if isinstance(strip, ImageStrip):
                _draw_images(figure, strip, *edges)
            else:
                _draw_depth(figure, strip, *edges)
    return figure


def _draw_images(figure: Figure, strip: ImageStrip, bottom: float, top: float) -> None:
    """Draw images beside each other between two heights of the figure."""
    grid = figure.add_gridspec(
        1, len(strip.images), left=0.03, right=0.985, bottom=bottom, top=top, wspace=0.05
    )
    for column, (caption, image) in enumerate(zip(strip.captions, strip.images, strict=True)):
        axis = figure.add_subplot(grid[0, column])
        axis.imshow(image, interpolation='nearest')
        axis.set_title(caption)
        axis.set_axis_off()


def _draw_depth(figure: Figure, strip: DepthStrip, bottom: float, top: float) -> None:
    """Draw depth images beside each other between two heights of the figure, with their scale."""
    grid = figure.add_gridspec(
        1, len(strip.images), left=0.03, right=0.9, bottom=bottom, top=top, wspace=0.05
    )
    colours = ListedColormap(COLOURS / 255.0).with_extremes(bad='black')
    axes = [figure.add_subplot(grid[0, column]) for column in range(len(strip.images))]
    for axis, time_s, image in zip(axes, strip.time_s, strip.images, strict=True):
        shown = axis.imshow(
            np.ma.masked_equal(image, 0) / 1000.0, cmap=colours, interpolation='nearest',
            vmin=strip.colours.near_mm / 1000, vmax=strip.colours.far_mm / 1000,
        )  # fmt: skip
        axis.set_title(f'depth {strip.name}, {time_s:.2f} s')
        axis.set_axis_off()
    figure.colorbar(shown, ax=axes, label='m; black: no measurement', extend='both', fraction=0.02)


def success_figure(
    rates: Mapping[str, tuple[int, int]],
    intervals: Mapping[str, tuple[float, float]],
    taught: Mapping[str, bool],
    title: str,
) -> Figure:
    """Success rate per position with its confidence interval.

    Args:
        rates: position -> (successes, trials).
        intervals: position -> (low, high) of the rate.
        taught: position -> whether demonstrations were given there.
        title: printed above.
    """
    names = list(rates)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.4), layout='constrained')
        axis = figure.subplots()
        for place, name in enumerate(names):
            successes, trials = rates[name]
            rate = successes / trials
            low, high = intervals[name]
            axis.bar(place, 100 * rate, 0.62, color=POLICY if taught[name] else UNTAUGHT)
            axis.errorbar(
                place, 100 * rate, [[100 * (rate - low)], [100 * (high - rate)]],
                color=INK, capsize=4, lw=1.1,
            )  # fmt: skip
            inside = rate > 0.15
            axis.text(
                place, 4 if inside else 100 * high + 3, f'{successes}/{trials}', ha='center',
                color='white' if inside and taught[name] else INK, weight='bold', fontsize=9.5,
            )  # fmt: skip
        axis.set_xticks(range(len(names)), names, color=INK, fontsize=10)
        axis.set_ylim(0, 108)
        axis.set_xlim(-0.6, len(names) - 0.4)
        axis.set_yticks(range(0, 101, 20), [f'{value} %' for value in range(0, 101, 20)])
        axis.grid(axis='y', color=RULE, lw=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(length=0)
        axis.set_title(title, loc='left', fontsize=11, weight='bold')
        for label, colour in (('taught', POLICY), ('not taught', UNTAUGHT)):
            axis.bar([0], [0], color=colour, label=label)
        figure.legend(loc='upper right', ncols=2, borderaxespad=0.2)
    return figure


def png_bytes(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    # No creation date or version inside: the same numbers give the same file.
    figure.savefig(buffer, format='png', dpi=dpi, metadata={'Software': None})
    return buffer.getvalue()
