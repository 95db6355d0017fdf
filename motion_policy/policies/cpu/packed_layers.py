# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Convolutions and linear layers with fixed weights, in the order that oneDNN computes with.

They run without gradient, and do the addition and the activation behind them in the same pass.
Where oneDNN is missing they are PyTorch's plain functions.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal['none', 'relu']


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
        self.where: tuple[Any, ...] = (
            list(like.padding), list(like.stride), list(like.dilation), like.groups,
        )  # fmt: skip
        self.bias, self.relu = bias.contiguous(), relu
        self.packed = works_packed(weight.dtype)
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        if self.packed:
            order = torch.ops.mkldnn._reorder_convolution_weight
            self.weight = order(self.weight, *self.where, list(shape))

    def __call__(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        then = 'relu' if self.relu else 'none'
        convolve = torch.ops.mkldnn._convolution_pointwise
        fixed = (self.weight, self.bias, *self.where)
        if not self.packed:
            padding, stride, dilation, groups = self.where
            maps = F.conv2d(images, self.weight, self.bias, stride, padding, dilation, groups)
            maps = maps if added is None else maps.add_(added)
            return maps.relu_() if self.relu else maps
        if added is None:
            plain: Tensor = convolve.default(images, *fixed, then, [], '')
            return plain
        unary = ('relu', [], '') if self.relu else (None, [], '')
        summed: Tensor = convolve.binary(images, added, *fixed, 'add', 1.0, *unary)
        return summed


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
        self.packed = works_packed(weight.dtype)
        self.weight = weight.contiguous()
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, rows)

    def __call__(self, values: Tensor, added: Tensor | None = None) -> Tensor:
        added = self.table if added is None else added
        apply = torch.ops.mkldnn._linear_pointwise
        if not self.packed:
            given = F.linear(values, self.weight, self.bias)
            given = given if added is None else given.add_(added)
            return given.relu_() if self.relu else given
        if added is None:
            then = 'relu' if self.relu else 'none'
            plain: Tensor = apply.default(values, self.weight, self.bias, then, [], '')
            return plain
        summed: Tensor = apply.binary(values, added, self.weight, self.bias, 'add')
        return summed


@cache
def works_packed(dtype: torch.dtype) -> bool:
    """Whether oneDNN's fused operators are there for a type and give the right numbers."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    try:
        with torch.no_grad():
            _try_packed(dtype)
    except (AttributeError, RuntimeError, TypeError, AssertionError):
        return False
    return True


def _try_packed(dtype: torch.dtype) -> None:
    def ramp(*shape: int) -> Tensor:
        count = torch.Size(shape).numel()
        return torch.linspace(-1, 1, count).reshape(shape).to(dtype)

    images = ramp(1, 8, 9, 11).contiguous(memory_format=torch.channels_last)
    weight, bias, where = ramp(16, 8, 3, 3), ramp(16), ([1, 1], [1, 1], [1, 1], 1)
    order, convolve = (
        torch.ops.mkldnn._reorder_convolution_weight, torch.ops.mkldnn._convolution_pointwise,
    )  # fmt: skip
    ordered = order(weight.contiguous(memory_format=torch.channels_last), *where, [1, 8, 9, 11])
    plain = F.conv2d(images, weight, bias, 1, 1)
    close = {'rtol': 0.02, 'atol': 0.02} if dtype != torch.float32 else {}
    fused = convolve.binary(
        images, plain, ordered, bias, *where, 'add', 1.0, 'relu', [], ''
    )  # fmt: skip
    torch.testing.assert_close(fused, (plain + plain).relu(), **close)  # type: ignore[arg-type]
    values, matrix = ramp(1, 5, 24), ramp(16, 24)
    ordered = torch.ops.mkldnn._reorder_linear_weight(matrix, 5)
    through = torch.ops.mkldnn._linear_pointwise
    plain = F.linear(values, matrix, bias)
    fused = through.default(values, ordered, bias, 'relu', [], '')
    torch.testing.assert_close(fused, plain.relu(), **close)  # type: ignore[arg-type]
    fused = through.binary(values, plain, ordered, bias, 'add')
    torch.testing.assert_close(fused, plain + plain, **close)  # type: ignore[arg-type]
