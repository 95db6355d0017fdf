# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own layers in the forms that a CPU computes fastest: same weights, same numbers.

Elsewhere, and wherever a form is missing, the plain layers run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Tanh(nn.Module):
    """tanh, in place. PyTorch's own takes several times as long as its sigmoid on a CPU."""

    def forward(self, values: Tensor) -> Tensor:
        if values.device.type != 'cpu' or values.dtype != torch.float32:
            return values.tanh_()
        if torch.is_grad_enabled() and values.requires_grad:
            bent: Tensor = _TanhInPlace.apply(values)
            return bent
        return _tanh_in_place(values)


class UpConvolution(nn.ConvTranspose2d):
    """A transposed convolution that adds its bias itself.

    The gradient of the bias costs oneDNN more than those of image and weight together.
    """

    def forward(self, images: Tensor, output_size: Any = None) -> Tensor:
        if self.bias is None or output_size is not None:
            return super().forward(images, output_size)
        maps = F.conv_transpose2d(
            images,
            self.weight,
            None,
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.output_padding,  # type: ignore[arg-type]
            self.groups,
            self.dilation,  # type: ignore[arg-type]
        )
        return maps.add_(self.bias[:, None, None].to(maps.dtype))


class Convolutions(nn.Sequential):
    """Layers in order. Without gradients on a CPU, activations are part of their convolutions.

    That saves a pass over the largest maps and, for a single small image, PyTorch's detour of
    unfolding it into a matrix. A layer whose convolution is fused does not run its own hooks.
    """

    def forward(self, input: Tensor) -> Tensor:
        convolve = _fused_convolution() if _may_fuse(input) else None
        if convolve is None:
            plain: Tensor = super().forward(input)
            return plain
        layers = list(self)
        values, index = input, 0
        while index < len(layers):
            layer = layers[index]
            activation = _activation(layers[index + 1]) if index + 1 < len(layers) else None
            if activation is not None and _plain_convolution(layer):
                values = convolve(values, layer, *activation)
                index += 2
            else:
                values = layer(values)
                index += 1
        return values


def _may_fuse(images: Tensor) -> bool:
    return (
        not torch.is_grad_enabled()
        and images.device.type == 'cpu'
        and images.dtype == torch.float32
        and torch.backends.mkldnn.enabled
        and not (torch.compiler.is_compiling() or torch.jit.is_tracing())
    )


def _plain_convolution(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == 'zeros'


def _activation(module: nn.Module) -> tuple[str, list[float]] | None:
    """What oneDNN calls an activation, and its parameters; None if it is not one of ours."""
    if isinstance(module, nn.LeakyReLU):
        return 'leaky_relu', [module.negative_slope]
    if isinstance(module, Tanh | nn.Tanh):
        return 'tanh', []
    return ('relu', []) if isinstance(module, nn.ReLU) else None


Fused = Callable[[Tensor, nn.Module, str, list[float]], Tensor]


@cache
def _fused_convolution() -> Fused | None:
    """oneDNN's convolution with an activation in it, if it is there and gives the right numbers.

    It is what torch.compile calls; PyTorch offers it under no other name.
    """
    operator = getattr(torch.ops.mkldnn, '_convolution_pointwise', None)
    if operator is None or not torch.backends.mkldnn.is_available():
        return None

    def convolve(images: Tensor, layer: Any, activation: str, parameters: list[float]) -> Tensor:
        where = layer.padding, layer.stride, layer.dilation, layer.groups
        weight, bias = layer.weight, layer.bias
        fused: Tensor = operator(images, weight, bias, *where, activation, parameters, '')
        return fused

    # Without initialisation, which would take numbers from the caller's random sequence.
    layer = nn.utils.skip_init(nn.Conv2d, 3, 8, 3, stride=2, padding=1).requires_grad_(False)
    for values in layer.parameters():
        values.copy_(torch.linspace(-1, 1, values.numel()).view_as(values))
    images = torch.linspace(-1, 1, 3 * 9 * 7).reshape(1, 3, 9, 7)
    try:
        for module in (nn.ReLU(), nn.LeakyReLU(0.3), nn.Tanh()):
            given = _activation(module)
            assert given is not None
            torch.testing.assert_close(convolve(images, layer, *given), module(layer(images)))
    except (RuntimeError, TypeError, AssertionError):
        return None
    return convolve


class _TanhInPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        bent = _tanh_in_place(values)
        ctx.mark_dirty(bent)
        ctx.save_for_backward(bent)
        return bent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> Tensor:
        (bent,) = ctx.saved_tensors
        slope: Tensor = torch.ops.aten.tanh_backward(incoming, bent)
        return slope


def _tanh_in_place(values: Tensor) -> Tensor:
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)
