# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Convolutional autoencoders: image to feature, feature to image.

They learn from single frames and move no robot; CAE-RNN sees through their encoders, and CNNRNN
may begin with their weights. One autoencoder per camera, each with weights of its own.
Layers, sizes and, with `reference`, activations are those of BasicCAE, BasicCAEBN, CAE and CAEBN
of EIPL (https://github.com/ogata-lab/eipl); layer normalisation is an addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from motion_policy.declared import Declared
from motion_policy.errors import UserError
from motion_policy.policies.base import Model, PolicySpec
from motion_policy.policies.limits import MOST_UNITS
from motion_policy.policies.recurrent import conv_trunk
from motion_policy.policies.recurrent.base import Images
from motion_policy.policies.recurrent.cnnrnn import CNNCameraNetwork, CNNRNNPolicy
from motion_policy.policies.recurrent.conv_trunk import Norm

BIG_CHANNELS = (32, 64, 128)
BIG_WIDTH = 1000  # of the linear layers between the convolutions and the feature
BIG_STEP, BIG_BORDER = 8, 2  # a side of 8 (m + 2) pixels shrinks to m, and only that grows back
BIG_SMALLEST = BIG_STEP * (1 + BIG_BORDER)


class AutoencoderConfig(Declared):
    """The hyper-parameters of an autoencoder. `reference` gives the original's activations."""

    size: Literal['basic', 'big'] = Field(
        default='basic',
        description='basic: five 3x3 convolutions; big: three 6x6 ones and far more weights',
    )
    norm: Norm = Field(
        default='none', description='of every layer; big is offered with none and batch only'
    )
    feat_dim: int = Field(
        default=10, ge=1, le=MOST_UNITS, description='values that an image becomes'
    )
    reference: bool = Field(
        default=False,
        description='Tanh (ReLU with a norm, and in big) on feature and image too, as in the '
        'original; otherwise the image is linear and no feature can die',
    )

    @model_validator(mode='after')
    def _offered(self) -> AutoencoderConfig:
        if (self.size, self.norm) == ('big', 'layer'):
            raise ValueError("norm: found 'layer', size 'big' is offered with 'none' and 'batch'")
        return self


class Autoencoder(nn.Module):
    """The network of one camera. forward: images (N, 3, H, W) in [0, 1] -> the same, redrawn.

    Without `reference` a feature ends in Tanh (with layer normalisation in that, as CNNRNNLN's
    does): bounded, so that a recurrent network meets no outlier, and never stuck at zero.

    Raises UserError for an image size from which the convolutions find no way back.
    """

    def __init__(
        self, image_size: tuple[int, int], config: AutoencoderConfig | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or AutoencoderConfig()
        check_autoencoder_size(image_size, config)
        make = _basic if config.size == 'basic' else _big
        self.encoder, self.decoder = make(image_size, config)
        if not config.reference:
            self.encoder[-1] = nn.Identity() if config.norm == 'layer' else nn.Tanh()
            self.decoder[-1] = nn.Identity()

    def encode(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> features (N, feat_dim)."""
        features: Tensor = self.encoder(images)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Features (N, feat_dim) -> images (N, 3, H, W)."""
        images: Tensor = self.decoder(features)
        return images

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))


class CAEModel(Model):
    """Autoencoders of all cameras: images per camera, (N, 3, H, W) each -> reconstructions."""

    kind: ClassVar[str] = 'cae'
    Config: ClassVar[type[BaseModel]] = AutoencoderConfig
    learns_from = 'frames'
    predicts_target = False

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        assert isinstance(self.config, AutoencoderConfig)
        if not spec.cameras:
            raise UserError('cameras: found none, an autoencoder needs at least one')
        self.eyes = nn.ModuleList(Autoencoder(size, self.config) for size in spec.sizes)
        self.eyes.to(memory_format=torch.channels_last)

    def forward(self, images: Images) -> tuple[Tensor, ...]:
        if self.training and self.spec.hyper['norm'] == 'batch' and len(images[0]) < 2:
            raise UserError('batch_size: found 1 frame, batch normalisation learns from 2 or more')
        return tuple(
            autoencoder(image) for autoencoder, image in zip(self.eyes, images, strict=True)
        )


def check_autoencoder_size(image_size: tuple[int, int], config: AutoencoderConfig) -> None:
    """UserError unless both sides come back from the decoder as they went into the encoder."""
    if config.size == 'basic':
        conv_trunk.check_trunk_size(image_size, 'a basic autoencoder')
    elif any(side < BIG_SMALLEST or side % BIG_STEP for side in image_size):
        fitting = tuple(
            max(BIG_SMALLEST, round(side / BIG_STEP) * BIG_STEP) for side in image_size
        )
        raise UserError(
            f'image_size: {tuple(image_size)}, a big autoencoder needs multiples of {BIG_STEP} '
            f'from {BIG_SMALLEST} on, such as {fitting}'
        )


def autoencoders_for(policy: Model, models: Sequence[Model]) -> list[Autoencoder]:
    """The trained autoencoder of each of the policy's cameras, found by the camera's name.

    Args:
        policy: what shall see through them.
        models: loaded 'cae' checkpoints; each may hold one camera or several.

    Raises:
        UserError: a model that is no autoencoder, or saw images of another size or in another
            fit; a camera without an autoencoder, or with two.
    """
    found: dict[str, tuple[str, Autoencoder]] = {}
    for model in models:
        if not isinstance(model, CAEModel):
            raise UserError(f"{model.source}: holds a '{model.kind}', expected a 'cae'")
        _check_views(policy, model)
        for camera, autoencoder in zip(model.cameras, model.eyes, strict=True):
            if camera in found and camera in policy.cameras:
                raise UserError(
                    f"camera '{camera}': found an autoencoder in {found[camera][0]} and in "
                    f'{model.source}, expected one'
                )
            assert isinstance(autoencoder, Autoencoder)
            found[camera] = (model.source, autoencoder)
    for camera in policy.cameras:
        if camera not in found:
            known = ', '.join(found) or 'none'
            raise UserError(f"camera '{camera}': no autoencoder was trained on it, only: {known}")
    return [found[camera][1] for camera in policy.cameras]


def _check_views(policy: Model, autoencoder: CAEModel) -> None:
    """UserError where an autoencoder saw a camera otherwise than the policy shall."""
    for camera, trained in autoencoder.views.items():
        mine = policy.views.get(camera)
        if mine is None:
            continue
        if mine.size != trained.size:
            raise UserError(
                f'{autoencoder.source}: image_size is {trained.size}, the {policy.kind} has '
                f'{mine.size}'
            )
        if replace(mine, sent=trained.sent) != trained:  # also another range of depth
            raise UserError(
                f"{autoencoder.source}: camera '{camera}' was seen as {trained}, "
                f'by the {policy.kind} as {mine}'
            )


def adopt_pretrained(policy: CNNRNNPolicy, models: Sequence[Model]) -> int:
    """Let a CNNRNN or CNNRNNLN begin with trained autoencoders; returns how many tensors it took.

    Taken are the whole encoder and, of the decoder, the transposed convolutions and their
    normalisations; the decoder's linear layers differ, since CNNRNN draws from its hidden state.

    Raises UserError as `autoencoders_for` does, and for an autoencoder of another make.
    """
    autoencoders = autoencoders_for(policy, models)
    wanted = {'size': 'basic', 'norm': policy.norm, 'feat_dim': policy.spec.hyper['feat_dim']}
    for model in models:
        for key, expected in wanted.items():
            if model.spec.hyper[key] != expected:
                raise UserError(
                    f'{model.source}: {key} is {model.spec.hyper[key]!r}, '
                    f'{policy.kind} needs {expected!r}'
                )
    taken = 0
    for mine, trained in zip(policy.network.eyes, autoencoders, strict=True):
        assert isinstance(mine, CNNCameraNetwork)
        mine.encoder.load_state_dict(trained.encoder.state_dict())
        taken += len(trained.encoder.state_dict())
        pairs = zip(_drawing(mine.decoder), _drawing(trained.decoder), strict=True)
        for layer, source in pairs:
            layer.load_state_dict(source.state_dict())
            taken += len(source.state_dict())
    return taken


def _drawing(decoder: nn.Sequential) -> list[nn.Module]:
    """The layers of a basic decoder behind its linear ones that have weights."""
    layers = list(decoder)
    maps = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Unflatten))
    return [layer for layer in layers[maps:] if layer.state_dict()]


def _basic(
    image_size: tuple[int, int], config: AutoencoderConfig
) -> tuple[nn.Sequential, nn.Sequential]:
    norm, width = config.norm, conv_trunk.LATENT_WIDTH
    channels, height, columns = shape = conv_trunk.smallest_map(image_size)
    encoder = conv_trunk.basic_encoder(image_size, config.feat_dim, norm)
    decoder = nn.Sequential(
        *conv_trunk.linear_block(config.feat_dim, width, norm),
        *conv_trunk.linear_block(width, channels * height * columns, norm),
        nn.Unflatten(1, shape),
        *conv_trunk.basic_deconvolutions(image_size, norm),
    )
    return encoder, decoder


def _big(
    image_size: tuple[int, int], config: AutoencoderConfig
) -> tuple[nn.Sequential, nn.Sequential]:
    first, second, last = BIG_CHANNELS
    height, width = (side // BIG_STEP - BIG_BORDER for side in image_size)
    flat = last * height * width
    norm = config.norm == 'batch'

    def block(layer: nn.Module, channels: int, *, maps: bool) -> list[nn.Module]:
        normed = [nn.BatchNorm2d(channels) if maps else nn.BatchNorm1d(channels)] if norm else []
        return [layer, *normed, nn.ReLU(inplace=True)]

    encoder = nn.Sequential(
        *block(nn.Conv2d(3, first, 6, stride=2, padding=1), first, maps=True),
        *block(nn.Conv2d(first, second, 6, stride=2, padding=1), second, maps=True),
        *block(nn.Conv2d(second, last, 6, stride=2, padding=1), last, maps=True),
        nn.Flatten(),
        *block(nn.Linear(flat, BIG_WIDTH), BIG_WIDTH, maps=False),
        *block(nn.Linear(BIG_WIDTH, config.feat_dim), config.feat_dim, maps=False),
    )
    decoder = nn.Sequential(
        *block(nn.Linear(config.feat_dim, BIG_WIDTH), BIG_WIDTH, maps=False),
        *block(nn.Linear(BIG_WIDTH, flat), flat, maps=False),
        nn.Unflatten(1, (last, height, width)),
        *block(nn.ConvTranspose2d(last, second, 6, stride=2, padding=1), second, maps=True),
        *block(nn.ConvTranspose2d(second, first, 6, stride=2, padding=1), first, maps=True),
        nn.ConvTranspose2d(first, 3, 6, stride=2),
        nn.ReLU(inplace=True),
    )
    return encoder, decoder
