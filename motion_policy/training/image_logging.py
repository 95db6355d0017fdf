# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""TensorBoard callback: images of one fixed episode."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from motion_policy.training.demonstrations import Demonstration
from motion_policy.training.module import PolicyModule


class ImageLogger(Callback):
    """Adds an image of `episode` (rows at the policy's rate) every `every` epochs, or after
    every so many steps of a run that is counted in steps, at the end of a round.
    """

    def __init__(self, episode: Demonstration, every: int) -> None:
        self.episode, self.every = episode, every

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PolicyModule)
        config, round_ = pl_module.config, trainer.current_epoch + 1
        each = config.round_length
        passed = round_ * each // self.every > (round_ - 1) * each // self.every
        due = passed or round_ == trainer.max_epochs
        if not due or trainer.logger is None or not trainer.is_global_zero:
            return
        logger: Any = trainer.logger
        learning, model = pl_module.learning, pl_module.result
        training = model.training
        image = learning.image(model.eval(), self.episode)
        model.train(training)
        logger.experiment.add_image(
            learning.image_name, image, trainer.global_step, dataformats='HWC'
        )
