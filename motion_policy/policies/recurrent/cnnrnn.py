# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""CNNRNN and CNNRNNLN: convolutions and an LSTM trained end to end.

The next image is drawn from the hidden state alone. CNNRNNLN normalises every layer (Ba et al.,
arXiv:1607.06450); otherwise the two are the same network. Both are models of EIPL
(https://github.com/ogata-lab/eipl).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from motion_policy.declared import Declared
from motion_policy.policies.base import PolicySpec
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
from motion_policy.policies.recurrent.conv_trunk import (
    Norm,
    basic_deconvolutions,
    basic_encoder,
    check_trunk_size,
    linear_block,
    smallest_map,
)
from motion_policy.robot.image_fit import Size


class CNNRNNConfig(Declared):
    """The hyper-parameters of both. `reference` gives the activations of the original."""

    rec_dim: int = Field(default=50, ge=1, le=MOST_UNITS, description='units of the LSTM')
    feat_dim: int = Field(default=10, ge=1, le=MOST_UNITS, description='image features per camera')
    reference: bool = Field(
        default=False,
        description='Tanh (ReLU in CNNRNNLN) on the joint and image outputs, as in the original; '
        'otherwise they are linear, so that every value can be reached and no output can die',
    )


class CNNCameraNetwork(nn.Module):
    """What CNNRNN has per camera: an encoder to a feature, a decoder from the hidden state."""

    def __init__(self, image_size: tuple[int, int], config: CNNRNNConfig, norm: Norm) -> None:
        super().__init__()
        bounded = config.reference
        flat = smallest_map(image_size)
        # Tanh keeps a feature alive; a ReLU behind it would not.
        self.encoder = basic_encoder(
            image_size, config.feat_dim, norm, bounded=bounded or norm == 'none'
        )
        self.decoder = nn.Sequential(
            *linear_block(config.rec_dim, flat[0] * flat[1] * flat[2], norm),
            nn.Unflatten(1, flat),
            *basic_deconvolutions(image_size, norm, bounded=bounded),
        )


class CNNRNN(RecurrentNetwork):
    """The network. Features are those of the first camera, then those of the next.

    Args:
        vector_dim: values per step beside the images, V.
        image_size: (height, width) of every camera, or of each, multiples of 32.
        norm: 'none' for CNNRNN, 'layer' for CNNRNNLN.
        cameras: how many.
        out_dim: values that are predicted, V if not given.
    """

    def __init__(
        self,
        vector_dim: int,
        image_size: Size | Sequence[Size],
        config: CNNRNNConfig | None = None,
        *,
        norm: Norm = 'none',
        cameras: int = 1,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        config = config or CNNRNNConfig()
        self.norm = norm
        self.eyes = nn.ModuleList(
            CNNCameraNetwork(size, config, norm) for size in size_per_camera(image_size, cameras)
        )
        inputs = cameras * config.feat_dim + vector_dim
        self.rec = nn.LSTM(inputs, config.rec_dim, batch_first=True)
        bend: nn.Module = nn.Tanh() if norm == 'none' else nn.ReLU(inplace=True)
        self.decoder_joint = nn.Sequential(
            nn.Linear(config.rec_dim, out_dim or vector_dim),
            bend if config.reference else nn.Identity(),
        )

    def initial_state(self, batch_size: int) -> State:
        return zero_lstm_state(self.rec, batch_size)

    def encode_images(self, images: Images) -> Tensor:
        features = [
            camera_network.encoder(image)
            for camera_network, image in zip(self.eyes, images, strict=True)
        ]
        return torch.cat(features, dim=-1) if len(features) > 1 else features[0]

    def step(self, features: Tensor, vector: Tensor, state: State | None) -> tuple[Tensor, State]:
        inputs = torch.cat((features, vector), dim=-1)
        return lstm_over(self.rec, inputs, state or self.initial_state(len(inputs)))

    def decode_joints(self, hidden: Tensor) -> Tensor:
        vector: Tensor = self.decoder_joint(hidden)
        return vector

    def decode_images(self, hidden: Tensor, images: Images) -> tuple[Tensor, ...]:
        return tuple(camera_network.decoder(hidden) for camera_network in self.eyes)


class CNNRNNPolicy(RecurrentPolicy):
    """CNNRNN in robot units: chunks of one row, state (h, c)."""

    kind: ClassVar[str] = 'cnnrnn'
    Config: ClassVar[type[BaseModel]] = CNNRNNConfig
    learns_from = 'sequences'
    autoencoder_key = 'pretrained'
    norm: ClassVar[Norm] = 'none'

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        assert isinstance(self.config, CNNRNNConfig)
        for size in spec.sizes or (spec.image_size,):
            check_trunk_size(size, self.kind)
        self.network: CNNRNN = CNNRNN(
            self.vector_dim,
            spec.sizes,
            self.config,
            norm=self.norm,
            cameras=len(self.cameras),
            out_dim=self.predicted_dim,
        )
        self.network.to(memory_format=torch.channels_last)


class CNNRNNLNPolicy(CNNRNNPolicy):
    """CNNRNNLN in robot units."""

    kind: ClassVar[str] = 'cnnrnnln'
    norm: ClassVar[Norm] = 'layer'
