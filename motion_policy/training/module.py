# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy as Lightning trains it: terms of the loss, their weights, the optimiser.

Whatever changes over time is a function of the epoch, so a resumed run needs no counters of ours.
"""

from __future__ import annotations

import copy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from motion_policy.policies.recurrent import RecurrentPolicy
from motion_policy.training.augmentation import Augmentation
from motion_policy.training.batches import Batch, generator_for
from motion_policy.training.config import TrainConfig
from motion_policy.training.recurrent_loss import recurrent_terms
from motion_policy.training.schedule import learning_rate_share

ADAM_EPS = 1e-7  # as EIPL has it
SELF_MADE = ('point',)  # terms of the loss whose target the network makes itself


class PolicyModule(pl.LightningModule):
    """Trains `policy`; `result` is the policy to judge and to keep."""

    def __init__(self, policy: RecurrentPolicy, config: TrainConfig) -> None:
        super().__init__()
        self.policy = policy
        self.config = config
        self.mean_policy = copy.deepcopy(policy).requires_grad_(False) if config.average else None
        self._augmentation = Augmentation(config.augmentation)

    @property
    def result(self) -> RecurrentPolicy:
        """The running mean of the weights where one is kept, else the policy itself."""
        return self.policy if self.mean_policy is None else self.mean_policy

    @property
    def _image_frames(self) -> int | None:
        return self.config.image_loss_frames if self.config.loss.image else 0

    def weight(self, term: str) -> float:
        """The weight of a term of the loss in this epoch."""
        full: float = getattr(self.config.loss, term)
        return full * self.config.loss_schedule.share(term, self.current_epoch)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        generator = generator_for(
            self.config.seed, self.current_epoch, batch_index, self.global_rank, device=self.device
        )
        terms = recurrent_terms(
            self.policy, batch, self._image_frames, self._augmentation, generator
        )
        self._weights = {name: self.weight(name) for name in terms}
        loss = _weighted(terms, self._weights)
        self._log('train', {'loss': loss, **terms}, batch)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        terms = recurrent_terms(self.result, batch, self._image_frames)
        self._log('validation', {'loss': self.fixed_loss(terms), **terms}, batch)

    def fixed_loss(self, terms: dict[str, Tensor]) -> Tensor:
        """The loss that epochs are compared by: weights that do not change, and no terms whose
        target the network makes itself.
        """
        weights = self.config.loss.model_dump()
        return _weighted(terms, {name: weights[name] for name in terms if name not in SELF_MADE})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = self.policy.parameters()
        return torch.optim.Adam(parameters, lr=self.config.learning_rate, eps=ADAM_EPS)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        config = self.config
        share = learning_rate_share(
            self.current_epoch, config.epochs, config.warmup_epochs, config.learning_rate_shape
        )
        for group in self.trainer.optimizers[0].param_groups:
            group['lr'] = config.learning_rate * share

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.mean_policy is None:
            return
        # A young mean follows faster, so that it forgets the initial weights.
        steps = self.global_step
        decay = min(self.config.average, (1 + steps) / (10 + steps))
        mean: list[Tensor] = list(self.mean_policy.parameters())
        now: list[Tensor] = list(self.policy.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(mean, now, 1 - decay)

    def on_train_epoch_end(self) -> None:
        rate = self.trainer.optimizers[0].param_groups[0]['lr']
        self.log('learning_rate', rate)
        self.log_dict({f'weight/{name}': weight for name, weight in self._weights.items()})

    def _log(self, stage: str, values: dict[str, Tensor], batch: Batch) -> None:
        self.log_dict(
            {f'{stage}/{name}': value.detach() for name, value in values.items()},
            on_step=False,
            on_epoch=True,
            prog_bar=False,
            batch_size=int(batch.mask.shape[0]),
            sync_dist=self.config.devices * self.config.nodes > 1,
        )


def _weighted(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    return torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
