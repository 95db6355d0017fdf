# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Dataset and sampler of single frames, for autoencoders.

Which frames an epoch shows depends on the seed and the epoch's number only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from motion_policy.training.demonstrations import Demonstration
from motion_policy.training.sequence_dataset import generator_for

Frame = tuple[int, int]  # episode, row


@dataclass(frozen=True)
class FrameBatch:
    """N rows as all cameras saw them: images {camera: (N, h, w, 3) uint8}."""

    images: dict[str, Tensor]

    @property
    def size(self) -> int:
        return len(next(iter(self.images.values())))

    def to(self, *args: Any, **kwargs: Any) -> FrameBatch:
        """The batch on another device."""
        return FrameBatch({name: image.to(*args, **kwargs) for name, image in self.images.items()})


class FrameDataset(Dataset[dict[str, Tensor]]):
    """item (episode, row) -> {camera: (h, w, 3) uint8}."""

    def __init__(self, demonstrations: Sequence[Demonstration]) -> None:
        self.demonstrations = tuple(demonstrations)

    def __len__(self) -> int:
        return sum(episode.length for episode in self.demonstrations)

    def __getitem__(self, frame: Frame) -> dict[str, Tensor]:
        episode, row = frame
        return {name: image[row] for name, image in self.demonstrations[episode].images.items()}

    def every(self, stride: int) -> list[Frame]:
        """Each `stride`-th row of every episode."""
        return [
            (index, row)
            for index, episode in enumerate(self.demonstrations)
            for row in range(0, episode.length, stride)
        ]


class FrameSampler(Sampler[Frame]):
    """`count` of the frames per epoch (None: all), others in every epoch, none of them twice.

    With several processes each takes its share of the same order, all shares equally long.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        count: int | None,
        seed: int,
        *,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.frames, self.seed = tuple(frames), seed
        self.count = len(self.frames) if count is None else min(count, len(self.frames))
        self.rank, self.processes = rank, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.processes)

    def __iter__(self) -> Iterator[Frame]:
        generator = generator_for(self.seed, self.epoch)
        order = torch.randperm(len(self.frames), generator=generator)[: self.count].tolist()
        order += order[: len(self) * self.processes - self.count]
        for index in order[self.rank :: self.processes]:
            yield self.frames[index]


def collate_frames(frames: Sequence[dict[str, Tensor]]) -> FrameBatch:
    """Stacks frames {camera: (h, w, 3) uint8} into one batch."""
    return FrameBatch({name: torch.stack([frame[name] for frame in frames]) for name in frames[0]})
