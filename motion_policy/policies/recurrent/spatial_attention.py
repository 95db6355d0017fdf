# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Spatial softmax: feature maps to attention points, and its inverse (heat maps).

A point is always (x, y), each in [0, 1]: x runs along the columns, y along the rows. Sizes are
always named height before width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SpatialSoftmax(nn.Module):
    """The expected position of each channel's activation (Finn et al., arXiv:1509.06113).

    (B, K, height, width) -> points (B, K, 2). A small temperature brings the expectation close
    to the position of the maximum; a learned one begins at the value given and stays positive.
    """

    x: Tensor
    y: Tensor

    def __init__(
        self, height: int, width: int, temperature: float = 1e-4, learn_temperature: bool = False
    ) -> None:
        super().__init__()
        self.height, self.width = height, width
        start = torch.tensor(math.log(temperature))
        self.log_temperature = nn.Parameter(start) if learn_temperature else None
        self._temperature = temperature
        # Not persistent: the grid follows from the sizes, so a checkpoint need not carry it.
        self.register_buffer('x', torch.linspace(0, 1, width), persistent=False)
        self.register_buffer('y', torch.linspace(0, 1, height), persistent=False)

    @property
    def temperature(self) -> Tensor | float:
        """The temperature of now."""
        if self.log_temperature is None:
            return self._temperature
        return self.log_temperature.exp()

    def attention(self, features: Tensor) -> Tensor:
        """The attention maps (B, K, height, width), each summing to one."""
        # A channels_last tensor would be flattened with strides; softmax is faster on rows.
        rows = features.contiguous().flatten(2)
        # Half precision is too coarse for a small temperature.
        flat = rows.to(torch.promote_types(rows.dtype, torch.float32)) / self.temperature
        return flat.softmax(dim=-1).view(*features.shape[:2], self.height, self.width)

    def forward(self, features: Tensor) -> Tensor:
        attention = self.attention(features)
        x = (attention.sum(dim=2) * self.x).sum(dim=-1)
        y = (attention.sum(dim=3) * self.y).sum(dim=-1)
        return torch.stack((x, y), dim=-1)


class InverseSpatialSoftmax(nn.Module):
    """Points (B, K, 2) -> heat maps (B, K, height, width) = exp(-|position - point|^2 / size).

    As in SARNN of EIPL (https://github.com/ogata-lab/eipl).
    """

    x: Tensor
    y: Tensor

    def __init__(self, height: int, width: int, heatmap_size: float = 0.1) -> None:
        super().__init__()
        self.height, self.width, self.heatmap_size = height, width, heatmap_size
        self.register_buffer('x', torch.linspace(0, 1, width), persistent=False)
        self.register_buffer('y', torch.linspace(0, 1, height), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        # The Gaussian of a squared distance is the product of one factor per axis.
        along_x = torch.exp(-((self.x - points[..., 0:1]) ** 2) / self.heatmap_size)
        along_y = torch.exp(-((self.y - points[..., 1:2]) ** 2) / self.heatmap_size)
        return along_y.unsqueeze(-1) * along_x.unsqueeze(-2)


def points_in_image(points: Tensor, height: int, width: int, border: int) -> Tensor:
    """Points of a feature map (..., 2) in [0, 1] -> the same places in the image, in [0, 1].

    `border` is what the unpadded convolutions cut off at each side of the (height, width) image;
    a pixel's column is x * (width - 1), its row y * (height - 1).
    """
    last = points.new_tensor([width - 1, height - 1])
    return (points * (last - 2 * border) + border) / last
