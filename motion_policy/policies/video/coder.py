# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Frame encoders and decoders (VGG, DCGAN) with skip connections.

A decoder reads its feature maps beside those of an encoder (the skips). The convolution of both,
W [x; skip], is computed as Wx x + Ws skip, so that the half of a skip that stays is computed once.
Architectures: Denton and Fergus, arXiv:1802.07687.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from motion_policy.errors import UserError
from motion_policy.policies.cpu.convolutions import Layers, convolved_by, doubled_by

Coder = Literal['vgg', 'dcgan']

SMALLEST = 4  # a side of the last map, which a 4x4 convolution makes the code of
LEVELS = {64: 4, 128: 5}  # side of the image -> how often it is halved
WIDTHS = (1, 2, 4, 8, 8)  # channels of each level, in multiples of the first
CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each level of VGG
SLOPE = 0.2  # of every LeakyReLU

Maps = tuple[Tensor, ...]  # one per level, the largest first


def check_coder_size(image_size: tuple[int, int]) -> None:
    """UserError for a size that the coders do not come down from."""
    height, width = image_size
    if height != width or height not in LEVELS:
        sizes = ' or '.join(str((side, side)) for side in LEVELS)
        raise UserError(f'image_size: {(height, width)}, a frame_predictor needs {sizes}')


class Layer(Layers):
    """A convolution, its batch normalisation and its LeakyReLU, or several of these."""

    def __init__(self, *convolutions: nn.Conv2d | nn.ConvTranspose2d) -> None:
        layers: list[nn.Module] = []
        for convolution in convolutions:
            norm = nn.BatchNorm2d(convolution.out_channels)
            layers += [convolution, norm, nn.LeakyReLU(SLOPE, inplace=True)]
        super().__init__(*layers)


class Encoder(nn.Module):
    """Frames (N, 3, S, S) in [0, 1] -> code (N, code_dim) in [-1, 1], and the skips.

    VGG halves a map by pooling behind what it hands on as a skip, DCGAN by strides before it.
    """

    def __init__(self, coder: Coder, side: int, channels: int, code_dim: int) -> None:
        super().__init__()
        self.pools = coder == 'vgg'
        widths = level_widths(side, channels)
        self.levels = nn.ModuleList()
        for (before, after), count in zip(pairwise((3, *widths)), CONVOLUTIONS, strict=False):
            if self.pools:
                ends = (before, *(after,) * count)
                parts = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(ends)]
            else:
                parts = [nn.Conv2d(before, after, 4, stride=2, padding=1)]
            self.levels.append(Layer(*parts))
        self.last = Layers(
            nn.Conv2d(widths[-1], code_dim, SMALLEST), nn.BatchNorm2d(code_dim), nn.Tanh()
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Maps]:
        skips = []
        maps = frames
        for level in self.levels:
            maps = level(maps)
            skips.append(maps)
            if self.pools:
                maps = F.max_pool2d(maps, 2)
        code: Tensor = self.last(maps)
        return code.flatten(1), tuple(skips)


class Decoder(nn.Module):
    """Code (N, code_dim) and skips -> frames (N, 3, S, S) in [0, 1]."""

    def __init__(self, coder: Coder, side: int, channels: int, code_dim: int) -> None:
        super().__init__()
        widths = level_widths(side, channels)
        self.first = Layer(nn.ConvTranspose2d(code_dim, widths[-1], SMALLEST))
        make = _vgg_level if coder == 'vgg' else _dcgan_level
        outs = (*widths[-2::-1], 3)
        counts = CONVOLUTIONS[len(widths) - 1 :: -1]
        self.levels = nn.ModuleList(
            DecoderLevel(*make(width, out, count))
            for width, out, count in zip(widths[::-1], outs, counts, strict=True)
        )

    def forward(self, code: Tensor, skips: Maps) -> Tensor:
        """Frames as the plain decoder gives them, maps and skips concatenated."""
        maps = self.first(code[:, :, None, None])
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            maps = level(maps, skip)
        return torch.sigmoid(maps)

    def halves(self, skips: Maps) -> Maps:
        """What the skips add in each level, bias included; the smallest map first."""
        pairs = zip(self.levels, reversed(skips), strict=True)
        return tuple(level.skip_half(skip) for level, skip in pairs)

    def decode(self, code: Tensor, halves: Maps) -> Tensor:
        """Codes (K * N, code_dim) and the halves of N skips -> frames; code k N + n has skip n."""
        maps = self.first(code[:, :, None, None])
        for level, half in zip(self.levels, halves, strict=True):
            maps = level.decode(maps, half)
        return torch.sigmoid(maps)


class DecoderLevel(nn.Module):
    """Maps (N, C, h, w) and the skip of their size -> maps of twice the size, with fewer channels.

    Args:
        joint: the convolution of maps and skip, or its transposition, which doubles the size.
        doubles: whether maps are doubled before they meet their skip.
        then: what follows.
    """

    def __init__(
        self, joint: nn.Conv2d | nn.ConvTranspose2d, doubles: bool, then: nn.Module
    ) -> None:
        super().__init__()
        self.joint, self.doubles, self.then = joint, doubles, then

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.joint(torch.cat((self._sized(maps), skip), dim=1))
        drawn: Tensor = self.then(joined)
        return drawn

    def skip_half(self, skip: Tensor) -> Tensor:
        """What the skip adds to the joint convolution, and the bias."""
        joint, first = self.joint, self.joint.in_channels - skip.shape[1]
        if isinstance(joint, nn.ConvTranspose2d):
            return F.conv_transpose2d(skip, joint.weight[first:], joint.bias, 2, 1)
        return convolved_by(joint.weight, skip, slice(first, None), joint.bias)

    def decode(self, maps: Tensor, half: Tensor) -> Tensor:
        """Maps (K * N, C, h, w) and N halves -> maps."""
        joint, channels = self.joint, maps.shape[1]
        if isinstance(joint, nn.ConvTranspose2d):
            own = F.conv_transpose2d(maps, joint.weight[:channels], None, 2, 1)
        elif self.doubles:
            own = doubled_by(joint.weight, maps, slice(channels))
        else:
            own = convolved_by(joint.weight, maps, slice(channels), None)
        drawn: Tensor = self.then(_with_half(own, half))
        return drawn

    def _sized(self, maps: Tensor) -> Tensor:
        return F.interpolate(maps, scale_factor=2.0) if self.doubles else maps


def level_widths(side: int, channels: int) -> tuple[int, ...]:
    """Channels of every level of the coders, the largest map first."""
    return tuple(channels * width for width in WIDTHS[: LEVELS[side]])


def _with_half(own: Tensor, half: Tensor) -> Tensor:
    if len(own) == len(half):  # a view that is changed in place would be copied for its gradient
        return own.add_(half)
    own.unflatten(0, (-1, len(half))).add_(half)
    return own


def without_norms(coder: nn.Module) -> nn.Module:
    """A copy in eval mode whose batch normalisations are part of the convolutions before them."""
    folded = copy.deepcopy(coder).eval().requires_grad_(False)
    for layer in list(folded.modules()):
        if isinstance(layer, DecoderLevel):
            _fold_joint(layer)
        elif isinstance(layer, nn.Sequential):
            _fold(layer)
    return folded


def _fold(layers: nn.Sequential) -> None:
    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and kept:
            kept[-1] = _fused(kept[-1], layer)
        else:
            kept.append(layer)
    _replace(layers, kept)


def _fold_joint(level: DecoderLevel) -> None:
    if not isinstance(level.then, nn.Sequential) or len(level.then) == 0:
        return
    first, *others = level.then
    if isinstance(first, nn.BatchNorm2d):
        level.joint = _fused(level.joint, first)
        _replace(level.then, others)


def _fused(convolution: nn.Module, norm: nn.BatchNorm2d) -> nn.Module:
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
    transposed = isinstance(convolution, nn.ConvTranspose2d)
    return fuse_conv_bn_eval(convolution, norm, transpose=transposed)


def _replace(layers: nn.Sequential, by: Sequence[nn.Module]) -> None:
    layers._modules.clear()
    for index, layer in enumerate(by):
        layers.add_module(str(index), layer)


def _vgg_level(
    width: int, out: int, count: int
) -> tuple[nn.Conv2d | nn.ConvTranspose2d, bool, nn.Module]:
    """As many convolutions as the encoder has on that level, the last one to `out` channels."""
    joint = nn.Conv2d(2 * width, width, 3, padding=1)
    if out == 3:
        return joint, True, _behind(width, nn.ConvTranspose2d(width, 3, 3, padding=1), bare=True)
    if count == 2:
        return joint, True, _behind(width, nn.Conv2d(width, out, 3, padding=1))
    middle = [nn.Conv2d(width, width, 3, padding=1) for _ in range(count - 2)]
    return joint, True, _behind(width, *middle, nn.Conv2d(width, out, 3, padding=1))


def _dcgan_level(
    width: int, out: int, count: int
) -> tuple[nn.Conv2d | nn.ConvTranspose2d, bool, nn.Module]:
    joint = nn.ConvTranspose2d(2 * width, out, 4, stride=2, padding=1)
    return joint, False, nn.Identity() if out == 3 else _behind(out)


def _behind(
    width: int, *convolutions: nn.Conv2d | nn.ConvTranspose2d, bare: bool = False
) -> Layers:
    """What follows a joint convolution: norm and LeakyReLU, then more layers; `bare` has no norm
    behind its last convolution.
    """
    start = [nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE, inplace=True)]
    then = list(convolutions) if bare else list(Layer(*convolutions))
    return Layers(*start, *then)
