# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Precomputed features of a frozen encoder, so that epochs need no images.

The range of the features comes from the training episodes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.recurrent.cae_rnn import CAERNN, CAERNNPolicy
from motion_policy.training.demonstrations import Demonstration, Demonstrations

FRAMES = 128  # per call of the encoder


def with_features(
    policy: CAERNNPolicy, data: Demonstrations, device: torch.device
) -> Demonstrations:
    """The demonstrations with features in place of images; sets the feature range of `policy`."""
    network = policy.to(device).network
    seen = [encoded(network, episode, policy.cameras) for episode in data.train]
    every = torch.cat(seen)
    network.set_feature_range(every.amin(0), every.amax(0))
    held = [encoded(network, episode, policy.cameras) for episode in data.validation]

    def told(episode: Demonstration, features: Tensor) -> Demonstration:
        return replace(episode, images={}, features=network.sequence.normalise(features).cpu())

    return replace(
        data,
        train=tuple(told(*pair) for pair in zip(data.train, seen, strict=True)),
        validation=tuple(told(*pair) for pair in zip(data.validation, held, strict=True)),
    )


@torch.no_grad()
def encoded(network: CAERNN, episode: Demonstration, cameras: Sequence[str]) -> Tensor:
    """All frames of an episode -> features (T, F) as the autoencoders give them."""
    device = network.sequence.feature_low.device
    parts = []
    for start in range(0, episode.length, FRAMES):
        rows = slice(start, start + FRAMES)
        images = [to_unit_images(episode.images[name][rows].to(device)) for name in cameras]
        parts.append(network.encode(images))
    return torch.cat(parts)
