# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""LSTMs of the frame predictor: deterministic and Gaussian, time first.

Those of SVG (Denton and Fergus, arXiv:1802.07687). Each is a function of its inputs and the state
before them, over any number of steps at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

LSTMState = tuple[Tensor, Tensor] | None  # (h, c), each (layers, N, hidden); None: zeros


class Gaussian(NamedTuple):
    """Independent normal distributions: mean and logarithm of the variance, (..., Z) each."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """mean + standard deviation * noise: a gradient reaches both."""
        return torch.addcmul(self.mean, (0.5 * self.log_variance).exp(), noise)

    def kl_from_standard(self) -> Tensor:
        """KL(this || N(0, 1)), summed over Z: (...).

        Kingma and Welling, arXiv:1312.6114, appendix B.
        """
        mean, log_variance = self
        each = mean.square() + log_variance.exp() - log_variance - 1
        return 0.5 * each.sum(-1)

    def kl_from(self, other: Gaussian) -> Tensor:
        """KL(this || other), summed over Z: (...)."""
        apart = (self.mean - other.mean).square() + self.log_variance.exp()
        logs = other.log_variance - self.log_variance
        return 0.5 * (logs + apart * (-other.log_variance).exp() - 1).sum(-1)


class EmbeddedLSTM(nn.Module):
    """A linear layer, then a stack of LSTMs."""

    def __init__(self, in_dim: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(in_dim, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers)

    def recur(self, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Inputs and the state before them -> hidden (T, N, hidden), the state after."""
        embedded = self.embed(inputs)
        if len(inputs) == 1 and not torch.is_grad_enabled():  # cells cost a third of nn.LSTM
            return self._step(embedded[0], state)
        hidden, state = self.lstm(embedded, state)
        return hidden, state

    def _step(self, values: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        if state is None:
            zeros = values.new_zeros(self.lstm.num_layers, *values.shape)
            state = zeros, zeros
        hidden, cells = [], []
        for layer, (h, c) in enumerate(zip(*state, strict=True)):
            weights = [getattr(self.lstm, f'{name}_l{layer}') for name in _WEIGHTS]
            values, c = torch.lstm_cell(values, (h, c), *weights)
            hidden.append(values)
            cells.append(c)
        return values[None], (torch.stack(hidden), torch.stack(cells))


_WEIGHTS = ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')


class CodeLSTM(EmbeddedLSTM):
    """Inputs (T, N, in_dim) -> codes (T, N, code_dim) in [-1, 1]: the frame predictor.

    With `norm` the code passes a batch normalisation, as some published models have it.
    """

    def __init__(
        self, in_dim: int, hidden: int, layers: int, code_dim: int, norm: bool = False
    ) -> None:
        super().__init__(in_dim, hidden, layers)
        self.out = nn.Linear(hidden, code_dim)
        self.norm = nn.BatchNorm1d(code_dim) if norm else None

    def forward(self, inputs: Tensor, state: LSTMState = None) -> tuple[Tensor, LSTMState]:
        hidden, state = self.recur(inputs, state)
        codes: Tensor = self.out(hidden)
        if self.norm is not None:
            codes = self.norm(codes.flatten(0, 1)).view_as(codes)
        return torch.tanh(codes), state


class GaussianLSTM(EmbeddedLSTM):
    """Codes (T, N, code_dim) -> a Gaussian (T, N, latent_dim): the posterior, or the prior."""

    def __init__(self, in_dim: int, hidden: int, layers: int, latent_dim: int) -> None:
        super().__init__(in_dim, hidden, layers)
        self.mean = nn.Linear(hidden, latent_dim)
        self.log_variance = nn.Linear(hidden, latent_dim)

    def forward(self, inputs: Tensor, state: LSTMState = None) -> tuple[Gaussian, LSTMState]:
        hidden, state = self.recur(inputs, state)
        return Gaussian(self.mean(hidden), self.log_variance(hidden)), state
