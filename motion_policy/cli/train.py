# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy train`: trains a policy from a configuration file; called again, it resumes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from motion_policy.cli.literal import escape
from motion_policy.files import write_json


@dataclass(frozen=True)
class Arguments:
    """Train a policy. Stopped or killed, the same command goes on where it was."""

    config: tyro.conf.Positional[Path]
    """Configuration of the run, such as config/train/sarnn_tabletop.yaml."""

    overrides: tyro.conf.Positional[tuple[str, ...]] = ()
    """Changes to it as key=value, such as epochs=50 loss.image=0.2 output=runs/second."""

    devices: int | None = None
    """Number of GPUs per machine (or processes on a CPU)."""

    nodes: int | None = None
    """Number of machines."""

    json: Path | None = None
    """Write where the policies are and their metrics as JSON."""


def run(arguments: Arguments) -> int:
    """Train and say where the policy is."""
    # Imported late: Lightning takes seconds, for which --help should not wait.
    from motion_policy.policies import read_policy_spec
    from motion_policy.policies.cpu.allocator import keep_freed_memory
    from motion_policy.training import load_train_config
    from motion_policy.training.progress import TrainingProgress
    from motion_policy.training.train import train

    keep_freed_memory()
    given = {'devices': arguments.devices, 'nodes': arguments.nodes}
    extra = [f'{key}={value}' for key, value in given.items() if value is not None]
    config = load_train_config(arguments.config, [*arguments.overrides, *extra])
    console = Console()
    progress = TrainingProgress(console)

    def say(line: str) -> None:
        console.print(escape(line), soft_wrap=True, highlight=False)

    try:
        best = train(config, callbacks=[progress], progress=progress.reading, say=say)
    except KeyboardInterrupt:
        console.print('stopped; the same command goes on from where it last wrote')
        raise
    if any(os.environ.get(name, '0') != '0' for name in ('LOCAL_RANK', 'NODE_RANK')):
        return 0  # one of several processes; the first one tells
    metrics = read_policy_spec(best).metrics
    told = '  '.join(f'{name} {metrics[name]:g}' for name in metrics if name.endswith('loss'))
    when = f'epoch {metrics["epoch"]:g}' if 'epoch' in metrics else f'step {metrics["steps"]:g}'
    line = f'best policy: {best} ({when}, {told})'
    console.print(escape(line), soft_wrap=True)
    if arguments.json:
        report = {'best': str(best), 'last': str(best.with_name('last')), 'metrics': metrics}
        write_json(arguments.json, report)
    return 0
