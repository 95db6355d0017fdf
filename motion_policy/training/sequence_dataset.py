# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Dataset and sampler of sequences; an epoch depends on its number only.

That is what makes a resumed run equal to one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from motion_policy.training.demonstrations import Demonstration

Pick = tuple[int, int]  # episode, phase


@dataclass(frozen=True)
class Batch:
    """B sequences of up to T rows.

    images {camera: (B, T, h, w, 3) uint8}, qpos and action (B, T, J) in robot units,
    mask (B, T) bool: true where a row exists, shorter sequences are padded at their end;
    effort (B, T, J) and inputs (B, T, I) where the policy sees them; features (B, T, F) in place
    of the images where these are looked at once for all; targets (B, T, A), the action that leads
    to each row from the one before, where it is not in joints; weights (B, T), what each row
    counts as something to imitate, where they do not count alike.
    """

    images: dict[str, Tensor]
    qpos: Tensor
    action: Tensor
    mask: Tensor
    effort: Tensor | None = None
    features: Tensor | None = None
    inputs: Tensor | None = None
    targets: Tensor | None = None
    weights: Tensor | None = None

    @property
    def size(self) -> int:
        return len(self.mask)

    def to(self, *args: Any, **kwargs: Any) -> Batch:
        """The batch on another device."""
        return Batch(
            {name: image.to(*args, **kwargs) for name, image in self.images.items()},
            self.qpos.to(*args, **kwargs),
            self.action.to(*args, **kwargs),
            self.mask.to(*args, **kwargs),
            None if self.effort is None else self.effort.to(*args, **kwargs),
            None if self.features is None else self.features.to(*args, **kwargs),
            None if self.inputs is None else self.inputs.to(*args, **kwargs),
            None if self.targets is None else self.targets.to(*args, **kwargs),
            None if self.weights is None else self.weights.to(*args, **kwargs),
        )


class SequenceDataset(Dataset[Demonstration]):
    """item (episode, phase) -> rows phase, phase + stride, ... of that episode."""

    def __init__(self, demonstrations: Sequence[Demonstration], stride: int) -> None:
        self.demonstrations = tuple(demonstrations)
        self.stride = stride

    def __len__(self) -> int:
        return len(self.demonstrations)

    def __getitem__(self, pick: Pick) -> Demonstration:
        episode, phase = pick
        whole = self.demonstrations[episode]
        return whole.rows(slice(phase, None, self.stride))


class SequenceSampler(Sampler[Pick]):
    """Every episode once per epoch, in a new order and from new phases each epoch.

    With several processes each takes its share of the same order, all shares equally long.
    """

    def __init__(
        self, episodes: int, stride: int, seed: int, *, rank: int = 0, processes: int = 1
    ) -> None:
        self.episodes, self.stride, self.seed = episodes, stride, seed
        self.rank, self.processes = rank, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.episodes // self.processes)

    def __iter__(self) -> Iterator[Pick]:
        generator = generator_for(self.seed, self.epoch)
        order = torch.randperm(self.episodes, generator=generator).tolist()
        phases = torch.randint(self.stride, (self.episodes,), generator=generator).tolist()
        order += order[: len(self) * self.processes - self.episodes]
        for episode in order[self.rank :: self.processes]:
            yield episode, phases[episode]


def generator_for(*numbers: int, device: torch.device | str = 'cpu') -> torch.Generator:
    """Random numbers that depend on the given numbers (seed, epoch, batch, ...) alone."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 1_000_003 + number + 1) % (2**63)
    return torch.Generator(device=device).manual_seed(mixed)


def collate(sequences: Sequence[Demonstration]) -> Batch:
    """Pads sequences of unequal length into one batch."""
    lengths = torch.tensor([sequence.length for sequence in sequences])
    rows = torch.arange(int(lengths.max()))
    return Batch(
        images={
            camera: _pad([sequence.images[camera] for sequence in sequences])
            for camera in sequences[0].images
        },
        qpos=_pad([sequence.qpos for sequence in sequences]),
        action=_pad([sequence.action for sequence in sequences]),
        mask=rows < lengths[:, None],
        effort=_pad_known([sequence.effort for sequence in sequences]),
        features=_pad_known([sequence.features for sequence in sequences]),
        inputs=_pad_known([sequence.inputs for sequence in sequences]),
        targets=_pad_known([sequence.targets for sequence in sequences]),
        weights=_pad_known([sequence.weights for sequence in sequences]),
    )


def _pad_known(tensors: Sequence[Tensor | None]) -> Tensor | None:
    known = [tensor for tensor in tensors if tensor is not None]
    return _pad(known) if known else None


def _pad(tensors: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True)
