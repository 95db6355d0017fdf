# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Small frame predictors for tests; every number follows from a seed."""

from __future__ import annotations

from typing import Any

import torch
from policy_examples import spec
from torch import nn

from motion_policy.policies import make_model
from motion_policy.policies.video.predictor import FramePredictorModel

SMALL = {'channels': 3, 'code_dim': 6, 'latent_dim': 4, 'hidden_dim': 10, 'future': 3}
SPREADS = {'mean': [0.0, 0.1, 0.0, -0.1, 0.0], 'std': [0.5, 0.6, 0.7, 0.8, 0.01]}


def small_predictor(seed: int = 0, **changes: Any) -> FramePredictorModel:
    """Return a small frame predictor in eval mode whose every weight and statistic is drawn."""
    hyper = {**SMALL, **changes.pop('hyper', {})}
    given: dict[str, Any] = {
        'kind': 'frame_predictor',
        'image_size': (64, 64),
        'hyper': hyper,
        'normalisation': {'qpos': SPREADS, 'action': SPREADS},
        **changes,
    }
    torch.manual_seed(seed)
    model = make_model(spec(**given)).eval()
    assert isinstance(model, FramePredictorModel)
    lively(model)
    return model


def lively(network: nn.Module) -> None:
    """Weights with which different inputs give clearly different outputs."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            fan = layer.weight[0].numel() / (4 if isinstance(layer, nn.ConvTranspose2d) else 1)
            nn.init.normal_(layer.weight, 0, 1.2 / fan**0.5)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1, 0.2)
            nn.init.normal_(layer.bias, 0, 0.2)
            nn.init.normal_(layer.running_mean, 0, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 2)
