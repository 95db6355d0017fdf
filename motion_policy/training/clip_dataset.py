# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Dataset of clips of consecutive rows, for frame predictors.

A clip may begin at every row from which it fits into its episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from motion_policy.training.config import ConfigError
from motion_policy.training.demonstrations import Demonstration

Start = tuple[int, int]  # episode, row


class ClipDataset(Dataset[Demonstration]):
    """item (episode, row) -> `frames` rows from that one on, `stride` rows apart.

    Raises ConfigError for an episode that is shorter than a clip.
    """

    def __init__(
        self, demonstrations: Sequence[Demonstration], frames: int, stride: int = 1
    ) -> None:
        self.demonstrations = tuple(demonstrations)
        self.span = (frames - 1) * stride + 1
        self.stride = stride
        for episode in self.demonstrations:
            if episode.length < self.span:
                raise ConfigError(
                    f'{episode.path}: {episode.length} rows, expected at least {self.span}: '
                    f'past + future = {frames} frames, {stride} rows apart'
                )

    def __len__(self) -> int:
        return sum(episode.length - self.span + 1 for episode in self.demonstrations)

    def __getitem__(self, start: Start) -> Demonstration:
        episode, row = start
        clip = self.demonstrations[episode].rows(slice(row, row + self.span, self.stride))
        images = {camera: _in_memory(frames) for camera, frames in clip.images.items()}
        return replace(clip, images=images)

    def starts(self) -> list[Start]:
        """Where a clip may begin."""
        return [
            (index, row)
            for index, episode in enumerate(self.demonstrations)
            for row in range(episode.length - self.span + 1)
        ]


def spread_evenly(starts: Sequence[Start], count: int) -> list[Start]:
    """At most `count` of them, always the same ones."""
    places = torch.linspace(0, len(starts) - 1, min(count, len(starts))).round().long()
    return [starts[place] for place in places.tolist()]


def _in_memory(frames: Tensor | Sequence[Tensor]) -> Tensor:
    if isinstance(frames, Tensor):
        return frames
    return torch.stack([frames[row] for row in range(len(frames))])
