# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One training step of SARNN against the plain loop that steps the whole module frame by frame.

Both take the same batch from uint8 frames to updated weights: forward, the three losses over all
frames, back-propagation through time, Adam. Both give the same loss. One thread, one process.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from motion_policy.cli.main import main
from motion_policy.cli.measurement import (
    Measurement,
    interleaved_ms,
    plain_sarnn,
    random_policy,
)
from motion_policy.policies.sarnn import SARNN, SARNNPolicy
from motion_policy.robot import load_robot_spec
from motion_policy.training.batches import Batch
from motion_policy.training.sarnn_loss import sarnn_terms

SUMMARY = 'one training step of SARNN against a loop over the frames'
SIZE, EPISODES, ROWS = 64, 5, 50
POINT_WEIGHT = 0.1
TARGET = 0.9


def run(seconds: float) -> list[Measurement]:
    """Measure for `seconds`, but at least three steps of each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_measure(seconds)]
    finally:
        torch.set_num_threads(threads)


def _measure(seconds: float) -> Measurement:
    policy = cast(SARNNPolicy, random_policy(SIZE, load_robot_spec('tabletop_sim'))).train()
    module = plain_sarnn(policy).train()
    batch = random_batch(policy)
    losses = our_loss(policy, batch).item(), loop_loss(policy, module, batch).item()
    ours = torch.optim.Adam(policy.parameters(), lr=1e-4)
    reference = torch.optim.Adam(module.parameters(), lr=1e-4)

    def our_step() -> None:
        _update(ours, our_loss(policy, batch))

    def reference_step() -> None:
        _update(reference, loop_loss(policy, module, batch))

    steps = (our_step, reference_step)
    ours_ms, reference_ms = interleaved_ms(steps, seconds, least=3, warm_up=1)
    return Measurement(
        what=f'SARNN {SIZE}x{SIZE}, training step, batch {EPISODES}, T={ROWS}, 1 thread',
        ours=statistics.median(ours_ms),
        reference=statistics.median(reference_ms),
        reference_name='per-step loop over the module, default memory order',
        unit='ms of CPU time, median',
        target=TARGET,
        details={'calls': len(ours_ms), 'threads': 1, 'loss_difference': losses[0] - losses[1]},
    )


def random_batch(policy: SARNNPolicy) -> Batch:
    """Whole episodes of noise, without padding."""
    torch.manual_seed(1)
    joints = len(policy.joint_names)
    frames = torch.randint(0, 256, (EPISODES, ROWS, SIZE, SIZE, 3), dtype=torch.uint8)
    return Batch(
        images={policy.cameras[0]: frames},
        qpos=torch.rand(EPISODES, ROWS, joints) - 0.5,
        action=torch.rand(EPISODES, ROWS, joints) - 0.5,
        mask=torch.ones(EPISODES, ROWS, dtype=torch.bool),
    )


def our_loss(policy: SARNNPolicy, batch: Batch) -> Tensor:
    """The loss as `motion-policy train` computes it, over all frames."""
    return _weighted(**sarnn_terms(policy, batch, None))


def loop_loss(policy: SARNNPolicy, module: SARNN, batch: Batch) -> Tensor:
    """The same loss, one frame after the other."""
    frames = batch.images[policy.cameras[0]].permute(0, 1, 4, 2, 3).float() / 255
    joints, target = policy.normalise_qpos(batch.qpos), policy.normalise_target(batch.action)
    state = None
    images, predicted, seen, expected = [], [], [], []
    for t in range(ROWS - 1):
        next_image, next_joint, points, next_points, state = module(
            frames[:, t], joints[:, t], state
        )
        images.append(next_image)
        predicted.append(next_joint)
        seen.append(points)
        expected.append(next_points)
    image = (torch.stack(images, 1) - frames[:, 1:]).square().mean()
    joint = (torch.stack(predicted, 1) - target[:, 1:]).square().mean()
    point = (torch.stack(expected[:-1], 1) - torch.stack(seen[1:], 1)).square().mean()
    return _weighted(image, joint, point)


def _weighted(image: Tensor, joint: Tensor, point: Tensor) -> Tensor:
    return image + joint + POINT_WEIGHT * point


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem.replace('_', '-'), *sys.argv[1:]]))
