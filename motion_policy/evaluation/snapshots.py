# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Figure of selected rows: camera image, attention, predicted image.

An expected image stands below the image of the row that it was expected for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from motion_policy.control import PolicyRunner
from motion_policy.control.attention_image import Attended, attended
from motion_policy.evaluation.open_loop import ReplayStep, replay
from motion_policy.evaluation.plots import STYLE
from motion_policy.evaluation.recordings import RecordedRun
from motion_policy.palette import FAINT_INK

Array = npt.NDArray[Any]

COLUMNS = 8
CELL = 1.06  # inches
LABEL_WIDTH = 1.1
SHORT_NAME = 7  # letters, that stand behind a word in that width


@dataclass(frozen=True)
class Snapshot:
    """One row: what the policy attended to, by camera, its extras and those of the step before,
    and whether a camera's whole image is stretched to the one that it sees.
    """

    time_s: float
    images: Mapping[str, Attended]
    extras: Mapping[str, Any]
    before: Mapping[str, Any]
    stretched: Mapping[str, bool]


def snapshots(
    runner: PolicyRunner, recording: RecordedRun, steps: int, count: int = COLUMNS
) -> list[Snapshot]:
    """Replay a recording of so many steps, and keep `count` steps from the second on."""
    wanted = set(np.linspace(min(1, steps - 1), steps - 1, count).round().astype(int).tolist())
    kept: list[Snapshot] = []
    stretched = {name: view.options.is_plain for name, view in runner.policy.views.items()}
    before: Mapping[str, Any] = {}
    index = 0

    def watch(step: ReplayStep) -> None:
        nonlocal before, index
        if index in wanted:
            images = {
                camera: attended(view, step.observation.image(camera), step.extras)
                for camera, view in runner.policy.views.items()
            }
            kept.append(Snapshot(step.time_s, images, step.extras, before, stretched))
        before = step.extras
        index += 1

    replay(runner, recording.rows(), recording.rate_hz, watch=watch)
    return kept


def snapshots_figure(seen: Sequence[Snapshot], free: Sequence[Snapshot], mix_words: str) -> Figure:
    """What was seen, what was expected, and what was expected `free` of the recording.

    One row each, for every camera; a policy that predicts no image has the first row alone.
    """
    rows: list[tuple[str, bool, list[Array | None]]] = []
    for camera in seen[0].images:
        # What was stretched is shown in the camera's shape again.
        as_camera = seen[0].stretched[camera]
        images = [snapshot.images[camera].drawn(min_height=180) for snapshot in seen]
        label = f"camera{' ' if len(camera) <= SHORT_NAME else chr(10)}'{camera}'"
        rows.append((label, True, [*images]))
        for words, source in ((mix_words, seen), ('running\nfreely', free)):
            expected = [snapshot.before.get(f'image/{camera}') for snapshot in source]
            if any(image is not None for image in expected):
                rows.append((f'expected,\n{words}', as_camera, expected))
    height, width = next(iter(seen[0].images.values())).image.shape[:2]
    cell_height = CELL * height / width
    with matplotlib.rc_context(STYLE):
        size = (LABEL_WIDTH + CELL * len(seen), 0.3 + cell_height * len(rows))
        figure = Figure(figsize=size)
        grid = figure.add_gridspec(
            len(rows), len(seen), left=LABEL_WIDTH / size[0], right=0.998, bottom=0.004,
            top=1 - 0.26 / size[1], wspace=0.04, hspace=0.04,
        )  # fmt: skip
        for row, (words, fills, shown) in enumerate(rows):
            for column, image in enumerate(shown):
                axis = figure.add_subplot(grid[row, column])
                _show(axis, image, fills)
                if row == 0:
                    axis.set_title(
                        f'{seen[column].time_s:.1f} s', fontsize=8.5, color=FAINT_INK, pad=3
                    )
                if column == 0:
                    axis.set_ylabel(words, rotation=0, ha='right', va='center', labelpad=6)
    return figure


def _show(axis: Axes, image: Array | None, fills: bool) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if image is not None:
        axis.imshow(image, aspect='auto' if fills else 'equal', interpolation='nearest')
