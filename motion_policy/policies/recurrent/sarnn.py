# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""SARNN: a recurrent policy that looks at a few attention points (Ichiwara et al., ICRA 2022).

doi:10.1109/ICRA46639.2022.9811940; the network is that of EIPL
(https://github.com/ogata-lab/eipl).
One step sees the images and joints of now and predicts the images, joints and attention points
of the next step. Every camera has an encoder and a decoder of its own; one LSTM sees the points
of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from motion_policy.declared import Declared
from motion_policy.errors import UserError
from motion_policy.policies.base import PolicySpec
from motion_policy.policies.cpu.layers import Convolutions, UpConvolution
from motion_policy.policies.limits import MOST_UNITS
from motion_policy.policies.recurrent.base import (
    Images,
    RecurrentNetwork,
    RecurrentPolicy,
    State,
    lstm_over,
    size_per_camera,
    zero_lstm_state,
)
from motion_policy.policies.recurrent.spatial_attention import (
    InverseSpatialSoftmax,
    SpatialSoftmax,
    points_in_image,
)
from motion_policy.robot.image_fit import Size

BORDER = 3  # pixels that the three unpadded 3x3 convolutions take off each side
SMALLEST_IMAGE = 2 * BORDER + 2  # two columns and rows are left to point into


class SARNNConfig(Declared):
    """The hyper-parameters of SARNN. `reference` gives the activations of the original."""

    rec_dim: int = Field(default=50, ge=1, le=MOST_UNITS, description='units of the LSTM')
    k_dim: int = Field(
        default=5, ge=1, le=MOST_UNITS, description='number of attention points per camera'
    )
    temperature: float = Field(default=1e-4, gt=0, description='of the spatial softmax')
    learn_temperature: bool = Field(
        default=False, description='start at `temperature`, then learn it'
    )
    heatmap_size: float = Field(default=0.1, gt=0, description='of the inverse spatial softmax')
    leaky_slope: float = Field(default=0.3, ge=0, lt=1, description='of every LeakyReLU')
    reference: bool = Field(
        default=False,
        description='LeakyReLU on the joint, point and image outputs too, as in the original; '
        'otherwise they are linear, so that every value can be reached; and its convolutions '
        'one by one, whose rounding a small temperature magnifies',
    )
    channels: Literal['rgb', 'bgr'] = Field(
        default='rgb', description='the order of colours that the weights know'
    )


class SARNNCameraNetwork(nn.Module):
    """What SARNN has per camera: where to look, what is there, and how to draw it."""

    def __init__(self, image_size: tuple[int, int], config: SARNNConfig) -> None:
        super().__init__()
        height, width = image_size[0] - 2 * BORDER, image_size[1] - 2 * BORDER
        if min(image_size) < SMALLEST_IMAGE:
            raise ValueError(f'image size {image_size} is too small for SARNN: at least 8x8')
        k = config.k_dim
        self.config = config
        stack = nn.Sequential if config.reference else Convolutions
        softmax = SpatialSoftmax(height, width, config.temperature, config.learn_temperature)
        self.pos_encoder = stack(*_encoder(config), softmax)
        self.im_encoder = stack(*_encoder(config))
        self.heatmap = InverseSpatialSoftmax(height, width, config.heatmap_size)
        self.decoder_image = nn.Sequential(
            UpConvolution(k, 32, 3),
            _act(config),
            UpConvolution(32, 16, 3),
            _act(config),
            UpConvolution(16, 3, 3),
            _out(config),
        )

    def encode(self, image: Tensor) -> Tensor:
        """The image of now (N, 3, H, W) -> attention points (N, K, 2)."""
        points: Tensor = self.pos_encoder(self._as_trained(image))
        return points

    def decode(self, points: Tensor, image: Tensor) -> Tensor:
        """Predicted points (N, K, 2), the image of now -> the next image (N, 3, H, W)."""
        features = self.im_encoder(self._as_trained(image))
        drawn: Tensor = self.decoder_image(self.heatmap(points) * features)
        return drawn.flip(1) if self.config.channels == 'bgr' else drawn

    def _as_trained(self, image: Tensor) -> Tensor:
        return image.flip(1) if self.config.channels == 'bgr' else image


class SARNN(RecurrentNetwork):
    """The network. Features are the attention points, camera after camera, as (x, y) in [0, 1].

    Args:
        vector_dim: values per step beside the images, V.
        image_size: (height, width) of every camera, or of each.
        cameras: how many.
        out_dim: values that are predicted, V if not given.
    """

    feature_term = 'point'

    def __init__(
        self,
        vector_dim: int,
        image_size: Size | Sequence[Size],
        config: SARNNConfig | None = None,
        *,
        cameras: int = 1,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.config = config = config or SARNNConfig()
        points = 2 * config.k_dim * cameras
        sizes = size_per_camera(image_size, cameras)
        self.eyes = nn.ModuleList(SARNNCameraNetwork(size, config) for size in sizes)
        self.rec = nn.LSTM(points + vector_dim, config.rec_dim, batch_first=True)
        self.decoder_joint = nn.Sequential(
            nn.Linear(config.rec_dim, out_dim or vector_dim), _out(config)
        )
        self.decoder_point = nn.Sequential(nn.Linear(config.rec_dim, points), _out(config))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier uniform weights, an orthogonal recurrent matrix, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for name, parameter in self.rec.named_parameters():
            if name.startswith('weight_ih'):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith('weight_hh'):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def initial_state(self, batch_size: int) -> State:
        return zero_lstm_state(self.rec, batch_size)

    def encode_images(self, images: Images) -> Tensor:
        points = [
            camera_network.encode(image)
            for camera_network, image in zip(self.eyes, images, strict=True)
        ]
        return torch.cat(points, dim=1).flatten(1)

    def step(self, features: Tensor, vector: Tensor, state: State | None) -> tuple[Tensor, State]:
        inputs = torch.cat((features, vector), dim=-1)
        return lstm_over(self.rec, inputs, state or self.initial_state(len(inputs)))

    def decode_joints(self, hidden: Tensor) -> Tensor:
        vector: Tensor = self.decoder_joint(hidden)
        return vector

    def decode_features(self, hidden: Tensor) -> Tensor:
        points: Tensor = self.decoder_point(hidden)
        return points

    def decode_images(self, hidden: Tensor, images: Images) -> tuple[Tensor, ...]:
        points = self.split_points(self.decode_features(hidden))
        return tuple(
            camera_network.decode(mine, image)
            for camera_network, mine, image in zip(self.eyes, points, images, strict=True)
        )

    def split_points(self, features: Tensor) -> tuple[Tensor, ...]:
        """Features (N, F) -> the attention points (N, K, 2) of each camera."""
        k = self.config.k_dim
        return tuple(part.unflatten(-1, (k, 2)) for part in features.split(2 * k, dim=-1))


class SARNNPolicy(RecurrentPolicy):
    """SARNN in robot units: chunks of one row, state (h, c)."""

    kind: ClassVar[str] = 'sarnn'
    Config: ClassVar[type[BaseModel]] = SARNNConfig
    learns_from = 'sequences'

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        assert isinstance(self.config, SARNNConfig)
        for size in spec.sizes or (spec.image_size,):
            if min(size) < SMALLEST_IMAGE:
                raise UserError(f'image_size: {size}, sarnn needs at least 8x8 pixels')
        self.network: SARNN = SARNN(
            self.vector_dim,
            spec.sizes,
            self.config,
            cameras=len(self.cameras),
            out_dim=self.predicted_dim,
        )
        if not self.config.reference:
            self.network.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def attention(self, features: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """`encoder_points/CAM` of this image, `decoder_points/CAM` of the next, (B, K, 2) each."""
        extras: dict[str, Any] = {}
        for name, points in (
            ('encoder_points', features),
            ('decoder_points', self.network.decode_features(hidden)),
        ):
            per_camera = self.network.split_points(points)
            for camera, mine in zip(self.cameras, per_camera, strict=True):
                size = self.spec.size_of(camera)
                extras[f'{name}/{camera}'] = points_in_image(mine, *size, BORDER)
        return extras


def _act(config: SARNNConfig) -> nn.Module:
    return nn.LeakyReLU(config.leaky_slope, inplace=True)


def _out(config: SARNNConfig) -> nn.Module:
    return _act(config) if config.reference else nn.Identity()


def _encoder(config: SARNNConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, config.k_dim)):
        layers += [nn.Conv2d(before, after, 3), _act(config)]
    return layers
