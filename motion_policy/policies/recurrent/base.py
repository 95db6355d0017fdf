# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Base of recurrent policies (deep predictive learning): predict the next images and joints.

Only `step` is sequential. Everything else works on any number of frames at once, so training
can batch it, and a robot that nobody watches never draws an image.
Deep predictive learning: Suzuki et al., arXiv:2306.14714; networks of this kind: EIPL,
https://github.com/ogata-lab/eipl.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from motion_policy.policies.base import Policy
from motion_policy.policies.normalisation import to_byte_images
from motion_policy.robot.image_fit import Size

State = tuple[Tensor, ...]  # each (B, n); an LSTM's is (h, c)
Images = Sequence[Tensor]  # one (N, 3, H, W) in [0, 1] per camera


class RecurrentNetwork(nn.Module, ABC):
    """A network that predicts, from images and a vector of joints (efforts, vectors), the next.

    Vectors of the robot are seen and not predicted.

    Attributes:
        feature_term: what the loss calls the error of predicted image features; None if the
            network predicts no features.
        features_fixed: `encode_images` is not trained, so that its results can be kept.
    """

    feature_term: ClassVar[str | None] = None
    features_fixed: ClassVar[bool] = False

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Zeros, (batch_size, n) each, on the network's device."""

    @abstractmethod
    def encode_images(self, images: Images) -> Tensor:
        """Images -> features (N, F): what the recurrent part is told of them."""

    @abstractmethod
    def step(self, features: Tensor, vector: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Features (B, T, F) and vector (B, T, V) -> hidden (B, T, R), state after step T."""

    @abstractmethod
    def decode_joints(self, hidden: Tensor) -> Tensor:
        """Hidden (..., R) -> next targets, then next efforts if there are any (..., V')."""

    def decode_features(self, hidden: Tensor) -> Tensor:
        """Hidden (..., R) -> the features (..., F) expected of the next images."""
        raise NotImplementedError(f'{type(self).__name__} predicts no features')

    @abstractmethod
    def decode_images(self, hidden: Tensor, images: Images) -> tuple[Tensor, ...]:
        """Hidden (N, R) and the images of now -> the next image (N, 3, H, W) of each camera."""

    def forward(
        self, images: Images, vector: Tensor, state: State | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor, State]:
        """One step -> next images, next vector (B, V'), state. No state means zeros.

        `images` are (B, 3, H, W) in [0, 1] per camera, `vector` is (B, V).
        """
        hidden, state = self.step(self.encode_images(images)[:, None], vector[:, None], state)
        return self.decode_images(hidden[:, 0], images), self.decode_joints(hidden[:, 0]), state


def size_per_camera(image_size: Size | Sequence[Size], cameras: int) -> list[Size]:
    """Height and width for each of `cameras` cameras, from one for all or from one for each.

    ValueError for another number of sizes.
    """
    sizes: Any = image_size
    if sizes and isinstance(sizes[0], int):
        return [(sizes[0], sizes[1])] * cameras
    if len(sizes) != cameras:
        raise ValueError(f'{len(sizes)} image sizes, expected {cameras}, one for each camera')
    return [(height, width) for height, width in sizes]


def lstm_over(rec: nn.LSTM, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """Inputs (B, T, D), state (h, c) each (B, R) -> hidden (B, T, R), state.

    The LSTM of PyTorch (Hochreiter and Schmidhuber, doi:10.1162/neco.1997.9.8.1735).
    """
    if inputs.shape[1] == 1 and not torch.is_grad_enabled():  # one cell costs half of one layer
        weights = (rec.weight_ih_l0, rec.weight_hh_l0, rec.bias_ih_l0, rec.bias_hh_l0)
        h, c = torch.lstm_cell(inputs[:, 0], (state[0], state[1]), *weights)
        return h[:, None], (h, c)
    hidden, (h, c) = rec(inputs, (state[0][None], state[1][None]))
    return hidden, (h[0], c[0])


def zero_lstm_state(rec: nn.LSTM, batch_size: int) -> State:
    """(h, c) of zeros, (batch_size, R) each."""
    zeros = rec.weight_hh_l0.new_zeros(batch_size, rec.hidden_size)
    return zeros, zeros.clone()


class RecurrentPolicy(Policy):
    """A recurrent network in robot units: chunks of one row."""

    network: RecurrentNetwork

    def initial_state(self, batch_size: int) -> State:
        """The network's zeros, (batch_size, n) each."""
        return self.network.initial_state(batch_size)

    def infer(
        self, images: dict[str, Tensor], vector: Tensor, state: Any, explain: bool
    ) -> tuple[Tensor, State, dict[str, Tensor]]:
        """Extras: `hidden` (B, R), `image/CAM` (B, h, w, 3) uint8 and, with efforts, `effort`."""
        seen = [images[camera] for camera in self.cameras]
        features = self.network.encode_images(seen)
        hidden, state = self.network.step(features[:, None], vector[:, None], state)
        predicted = self.network.decode_joints(hidden)
        targets = predicted[..., : self.action_dim]
        extras: dict[str, Tensor] = {}
        if explain:
            extras = {'hidden': hidden[:, 0], **self.attention(features, hidden[:, 0])}
            drawn = self.network.decode_images(hidden[:, 0], seen)
            for camera, image in zip(self.cameras, drawn, strict=True):
                extras[f'image/{camera}'] = to_byte_images(image)
            if self.normalise_effort is not None:
                effort = predicted[:, 0, targets.shape[-1] :]
                extras['effort'] = self.normalise_effort.inverse(effort.float())
        return targets, state, extras

    def attention(self, features: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """What the policy looks at, by camera, from features (B, F) and hidden (B, R).

        Nothing unless the family says otherwise.
        """
        return {}
