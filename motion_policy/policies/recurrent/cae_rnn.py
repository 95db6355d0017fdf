# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""CAE-RNN: an LSTM or MTRNN on features of frozen, pre-trained autoencoders.

The autoencoders are part of the policy and of its checkpoint, but nothing here trains them: they
get no gradient and always run as in evaluation.
With `reference` the sequence model is BasicLSTM or BasicMTRNN of EIPL
(https://github.com/ogata-lab/eipl).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from motion_policy.declared import Declared
from motion_policy.errors import UserError
from motion_policy.policies.base import Model, PolicySpec
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
from motion_policy.policies.recurrent.cae import (
    Autoencoder,
    AutoencoderConfig,
    CAEModel,
    autoencoders_for,
)
from motion_policy.policies.recurrent.mtrnn import MTRNN, ActivationName
from motion_policy.robot.image_fit import Size

SMALLEST_SPAN = 1e-3  # of a feature's range, if no feature ever moved
STILL = 0.1  # a feature's range is at least this share of the widest one


class CAERNNConfig(Declared):
    """The hyper-parameters of CAE-RNN. `reference` gives the original's output activation."""

    rnn: Literal['lstm', 'mtrnn'] = 'lstm'
    rec_dim: int = Field(default=50, ge=1, le=MOST_UNITS, description='units of the LSTM')
    fast_dim: int = Field(default=60, ge=1, le=MOST_UNITS, description='fast units of the MTRNN')
    slow_dim: int = Field(default=5, ge=1, le=MOST_UNITS, description='slow units of the MTRNN')
    fast_tau: float = Field(default=2.0, ge=1, description='time constant of the fast ones, steps')
    slow_tau: float = Field(default=12.0, ge=1, description='of the slow ones, steps')
    activation: ActivationName = Field(
        default='tanh', description='of the units of the MTRNN; with reference of the output too'
    )
    reference: bool = Field(
        default=False,
        description='the activation on the predicted features and joints, as in the original; '
        'otherwise they are linear, so that every value can be reached',
    )
    cae: AutoencoderConfig = Field(
        default=AutoencoderConfig(), description='the autoencoders, as they were trained'
    )


class SequenceModel(nn.Module):
    """Features and a vector of joints (efforts, vectors) of now -> those of the next step.

    Vectors of the robot are not predicted. All are normalised to about [0, 1], and concatenated in
    that order in and out. The range of the features stands among the weights, as `feature_low`
    (F,) and `feature_span` (F,).

    Args:
        feature_dim: F, the features of all cameras together.
        vector_dim: V, joints, then efforts and vectors if there are any.
        config: hyper-parameters; `cae` is not looked at.
        out_dim: V', how many of them are predicted; default: all.
    """

    feature_low: Tensor
    feature_span: Tensor

    def __init__(
        self,
        feature_dim: int,
        vector_dim: int,
        config: CAERNNConfig | None = None,
        *,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        config = config or CAERNNConfig()
        size = feature_dim + vector_dim
        predicted = feature_dim + (out_dim or vector_dim)
        self.feature_dim = feature_dim
        self.rec: nn.LSTM | MTRNN
        if config.rnn == 'lstm':
            self.rec = nn.LSTM(size, config.rec_dim, batch_first=True)
            self.read_dim = config.rec_dim
        else:
            dims, taus = (config.fast_dim, config.slow_dim), (config.fast_tau, config.slow_tau)
            self.rec = MTRNN(size, *dims, *taus, config.activation)
            self.read_dim = config.fast_dim  # the slow units speak through the fast ones only
        bend = nn.Tanh() if config.activation == 'tanh' else nn.ReLU()
        self.out = nn.Sequential(
            nn.Linear(self.read_dim, predicted), bend if config.reference else nn.Identity()
        )
        self.register_buffer('feature_low', torch.zeros(feature_dim))
        self.register_buffer('feature_span', torch.ones(feature_dim))

    def set_feature_range(self, low: Tensor | float, high: Tensor | float) -> None:
        """What becomes 0 and 1 of each feature: (F,) each, or one number for all.

        A feature that hardly moved gets at least a tenth of the widest range, about its middle:
        otherwise the smallest change of it would look like a huge one.

        Raises ValueError for values that are not finite or not in order.
        """
        low, high = (
            torch.as_tensor(value, dtype=torch.float64).to(self.feature_low.device)
            for value in (low, high)
        )
        span = high - low
        if not torch.isfinite(span).all() or (span < 0).any():
            raise ValueError('feature range: expected finite values, low not above high')
        wide = span.clamp(min=max(STILL * float(span.max()), SMALLEST_SPAN))
        self.feature_low.copy_(low - (wide - span) / 2)
        self.feature_span.copy_(wide)

    def normalise(self, features: Tensor) -> Tensor:
        """Features of the autoencoders (..., F) -> about [0, 1]."""
        return (features - self.feature_low) / self.feature_span

    def denormalise(self, features: Tensor) -> Tensor:
        """The inverse of `normalise`: (..., F) -> features of the autoencoders (..., F)."""
        return features * self.feature_span + self.feature_low

    def initial_state(self, batch_size: int) -> State:
        """Zeros (B, n): (h, c) of the LSTM, (h_fast, h_slow, u_fast, u_slow) of the MTRNN."""
        if isinstance(self.rec, nn.LSTM):
            return zero_lstm_state(self.rec, batch_size)
        return self.rec.initial_state(batch_size)

    def step(self, features: Tensor, vector: Tensor, state: State | None) -> tuple[Tensor, State]:
        """(B, T, F) and (B, T, V) -> hidden (B, T, R), of an MTRNN fast then slow; state."""
        inputs = torch.cat((features, vector), dim=-1)
        state = state or self.initial_state(len(inputs))
        if isinstance(self.rec, nn.LSTM):
            return lstm_over(self.rec, inputs, state)
        hidden, state = self.rec(inputs, state)
        return hidden, state

    def read(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden (..., R) -> next features (..., F), next vector (..., V')."""
        values: Tensor = self.out(hidden[..., : self.read_dim])
        return values[..., : self.feature_dim], values[..., self.feature_dim :]

    def forward(
        self, features: Tensor, vector: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Over a sequence -> next features (B, T, F), next vector (B, T, V'), state."""
        hidden, state = self.step(features, vector, state)
        return *self.read(hidden), state


class CAERNN(RecurrentNetwork):
    """The network: autoencoders that stay as they are, and a sequence model that learns.

    Args:
        vector_dim: values per step beside the images, V.
        image_size: (height, width) of every camera, or of each, as the autoencoders take it.
        cameras: how many; each has an autoencoder of its own.
        out_dim: V', how many of the values are predicted; default: all.
    """

    feature_term: ClassVar[str | None] = 'feature'
    features_fixed: ClassVar[bool] = True

    def __init__(
        self,
        vector_dim: int,
        image_size: Size | Sequence[Size],
        config: CAERNNConfig | None = None,
        *,
        cameras: int = 1,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        config = config or CAERNNConfig()
        sizes = size_per_camera(image_size, cameras)
        self.eyes = nn.ModuleList(Autoencoder(size, config.cae) for size in sizes)
        self.eyes.requires_grad_(False).eval()
        self.feat_dim = config.cae.feat_dim
        self.sequence = SequenceModel(cameras * self.feat_dim, vector_dim, config, out_dim=out_dim)

    def train(self, mode: bool = True) -> CAERNN:
        """The sequence model to training or evaluation; the autoencoders stay in evaluation."""
        super().train(mode)
        self.eyes.eval()  # batch normalisation would learn from what it sees
        return self

    def initial_state(self, batch_size: int) -> State:
        return self.sequence.initial_state(batch_size)

    def encode(self, images: Images) -> Tensor:
        """Images -> the autoencoders' features (N, F) as they are, without gradient."""
        with torch.no_grad():
            pairs = zip(self.eyes, images, strict=True)
            return torch.cat([autoencoder.encoder(image) for autoencoder, image in pairs], dim=-1)

    def set_feature_range(self, low: Tensor | float, high: Tensor | float) -> None:
        """As `SequenceModel.set_feature_range`, (F,) each, from `encode` of the training split."""
        self.sequence.set_feature_range(low, high)

    def encode_images(self, images: Images) -> Tensor:
        return self.sequence.normalise(self.encode(images))

    def step(self, features: Tensor, vector: Tensor, state: State | None) -> tuple[Tensor, State]:
        return self.sequence.step(features, vector, state)

    def decode_joints(self, hidden: Tensor) -> Tensor:
        return self.sequence.read(hidden)[1]

    def decode_features(self, hidden: Tensor) -> Tensor:
        return self.sequence.read(hidden)[0]

    def decode_images(self, hidden: Tensor, images: Images) -> tuple[Tensor, ...]:
        features = self.sequence.denormalise(self.decode_features(hidden))
        parts = features.split(self.feat_dim, dim=-1)
        return tuple(
            autoencoder.decoder(part) for autoencoder, part in zip(self.eyes, parts, strict=True)
        )


class CAERNNPolicy(RecurrentPolicy):
    """CAE-RNN in robot units: chunks of one row, the state of its LSTM or MTRNN."""

    kind: ClassVar[str] = 'cae_rnn'
    Config: ClassVar[type[BaseModel]] = CAERNNConfig
    learns_from = 'features'
    autoencoder_key = 'cae'
    needs_autoencoder = True

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        assert isinstance(self.config, CAERNNConfig)
        if not spec.cameras:
            raise UserError('cameras: found none, cae_rnn needs at least one')
        self.network: CAERNN = CAERNN(
            self.vector_dim,
            spec.sizes,
            self.config,
            cameras=len(spec.cameras),
            out_dim=self.predicted_dim,
        )
        self.network.eyes.to(memory_format=torch.channels_last)

    def adopt_autoencoders(self, models: Sequence[Model]) -> int:
        """Takes the weights of trained autoencoders; returns how many tensors it took.

        The feature range stays as it is: it is to be found anew, from what these encode.

        Args:
            models: loaded 'cae' checkpoints, that together hold every camera of this policy.

        Raises:
            UserError: as `autoencoders_for`, or one of other hyper-parameters than `cae`.
        """
        autoencoders = autoencoders_for(self, models)
        hyper = self.spec.hyper['cae']
        for model in models:
            for key, expected in hyper.items():
                if model.spec.hyper[key] != expected:
                    raise UserError(
                        f'{model.source}: {key} is {model.spec.hyper[key]!r}, '
                        f'cae.{key} of this policy is {expected!r}'
                    )
        for mine, trained in zip(self.network.eyes, autoencoders, strict=True):
            mine.load_state_dict(trained.state_dict())
        return sum(len(autoencoder.state_dict()) for autoencoder in autoencoders)


class RNNModel(Model):
    """The sequence model alone, as it is left when its autoencoders are lost.

    Its spec names the cameras whose features it was told, `hyper.cae.feat_dim` values of each.
    """

    kind: ClassVar[str] = 'rnn'
    Config: ClassVar[type[BaseModel]] = CAERNNConfig

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        assert isinstance(self.config, CAERNNConfig)
        features = len(spec.cameras) * self.config.cae.feat_dim
        self.sequence = SequenceModel(
            features, self.vector_dim, self.config, out_dim=self.predicted_dim
        )

    def forward(
        self, features: Tensor, vector: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Normalised: features (B, T, F), vector (B, T, V) -> those of the next step, state.

        Of the vector those that are predicted, (B, T, V').
        """
        return self.sequence(features, vector, state)  # type: ignore[no-any-return]


def with_autoencoders(hyper: dict[str, Any], models: Sequence[Model]) -> dict[str, Any]:
    """The hyper-parameters of a CAE-RNN, with those of the autoencoders that it shall adopt."""
    first = next((model for model in models if isinstance(model, CAEModel)), None)
    return dict(hyper) if first is None else {**hyper, 'cae': dict(first.spec.hyper)}
