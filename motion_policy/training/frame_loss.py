# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of a frame predictor: reconstruction error and KL divergence to the prior.

That of SVG (Denton and Fergus, arXiv:1802.07687). It is judged as it will be used: after the
frames of the past it sees its own, its latents come from the prior.
"""

from __future__ import annotations

import torch
from torch import Tensor

from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.policies.video.psnr import psnr_of_error
from motion_policy.policies.video.unrolling import (
    faster_at_once,
    on_its_own,
    teacher_forced_clip,
)
from motion_policy.training.sequence_dataset import Batch, generator_for


def frame_terms(
    model: FramePredictorModel,
    batch: Batch,
    forced_share: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """`image`, the mean squared error; `kl`, the divergence per step; `psnr` in dB, with no
    gradient; each a scalar.

    Args:
        model: the frame predictor.
        batch: clips of past + future frames.
        forced_share: how probable it is that the batch is teacher forced.
        generator: of the latents, and of that choice.
    """
    frames, conditions = _clips(model, batch)
    # Drawn on the host: a GPU need not be waited for.
    coin = generator_for(generator.initial_seed())
    forced = forced_share > torch.rand((), generator=coin).item()
    at_once = faster_at_once(model.network, frames)
    shape = (*conditions.shape[:2], model.config.latent_dim)
    noise = torch.randn(shape, generator=generator, device=frames.device)
    run = teacher_forced_clip if forced else on_its_own
    unrolled = run(model.network, frames, conditions, noise, at_once=at_once)
    errors = torch.stack(
        [
            (drawn.float() - frame).square().mean((1, 2, 3))
            for drawn, frame in zip(unrolled.frames, frames[1:], strict=True)
        ]
    )
    return {'image': errors.mean(), 'kl': unrolled.kl().mean(), 'psnr': mean_psnr(errors)}


@torch.no_grad()
def judged_terms(model: FramePredictorModel, batch: Batch, seed: int) -> dict[str, Tensor]:
    """`image` and `psnr` of the frames predicted from those of the past, and `kl`; scalars."""
    past = model.config.past
    frames, conditions = _clips(model, batch)
    generator = generator_for(seed, device=frames.device)
    camera = model.cameras[0]
    rows = model.rows_to(len(frames))
    drawn = model.predict(
        batch.images[camera][:, :past],
        batch.action[:, :rows],
        batch.qpos[:, :rows],
        as_seen=True,
        generator=generator,
    )
    errors = (drawn[:, 0].transpose(0, 1) - frames[past:]).square().mean((2, 3, 4))
    noise = torch.randn(
        *conditions.shape[:2], model.config.latent_dim, generator=generator, device=frames.device
    )
    kl = teacher_forced_clip(model.network, frames, conditions, noise, at_once=False).kl().mean()
    return {'image': errors.mean(), 'kl': kl, 'psnr': mean_psnr(errors)}


def mean_psnr(errors: Tensor) -> Tensor:
    """The mean PSNR of frames [dB], from their mean squared errors (...) over all colours."""
    return psnr_of_error(errors.detach()).mean()


def _clips(model: FramePredictorModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Frames (T, B, 3, S, S) and the conditions (T - 1, B, C) of the steps between them."""
    frames = model.unit_frames(batch.images[model.cameras[0]], as_seen=True)
    rows = model.rows_to(len(frames))
    return frames, model.conditions(batch.action[:, :rows], batch.qpos[:, :rows])
