# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training runs of seconds: what their configurations share, and runs that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

from motion_policy.training import train_config
from motion_policy.training.train import train


class Kill(Callback):
    """Kills its process after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Be gone at once."""
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def small_run(demonstrations: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Return the keys of a run on a CPU that a test of a whole run begins from."""
    given = {
        'data': {'train': [str(demonstrations)], 'validation': 0.25},
        'output': str(output),
        'cameras': ['top'],
        'learning_rate_shape': 'cosine',
        'average': 0.5,
        'gradient_clip': 1.0,
        'threads': 1,
        'device': 'cpu',
    }
    return {**given, **changes}


def run_to_the_end(content: dict[str, Any]) -> Path:
    """Train without a disturbance; return the output."""
    config = train_config(content)
    assert train(config) == config.output / 'best'
    return config.output


def run_until_killed(content: dict[str, Any], step: int) -> None:
    """Train in a process that is killed after that many steps."""
    context = multiprocessing.get_context('forkserver')  # where PyTorch is imported once
    context.set_forkserver_preload([train.__module__])
    killed = context.Process(target=_train_until_killed, args=(content, step))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL


def _train_until_killed(content: dict[str, Any], step: int) -> None:
    train(train_config(content), callbacks=[Kill(step)])


def weights(folder: Path) -> bytes:
    """Return the bytes of a checkpoint's weights."""
    return (folder / 'weights.safetensors').read_bytes()
