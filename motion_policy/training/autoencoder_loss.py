# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of a denoising autoencoder: the clean frame from an augmented one.

Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders", ICML 2008,
doi:10.1145/1390156.1390294; here the error is the mean square.
"""

from __future__ import annotations

import torch
from torch import Tensor

from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.recurrent.cae import CAEModel
from motion_policy.training.augmentation import FrameAugmentation
from motion_policy.training.frame_dataset import FrameBatch


def autoencoder_terms(
    model: CAEModel,
    batch: FrameBatch,
    augmentation: FrameAugmentation,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """The mean squared error `image`, a scalar, over frames and cameras.

    Nothing is varied without a generator.
    """
    targets = [to_unit_images(batch.images[camera]) for camera in model.cameras]
    seen = targets
    if generator is not None:
        # Contiguous: random numbers in any other memory order cost eight times as much.
        lit = [view.channels == 3 for view in model.views.values()]  # depth is in no light
        pairs = [
            augmentation.frames(target.contiguous(), generator, light)
            for target, light in zip(targets, lit, strict=True)
        ]
        seen = [pair[0].contiguous(memory_format=torch.channels_last) for pair in pairs]
        targets = [pair[1] for pair in pairs]
    errors = [
        (drawn.float() - target).square().mean()
        for drawn, target in zip(model(seen), targets, strict=True)
    ]
    return {'image': torch.stack(errors).mean()}
