# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inverse model for evaluation: the action between two frames, by regression.

A small network learns that from true frames of the training set; how well it then reads predicted
frames tells whether they move as the arm would (Nunes et al., arXiv:1910.02564).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from motion_policy.evaluation.frame_clips import whole_clips
from motion_policy.evaluation.recordings import RecordedRun
from motion_policy.policies import Model

BATCH, STEPS, LEARNING_RATE = 32, 500, 2e-3
MOST_FRAMES = 8000
WIDTHS, HIDDEN = (16, 24, 32), 64
STILL = 1e-9  # variance of a joint that is never commanded to go anywhere


class ActionReader(nn.Module):
    """Frames before and after (N, 3, S, S) in [0, 1] -> the way that was commanded, (N, J)."""

    def __init__(self, side: int, joints: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 9  # both frames, and their difference
        for width in WIDTHS:
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.ReLU()]
            channels = width
        cells = (side // 2 ** len(WIDTHS)) ** 2
        self.layers = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(channels * cells, 96),
            nn.ReLU(),
            nn.Linear(96, joints),
        )
        self.register_buffer('mean', torch.zeros(joints))
        self.register_buffer('scale', torch.ones(joints))

    def normalised(self, before: Tensor, after: Tensor) -> Tensor:
        """In units of the standard deviation of each joint, about its mean."""
        told: Tensor = self.layers(torch.cat((before, after, 4 * (after - before)), dim=1) - 0.5)
        return told

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        told: Tensor = self.normalised(before, after) * self.scale + self.mean
        return told


def reader_of(model: Model, recordings: Sequence[RecordedRun], seed: int) -> ActionReader:
    """Learn from whole recordings, evenly chosen where they are too many to hold."""
    frames: list[Tensor] = []
    ways: list[Tensor] = []
    pairs: list[int] = []
    for number in np.random.default_rng(seed).permutation(len(recordings)):
        (clip,) = whole_clips([recordings[number]], model)
        first = sum(map(len, frames))
        if first and first + len(clip.frames) > MOST_FRAMES:
            break
        seen = model.views[model.cameras[0]](clip.frames)
        frames.append(seen.permute(0, 3, 1, 2).contiguous())
        ways.append(clip.ways)
        pairs += range(first, first + len(clip.frames) - 1)
    return learn_to_read(torch.cat(frames), torch.cat(ways), pairs, seed)


def learn_to_read(frames: Tensor, ways: Tensor, pairs: Sequence[int], seed: int) -> ActionReader:
    """Learn from true frames; the seed fixes everything.

    Args:
        frames: (N, 3, S, S) uint8.
        ways: (N, J), what was commanded at each frame.
        pairs: frames that have the next one of their sequence behind them.
        seed: of the weights and the order.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = ActionReader(frames.shape[-1], ways.shape[-1])
    chosen = torch.tensor(pairs)
    reader.mean.copy_(ways[chosen].mean(0))
    reader.scale.copy_(ways[chosen].std(0, correction=0).clamp(min=STILL**0.5))
    wanted = (ways - reader.mean) / reader.scale
    optimiser = torch.optim.Adam(reader.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS)
    with torch.enable_grad():
        for _ in range(STEPS):
            at = chosen[torch.randint(len(chosen), (BATCH,), generator=generator)]
            before, after = frames[at].float() / 255, frames[at + 1].float() / 255
            loss = (reader.normalised(before, after) - wanted[at]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return reader.eval()


def r_squared(read: Tensor, commanded: Tensor) -> list[float | None]:
    """The share of the commands' variance that was read, of each joint: (N, J) twice -> J.

    1: all of it; 0: no more than their mean tells; None for a joint that was never commanded.
    """
    spread = (commanded - commanded.mean(0)).square().mean(0)
    errors = (read - commanded).square().mean(0)
    return [
        None if variance < STILL else 1 - error / variance
        for error, variance in zip(errors.tolist(), spread.tolist(), strict=True)
    ]


def mean_r_squared(shares: Sequence[float | None]) -> float | None:
    """The mean over the joints that were commanded; None where none was."""
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else None
