# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One training step of ACT as in `motion-policy train`, and one in plain PyTorch.

Both take the same batch from uint8 frames to updated weights, with dropout, the style's loss and
AdamW; from the same weights, without dropout, both have the same loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from motion_policy.policies import PolicySpec
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.normalisation import MeanStd, Normalisation
from motion_policy.robot import load_robot_spec
from motion_policy.training.act_loss import act_terms
from motion_policy.training.action_chunk_augmentation import ActionChunkAugmentation
from motion_policy.training.action_chunk_dataset import ChunkBatch
from motion_policy.training.config_sections import ChunkAugmentationConfig
from motion_policy.training.optimiser import FUSED_EVERYWHERE
from motion_policy.training.sequence_dataset import generator_for
from reference.plain_act import PlainACT

SIZE = (480, 640)
RATE, WEIGHT_DECAY, KL_WEIGHT = 1e-5, 1e-4, 10.0
SEED = 0

Step = Callable[[], float]


def act_policy(size: tuple[int, int] = SIZE, **hyper: object) -> ACTPolicy:
    """ACT of the paper's size with random weights, for the two simulated arms of ALOHA."""
    robot = load_robot_spec('aloha_sim')
    joints = len(robot.joints.names)
    values = MeanStd(mean=(0.0,) * joints, std=(1.0,) * joints)
    spec = PolicySpec(
        kind='act',
        rate=robot.rate,
        cameras=('top',),
        image_size=size,
        hyper=dict(hyper),
        normalisation=Normalisation(qpos=values, action=values),
        robot=robot,
    )
    torch.manual_seed(SEED)
    return ACTPolicy(spec).train()


def act_batch(policy: ACTPolicy, batch: int) -> ChunkBatch:
    """Rows of noise; the last quarter of every chunk is after the end of its episode."""
    torch.manual_seed(SEED)
    joints, chunk = len(policy.joint_names), policy.config.chunk
    valid = (torch.arange(chunk) < chunk - chunk // 4).expand(batch, -1)
    frames = torch.randint(0, 256, (batch, *policy.spec.image_size, 3), dtype=torch.uint8)
    return ChunkBatch(
        images={'top': frames},
        qpos=torch.randn(batch, joints),
        targets=torch.randn(batch, chunk, joints),
        valid=valid,
    )


def our_act_step(policy: ACTPolicy, batch: ChunkBatch, mixed: torch.dtype | None = None) -> Step:
    """The step of `motion-policy train`, without augmentation; returns the loss before it.

    With `mixed`, the forward pass is in automatic mixed precision of that type.
    """
    still = ActionChunkAugmentation(ChunkAugmentationConfig(image_noise=0, joint_noise=0))
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY, fused=FUSED_EVERYWHERE
    )

    def step() -> float:
        generator = generator_for(SEED, device=policy.device)
        with _autocast(policy, mixed):
            terms = act_terms(policy, batch, still, generator)
        return _update(optimizer, terms['action'] + KL_WEIGHT * terms['kl'])

    return step


def plain_act_step(policy: ACTPolicy, batch: ChunkBatch, mixed: torch.dtype | None = None) -> Step:
    """The step of the straightforward implementation."""
    network = PlainACT(policy.network).network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    frames = batch.images['top']

    def step() -> float:
        images = frames.permute(0, 3, 1, 2).float().contiguous() / 255
        vector, targets = policy.normalise_qpos(batch.qpos), policy.normalise_target(batch.targets)
        noise = torch.empty(batch.size, policy.config.latent_dim, device=policy.device)
        noise.normal_(generator=generator_for(SEED, device=policy.device))
        with _autocast(policy, mixed):
            chunk = network([images], vector, targets, batch.valid, noise)
        errors = (chunk.targets - targets).abs()[batch.valid].mean()
        variance = chunk.log_variance
        each = -0.5 * (1 + variance - chunk.mean.square() - variance.exp())
        return _update(optimizer, errors + KL_WEIGHT * each.sum(-1).mean())

    return step


def _autocast(policy: ACTPolicy, mixed: torch.dtype | None) -> torch.autocast:
    return torch.autocast(policy.device.type, mixed, enabled=mixed is not None)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())
