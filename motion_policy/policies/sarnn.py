# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""SARNN: a recurrent policy that looks at a few attention points (Ichiwara et al., ICRA 2022).

One step sees the image and joints of now and predicts the image, joints and attention points of
the next step. The pieces (`look`, `features`, `recur`, `draw`) are methods of their own because
only `recur` is sequential: training runs the others over many frames at once, and a robot that
nobody watches never runs `features` and `draw`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from motion_policy.errors import UserError
from motion_policy.policies.base import Policy, PolicySpec
from motion_policy.policies.layers import (
    InverseSpatialSoftmax,
    SpatialSoftmax,
    points_in_image,
)
from motion_policy.policies.normalisation import to_byte_images

State = tuple[Tensor, Tensor]

BORDER = 3  # pixels that the three unpadded 3x3 convolutions take off each side
SMALLEST_IMAGE = 2 * BORDER + 2  # two columns and rows are left to point into


class SARNNConfig(BaseModel):
    """The hyper-parameters of SARNN. `reference` gives the activations of the original."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    rec_dim: int = Field(default=50, ge=1, description='units of the LSTM')
    k_dim: int = Field(default=5, ge=1, description='number of attention points')
    temperature: float = Field(default=1e-4, gt=0, description='of the spatial softmax')
    heatmap_size: float = Field(default=0.1, gt=0, description='of the inverse spatial softmax')
    leaky_slope: float = Field(default=0.3, ge=0, lt=1, description='of every LeakyReLU')
    reference: bool = Field(
        default=False,
        description='LeakyReLU on the joint, point and image outputs too, as in the original; '
        'otherwise they are linear, so that every value can be reached',
    )


class SARNN(nn.Module):
    """The one-step cell.

    forward(image (B, 3, H, W) in [0, 1], joints (B, J) normalised, state) ->
        (next image (B, 3, H, W), next joints (B, J), encoder points (B, K, 2) of this image,
         decoder points (B, K, 2) predicted for the next image, state)
    A state is (h, c), each (B, rec_dim); None means zeros.
    """

    def __init__(
        self,
        joint_dim: int,
        image_size: tuple[int, int],
        config: SARNNConfig | None = None,
        *,
        target_dim: int | None = None,
    ) -> None:
        super().__init__()
        config = config or SARNNConfig()
        self.config = config
        height, width = image_size[0] - 2 * BORDER, image_size[1] - 2 * BORDER
        if min(image_size) < SMALLEST_IMAGE:
            raise ValueError(f'image size {image_size} is too small for SARNN: at least 8x8')
        k, slope = config.k_dim, config.leaky_slope

        def act() -> nn.Module:
            return nn.LeakyReLU(slope, inplace=True)

        def out() -> nn.Module:
            return act() if config.reference else nn.Identity()

        def encoder() -> list[nn.Module]:
            layers: list[nn.Module] = []
            for before, after in ((3, 16), (16, 32), (32, k)):
                layers += [nn.Conv2d(before, after, 3), act()]
            return layers

        self.pos_encoder = nn.Sequential(
            *encoder(), SpatialSoftmax(height, width, config.temperature)
        )
        self.im_encoder = nn.Sequential(*encoder())
        self.rec = nn.LSTM(2 * k + joint_dim, config.rec_dim, batch_first=True)
        self.decoder_joint = nn.Sequential(
            nn.Linear(config.rec_dim, target_dim or joint_dim), out()
        )
        self.decoder_point = nn.Sequential(nn.Linear(config.rec_dim, 2 * k), out())
        self.heatmap = InverseSpatialSoftmax(height, width, config.heatmap_size)
        self.decoder_image = nn.Sequential(
            nn.ConvTranspose2d(k, 32, 3),
            act(),
            nn.ConvTranspose2d(32, 16, 3),
            act(),
            nn.ConvTranspose2d(16, 3, 3),
            out(),
        )
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
        weight = next(self.rec.parameters())
        zeros = weight.new_zeros(batch_size, self.config.rec_dim)
        return zeros, zeros.clone()

    def look(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> encoder points (N, K, 2)."""
        points: Tensor = self.pos_encoder(images)
        return points

    def features(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> feature maps (N, K, H - 6, W - 6) that `draw` paints with."""
        maps: Tensor = self.im_encoder(images)
        return maps

    def recur(
        self, points: Tensor, joints: Tensor, state: State | None
    ) -> tuple[Tensor, Tensor, State]:
        """Over a sequence: points (B, T, K, 2), joints (B, T, J) -> next joints (B, T, J'), next
        points (B, T, K, 2), state after the last step.
        """
        inputs = torch.cat((points.flatten(2), joints), dim=-1)
        if state is None:
            state = self.initial_state(len(inputs))
        hidden, (h, c) = self.rec(inputs, (state[0].unsqueeze(0), state[1].unsqueeze(0)))
        next_points = self.decoder_point(hidden).reshape(points.shape)
        return self.decoder_joint(hidden), next_points, (h.squeeze(0), c.squeeze(0))

    def draw(self, points: Tensor, features: Tensor) -> Tensor:
        """Predicted points (N, K, 2) and the features of now -> next image (N, 3, H, W)."""
        image: Tensor = self.decoder_image(self.heatmap(points) * features)
        return image

    def step(
        self, image: Tensor, joints: Tensor, state: State | None
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """One step without the image: next joints, encoder points, decoder points, state."""
        points = self.look(image)
        next_joints, next_points, state = self.recur(points[:, None], joints[:, None], state)
        return next_joints[:, 0], points, next_points[:, 0], state

    def forward(
        self, image: Tensor, joints: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, State]:
        next_joints, points, next_points, state = self.step(image, joints, state)
        next_image = self.draw(next_points, self.features(image))
        return next_image, next_joints, points, next_points, state


class SARNNPolicy(Policy):
    """SARNN in robot units: chunks of one row, state (h, c)."""

    kind: ClassVar[str] = 'sarnn'
    Config: ClassVar[type[BaseModel]] = SARNNConfig

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        if len(spec.cameras) != 1:
            raise UserError(f'cameras: sarnn sees exactly one camera, found {list(spec.cameras)}')
        assert isinstance(self.config, SARNNConfig)
        if min(spec.image_size) < SMALLEST_IMAGE:
            raise UserError(f'image_size: {spec.image_size}, sarnn needs at least 8x8 pixels')
        self.network = SARNN(len(self.joint_names), spec.image_size, self.config)
        self.network.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def initial_state(self, batch_size: int) -> State:
        return self.network.initial_state(batch_size)

    def infer(
        self, images: dict[str, Tensor], qpos: Tensor, state: Any, explain: bool
    ) -> tuple[Tensor, State, dict[str, Tensor]]:
        image = images[self.cameras[0]]
        targets, points, next_points, state = self.network.step(image, qpos, state)
        extras: dict[str, Tensor] = {}
        if explain:
            predicted = self.network.draw(next_points, self.network.features(image))
            extras = {
                'encoder_points': self.in_image(points),
                'decoder_points': self.in_image(next_points),
                'image': to_byte_images(predicted),
            }
        return targets[:, None], state, extras

    def in_image(self, points: Tensor) -> Tensor:
        """Attention points (..., 2) of the feature map -> of the image, in [0, 1]."""
        height, width = self.spec.image_size
        return points_in_image(points, height, width, BORDER)
