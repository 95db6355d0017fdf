# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of a recurrent network: the next images, joints, efforts and features.

Inputs are rows 0 ... T-2 of every episode, targets rows 1 ... T-1. Teacher forced, only the
recurrent part runs step by step; everything else sees many frames at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.recurrent import RecurrentNetwork, RecurrentPolicy
from motion_policy.training.augmentation import Augmentation
from motion_policy.training.batches import Batch

# Frames per call of a convolution. On a CPU more would leave the cache, fewer cost calls.
CPU_FRAMES = 32
GPU_FRAMES = 4096


def recurrent_terms(
    policy: RecurrentPolicy,
    batch: Batch,
    image_frames: int | None,
    augmentation: Augmentation | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The mean squared errors over the valid steps of a batch.

    `joint` always; `effort` where the policy predicts efforts; `image`, the mean over the
    cameras, on `image_frames` frames per episode (None: all, 0: no such term), drawn by
    `generator` so that the mean over draws is that over all frames, or evenly spread without one;
    and the network's `feature_term`: the features predicted at t against those of the image at
    t + 1. Its gradient goes into both, or where `look` is fixed into the prediction alone.
    """
    network = policy.network
    valid = batch.mask[:, 1:]  # a step exists where the row that it predicts does
    vector = normalised_vector(policy, batch)[:, :-1]
    images = [to_unit_images(frames[:, :-1][valid]) for frames in camera_frames(policy, batch)]
    if augmentation is not None and generator is not None:
        vector = augmentation.joints(vector, generator)
        images = [
            _augmented(frames[:, :-1], valid, augmentation, generator)
            for frames in camera_frames(policy, batch)
        ]
    seen = look_in_chunks(network, images)
    features = seen.new_zeros(*valid.shape, seen.shape[-1])
    features[valid] = seen
    hidden, _ = network.recur(features, vector, None)
    terms = vector_errors(policy, batch, network.read_vector(hidden), valid)
    if network.feature_term is not None:
        expected, found = network.read_features(hidden)[:, :-1], features[:, 1:]
        terms[network.feature_term] = masked_mean((expected - found).square(), valid[:, 1:])
    if image_frames != 0:
        targets = [frames[:, 1:][valid] for frames in camera_frames(policy, batch)]
        chosen = chosen_steps(valid, image_frames, generator)
        terms['image'] = image_error_in_chunks(network, hidden[valid], images, targets, chosen)
    return terms


def camera_frames(policy: RecurrentPolicy, batch: Batch) -> list[Tensor]:
    """(B, T, h, w, 3) uint8 per camera, in the order in which the network sees them."""
    return [batch.images[camera] for camera in policy.cameras]


def normalised_vector(policy: RecurrentPolicy, batch: Batch) -> Tensor:
    """Joints, then efforts if the policy sees them (B, T, V), normalised."""
    vector: Tensor = policy.normalise_qpos(batch.qpos)
    if policy.normalise_effort is None:
        return vector
    assert batch.effort is not None
    return torch.cat((vector, policy.normalise_effort(batch.effort)), dim=-1)


def vector_errors(
    policy: RecurrentPolicy, batch: Batch, predicted: Tensor, valid: Tensor
) -> dict[str, Tensor]:
    """The terms `joint` and `effort` of what was predicted (B, T - 1, V')."""
    target = batch.qpos if policy.spec.target == 'qpos' else batch.action
    joints = predicted[..., : target.shape[-1]]
    wanted = policy.normalise_target(target[:, 1:])
    terms = {'joint': masked_mean((joints - wanted).square(), valid)}
    if policy.normalise_effort is not None:
        assert batch.effort is not None
        wanted = policy.normalise_effort(batch.effort[:, 1:])
        effort = predicted[..., target.shape[-1] :]
        terms['effort'] = masked_mean((effort - wanted).square(), valid)
    return terms


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of (B, T, D) over the entries whose (B, T) mask is true."""
    total = (values * mask.unsqueeze(-1)).sum()
    return total / (mask.sum() * values.shape[-1]).clamp(min=1)


def chosen_steps(
    valid: Tensor, per_episode: int | None, generator: torch.Generator | None
) -> Tensor:
    """Which of the valid steps, counted in row order, the image term is taken on."""
    count = int(valid.sum())
    wanted = count if per_episode is None else min(count, per_episode * len(valid))
    if wanted == count:
        return torch.arange(count, device=valid.device)
    if generator is None:
        return torch.linspace(0, count - 1, wanted, device=valid.device).round().long()
    drawn = torch.randperm(count, generator=generator, device=generator.device)
    return drawn[:wanted].to(valid.device)


def look_in_chunks(network: RecurrentNetwork, images: Sequence[Tensor]) -> Tensor:
    """`look` at any number of frames, (N, 3, H, W) per camera -> (N, F)."""
    rows = torch.arange(len(images[0]), device=images[0].device)
    return torch.cat([network.look([image[part] for image in images]) for part in _parts(rows)])


def image_error_in_chunks(
    network: RecurrentNetwork,
    hidden: Tensor,
    images: Sequence[Tensor],
    targets: Sequence[Tensor],
    chosen: Tensor,
) -> Tensor:
    """Mean squared error of the images drawn at the `chosen` steps.

    Args:
        hidden: (N, R) of all N valid steps.
        images: of now, (N, 3, H, W) in [0, 1] per camera.
        targets: of the next step, (N, H, W, 3) uint8 per camera.
        chosen: indices into N.
    """
    total = hidden.new_zeros((), dtype=torch.float32)
    for part in _parts(chosen):
        drawn = network.draw(hidden[part], [image[part] for image in images])
        for image, target in zip(drawn, targets, strict=True):
            total = total + (image.float() - to_unit_images(target[part])).square().sum()
    return total / (len(chosen) * sum(image[0].numel() for image in images))


def _parts(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, GPU_FRAMES if rows.is_cuda else CPU_FRAMES)


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
