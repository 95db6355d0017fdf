# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training runs of seconds: their configurations, and runs in processes that are killed or alone.

The processes begin from one that has imported PyTorch once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

from motion_policy.training import train as training
from motion_policy.training import train_config
from motion_policy.training.checkpoints import TrainingError
from motion_policy.training.train import train

SARNN_RUN: dict[str, Any] = {
    'policy': {'kind': 'sarnn', 'rec_dim': 16, 'k_dim': 3, 'temperature': 0.05},
    'image_size': [12, 16],
    'batch_size': 2,
    'epochs': 4,
    'image_loss_frames': 3,
    'pictures_every': 2,
}
ACT = {
    'kind': 'act', 'chunk': 6, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24,
    'encoder_layers': 1, 'posterior_layers': 1, 'latent_dim': 4, 'backbone': 'small',
}  # fmt: skip
ACT_RUN: dict[str, Any] = {
    'policy': ACT,
    'rate': 25.0,
    'image_size': [16, 16],
    'batch_size': 3,
    'steps': 16,
    'validate_every': 4,
    'validation_frames': 7,
    'warmup_steps': 2,
    'weight_decay': 1e-4,
    'augmentation': {'translate': 0.1, 'brightness': 0.1},
    'pictures_every': 8,
}
PREDICTOR = {
    'kind': 'frame_predictor', 'channels': 4, 'code_dim': 8, 'latent_dim': 4, 'hidden_dim': 16,
    'future': 3,
}  # fmt: skip
CLIP_RUN: dict[str, Any] = {
    'policy': PREDICTOR, 'image_size': [64, 64], 'rate': 25.0, 'batch_size': 4, 'epochs': 4,
    'pictures_every': 2,
    'prediction': {
        'clips_per_epoch': 13, 'validation_clips': 5,
        'kl': {'weight': 0.01, 'annealing': 'cyclical', 'cycles': 2},
        'teacher_forcing': {'decay_from': 1, 'lowest': 0.2},
    },
}  # fmt: skip


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


def run_to_the_end(content: dict[str, Any], *callbacks: Callback) -> Path:
    """Train without a disturbance; return the output."""
    config = train_config(content)
    assert train(config, callbacks=callbacks) == config.output / 'best'
    return config.output


def exit_code_of(work: Callable[..., None], *arguments: Any) -> int | None:
    """Call `work`, which other processes can import, in a new process; return how it ended."""
    context = multiprocessing.get_context('forkserver')  # where PyTorch is imported once
    context.set_forkserver_preload([train.__module__])
    process = context.Process(target=work, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def run_until_killed(content: dict[str, Any], step: int) -> None:
    """Train in a process that is killed after that many steps."""
    assert exit_code_of(_train_until_killed, content, step) == -signal.SIGKILL


def _train_until_killed(content: dict[str, Any], step: int) -> None:
    train(train_config(content), callbacks=[Kill(step)])


def runs_in_another_process(
    contents: Sequence[dict[str, Any]], environment: Mapping[str, str], told: Path
) -> list[dict[str, Any]]:
    """Train one after the other in a new process; return what each `said`, and its `error`.

    Args:
        contents: the keys of each run.
        environment: what is set before anything is computed.
        told: a file that is not there yet, for what is returned.
    """
    assert exit_code_of(_train_each, contents, environment, told) == 0
    return [json.loads(line) for line in told.read_text().splitlines()]


def _train_each(
    contents: Sequence[dict[str, Any]], environment: Mapping[str, str], told: Path
) -> None:
    os.environ.update(environment)
    training.PEERS_PATIENCE = timedelta(seconds=2)
    with told.open('w') as file:
        for content in contents:
            said: list[str] = []
            error = ''
            try:
                train(train_config(content), say=said.append)
            except TrainingError as raised:
                error = str(raised)
            file.write(json.dumps({'said': said, 'error': error}) + '\n')


def weights(folder: Path) -> bytes:
    """Return the bytes of a checkpoint's weights."""
    return (folder / 'weights.safetensors').read_bytes()
