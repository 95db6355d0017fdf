# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The Lightning module: loss terms, their weights, the optimiser.

Whatever changes over time is a function of the epoch or of the step, so a resumed run needs no
counters of ours.
"""

from __future__ import annotations

import copy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from motion_policy.policies import Model
from motion_policy.training.action_chunk_dataset import ChunkBatch
from motion_policy.training.config import TrainConfig
from motion_policy.training.frame_dataset import FrameBatch
from motion_policy.training.learning import AnyLearning
from motion_policy.training.schedule import learning_rate_share
from motion_policy.training.sequence_dataset import Batch, generator_for

AnyBatch = Batch | FrameBatch | ChunkBatch


class PolicyModule(pl.LightningModule):
    """Trains `policy`; `result` is the policy to judge and to keep.

    The running mean of the weights decays by min(average, (1 + steps) / (10 + steps)), as
    https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage does.
    """

    def __init__(self, policy: Model, config: TrainConfig, learning: AnyLearning) -> None:
        super().__init__()
        self.policy = policy
        self.config = config
        self.mean_policy = copy.deepcopy(policy).requires_grad_(False) if config.average else None
        self.learning = learning
        self._moving: tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]] | None = None

    @property
    def result(self) -> Model:
        """The running mean of the weights where one is kept, else the policy itself."""
        return self.policy if self.mean_policy is None else self.mean_policy

    def weight(self, term: str) -> float:
        """The weight of a term of the loss in this epoch."""
        return self.learning.weight(term, self.current_epoch)

    def training_step(self, batch: AnyBatch, batch_index: int) -> Tensor:
        """The weighted loss of a batch, a scalar, logged with its terms."""
        generator = generator_for(
            self.config.seed, self.current_epoch, batch_index, self.global_rank, device=self.device
        )
        terms = self.learning.terms(self.policy, batch, self.current_epoch, generator)
        only_told = self.learning.only_told
        self._weights = {name: self.weight(name) for name in terms if name not in only_told}
        loss = _weighted(terms, self._weights)
        self._log('train', {'loss': loss, **terms}, batch)
        return loss

    def validation_step(self, batch: AnyBatch, batch_index: int) -> None:
        terms = self.learning.terms(self.result, batch, self.current_epoch, None)
        self._log('validation', {'loss': self.fixed_loss(terms), **terms}, batch)

    def fixed_loss(self, terms: dict[str, Tensor]) -> Tensor:
        """The loss that epochs are compared by, of terms that are each a scalar.

        Its weights do not change, and only terms count whose target does not change either.
        """
        learning = self.learning
        others = (*learning.self_made, *learning.only_told)
        judged = [name for name in terms if name not in others]
        return _weighted(terms, {name: learning.full_weight(name) for name in judged})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.learning.optimizer(self.policy)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val is None or self.config.precision == '16-mixed':
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
            return
        # The trainer refuses to do so for a fused optimiser, though nothing is scaled here.
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), gradient_clip_val)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        config = self.config
        done = self.global_step if config.by_steps else self.current_epoch
        shape = config.learning_rate_shape
        share = learning_rate_share(done, config.length, config.warmup, shape)
        for group in self.trainer.optimizers[0].param_groups:
            group['lr'] = group.get('initial_lr', config.learning_rate) * share

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.mean_policy is None:
            return
        # A young mean follows faster, so that it forgets the initial weights.
        steps = self.global_step
        decay = min(self.config.average, (1 + steps) / (10 + steps))
        if self._moving is None:
            self._moving = _paired(self.mean_policy, self.policy)
        means, weights, counts = self._moving
        with torch.no_grad():
            torch._foreach_lerp_(means, weights, 1 - decay)
            for mean, count in counts:
                mean.copy_(count)

    def on_train_epoch_end(self) -> None:
        rate = self.trainer.optimizers[0].param_groups[0]['lr']
        self.log('learning_rate', rate)
        self.log_dict({f'weight/{name}': weight for name, weight in self._weights.items()})
        self.log_dict(self.learning.shares(self.current_epoch))

    def _log(self, stage: str, values: dict[str, Tensor], batch: AnyBatch) -> None:
        self.log_dict(
            {f'{stage}/{name}': value.detach() for name, value in values.items()},
            on_step=False,
            on_epoch=True,
            prog_bar=False,
            batch_size=batch.size,
            sync_dist=self.config.devices * self.config.nodes > 1,
        )


def _paired(
    mean: Model, now: Model
) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
    """The tensors of the mean and of what it follows; and pairs of those that are no mean, such
    as how many batches a normalisation has seen.
    """
    pairs = list(zip(mean.state_dict().values(), now.state_dict().values(), strict=True))
    moving = [pair for pair in pairs if pair[1].is_floating_point()]
    counts = [pair for pair in pairs if not pair[1].is_floating_point()]
    return [pair[0] for pair in moving], [pair[1] for pair in moving], counts


def _weighted(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    return torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
