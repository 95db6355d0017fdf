# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of SARNN: next image, next joints, and attention points that can be predicted.

Teacher forced over whole episodes, so only the recurrent part runs step by step; the
convolutions see many frames at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.sarnn import SARNN, SARNNPolicy
from motion_policy.training.augmentation import Augmentation
from motion_policy.training.batches import Batch

# Frames per call of a convolution. On a CPU more would leave the cache, fewer cost calls.
CPU_FRAMES = 32
GPU_FRAMES = 4096


def sarnn_terms(
    policy: SARNNPolicy,
    batch: Batch,
    image_frames: int | None,
    augmentation: Augmentation | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The mean squared errors `image`, `joint`, `point` over the valid steps of a batch.

    Inputs are rows 0 ... T-2, targets rows 1 ... T-1. The image term is taken on `image_frames`
    frames per episode (None: all): drawn by `generator`, whose mean over draws is that over all
    frames, or evenly spread without one. The point term compares the points predicted at t with
    those that the encoder finds at t + 1, and has a gradient into both.
    """
    network = policy.network
    frames = batch.images[policy.cameras[0]]
    joints = policy.normalise_qpos(batch.qpos[:, :-1])
    target = batch.qpos if policy.spec.target == 'qpos' else batch.action
    target = policy.normalise_target(target[:, 1:])
    valid = batch.mask[:, 1:]  # a step exists where the row that it predicts does

    inputs = frames[:, :-1][valid]
    images = to_unit_images(inputs)
    if augmentation is not None and generator is not None:
        joints = augmentation.joints(joints, generator)
        images = _augmented(frames[:, :-1], valid, augmentation, generator)

    points = images.new_zeros(*valid.shape, policy.network.config.k_dim, 2)
    points[valid] = look(network, images)
    next_joints, next_points, _ = network.recur(points, joints, None)

    chosen = _choose(valid, image_frames, generator)
    return {
        'image': _image_error(network, images, next_points[valid], frames[:, 1:][valid], chosen),
        'joint': masked_mean((next_joints - target) ** 2, valid),
        'point': masked_mean((next_points[:, :-1] - points[:, 1:]).flatten(2) ** 2, valid[:, 1:]),
    }


def look(network: SARNN, images: Tensor) -> Tensor:
    """`SARNN.look` over any number of frames (N, 3, H, W) -> (N, K, 2)."""
    return torch.cat([network.look(part) for part in _parts(images, images)])


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of (B, T, D) over the entries whose (B, T) mask is true."""
    total = (values * mask.unsqueeze(-1)).sum()
    return total / (mask.sum() * values.shape[-1]).clamp(min=1)


def _augmented(
    frames: Tensor, valid: Tensor, augmentation: Augmentation, generator: torch.Generator
) -> Tensor:
    shape = frames.shape
    # Contiguous: random numbers in any other memory order cost eight times as much.
    images = to_unit_images(frames.flatten(0, 1)).contiguous()
    images = images.view(*shape[:2], 3, *shape[2:4])
    return augmentation.images(images, generator)[valid].contiguous(
        memory_format=torch.channels_last
    )


def _choose(valid: Tensor, per_episode: int | None, generator: torch.Generator | None) -> Tensor:
    """Which of the valid steps, counted in row order, the image term is taken on."""
    count = int(valid.sum())
    wanted = count if per_episode is None else min(count, per_episode * len(valid))
    if wanted == count:
        return torch.arange(count, device=valid.device)
    if generator is None:
        return torch.linspace(0, count - 1, wanted, device=valid.device).round().long()
    drawn = torch.randperm(count, generator=generator, device=generator.device)
    return drawn[:wanted].to(valid.device)


def _image_error(
    network: SARNN, images: Tensor, next_points: Tensor, next_frames: Tensor, chosen: Tensor
) -> Tensor:
    total = images.new_zeros(())
    for part in _parts(chosen, images):
        predicted = network.draw(next_points[part], network.features(images[part]))
        error = predicted.float() - to_unit_images(next_frames[part])
        total = total + error.square().sum()
    return total / (len(chosen) * images[0].numel())


def _parts(values: Tensor, images: Tensor) -> tuple[Tensor, ...]:
    return torch.split(values, GPU_FRAMES if images.is_cuda else CPU_FRAMES)
