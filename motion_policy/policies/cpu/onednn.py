# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""oneDNN's convolutions and linear layer, with an activation or an addition in the same pass.

The one place that calls these operators, and that checks them once per process: torch.compile
calls the same ones, PyTorch offers them under no other name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = tuple[str, list[float]]  # oneDNN's name, and its parameters
NONE: Activation = ('none', [])
RELU: Activation = ('relu', [])
BF16_TOLERANCE = {'rtol': 0.02, 'atol': 0.02}


class Geometry(NamedTuple):
    """How a convolution's kernel goes over the image, as the operators take it."""

    padding: Sequence[int]
    stride: Sequence[int]
    dilation: Sequence[int]
    groups: int

    @staticmethod
    def of(layer: nn.Conv2d) -> Geometry:
        """That of a layer, whose padding is given in numbers."""
        assert not isinstance(layer.padding, str)
        return Geometry(layer.padding, layer.stride, layer.dilation, layer.groups)


def activation_of(layer: nn.Module) -> Activation | None:
    """What oneDNN calls a layer of PyTorch's; None if it cannot be part of the same pass."""
    if isinstance(layer, nn.LeakyReLU):
        return 'leaky_relu', [layer.negative_slope]
    if isinstance(layer, nn.Tanh):
        return 'tanh', []
    return RELU if isinstance(layer, nn.ReLU) else None


def ordered_convolution(weight: Tensor, geometry: Geometry, shape: Sequence[int]) -> Tensor:
    """A weight (O, I, h, w) in the order that is fastest for images of a shape (N, I, H, W)."""
    reorder = torch.ops.mkldnn._reorder_convolution_weight
    return reorder(weight, *geometry, list(shape))  # type: ignore[no-any-return]


def convolution(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    activation: Activation = NONE,
    added: Tensor | None = None,
) -> Tensor:
    """activation(convolution(images) + added); with `added` the activation is NONE or RELU.

    Args:
        images: (N, I, H, W).
        weight: (O, I, h, w), in its own order or that of `ordered_convolution`.
        bias: (O,).
        added: as the result, (N, O, H', W').
    """
    convolve = torch.ops.mkldnn._convolution_pointwise
    if added is None:
        plain: Tensor = convolve.default(images, weight, bias, *geometry, *activation, '')
        return plain
    unary: Any = (None if activation is NONE else activation[0], [], '')
    summed: Tensor = convolve.binary(images, added, weight, bias, *geometry, 'add', 1.0, *unary)
    return summed


def ordered_transposed_convolution(
    weight: Tensor, geometry: Geometry, shape: Sequence[int]
) -> Tensor:
    """A weight (I, O, h, w) in the order that is fastest for images of a shape (N, I, H, W)."""
    reorder = torch.ops.mkldnn._reorder_convolution_transpose_weight
    padding, *rest = geometry
    return reorder(weight, padding, [0, 0], *rest, list(shape))  # type: ignore[no-any-return]


def transposed_convolution(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    activation: Activation = NONE,
) -> Tensor:
    """activation(transposed convolution(images)) -> (N, O, H', W').

    Args:
        images: (N, I, H, W).
        weight: (I, O, h, w), in the order of `ordered_transposed_convolution`.
        bias: (O,).
    """
    convolve = torch.ops.mkldnn._convolution_transpose_pointwise
    padding, *rest = geometry
    return convolve(  # type: ignore[no-any-return]
        images, weight, bias, padding, [0, 0], *rest, *activation, ''
    )


def ordered_linear(weight: Tensor, rows: int) -> Tensor:
    """A weight (O, I) in the order that is fastest for so many rows."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows)  # type: ignore[no-any-return]


def linear(
    values: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: Activation = NONE,
    added: Tensor | None = None,
) -> Tensor:
    """activation(values W^T + bias), or values W^T + bias + added.

    Args:
        values: (..., I).
        weight: (O, I), transposed or not, or that of `ordered_linear`.
        bias: (O,).
        added: as the result, (..., O); then there is no activation.
    """
    apply = torch.ops.mkldnn._linear_pointwise
    if added is None:
        plain: Tensor = apply.default(values, weight, bias, *activation, '')
        return plain
    summed: Tensor = apply.binary(values, added, weight, bias, 'add')
    return summed


@cache
def works(dtype: torch.dtype = torch.float32) -> bool:
    """Whether the operators are there for a type, and give the numbers that PyTorch's own give."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    try:
        with torch.inference_mode(False), torch.no_grad():
            _try_convolution(dtype)
            _try_linear(dtype)
            if dtype == torch.float32:
                _try_transposed_convolution()
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


def _ramp(dtype: torch.dtype, *shape: int) -> Tensor:
    # Without random numbers, which would be taken from the caller's sequence.
    return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape).to(dtype)


def _same(found: Tensor, expected: Tensor) -> None:
    bounds = {'rtol': 1e-4, 'atol': 1e-4} if found.dtype == torch.float32 else BF16_TOLERANCE
    # Not torch.testing, which imports sympy and tensors of distributed training.
    if found.shape != expected.shape or not torch.allclose(found, expected, **bounds):
        raise RuntimeError('another result')


def _try_convolution(dtype: torch.dtype) -> None:
    images = _ramp(dtype, 1, 8, 33, 31)
    weight, bias = _ramp(dtype, 16, 8, 3, 3), _ramp(dtype, 16)
    geometry = Geometry([1, 1], [2, 2], [1, 1], 1)
    plain = F.conv2d(images, weight, bias, 2, 1)
    for layout in (torch.contiguous_format, torch.channels_last):
        seen = images.contiguous(memory_format=layout)
        ordered = ordered_convolution(
            weight.contiguous(memory_format=layout), geometry, images.shape
        )
        layers = [nn.ReLU(), nn.LeakyReLU(0.3), nn.Tanh()]
        for layer in layers if dtype == torch.float32 else layers[:1]:
            named = activation_of(layer)
            assert named is not None
            _same(convolution(seen, ordered, bias, geometry, named), layer(plain))
        for named in (NONE, RELU):
            summed = plain + plain if named is NONE else (plain + plain).relu()
            added = plain.contiguous(memory_format=layout)
            _same(convolution(seen, ordered, bias, geometry, named, added), summed)


def _try_transposed_convolution() -> None:
    images = _ramp(torch.float32, 1, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    weight, bias = _ramp(torch.float32, 8, 16, 4, 4), _ramp(torch.float32, 16)
    geometry = Geometry([1, 1], [2, 2], [1, 1], 1)
    ordered = ordered_transposed_convolution(weight, geometry, images.shape)
    bent = transposed_convolution(images, ordered, bias, geometry, ('leaky_relu', [0.2]))
    _same(bent, F.leaky_relu(F.conv_transpose2d(images, weight, bias, 2, 1), 0.2))


def _try_linear(dtype: torch.dtype) -> None:
    values, weight, bias = _ramp(dtype, 5, 24), _ramp(dtype, 16, 24).cos(), _ramp(dtype, 16)
    ordered, plain = ordered_linear(weight, len(values)), F.linear(values, weight, bias)
    _same(linear(values[None], ordered, bias, RELU), plain.relu()[None])
    _same(linear(values[None], ordered, bias, added=plain[None]), (plain + plain)[None])
    _same(linear(values, weight, bias), plain)
    # As gradients need them: transposed.
    _same(linear(plain, weight.t(), None), plain @ weight)
    _same(linear(plain.t(), values.t(), None), plain.t() @ values)
