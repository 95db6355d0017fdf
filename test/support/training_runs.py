# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training runs of seconds: what their configurations share, and runs that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from motion_policy.training import train_config
from motion_policy.training.train import train

KILLED_RUN = """
import os, signal, sys, yaml
from pytorch_lightning.callbacks import Callback
from motion_policy.training import train_config
from motion_policy.training.train import train

class Kill(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.global_step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

train(train_config(yaml.safe_load(sys.argv[1])), callbacks=[Kill()])
"""


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
    arguments = [yaml.safe_dump(content), str(step)]
    killed = subprocess.run([sys.executable, '-c', KILLED_RUN, *arguments], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def weights(folder: Path) -> bytes:
    """Return the bytes of a checkpoint's weights."""
    return (folder / 'weights.safetensors').read_bytes()
