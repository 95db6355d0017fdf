# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Convolutional encoder and decoder shared by the basic autoencoder and CNNRNN.

Built as `Sequential`s of convolution, normalisation, activation, in that order. Without a
normalisation the activation is Tanh, with one ReLU, as in the published models: BasicCAE,
BasicCAEBN, CNNRNN and CNNRNNLN of EIPL (https://github.com/ogata-lab/eipl).
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from motion_policy.errors import UserError
from motion_policy.policies.cpu.layers import Convolutions, MapNorm, Tanh, UpConvolution

Norm = Literal['none', 'batch', 'layer']

CHANNELS = (64, 32, 16, 12, 8)
STRIDE = 2 ** len(CHANNELS)
LATENT_WIDTH = 50  # of the linear layer between the convolutions and the feature


def check_trunk_size(image_size: tuple[int, int], kind: str) -> None:
    """UserError unless both sides can be halved five times and doubled back."""
    if any(side < STRIDE or side % STRIDE for side in image_size):
        fitting = tuple(max(STRIDE, round(side / STRIDE) * STRIDE) for side in image_size)
        raise UserError(
            f'image_size: {tuple(image_size)}, {kind} needs multiples of {STRIDE}, '
            f'such as {fitting}'
        )


def smallest_map(image_size: tuple[int, int]) -> tuple[int, int, int]:
    """(channels, height, width) after the last convolution."""
    return CHANNELS[-1], image_size[0] // STRIDE, image_size[1] // STRIDE


def basic_encoder(
    image_size: tuple[int, int], feat_dim: int, norm: Norm = 'none', *, bounded: bool = True
) -> Convolutions:
    """(N, 3, H, W) -> feature (N, feat_dim).

    `bounded` puts the activation behind the feature too, as the originals have it.
    """
    layers: list[nn.Module] = []
    height, width = image_size
    before = 3
    for after in CHANNELS:
        height, width = height // 2, width // 2
        layers.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
        layers += [*_norm(norm, after, height, width), _activation(norm)]
        before = after
    flat = before * height * width
    layers += [nn.Flatten(), nn.Linear(flat, LATENT_WIDTH)]
    layers += [*_norm(norm, LATENT_WIDTH), _activation(norm), nn.Linear(LATENT_WIDTH, feat_dim)]
    layers += [*_norm(norm, feat_dim), _activation(norm) if bounded else nn.Identity()]
    return Convolutions(*layers)


def basic_deconvolutions(
    image_size: tuple[int, int], norm: Norm = 'none', *, bounded: bool = True
) -> list[nn.Module]:
    """(N, 8, H/32, W/32) -> (N, 3, H, W), in [0, 1] or thereabouts.

    `bounded` puts the activation behind the image too, as the originals have it.
    """
    layers: list[nn.Module] = []
    before, height, width = smallest_map(image_size)
    for after in (*reversed(CHANNELS[:-1]), 3):
        height, width = 2 * height, 2 * width
        up = UpConvolution(before, after, 3, stride=2, padding=1, output_padding=1)
        layers.append(up)
        if after != 3:
            layers += [*_norm(norm, after, height, width), _activation(norm)]
        before = after
    return [*layers, _activation(norm) if bounded else nn.Identity()]


def linear_block(before: int, after: int, norm: Norm = 'none') -> list[nn.Module]:
    """A linear layer with its normalisation and activation."""
    return [nn.Linear(before, after), *_norm(norm, after), _activation(norm)]


def _activation(norm: Norm) -> nn.Module:
    return Tanh() if norm == 'none' else nn.ReLU(inplace=True)


def _norm(norm: Norm, channels: int, height: int = 0, width: int = 0) -> list[nn.Module]:
    """The normalisation of a map (channels, height, width), or of a vector without a height."""
    if norm == 'batch':
        return [nn.BatchNorm2d(channels) if height else nn.BatchNorm1d(channels)]
    if norm == 'layer':
        return [MapNorm(channels, height, width) if height else nn.LayerNorm(channels)]
    return []
