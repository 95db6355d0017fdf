# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of hidden-state trajectories in their principal components.

A colour is a condition, in the order in which the conditions were given; what was not taught is
dashed. A ring marks where a trajectory begins, a dot where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from motion_policy.evaluation.hidden_states import HiddenStates
from motion_policy.evaluation.plots import STYLE
from motion_policy.palette import INK, RULE

Array = npt.NDArray[Any]

DRAWN_PER_GROUP = 4  # more lines than this hide each other
LEGEND_ROWS = 14
# Of Okabe and Ito, which the colour-blind can tell apart, from cold to warm: neighbours on a line
# are neighbours in colour.
FEW_COLOURS = ('#0072b2', '#56b4e9', '#009e73', '#e69f00', '#d55e00')
# The yellow end is left out, since it cannot be read on white.
COLOUR_MAP, COLOUR_FROM, COLOUR_TO = 'plasma', 0.02, 0.82


@dataclass(frozen=True)
class TrajectoryGroup:
    """Trajectories of one condition that look alike: projected, each (N, 3)."""

    label: str
    colour: str
    dashed: bool
    paths: tuple[Array, ...]

    @property
    def line(self) -> dict[str, Any]:
        """How its lines are drawn."""
        if not self.dashed:
            return {'color': self.colour, 'lw': 1.3}
        # On top: what was not taught is what one looks for.
        return {'color': self.colour, 'lw': 1.5, 'ls': (0, (3.2, 1.8)), 'zorder': 3}


def group(
    hidden: HiddenStates, words: tuple[str, str] = ('taught', 'not taught')
) -> list[TrajectoryGroup]:
    """One group per condition, and per taught and not; the first few trajectories of each.

    `words` are those of the legend for what was taught and what was not.
    """
    trajectories = hidden.trajectories
    conditions = list(dict.fromkeys(one.condition for one in trajectories))
    keys = list(dict.fromkeys((one.condition, one.taught) for one in trajectories))
    keys.sort(key=lambda key: (conditions.index(key[0]), key[1] is False))
    # With one condition alone, colours are free to tell taught from not taught.
    shades = conditions if len(conditions) > 1 else [one[1] for one in keys]
    colours = dict(zip(shades, condition_colours(len(shades)), strict=True))
    groups = []
    for condition, taught in keys:
        here = [one for one in trajectories if (one.condition, one.taught) == (condition, taught)]
        groups.append(
            TrajectoryGroup(
                _label(condition, taught, words, len(conditions) > 1),
                colours[condition if len(conditions) > 1 else taught],
                taught is False,
                tuple(hidden.components.project(one.states) for one in here[:DRAWN_PER_GROUP]),
            )
        )
    return groups


def condition_colours(count: int) -> list[str]:
    """So many colours in an order that also the colour-blind see."""
    if count <= len(FEW_COLOURS):
        last = len(FEW_COLOURS) - 1
        return [FEW_COLOURS[round(place)] for place in np.linspace(0, last, count)]
    places = np.linspace(COLOUR_FROM, COLOUR_TO, count)
    return [to_hex(matplotlib.colormaps[COLOUR_MAP](place)) for place in places]


def hidden_figure(hidden: HiddenStates, groups: Sequence[TrajectoryGroup], title: str) -> Figure:
    """Two views of the same trajectories, from the front and from above."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.6), layout='constrained')
        axes = figure.subplots(1, 2)
        for axis, vertical in zip(axes, (1, 2), strict=True):
            _draw_view(axis, groups, vertical)
            axis.set_xlabel(axis_label(hidden, 0))
            axis.set_ylabel(axis_label(hidden, vertical))
        figure.suptitle(title, x=0.012, ha='left', fontsize=11, weight='bold')
        figure.legend(
            handles=legend(groups), loc='outside right upper', fontsize=9, handlelength=2.4
        )
    return figure


def _draw_view(axis: Axes, groups: Sequence[TrajectoryGroup], vertical: int) -> None:
    for group in groups:
        for path in group.paths:
            axis.plot(path[:, 0], path[:, vertical], **group.line)
            axis.plot(*path[0, [0, vertical]], **ring(group.colour))
            axis.plot(*path[-1, [0, vertical]], **dot(group.colour))
    axis.grid(color=RULE, lw=0.5)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.margins(0.06)
    axis.set_aspect('equal', adjustable='datalim')


def axis_label(hidden: HiddenStates, place: int) -> str:
    """The component's name and its share of the variance."""
    return f'PC {place + 1} ({100 * hidden.components.explained[place]:.0f} %)'


def legend(groups: Sequence[TrajectoryGroup], present: str = 'end') -> list[Line2D]:
    """Handles for the groups, for the ring and for the dot, which means `present`."""
    shown = groups if len(groups) <= LEGEND_ROWS else groups[: LEGEND_ROWS - 1]
    handles = [Line2D([], [], label=group.label, **group.line) for group in shown]
    if len(shown) < len(groups):
        rest = f'and {len(groups) - len(shown)} more'
        handles.append(Line2D([], [], ls='', label=rest))
    handles.append(Line2D([], [], label='start', **ring(INK)))
    handles.append(Line2D([], [], label=present, **dot(INK)))
    return handles


def ring(colour: str) -> dict[str, Any]:
    """How a beginning is marked."""
    return {
        'ls': '', 'marker': 'o', 'ms': 6, 'mfc': 'white', 'mec': colour, 'mew': 1.4, 'zorder': 4,
    }  # fmt: skip


def dot(colour: str) -> dict[str, Any]:
    """How an end, or the present, is marked."""
    return {
        'ls': '', 'marker': 'o', 'ms': 6.5, 'mfc': colour, 'mec': 'white', 'mew': 0.8, 'zorder': 5,
    }  # fmt: skip


def _label(condition: str, taught: bool | None, words: tuple[str, str], several: bool) -> str:
    if taught is None:
        return condition
    word = words[0] if taught else words[1]
    return f'{condition}, {word}' if several else word
