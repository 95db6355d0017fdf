# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Convolutions of frame predictors in training on a CPU, in the fastest of equal forms.

The weights are the same, and the numbers but for the order of sums.

What a form needs of a weight is made once for all frames of a batch; a gradient goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.policies.cpu.layers import Convolutions

Form = Callable[[Tensor], Tensor]

_made: ContextVar[dict[Any, tuple[Tensor, Tensor]] | None] = ContextVar('made', default=None)


@contextmanager
def made_once() -> Iterator[None]:
    """Inside, each form of a weight is made once; the weights must stay as they are."""
    before = _made.set({})
    try:
        yield
    finally:
        _made.reset(before)


def made(weight: Tensor, form: Form, channels: slice = slice(None)) -> Tensor:
    """The form of those channels (axis 1) of a weight (O, I, h, w), cast as autocast does.

    A weight of a transposed convolution is (I, O, h, w).
    """
    kept = _made.get()
    device = weight.device.type
    cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    key = id(weight), form, channels.start, channels.stop, cast, torch.is_grad_enabled()
    if kept is None or key not in kept:
        result = form(weight[:, channels])
        if result.ndim == 4:
            result = result.contiguous(memory_format=torch.channels_last)
        result = result if cast is None else result.to(cast)
        if kept is None:
            return result
        kept[key] = weight, result  # the weight stays, so that no other gets its id
    return kept[key][1]


class Layers(Convolutions):
    """Convolutions and what is between them, of maps (N, C, H, W).

    On a CPU, but not in inference mode, each is computed as `convolved` does.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != 'cpu' or torch.is_inference_mode_enabled():
            return super().forward(input)
        values = input
        for layer in self:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                values = convolved(layer, values)
            else:
                values = layer(values)
        return values


def convolved(layer: nn.Conv2d | nn.ConvTranspose2d, maps: Tensor) -> Tensor:
    """What a layer gives of maps (N, C, H, W); it has the same stride and padding in both axes."""
    weight, sides = layer.weight, tuple(maps.shape[2:])
    whole = (1, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.kernel_size
    if sides == whole and layer.padding == (0, 0):
        return _product(layer, maps)
    if layer.kernel_size != (3, 3) or layer.padding != (1, 1) or layer.stride != (1, 1):
        values: Tensor = layer(maps)
        return values
    if isinstance(layer, nn.ConvTranspose2d):
        return F.conv2d(maps, made(weight, turned), layer.bias, padding=1)
    return convolved_by(weight, maps, slice(None), layer.bias)


def convolved_by(weight: Tensor, maps: Tensor, channels: slice, bias: Tensor | None) -> Tensor:
    """Maps (N, I', H, W) by those I' channels of a weight (O, I, 3, 3), with padding 1."""
    part = weight[:, channels]
    if part.shape != weight.shape:
        part = made(weight, _itself, channels)
    return F.conv2d(maps, part, bias, padding=1)


def doubled_by(weight: Tensor, maps: Tensor, channels: slice) -> Tensor:
    """As `convolved_by`, of maps (N, I', H, W) in which each value is repeated to 2x2."""
    if maps.device.type != 'cpu':
        return convolved_by(weight, F.interpolate(maps, scale_factor=2.0), channels, None)
    up = made(weight, doubling, channels)
    return F.conv_transpose2d(maps, up, None, 2, 1)


def turned(weight: Tensor) -> Tensor:
    """The weight (O, I, h, w) of a convolution as (I, O, h, w) of its transposition, or back.

    That is without stride; a transposition with padding 1 and a 3x3 kernel keeps the size.
    """
    return weight.flip(2, 3).transpose(0, 1)


def doubling(weight: Tensor) -> Tensor:
    """The transposed 4x4 convolution that doubles a map as repeating each value and this 3x3
    convolution behind it do, with 4/9 of the products: (out, in, 3, 3) -> (in, out, 4, 4).
    """
    for axis in (2, 3):
        first, middle, last = weight.unbind(axis)
        weight = torch.stack((last, middle + last, first + middle, first), axis)
    return weight.transpose(0, 1)


def _product(layer: nn.Conv2d | nn.ConvTranspose2d, maps: Tensor) -> Tensor:
    """A convolution over the whole map, or from one place to a whole map."""
    rows = layer.weight.permute(0, 2, 3, 1).flatten(1)  # as weights in channels_last lie
    if isinstance(layer, nn.Conv2d):
        code = F.linear(maps.permute(0, 2, 3, 1).flatten(1), rows, layer.bias)
        return code[:, :, None, None]
    drawn = F.linear(maps.flatten(1), rows.t()).unflatten(1, (*layer.kernel_size, -1))
    drawn = drawn if layer.bias is None else drawn + layer.bias
    return drawn.permute(0, 3, 1, 2)


def _itself(weight: Tensor) -> Tensor:
    return weight
