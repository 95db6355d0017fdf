# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Image of recorded, posterior and prior frames of an episode, for TensorBoard.

One row each: the frames as recorded, reconstructed with the posterior, predicted with the prior.
"""

from __future__ import annotations

import numpy as np
import torch

from motion_policy.policies.normalisation import to_byte_images
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.policies.video.unrolling import teacher_forced_clip
from motion_policy.training.clip_dataset import ClipDataset
from motion_policy.training.demonstrations import Demonstration
from motion_policy.training.images import RgbImage, enlarge
from motion_policy.training.sequence_dataset import collate, generator_for


@torch.no_grad()
def predicted_sequence(model: FramePredictorModel, episode: Demonstration) -> RgbImage:
    """The frames of the first clip -> (H, W, 3) RGB; black is what is not predicted."""
    past = model.config.past
    batch = collate([ClipDataset([episode], past + model.config.future)[0, 0]]).to(model.device)
    frames = batch.images[model.cameras[0]]
    seen = model.unit_frames(frames, as_seen=True)
    generator = generator_for(0, device=model.device)
    rows = model.rows_to(len(seen))
    told = batch.action[:, :rows], batch.qpos[:, :rows]
    conditions = model.conditions(*told)
    noise = torch.zeros(*conditions.shape[:2], model.config.latent_dim, device=model.device)
    redrawn = teacher_forced_clip(model.network, seen, conditions, noise).frames
    ahead = model.predict(frames[:, :past], *told, as_seen=True, generator=generator)[0, 0]
    black = torch.zeros_like(seen[0])
    rows = (
        list(seen),
        [black, *redrawn],
        [*[black] * past, *(frame[None] for frame in ahead)],
    )
    lines = [np.concatenate([enlarge(to_byte_images(f)[0]) for f in row], axis=1) for row in rows]
    return np.concatenate(lines, axis=0)
