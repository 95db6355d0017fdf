# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of a recurrent network: the next images, joints, efforts and features.

Inputs are rows 0 ... T-2 of every episode, targets rows 1 ... T-1. Teacher forced, only the
recurrent part runs step by step; everything else sees many frames at once.
Where rows have weights, the term `joint` has them: what is imitated. Images, points, features and
efforts tell what came of it, whoever drove, and count alike.
Images, joints and points are as in EIPL's trainers (https://github.com/ogata-lab/eipl); efforts,
and frames that are drawn for the image term, are additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.recurrent.base import RecurrentNetwork, RecurrentPolicy
from motion_policy.training.augmentation import EpisodeAugmentation
from motion_policy.training.frame_minibatches import over_frames, sum_over_frames
from motion_policy.training.sequence_dataset import Batch
from motion_policy.training.unrolling import Own, mixed, teacher_forced

TEACHER_FORCING = Own()


class Noise(NamedTuple):
    """What is varied, and by which random numbers."""

    augmentation: EpisodeAugmentation
    generator: torch.Generator


def recurrent_terms(
    policy: RecurrentPolicy,
    batch: Batch,
    image_frames: int | None,
    *,
    bptt_steps: int | None = None,
    own: Own = TEACHER_FORCING,
    augmentation: EpisodeAugmentation | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The mean squared errors over the valid steps of a batch, each a scalar.

    `joint` always; `effort` where the policy predicts efforts; `image`, the mean over the
    cameras, where the batch has images; and the network's `feature_term`: the features predicted
    at t against those of the images at t + 1. Its gradient goes into both, or where the batch
    gives the features into the prediction alone.

    Args:
        policy: whose network is judged.
        batch: with features if the network's are fixed, else with images.
        image_frames: frames per episode for the image term (None: all, 0: no such term), drawn
            by `generator` so that the mean over draws is that over all frames, or evenly spread
            without one. Where images are mixed all of them are drawn anyway, and count.
        bptt_steps: see `unrolling`.
        own: shares of own predictions in the input.
        augmentation: what is varied in the input, by `generator`; nothing without one.
        generator: of all that is random.
    """
    network = policy.network
    valid = batch.mask[:, 1:]  # a step exists where the row that it predicts does
    noise = Noise(augmentation, generator) if augmentation and generator else None
    vector = normalised_vector(policy, batch)[:, :-1]
    if noise is not None:
        vector = noise.augmentation.joints(vector, noise.generator)

    images: list[Tensor] = []
    drawn: tuple[Tensor, ...] = ()
    seen: Tensor | list[Tensor]
    if batch.features is not None:
        seen = batch.features[:, :-1]
        if noise is not None:
            seen = noise.augmentation.features(seen, noise.generator)
    else:
        images = [seen_images(frames[:, :-1], valid, noise) for frames in cameras(policy, batch)]
        if own.image:
            seen = [scatter_to_steps(image, valid) for image in images]
        else:
            seen = scatter_to_steps(encode_frames(network, images).float(), valid)

    if own != TEACHER_FORCING:
        hidden, features, drawn = mixed(policy, seen, vector, own, bptt_steps)
    else:
        assert isinstance(seen, Tensor)
        hidden, features = teacher_forced(network, seen, vector, bptt_steps), seen

    terms = vector_errors(policy, batch, network.decode_joints(hidden), valid)
    if network.feature_term is not None:
        terms[network.feature_term] = feature_error(network, hidden, features, batch)
    if images and image_frames != 0:
        targets = [frames[:, 1:][valid] for frames in cameras(policy, batch)]
        if drawn:
            terms['image'] = images_error([image[valid] for image in drawn], targets)
        else:
            chosen = chosen_steps(valid, image_frames, generator)
            terms['image'] = image_error_of_frames(network, hidden[valid], images, targets, chosen)
    return terms


def cameras(policy: RecurrentPolicy, batch: Batch) -> list[Tensor]:
    """(B, T, h, w, 3) uint8 per camera, in the order in which the network sees them."""
    return [batch.images[camera] for camera in policy.cameras]


def normalised_vector(policy: RecurrentPolicy, batch: Batch) -> Tensor:
    """Joints, then efforts and vectors if the policy sees them (B, T, V), normalised."""
    return policy.scaled([getattr(batch, name) for name in policy.sensors])


def vector_errors(
    policy: RecurrentPolicy, batch: Batch, predicted: Tensor, valid: Tensor
) -> dict[str, Tensor]:
    """The terms `joint` and `effort`, each a scalar, of what was predicted (B, T - 1, V').

    `valid` (B, T - 1) is true where the row that a step predicts exists.
    """
    target = batch.qpos if policy.spec.target == 'qpos' else batch.action
    if batch.targets is not None:
        target = batch.targets
    joints = predicted[..., : target.shape[-1]]
    wanted = policy.normalise_target(target[:, 1:])
    weights = None if batch.weights is None else batch.weights[:, 1:]
    terms = {'joint': masked_mean((joints - wanted).square(), valid, weights)}
    if policy.normalise_effort is not None:
        assert batch.effort is not None
        wanted = policy.normalise_effort(batch.effort[:, 1:])
        effort = predicted[..., target.shape[-1] :]
        terms['effort'] = masked_mean((effort - wanted).square(), valid)
    return terms


def feature_error(
    network: RecurrentNetwork, hidden: Tensor, features: Tensor, batch: Batch
) -> Tensor:
    """The network's feature term: of the features (B, T - 1, F) that it saw, or of the batch's."""
    predicted, valid = network.decode_features(hidden), batch.mask[:, 1:]
    if batch.features is not None:
        return masked_mean((predicted - batch.features[:, 1:]).square(), valid)
    return masked_mean((predicted[:, :-1] - features[:, 1:]).square(), valid[:, 1:])


def images_error(drawn: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Mean squared error of images (N, 3, H, W) per camera against (N, H, W, 3) uint8."""
    errors = [
        (image.float() - to_unit_images(target)).square().mean()
        for image, target in zip(drawn, targets, strict=True)
    ]
    return torch.stack(errors).mean()


def scatter_to_steps(values: Tensor, valid: Tensor) -> Tensor:
    """Values (N, ...) of the N valid steps -> (B, T, ...), zero elsewhere."""
    scattered = values.new_zeros(*valid.shape, *values.shape[1:])
    scattered[valid] = values
    return scattered


def masked_mean(values: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean of (B, T, D) over the entries whose (B, T) mask is true.

    With weights (B, T), whose mean over all that is learnt from is 1, each entry counts so much.
    """
    counted = mask if weights is None else mask * weights
    total = (values * counted.unsqueeze(-1)).sum()
    return total / (mask.sum() * values.shape[-1]).clamp(min=1)


def chosen_steps(
    valid: Tensor, per_episode: int | None, generator: torch.Generator | None
) -> Tensor:
    """Which of the valid steps (B, T), counted in row order, the image term is taken on: (n,)."""
    count = int(valid.sum())
    wanted = count if per_episode is None else min(count, per_episode * len(valid))
    if wanted == count:
        return torch.arange(count, device=valid.device)
    if generator is None:
        return torch.linspace(0, count - 1, wanted, device=valid.device).round().long()
    drawn = torch.randperm(count, generator=generator, device=generator.device)
    return drawn[:wanted].to(valid.device)


def encode_frames(network: RecurrentNetwork, images: Sequence[Tensor]) -> Tensor:
    """`encode_images` of any number of frames, (N, 3, H, W) per camera -> (N, F)."""
    return over_frames(lambda *part: network.encode_images(part), *images)


def image_error_of_frames(
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

    def error(hidden: Tensor, rows: Tensor) -> Tensor:
        drawn = network.decode_images(hidden, [image[rows] for image in images])
        errors = [
            F.mse_loss(image.float(), to_unit_images(target[rows]), reduction='sum')
            for image, target in zip(drawn, targets, strict=True)
        ]
        return torch.stack(errors).sum()

    total = sum_over_frames(error, hidden[chosen], chosen, weights=network.parameters())
    return total / (len(chosen) * sum(image[0].numel() for image in images))


def seen_images(frames: Tensor, valid: Tensor, noise: Noise | None) -> Tensor:
    """(B, T, h, w, 3) uint8, of depth 2 -> the N valid ones, varied, (N, 3, h, w) in [0, 1]."""
    if noise is None:
        return to_unit_images(frames[valid])
    shape = frames.shape
    # Contiguous: random numbers in any other memory order cost eight times as much.
    images = to_unit_images(frames.flatten(0, 1)).contiguous()
    images = images.view(*shape[:2], 3, *shape[2:4])
    light = shape[-1] == 3  # depth is in none
    return noise.augmentation.images(images, noise.generator, light)[valid].contiguous(
        memory_format=torch.channels_last
    )
