# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inference forms of frame encoders and decoders: norms folded, weights prepacked.

Normalisations are folded in, weights lie in the order that oneDNN computes with, activations are
part of their convolutions, and doubling a map is part of the convolution behind it. Where oneDNN
is missing, PyTorch's plain functions run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.policies.cpu import onednn
from motion_policy.policies.cpu.convolutions import doubling, turned
from motion_policy.policies.video.coder import (
    SLOPE,
    SMALLEST,
    Decoder,
    DecoderLevel,
    Encoder,
    Maps,
    without_norms,
)

SHAPES = 4  # of the maps for which a layer keeps its weights in order

LayerFunction = Callable[[Tensor], Tensor]


class PackedLayer:
    """A convolution, or a transposed one, and perhaps the LeakyReLU behind it.

    Args:
        weight, bias: as of nn.Conv2d or nn.ConvTranspose2d.
        stride, padding: alike in height and width.
        transposed: which of the two it is.
        bent: whether a LeakyReLU follows.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
        *,
        transposed: bool = False,
        bent: bool = False,
    ) -> None:
        self.transposed, self.bent = transposed, bent
        self.stride, self.padding = stride, padding
        self.geometry = onednn.Geometry([padding] * 2, [stride] * 2, [1, 1], 1)
        order = torch.contiguous_format if transposed else torch.channels_last
        self.weight = weight.contiguous(memory_format=order)
        self.bias = None if bias is None else bias.contiguous()
        self._ordered: dict[torch.Size, Tensor] = {}

    def __call__(self, maps: Tensor) -> Tensor:
        if maps.device.type != 'cpu' or not onednn.works():
            return self._plain(maps)
        weight = self._ordered.get(maps.shape)
        if weight is None:
            weight = self._order(maps.shape)
        then = ('leaky_relu', [SLOPE]) if self.bent else onednn.NONE
        convolve = onednn.transposed_convolution if self.transposed else onednn.convolution
        return convolve(maps, weight, self.bias, self.geometry, then)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with: it orders its own weights."""
        return {**self.__dict__, '_ordered': {}}

    def _plain(self, maps: Tensor) -> Tensor:
        convolve = F.conv_transpose2d if self.transposed else F.conv2d
        values: Tensor = convolve(maps, self.weight, self.bias, self.stride, self.padding)
        return F.leaky_relu_(values, SLOPE) if self.bent else values

    def _order(self, shape: torch.Size) -> Tensor:
        if len(self._ordered) >= SHAPES:
            self._ordered.clear()
        order = (
            onednn.ordered_transposed_convolution
            if self.transposed
            else onednn.ordered_convolution
        )
        with torch.inference_mode(False), torch.no_grad():
            weight = order(self.weight, self.geometry, shape)
        self._ordered[shape] = weight
        return weight


class PackedEncoder:
    """As the encoder in eval mode, whose weights may not change from now on."""

    def __init__(self, encoder: Encoder) -> None:
        folded: Any = without_norms(encoder)
        self.pools = encoder.pools
        self.levels = [_packed(level) for level in folded.levels]
        last = folded.last[0]
        # Over the whole map, a convolution is a product; maps lie channels last.
        self.weight = last.weight.permute(0, 2, 3, 1).flatten(1).contiguous()
        self.bias = last.bias

    def __call__(self, frames: Tensor) -> tuple[Tensor, Maps]:
        maps = frames.contiguous(memory_format=torch.channels_last)
        skips = []
        for level in self.levels:
            for step in level:
                maps = step(maps)
            skips.append(maps)
            if self.pools:
                maps = F.max_pool2d(maps, 2)
        rows = maps.permute(0, 2, 3, 1).flatten(1)
        return F.linear(rows, self.weight, self.bias).tanh_(), tuple(skips)


class PackedDecoder:
    """As the decoder in eval mode, whose weights may not change from now on."""

    def __init__(self, decoder: Decoder) -> None:
        folded: Any = without_norms(decoder)
        first = folded.first[0]
        weight = first.weight.permute(2, 3, 1, 0)  # height, width, channels, code
        self.channels = first.out_channels
        self.weight = weight.reshape(-1, first.in_channels).contiguous()
        self.bias = first.bias.repeat(SMALLEST * SMALLEST)
        self.levels = [_PackedLevel(level) for level in folded.levels]

    def halves(self, skips: Maps) -> Maps:
        """As `Decoder.halves`: skips (N, C, h, w) per level -> what they add, smallest first."""
        pairs = zip(self.levels, reversed(skips), strict=True)
        return tuple(level.of_skip(skip) for level, skip in pairs)

    def decode(self, code: Tensor, halves: Maps) -> Tensor:
        """As `Decoder.decode`: codes (K * N, code_dim) -> frames (K * N, 3, S, S) in [0, 1]."""
        rows = F.leaky_relu_(F.linear(code, self.weight, self.bias), SLOPE)
        maps = rows.view(-1, SMALLEST, SMALLEST, self.channels).permute(0, 3, 1, 2)
        for level, half in zip(self.levels, halves, strict=True):
            maps = level(maps, half)
        return maps.sigmoid_()


class _PackedLevel:
    def __init__(self, level: DecoderLevel) -> None:
        joint = level.joint
        channels = joint.in_channels // 2  # of the maps, and of their skip
        if isinstance(joint, nn.ConvTranspose2d):
            own, other = joint.weight[:channels], joint.weight[channels:]
            self.of_skip = PackedLayer(other, joint.bias, 2, 1, transposed=True)
        else:
            own, other = doubling(joint.weight[:, :channels]), joint.weight[:, channels:]
            self.of_skip = PackedLayer(other, joint.bias, 1, 1)
        self.own = PackedLayer(own, None, 2, 1, transposed=True)
        behind = list(level.then) if isinstance(level.then, nn.Sequential) else []
        self.bent = bool(behind) and isinstance(behind[0], nn.LeakyReLU)
        self.then = _packed(nn.Sequential(*behind[1:]))

    def __call__(self, maps: Tensor, half: Tensor) -> Tensor:
        joined = self.own(maps)
        joined.view(-1, *half.shape).add_(half)
        if self.bent:
            F.leaky_relu_(joined, SLOPE)
        for step in self.then:
            joined = step(joined)
        return joined


def _packed(layers: nn.Sequential) -> list[LayerFunction]:
    """Folded layers, LeakyReLUs as part of what they follow."""
    all_layers = list(layers)
    return [
        _packed_layer(layer, isinstance(following, nn.LeakyReLU))
        for layer, following in zip(all_layers, [*all_layers[1:], None], strict=False)
        if not isinstance(layer, nn.LeakyReLU)
    ]


def _packed_layer(layer: nn.Module, bent: bool) -> PackedLayer:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
    if isinstance(layer, nn.ConvTranspose2d):  # without stride it is a convolution, turned round
        return PackedLayer(turned(weight), bias, 1, 1, bent=bent)
    assert isinstance(layer, nn.Conv2d)
    return PackedLayer(weight, bias, layer.stride[0], int(layer.padding[0]), bent=bent)
