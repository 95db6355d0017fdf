# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""CPU-optimised forms of PyTorch layers (tanh, layer norm, convolution): same weights.

Elsewhere, and wherever a form is missing, the plain layers run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from motion_policy.policies.cpu import onednn

# Values from which on it pays to compute tanh another way than by PyTorch's single call.
MANY = 8192


class Tanh(nn.Module):
    """tanh of values (...), in place.

    PyTorch's own takes several times as long as its sigmoid on a CPU.
    """

    def forward(self, values: Tensor) -> Tensor:
        if values.device.type != 'cpu' or values.dtype != torch.float32 or values.numel() < MANY:
            return values.tanh_()
        if torch.is_grad_enabled() and values.requires_grad:
            bent: Tensor = _TanhInPlace.apply(values)
            return bent
        return _tanh_in_place(values)


class MapNorm(nn.LayerNorm):
    """Layer normalisation of whole maps (N, C, H, W), in channels_last memory order.

    Mean and variance know no order of the values, so with weights that lie in the order of the
    maps nothing is copied; convolutions are a third faster in it.
    Layer normalisation: Ba et al., arXiv:1607.06450.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__([channels, height, width])
        for name, weight in list(self.named_parameters()):
            rows = weight.detach().permute(1, 2, 0).contiguous()
            setattr(self, name, nn.Parameter(rows.permute(2, 0, 1)))

    def forward(self, input: Tensor) -> Tensor:
        if not input.is_contiguous(memory_format=torch.channels_last):
            return super().forward(input)
        weight, bias = (values.permute(1, 2, 0) for values in (self.weight, self.bias))
        if torch.is_grad_enabled():
            exact = input.to(weight.dtype)  # what autocast does too
            normed: Tensor = _NormedMaps.apply(exact, weight, bias, self.eps)
            return normed
        rows = input.permute(0, 2, 3, 1)
        return F.layer_norm(rows, rows.shape[1:], weight, bias, self.eps).permute(0, 3, 1, 2)


class UpConvolution(nn.ConvTranspose2d):
    """A transposed convolution (N, I, H, W) -> (N, O, H', W') that adds its bias itself.

    The gradient of the bias costs oneDNN more than those of image and weight together.
    """

    def forward(self, images: Tensor, output_size: Any = None) -> Tensor:
        if self.bias is None or output_size is not None:
            return super().forward(images, output_size)
        maps = F.conv_transpose2d(
            images,
            self.weight,
            None,
            self.stride,
            self.padding,  # type: ignore[arg-type]
            self.output_padding,  # type: ignore[arg-type]
            self.groups,
            self.dilation,  # type: ignore[arg-type]
        )
        return maps.add_(self.bias[:, None, None].to(maps.dtype))


class Convolutions(nn.Sequential):
    """Layers in order, of images (N, C, H, W). In inference mode on a CPU, activations are part of
    what they follow.

    That saves a pass over the largest maps, and for a single small image PyTorch's detour of
    unfolding it into a matrix, which between two steps leaves the cache with all its code. Layers
    that are run so do not run their own hooks.
    """

    _fused_from: tuple[nn.Module, ...] = ()
    _fused: tuple[Callable[[Tensor], Tensor], ...] = ()

    def forward(self, input: Tensor) -> Tensor:
        if not _may_fuse(input):
            plain: Tensor = super().forward(input)
            return plain
        layers = tuple(self._modules.values())
        if layers != self._fused_from:
            self._fused_from, self._fused = layers, tuple(_fuse(layers))
        values = input
        for step in self._fused:
            values = step(values)
        return values


def _may_fuse(images: Tensor) -> bool:
    return (
        torch.is_inference_mode_enabled()  # so neither training nor an exporter is watching
        and images.device.type == 'cpu'
        and images.dtype == torch.float32
        and onednn.works()
    )


def _fuse(layers: Sequence[nn.Module]) -> Iterator[Callable[[Tensor], Tensor]]:
    """The layers, with those that are computed as one as one."""
    while layers:
        step, count = _joined(layers)
        yield step
        layers = layers[count:]


def _joined(layers: Sequence[nn.Module]) -> tuple[Callable[[Tensor], Tensor], int]:
    """What computes the first of the layers and some behind it as one; how many they are."""
    first, *behind = layers
    if isinstance(first, nn.Conv2d) and behind and _fits(first, behind[0]):
        return _Fused(first, behind[0]), 2
    flattens = isinstance(first, nn.Flatten) and (first.start_dim, first.end_dim) == (1, -1)
    linear, *behind = behind if flattens and behind else layers
    if type(linear) is not nn.Linear or linear.bias is None:
        return first.forward, 1
    bends = bool(behind) and onednn.activation_of(_plain(behind[0])) is not None
    activation = behind[0] if bends else nn.Identity()
    return _Product(linear, activation, flattens), 1 + flattens + bends


def _fits(layer: nn.Conv2d, activation: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or onednn.activation_of(_plain(activation)) is None:
        return False
    return layer.padding_mode == 'zeros' and not isinstance(layer.padding, str)


def _plain(layer: nn.Module) -> nn.Module:
    """Our Tanh as PyTorch's."""
    return nn.Tanh() if isinstance(layer, Tanh) else layer


class _Joined(ABC):
    """A layer and its activation, on weights in an order that is kept until they change."""

    def __init__(self, layer: nn.Module, activation: nn.Module) -> None:
        self.layer, self.activation = layer, activation
        self.ordered: _Ordered | None = None

    def __call__(self, values: Tensor) -> Tensor:
        weight, ordered = self.layer._parameters['weight'], self.ordered
        assert weight is not None
        if weight.is_inference():  # such a weight has no version
            return self.plain(values)
        version = weight._version, weight.data_ptr(), values.shape
        if ordered is None or ordered.source is not weight or ordered.version != version:
            self.ordered = ordered = _Ordered(self.order(weight, values.shape), weight, version)
        return self.fused(values, ordered.weight)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with: it orders its own weights."""
        return {**self.__dict__, 'ordered': None}

    def plain(self, values: Tensor) -> Tensor:
        """The layers, one after the other."""
        return self.activation(self.layer(values))  # type: ignore[no-any-return]

    @abstractmethod
    def order(self, weight: Tensor, shape: torch.Size) -> Tensor:
        """The weights, for values of a shape."""

    @abstractmethod
    def fused(self, values: Tensor, weight: Tensor) -> Tensor:
        """What `plain` gives, by weights in that order."""


class _Fused(_Joined):
    """A convolution and its activation by oneDNN, with the weights that it wants."""

    def __init__(self, layer: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__(layer, activation)
        self.geometry = onednn.Geometry.of(layer)
        self.named = onednn.activation_of(_plain(activation)) or onednn.NONE

    def order(self, weight: Tensor, shape: torch.Size) -> Tensor:
        return onednn.ordered_convolution(weight, self.geometry, shape)

    def fused(self, values: Tensor, weight: Tensor) -> Tensor:
        bias = self.layer._parameters['bias']
        return onednn.convolution(values, weight, bias, self.geometry, self.named)


class _Product(_Joined):
    """A linear layer behind maps, if it `flattens`: with weights in the order of channels_last."""

    def __init__(self, layer: nn.Linear, activation: nn.Module, flattens: bool) -> None:
        super().__init__(layer, activation)
        self.flattens = flattens

    def plain(self, values: Tensor) -> Tensor:
        return super().plain(values.flatten(1) if self.flattens else values)

    def order(self, weight: Tensor, shape: torch.Size) -> Tensor:
        if self.flattens and len(shape) == 4:
            weight = weight.unflatten(1, shape[1:]).permute(0, 2, 3, 1).flatten(1)
        return weight.t().contiguous()

    def fused(self, values: Tensor, weight: Tensor) -> Tensor:
        if self.flattens:
            values = (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).flatten(1)
        if values.ndim != 2:
            return super().plain(values)
        bias = self.layer._parameters['bias']
        assert bias is not None
        product = torch.addmm(bias, values, weight)
        return self.activation(product)  # type: ignore[no-any-return]


class _Ordered(NamedTuple):
    """Weights in oneDNN's order, and which weights those were."""

    weight: Tensor
    source: Tensor
    version: tuple[int, int, torch.Size]


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


class _NormedMaps(torch.autograd.Function):
    """Layer normalisation of (N, C, H, W) by weights (H, W, C).

    What it returns is no view to autograd, so that an activation may change it in place.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        rows = maps.permute(0, 2, 3, 1)
        normed, *moments = torch.native_layer_norm(rows, rows.shape[1:], weight, bias, eps)
        ctx.save_for_backward(rows, weight, bias, *moments)
        return normed.permute(0, 3, 1, 2).data

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias, *moments = ctx.saved_tensors
        into, into_weight, into_bias = torch.ops.aten.native_layer_norm_backward(
            incoming.permute(0, 2, 3, 1),
            rows,
            rows.shape[1:],
            *moments,
            weight,
            bias,
            list(ctx.needs_input_grad[:3]),
        )
        return into.permute(0, 3, 1, 2), into_weight, into_bias, None


def _tanh_in_place(values: Tensor) -> Tensor:
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)
