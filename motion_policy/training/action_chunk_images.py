# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Plot of predicted action chunks over demonstrated actions."""

from __future__ import annotations

from typing import Any

import numpy as np

from motion_policy.policies.act.act import ACTPolicy
from motion_policy.training.demonstrations import Demonstration
from motion_policy.training.images import RgbImage

STARTS = 6
COLUMNS = 4
DEMONSTRATED, PREDICTED = '0.6', '#1e6eff'


def chunk_plot(policy: ACTPolicy, episode: Demonstration, starts: int = STARTS) -> RgbImage:
    """One field per joint -> (H, W, 3) RGB: demonstrated in grey, predicted chunks in blue.

    The rows of `episode` are at the policy's rate.
    """
    # Slow to load; every other part of a run does without.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = np.linspace(0, episode.length - 1, starts + 1)[:-1].round().astype(int)
    chunks = [_chunk(policy, episode, int(row)) for row in dict.fromkeys(rows)]
    target = (episode.action if policy.spec.target == 'action' else episode.qpos).numpy()
    lines = -(-target.shape[1] // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 1.8 * lines), layout='constrained')
    canvas = FigureCanvasAgg(figure)
    ahead = 0 if policy.spec.target == 'action' else 1
    for joint, name in enumerate(policy.joint_names):
        axes = figure.add_subplot(lines, COLUMNS, joint + 1)
        axes.plot(target[:, joint], color=DEMONSTRATED, linewidth=2)
        for row, chunk in zip(dict.fromkeys(rows), chunks, strict=True):
            steps = np.arange(row + ahead, min(row + ahead + len(chunk), len(target)))
            axes.plot(steps, chunk[: len(steps), joint], color=PREDICTED, linewidth=1)
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=6)
    canvas.draw()
    image: RgbImage = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return image


def _chunk(policy: ACTPolicy, episode: Demonstration, row: int) -> Any:
    """The chunk (k, A) from one row, in robot units."""
    observation: Any = {
        'seen': {camera: images[row][None] for camera, images in episode.images.items()},
        **{name: getattr(episode, name)[row][None] for name in policy.sensors},
    }
    chunk, _ = policy.act(observation, None)
    return chunk[0].cpu().numpy()
