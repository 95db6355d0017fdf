# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Dataset and sampler of single rows with the action chunks that follow, for ACT.

Every row of every episode is drawn once before any is drawn again, or as often as it counts; which
ones a step shows depends on the seed and the step's number only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from motion_policy.policies.action_space import ActionSpace
from motion_policy.training.demonstrations import Demonstration
from motion_policy.training.interventions import learnt_until, pass_length, spread_by_weight
from motion_policy.training.sequence_dataset import generator_for


@dataclass(frozen=True)
class ChunkBatch:
    """B rows of episodes, and the k targets that followed each.

    images {camera: (B, h, w, 3) uint8}, qpos (B, J), targets (B, k, A) in robot units, valid
    (B, k) bool: false where the episode was over, and from a row on that counts nothing;
    effort (B, J) and inputs (B, I) where the policy sees them.
    """

    images: dict[str, Tensor]
    qpos: Tensor
    targets: Tensor
    valid: Tensor
    effort: Tensor | None = None
    inputs: Tensor | None = None

    @property
    def size(self) -> int:
        return len(self.valid)

    def to(self, *args: Any, **kwargs: Any) -> ChunkBatch:
        """The batch on another device."""
        # Only waits where the memory is not pinned.
        return self._each(lambda tensor: tensor.to(*args, **{'non_blocking': True, **kwargs}))

    def pin_memory(self) -> ChunkBatch:
        """The batch in memory from which a GPU copies by itself."""
        return self._each(lambda tensor: tensor if tensor.is_cuda else tensor.pin_memory())

    def _each(self, change: Any) -> ChunkBatch:
        images = {camera: change(image) for camera, image in self.images.items()}
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: change(v) for name, v in given.items() if isinstance(v, Tensor)}
        return replace(self, images=images, **tensors)


class ActionChunkDataset(Dataset[ChunkBatch]):
    """item [row, ...] -> ChunkBatch; rows are numbered through all episodes.

    Args:
        demonstrations: what to draw from.
        chunk: targets k per row.
        stride: rows between one target and the next.
        target: the actions from the row on, or the joint positions from a period later on.
        space: what the targets are expressed in; None: joints.

    Attributes:
        weights: (N,) what each row counts; None: all alike.
    """

    def __init__(
        self,
        demonstrations: Sequence[Demonstration],
        chunk: int,
        stride: int = 1,
        target: Literal['action', 'qpos'] = 'action',
        space: ActionSpace | None = None,
    ) -> None:
        self.demonstrations = tuple(demonstrations)
        lengths = torch.tensor([episode.length for episode in self.demonstrations])
        self._ends = lengths.cumsum(0)
        self._starts = self._ends - lengths
        self._qpos = torch.cat([episode.qpos for episode in self.demonstrations])
        self._effort = _joined([episode.effort for episode in self.demonstrations])
        self._inputs = _joined([episode.inputs for episode in self.demonstrations])
        self.weights = _joined([episode.weights for episode in self.demonstrations])
        self._until = self._ends.repeat_interleave(lengths)
        if self.weights is not None:
            self._until = learnt_until(self.weights, self._until)
        self._targets = self._qpos
        if target == 'action':
            self._targets = torch.cat([episode.action for episode in self.demonstrations])
        self._space, self._here = space, self._qpos
        if space is not None and space.name != 'joints':
            self._targets = space.placed(self._targets)
            self._here = space.placed(self._qpos) if space.is_relative else self._targets
        first = 0 if target == 'action' else stride
        self._ahead = first + stride * torch.arange(chunk)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, chosen: Sequence[int]) -> ChunkBatch:
        rows = torch.as_tensor(chosen)
        episodes = torch.searchsorted(self._ends, rows, right=True)
        wanted, ends = rows[:, None] + self._ahead, self._ends[episodes][:, None]
        targets = self._targets[torch.minimum(wanted, ends - 1)]
        if self._space is not None:
            targets = self._space.express(targets, self._here[rows][:, None])
        places = zip(episodes.tolist(), (rows - self._starts[episodes]).tolist(), strict=True)
        return ChunkBatch(
            images=self._images(list(places)),
            qpos=self._qpos[rows],
            targets=targets,
            valid=wanted < self._until[rows][:, None],
            effort=None if self._effort is None else self._effort[rows],
            inputs=None if self._inputs is None else self._inputs[rows],
        )

    def actions(self, most: int) -> Tensor:
        """The valid actions (N, A) of at most so many rows, evenly spread."""
        rows = torch.linspace(0, len(self) - 1, min(most, len(self))).round().long()
        episodes = torch.searchsorted(self._ends, rows, right=True)
        wanted, ends = rows[:, None] + self._ahead, self._ends[episodes][:, None]
        targets = self._targets[torch.minimum(wanted, ends - 1)]
        if self._space is not None:
            targets = self._space.express(targets, self._here[rows][:, None])
        return targets[wanted < ends]

    def _images(self, places: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        return {
            camera: torch.stack(
                [self.demonstrations[episode].images[camera][row] for episode, row in places]
            )
            for camera in self.demonstrations[0].images
        }


class ActionChunkSampler(Sampler[list[int]]):
    """The rows of each step; an epoch of the trainer is `round_steps` steps.

    Passes through all rows, each in an order of its own, follow each other without a gap. With
    several processes each takes its share of every step. With weights (N,) a pass has each row as
    often as it counts: the whole part of that surely, and once more in a share of the passes.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        round_steps: int,
        seed: int,
        *,
        rank: int = 0,
        processes: int = 1,
        weights: Tensor | None = None,
    ) -> None:
        self.weights = weights
        self.rows, self.batch_size, self.round_steps = rows, batch_size, round_steps
        self.seed, self.rank, self.processes = seed, rank, processes
        self.epoch = 0
        self._known: tuple[int, list[int]] = (-1, [])

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.round_steps

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * self.round_steps
        for step in range(first, first + self.round_steps):
            begin = (step * self.processes + self.rank) * self.batch_size
            yield [self._drawn(number) for number in range(begin, begin + self.batch_size)]

    def _drawn(self, number: int) -> int:
        """The row that is drawn as the `number`-th of the whole run."""
        weights = self.weights
        count = self.rows if weights is None else pass_length(weights)
        run_through, place = divmod(number, count)
        if self._known[0] != run_through:
            generator = generator_for(self.seed, run_through)
            order = torch.randperm(count, generator=generator)
            if weights is not None:
                offset = float(torch.rand((), generator=generator, dtype=torch.float64))
                order = spread_by_weight(weights, count, offset)[order]
            self._known = (run_through, order.tolist())
        return self._known[1][place]


def _joined(columns: Sequence[Tensor | None]) -> Tensor | None:
    known = [column for column in columns if column is not None]
    return torch.cat(known) if known else None


def evenly_spread(
    rows: int, count: int, batch_size: int, weights: Tensor | None = None
) -> list[list[int]]:
    """At most `count` of the rows, always the same ones, in batches; by their weights (N,)."""
    places = torch.linspace(0, rows - 1, min(count, rows)).round().long()
    if weights is not None:
        places = spread_by_weight(weights, min(count, rows))
    chosen = places.tolist()
    return [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
