# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inference layers with weights prepacked for oneDNN.

They run without gradient, and do the addition and the activation behind them in the same pass.
Where oneDNN is missing they are PyTorch's plain functions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.policies.cpu import onednn


class PackedConvolution:
    """activation(convolution(images) + added), for maps of one size in channels_last order.

    Args:
        weight: (out, in, height, width).
        bias: (out,).
        like: the layer whose stride and padding it has.
        shape: (N, C, H, W) of the images.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, like: nn.Conv2d, shape: torch.Size, relu: bool
    ) -> None:
        self.geometry = onednn.Geometry.of(like)
        self.bias, self.relu = bias.contiguous(), relu
        self.packed = onednn.works(weight.dtype)
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        if self.packed:
            self.weight = onednn.ordered_convolution(self.weight, self.geometry, shape)

    def __call__(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        if self.packed:
            then = onednn.RELU if self.relu else onednn.NONE
            fixed = (self.weight, self.bias, self.geometry)
            return onednn.convolution(images, *fixed, then, added)
        padding, stride, dilation, groups = self.geometry
        maps = F.conv2d(images, self.weight, self.bias, stride, padding, dilation, groups)
        maps = maps if added is None else maps.add_(added)
        return maps.relu_() if self.relu else maps


class PackedLinear:
    """activation(x W^T + b) or x W^T + b + added, for (1, rows, in) with a fixed number of rows.

    Args:
        weight: (out, in).
        bias: (out,), or (rows, out), which is added as it is.
    """

    def __init__(self, weight: Tensor, bias: Tensor, rows: int, relu: bool = False) -> None:
        self.relu = relu
        self.bias: Tensor | None = bias.contiguous()
        self.table: Tensor | None = None
        if bias.ndim == 2:
            self.bias, self.table = None, bias.contiguous()[None]
        self.packed = onednn.works(weight.dtype)
        self.weight = weight.contiguous()
        if self.packed:
            self.weight = onednn.ordered_linear(self.weight, rows)

    def __call__(self, values: Tensor, added: Tensor | None = None) -> Tensor:
        added = self.table if added is None else added
        if self.packed:
            then = onednn.RELU if self.relu else onednn.NONE
            return onednn.linear(values, self.weight, self.bias, then, added)
        given = F.linear(values, self.weight, self.bias)
        given = given if added is None else given.add_(added)
        return given.relu_() if self.relu else given
