# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The part of a report that shows the hidden states, with its two files."""

from __future__ import annotations

from pathlib import Path

from motion_policy.evaluation.hidden_state_plots import DRAWN_PER_GROUP, group, hidden_figure
from motion_policy.evaluation.hidden_state_video import write_hidden_state_video
from motion_policy.evaluation.hidden_states import HiddenStates
from motion_policy.evaluation.plots import png_bytes
from motion_policy.files import write_bytes
from motion_policy.html_report import Report


def add_hidden_states(
    report: Report,
    hidden: HiddenStates,
    folder: Path,
    name: str,
    words: tuple[str, str] = ('taught', 'not taught'),
    reading: str = '',
) -> None:
    """Write hidden_pca.png and hidden_pca.gif, and show both; `reading` says what to look for."""
    groups = group(hidden, words)
    title = f'Hidden states of {name}'
    png = png_bytes(hidden_figure(hidden, groups, title))
    write_bytes(folder / 'hidden_pca.png', png)
    video = folder / 'hidden_pca.gif'
    write_hidden_state_video(video, hidden, groups, title)
    shares = [100 * share for share in hidden.components.explained]
    report.section('Hidden states')
    report.image(png, 'hidden states along their principal components')
    report.video(video)
    report.caption(
        f'The {hidden.components.states} hidden states of all {len(hidden.trajectories)} runs, '
        f'{hidden.trajectories[0].states.shape[1]} values each, along their three principal '
        f'components, which hold {sum(shares):.0f} % of the variance ({shares[0]:.0f}, '
        f'{shares[1]:.0f}, {shares[2]:.0f} %). Shown: the first {DRAWN_PER_GROUP} runs of each '
        f'condition. Solid: {words[0]}; dashed: {words[1]}. {reading}'
    )
