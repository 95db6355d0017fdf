# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint callback: `last/`, `best/` and the state to resume from.

A round is an epoch, or `validate_every` steps. Each is complete whenever it is there, so a kill at
any moment costs at most one round.
"""

from __future__ import annotations

import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from motion_policy import __version__
from motion_policy.errors import UserError
from motion_policy.files import new_file
from motion_policy.policies import save_policy
from motion_policy.training.module import PolicyModule

RESUME_FILE = 'resume.ckpt'


class TrainingError(UserError):
    """A run that cannot go on: the loss is not a number any more."""


class PolicyCheckpoints(Checkpoint):
    """Writes `last/` and `resume.ckpt` each round, and `best/` when the judged loss falls.

    Judged is the validation loss, or without validation episodes the training loss.
    """

    def __init__(self, output: Path, judged: str) -> None:
        self.output, self.judged = output, judged
        self.best = math.inf

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PolicyModule)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        by_steps = pl_module.config.by_steps
        at = trainer.global_step if by_steps else trainer.current_epoch + 1
        _check_finite(metrics, f'{"step" if by_steps else "epoch"} {at}')
        validated = (trainer.current_epoch + 1) % pl_module.config.validation_period == 0
        better = validated and metrics[self.judged] < self.best
        if better:
            self.best = metrics[self.judged]
        if trainer.is_global_zero:
            for name in ('last', *(['best'] if better else [])):
                self._save(pl_module, self.output / name, metrics, trainer)
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.output / RESUME_FILE)  # writes nothing, but takes part
            return
        with new_file(self.output / RESUME_FILE) as part:
            trainer.save_checkpoint(part)

    def state_dict(self) -> dict[str, Any]:
        return {'best': self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = float(state_dict['best'])

    def _save(
        self, module: PolicyModule, folder: Path, metrics: dict[str, float], trainer: pl.Trainer
    ) -> None:
        policy = module.result
        told = {name.replace('/', '_'): _rounded(value) for name, value in metrics.items()}
        if not module.config.by_steps:
            told['epoch'] = trainer.current_epoch + 1
        told['steps'] = trainer.global_step
        policy.spec = policy.spec.model_copy(update={'metrics': told})
        save_policy(policy, folder)


def software_versions() -> dict[str, str]:
    """What a checkpoint was made with."""
    return {
        'motion_policy': __version__,
        'torch': str(torch.__version__),
        'pytorch_lightning': version('pytorch_lightning'),
        'python': platform.python_version(),
    }


def _rounded(value: float) -> float:
    return float(f'{value:.6g}')


def _check_finite(metrics: dict[str, float], when: str) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise TrainingError(
                f'{name} is {value} in {when}: lower learning_rate or set '
                'gradient_clip; best/ and last/ are those of before'
            )
