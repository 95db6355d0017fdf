# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training from recorded episodes against training on one batch in memory.

This shows what the way from the files to the device costs: images that workers read, decode and
resize, or that are picked up where they are held in memory. Both take the same steps: forward,
loss, back-propagation, AdamW. They take turns in blocks; what the workers made meanwhile is used
up before a block counts. On a GPU ACT has the paper's size, on a CPU that of the small one.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring.timing import collector_off, threads

from motion_policy.cli.main import main
from motion_policy.cli.measurement import GPU, Line, Measurement
from motion_policy.episodes.formats.untimed import UntimedEpisodes
from motion_policy.policies import make_model
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.robot import load_robot_spec
from motion_policy.streams import Observation
from motion_policy.training import train_config
from motion_policy.training.action_chunk_dataset import ChunkBatch
from motion_policy.training.autoencoders import load_autoencoders
from motion_policy.training.demonstrations import load_demonstrations
from motion_policy.training.learning import learning_of
from motion_policy.training.sequence_dataset import generator_for
from motion_policy.training.train import no_progress, policy_spec

DEVICES = ('cpu', GPU)
SUMMARY = 'training from recorded episodes against training on one batch at hand'
TARGET = 1 / 0.95  # 95 % of the rate is sustained
FULL: dict[str, Any] = {}  # the defaults are the paper's
SMALL: dict[str, Any] = {
    'chunk': 50, 'hidden_dim': 128, 'heads': 4, 'feedforward_dim': 512, 'encoder_layers': 3,
    'latent_dim': 0, 'dropout': 0.0, 'backbone': 'points',
}  # fmt: skip
SMALL_SIZE, FULL_SIZE = (120, 160), (480, 640)
EPISODES, ROWS = 8, 120
BATCH, BLOCK = 16, 20
PRECISION = 'bf16-mixed'  # on a GPU


def lines(seconds: float, device: str) -> list[Line]:
    """Images held in memory, and images left in the files, each for `seconds`."""
    holds = ('device', 'host', 'no') if device == GPU else ('host', 'no')
    return [partial(_measured, hold, device == GPU, seconds) for hold in holds]


def _measured(hold: str, cuda: bool, seconds: float) -> list[Measurement]:
    keep_freed_memory()
    count = torch.get_num_threads() if cuda else 1
    with threads(count), tempfile.TemporaryDirectory() as folder:
        _write_episodes(Path(folder))
        return [_measure(_Training(Path(folder), hold, cuda), seconds)]


class _Training:
    """The parts of a training run, taken one step at a time."""

    def __init__(self, data: Path, hold: str, cuda: bool) -> None:
        self.hold, self.device = hold, torch.device(GPU if cuda else 'cpu')
        size = FULL_SIZE if cuda else SMALL_SIZE
        self.size = size
        config = train_config(
            {
                'policy': {'kind': 'act', **(FULL if cuda else SMALL)},
                'data': {'train': [str(data)], 'hold': hold},
                'output': str(data / 'run'),
                'rate': 50.0,
                'cameras': ['top'],
                'image_size': list(size),
                'batch_size': BATCH,
                'steps': 10**6,
                'precision': PRECISION if cuda else '32-true',
                'device': self.device.type,
            }
        )
        self.config, self.learning = config, learning_of(config)
        known = load_demonstrations(config, no_progress)
        spec = policy_spec(config, known, self.learning, load_autoencoders(()))
        self.policy = make_model(spec).to(self.device).train()
        self.optimiser = self.learning.optimizer(self.policy)
        demonstrations = self.learning.prepare(self.policy, known, self.device)
        loader = self.learning.train_loader(demonstrations, 0, 1)
        self.workers = loader.num_workers
        self.prefetched = loader.num_workers * (loader.prefetch_factor or 0)
        self.batches: Iterator[ChunkBatch] = iter(loader)

    def step_ms(self, batches: Iterable[ChunkBatch]) -> float:
        """Wall time per step with these batches."""
        count = 0
        begin = self._now()
        for batch in batches:
            generator = generator_for(0, count, device=self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                terms = self.learning.terms(self.policy, batch.to(self.device), 0, generator)
            self.optimiser.zero_grad()
            sum(terms.values()).backward()
            self.optimiser.step()
            count += 1
        return (self._now() - begin) / max(1, count)

    @property
    def half(self) -> bool:
        """Whether it learns in bfloat16."""
        return self.config.precision == 'bf16-mixed'

    def _now(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return 1e3 * time.perf_counter()


def _measure(training: _Training, seconds: float) -> Measurement:
    ours: list[float] = []
    reference: list[float] = []
    one = next(training.batches).to(training.device)
    training.step_ms(repeat(one, 3))
    end = time.monotonic() + seconds
    with collector_off():
        while len(ours) < 2 or time.monotonic() < end:
            reference.append(training.step_ms(repeat(one, BLOCK)))
            training.step_ms(islice(training.batches, training.prefetched))
            ours.append(training.step_ms(islice(training.batches, BLOCK)))
    height, width = training.size
    kept = {'no': 'left in the files', 'host': 'held in memory', 'device': 'held on the GPU'}
    return Measurement(
        what=f'act {height}x{width}, batch {BATCH}, images {kept[training.hold]}, one step',
        ours=statistics.median(ours),
        reference=statistics.median(reference),
        reference_name='the same step on one batch that stays on the device',
        unit='ms, median of blocks',
        target=TARGET,
        details={'blocks': len(ours), 'workers': training.workers, 'device': str(training.device)},
    )


def _write_episodes(folder: Path) -> None:
    """Episodes of ALOHA's two arms as they are recorded, with JPEG images of 480x640."""
    robot = load_robot_spec('aloha_sim')
    random = np.random.default_rng(0)
    joints = len(robot.joints.names)
    middle = np.zeros(joints, np.float32)
    with UntimedEpisodes(robot, folder, lambda: None, print, {'sim': True}) as episodes:
        for _ in range(EPISODES):
            coarse = random.integers(0, 256, (15, 20, 3), np.uint8)
            image = coarse.repeat(32, 0).repeat(32, 1)
            rows = [
                Observation(
                    qpos=middle + random.normal(0, 0.001, joints).astype(np.float32),
                    qvel=middle,
                    effort=None,
                    images={'top': np.roll(image, 4 * row, 1)},
                    action=middle + random.normal(0, 0.001, joints).astype(np.float32),
                )
                for row in range(ROWS)
            ]
            episodes.write(folder, Path('the benchmark'), rows)


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
