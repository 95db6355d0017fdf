# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of ACT: L1 error of the action chunk and KL divergence of the CVAE latent.

ACT: Zhao et al., arXiv:2304.13705. Steps after the end of an episode count for nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.normalisation import to_unit_images
from motion_policy.training.action_chunk_augmentation import ActionChunkAugmentation
from motion_policy.training.action_chunk_dataset import ChunkBatch


def act_terms(
    policy: ACTPolicy,
    batch: ChunkBatch,
    augmentation: ActionChunkAugmentation,
    generator: torch.Generator | None,
    legacy_padding_mean: bool = False,
) -> dict[str, Tensor]:
    """`action`, the mean absolute error, and `kl`, where the style is learnt; each a scalar.

    Without a generator nothing is varied and the latent is zero, as when the policy acts: then
    there is no `kl`.
    """
    network = policy.network
    seen = [batch.images[camera] for camera in policy.cameras]
    vector = policy.scaled([getattr(batch, name) for name in policy.sensors])
    targets = policy.normalise_target(batch.targets)
    if generator is None:
        chunk = network([to_unit_images(images) for images in seen], vector)
    else:
        images = [augmentation.images(frames, generator) for frames in seen]
        vector = augmentation.joints(vector, generator)
        noise = torch.empty(batch.size, policy.config.latent_dim, device=vector.device)
        noise.normal_(generator=generator)
        chunk = network(images, vector, targets, batch.valid, noise)
    terms = {'action': chunk_error(chunk.targets, targets, batch.valid, legacy_padding_mean)}
    if chunk.mean is not None and chunk.log_variance is not None:
        terms['kl'] = kl_divergence(chunk.mean, chunk.log_variance)
    return terms


def chunk_error(
    predicted: Tensor, targets: Tensor, valid: Tensor, legacy_padding_mean: bool = False
) -> Tensor:
    """Mean absolute error of (B, k, A) over the valid steps (B, k).

    With `legacy_padding_mean` the sum is divided by all steps: rows near the end of an episode
    weigh less then, as in the original ACT.
    """
    errors = (predicted.float() - targets).abs().mean(-1) * valid
    count = valid.numel() if legacy_padding_mean else valid.sum().clamp(min=1)
    return errors.sum() / count


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of N(mean, exp(log_variance)), (B, Z) each, from N(0, 1): sum over Z, mean over B.

    Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114, appendix B.
    """
    mean, log_variance = mean.float(), log_variance.float()
    each = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
    return each.sum(-1).mean()
