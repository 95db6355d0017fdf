# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From a camera image to a feature map, for ACT: a ResNet, or a small network for CPUs.

Batch statistics of a ResNet are frozen: batches of robot images are too small and too alike.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.errors import UserError

BackboneName = Literal['resnet18', 'resnet34', 'resnet50', 'small']
SMALL_CHANNELS = (32, 64, 96, 128)
GROUPS = 8


class ResNetBackbone(nn.Module):
    """torchvision's ResNet up to its last feature map: (N, 3, H, W) -> (N, C, H / 32, W / 32).

    `body` has torchvision's own names. Its weights are random; UserError without torchvision.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            # Slow to load, and only this kind of policy needs it.
            from torchvision.models import get_model
            from torchvision.ops import FrozenBatchNorm2d
        except ImportError:
            raise UserError(
                f"a policy with the backbone '{name}' needs torchvision: pip install torchvision"
            ) from None
        whole = get_model(name, weights=None, norm_layer=FrozenBatchNorm2d)
        parts = [(part, module) for part, module in whole.named_children()]
        self.channels: int = whole.fc.in_features
        self.body = nn.ModuleDict({p: m for p, m in parts if p not in ('avgpool', 'fc')})

    def forward(self, images: Tensor) -> Tensor:
        for part in self.body.values():
            images = part(images)
        return images


class SmallBackbone(nn.Module):
    """Four convolutions with group normalisation: (N, 3, H, W) -> (N, 128, H / 16, W / 16)."""

    channels = SMALL_CHANNELS[-1]

    def __init__(self) -> None:
        super().__init__()
        convolutions, norms = [], []
        before = 3
        for index, channels in enumerate(SMALL_CHANNELS):
            kernel = 5 if index == 0 else 3
            convolutions.append(nn.Conv2d(before, channels, kernel, 2, kernel // 2))
            norms.append(nn.GroupNorm(GROUPS, channels))
            before = channels
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList(norms)

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous()  # channels_last has no quick group normalisation
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            images = F.relu(norm(convolution(images)))
        return images


def make_backbone(name: BackboneName) -> ResNetBackbone | SmallBackbone:
    """A backbone with random weights; `channels` says how deep its feature map is."""
    return SmallBackbone() if name == 'small' else ResNetBackbone(name)
