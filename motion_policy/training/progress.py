# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Progress bar of a training run: epochs or steps, time left, losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)

from motion_policy.training.module import PolicyModule

TERMS = ('loss', 'joint', 'action')
LOSSES = tuple(f'{stage}/{term}' for stage in ('train', 'validation') for term in TERMS)


class TrainingProgress(Callback):
    """Shows the bar on `console`; a console that is no terminal gets a line now and then."""

    LINES = 10  # per run, where there is no terminal

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn('training'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('{task.fields[unit]}'),
            TimeElapsedColumn(),
            TextColumn('left'),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn('{task.fields[losses]}'),
            console=console,
            disable=not console.is_terminal,
        )

    def reading(self, paths: Sequence[Path], what: str) -> Iterable[Path]:
        """Shows a bar while the episodes are read."""
        hidden = not self.console.is_terminal
        return track(paths, what, console=self.console, transient=True, disable=hidden)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, PolicyModule)
        config = pl_module.config
        self._by_steps, self._each = config.by_steps, config.round_length
        self._bar.start()
        self._task = self._bar.add_task(
            'training',
            total=config.rounds * self._each,
            completed=trainer.current_epoch * self._each,
            losses='',
            unit='steps' if self._by_steps else 'epochs',
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        if self._by_steps and trainer.is_global_zero:
            self._bar.advance(self._task)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        losses = '  '.join(f'{name} {metrics[name]:.5f}' for name in LOSSES if name in metrics)
        self._bar.update(self._task, advance=0 if self._by_steps else 1, losses=losses)
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 1
        if not self.console.is_terminal and done % max(1, total // self.LINES) == 0:
            unit = 'step' if self._by_steps else 'epoch'
            told = f'{unit} {done * self._each}/{total * self._each}  {losses}'
            self.console.print(told, soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._bar.stop()
