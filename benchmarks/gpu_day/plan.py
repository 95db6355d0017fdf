# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Commands of the stages of the GPU day, in full size and in the tiny one of a dry run."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BENCHMARKS = Path(__file__).resolve().parents[1]
CONFIG = BENCHMARKS.parent / 'config' / 'train' / 'act_transfer_cube.yaml'
SCENE = 'sim:aloha:transfer_cube'
MAIN = 'import sys; from motion_policy.cli.main import main; sys.exit(main(sys.argv[1:]))'
IMAGENET = Path('hub', 'checkpoints', 'resnet18-f37072fd.pth')
WARMUP_SHARE, MOST_WARMUP = 0.1, 500
ROUNDS = 6  # of a training: a policy is written after each, which takes seconds
SAFETY = 1.5  # a step with augmentation, mean weights, validation: 1.3 to 1.46 of one alone
FEW_STEPS = {'steps': 4, 'validate_every': 2, 'warmup_steps': 1}
TINY_ACT = {
    'chunk': 5, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24, 'encoder_layers': 1,
    'posterior_layers': 1, 'latent_dim': 4,
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Sizes and places of a run.

    Attributes:
        dry: tiny sizes on the CPU.
        work: folder of demonstrations, training and logs.
        episodes: demonstrations to learn from.
        seconds: of each line of a benchmark.
        short: as few steps and trials as show whether they work.
        weights_file: weights to begin with, of the keys of torchvision.
    """

    dry: bool
    work: Path
    episodes: int
    seconds: float
    short: bool = False
    weights_file: str = ''

    @property
    def device(self) -> str:
        """Where the networks compute."""
        return 'cpu' if self.dry else 'cuda'

    @property
    def cores(self) -> int:
        """Processes that may run side by side."""
        return min(2 if self.dry else 16, len(os.sched_getaffinity(0)))

    @property
    def demonstrations(self) -> Path:
        """Folder of the demonstrations."""
        return self.work / 'demonstrations'

    @property
    def parts(self) -> Path:
        """Where each process puts its own."""
        return self.work / 'parts'

    @property
    def run(self) -> Path:
        """Folder of the training run."""
        return self.work / 'run'

    @property
    def reading_s(self) -> float:
        """Until the first step of the training: imports, and reading 37 GB of images."""
        return 5.0 if self.dry else 70.0

    @property
    def weights(self) -> str:
        """What the backbone begins with."""
        if self.weights_file:
            return self.weights_file
        home = Path(os.environ.get('TORCH_HOME', '~/.cache/torch')).expanduser()
        return 'imagenet' if not self.dry and (home / IMAGENET).is_file() else 'none'

    @property
    def step_words(self) -> list[str]:
        """How the time of a step is to be measured."""
        return ['--tiny'] if self.dry else []

    def metrics(self) -> dict[str, float]:
        """The metrics of the policy that the training wrote last; empty before the first."""
        path = self.run / 'last' / 'policy.yaml'
        try:
            found: dict[str, float] = yaml.safe_load(path.read_text())['metrics']
        except (OSError, TypeError, KeyError, yaml.YAMLError):
            return {}
        return found

    def training(self, seconds: float, step_s: float) -> dict[str, int]:
        """Steps of a training that ends within `seconds`; one that goes on keeps its rounds."""
        few = self.dry or self.short
        planned = FEW_STEPS if few else plan_training(seconds - self.reading_s, step_s)
        record = self.work / 'planned.json'
        done = int(self.metrics().get('steps', 0))
        if done and record.is_file():
            earlier: dict[str, int] = json.loads(record.read_text())
            rounds = max(1, planned['steps'] // earlier['validate_every'])
            planned = {**earlier, 'steps': done + rounds * earlier['validate_every']}
        record.write_text(json.dumps(planned))
        return planned

    @property
    def best(self) -> Path:
        """The policy to judge."""
        best = self.run / 'best'
        return best if best.is_dir() else self.run / 'last'


def command(file: str, *words: str) -> list[str]:
    """A call of a file of benchmarks/."""
    return [sys.executable, str(BENCHMARKS / file), *words]


def motion_policy(*words: str) -> list[str]:
    """A call of `motion-policy`, which need not be installed."""
    return [sys.executable, '-c', MAIN, *words]


def bench_call(plan: Plan, name: str, path: Path) -> list[str]:
    """One benchmark on the GPU; in a dry run its lines for a GPU, on the CPU."""
    words = ['--seconds', str(plan.seconds), '--json', str(path)]
    if plan.dry:
        return command('gpu_day/pretend.py', name, *words)
    return motion_policy('bench', name, *words, '--device', plan.device)


def teach_calls(plan: Plan, episodes: int, first_seed: int) -> list[tuple[int, list[str]]]:
    """Seed and call of each process that demonstrates; together so many episodes or more."""
    each = -(-episodes // plan.cores)
    return [
        (seed, motion_policy(
            'teach', SCENE, '--out', str(plan.parts / f'{seed:02d}'), '--episodes', str(each),
            '--seed', str(seed),
        ))
        for seed in range(first_seed, first_seed + plan.cores)
    ]  # fmt: skip


def unused_seed(plan: Plan) -> int:
    """The first seed that no demonstrating process had, of this call or an earlier one.

    Each leaves its folder. A seed that was used again would give the same episodes again.
    """
    return 1 + max((int(folder.name) for folder in plan.parts.glob('*')), default=-1)


def plan_training(seconds: float, step_s: float) -> dict[str, int]:
    """Steps, and steps between two policies, of a training that ends by itself in `seconds`."""
    each = max(1, int(seconds / (SAFETY * step_s) / ROUNDS))
    steps = ROUNDS * each
    warmup = min(MOST_WARMUP, int(WARMUP_SHARE * steps))
    return {'steps': steps, 'validate_every': each, 'warmup_steps': warmup}


def train_call(plan: Plan, planned: dict[str, int]) -> list[str]:
    """The configuration of full size, but for what the time and the machine ask."""
    changes: dict[str, Any] = {
        'data.train': f'[{plan.demonstrations}]',
        'output': plan.run,
        'device': plan.device,
        'pictures_every': 0,
        'policy.backbone_weights': plan.weights,
        **planned,
    }
    if plan.weights == 'none':
        changes['learning_rate_backbone'] = 1e-4  # random weights have more to learn
    if plan.dry:
        tiny = {f'policy.{key}': value for key, value in TINY_ACT.items()}
        changes |= {**tiny, 'image_size': '[48,64]', 'batch_size': 2, 'precision': '32-true'}
    return motion_policy(
        'train', str(CONFIG), *(f'{key}={value}' for key, value in changes.items())
    )


def trials_call(plan: Plan, device: str, path: Path) -> list[str]:
    """Trials with seeds that no demonstration had."""
    count = 2 if plan.dry or plan.short else 100
    return motion_policy(
        'evaluate', str(plan.best), SCENE, '--trials', str(count), '--seed', '1000',
        '--jobs', str(plan.cores), '--device', device, '--json', str(path),
    )  # fmt: skip
