# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""MTRNN: fast and slow leaky integrators (Yamashita and Tani, 2008).

doi:10.1371/journal.pcbi.1000220; equations and sizes are those of EIPL's BasicMTRNN
(https://github.com/ogata-lab/eipl).
`cell` states the equations; `forward` gives the same numbers and gradients over a whole sequence
in about three small kernels per step, because only the recurrence itself runs step by step.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ActivationName = Literal['tanh', 'relu']
State = tuple[Tensor, ...]  # h_fast, h_slow, u_fast, u_slow: (B, fast) or (B, slow) each


class MTRNN(nn.Module):
    """A layer over sequences: x (B, T, in), state -> hidden (B, T, fast + slow), state.

    A state is (h_fast, h_slow, u_fast, u_slow), what the units say and their potentials, each
    (B, fast) or (B, slow); None means zeros. `hidden` holds h_fast, then h_slow of every step.

    Args:
        in_dim: values per step.
        fast_dim: units of the fast context, which see the input.
        slow_dim: units of the slow context, which see only the fast ones and themselves.
        fast_tau: time constant of the fast units, in steps, at least 1.
        slow_tau: the same of the slow units.
        activation: from potential to output of a unit.
    """

    def __init__(
        self,
        in_dim: int,
        fast_dim: int = 60,
        slow_dim: int = 5,
        fast_tau: float = 2.0,
        slow_tau: float = 12.0,
        activation: ActivationName = 'tanh',
    ) -> None:
        super().__init__()
        if min(fast_tau, slow_tau) < 1:
            raise ValueError(f'time constants {fast_tau}, {slow_tau}: at least one step each')
        self.fast_dim, self.slow_dim = fast_dim, slow_dim
        self.fast_tau, self.slow_tau = fast_tau, slow_tau
        self.activation: ActivationName = activation
        self.i2f = nn.Linear(in_dim, fast_dim, bias=False)
        self.f2f = nn.Linear(fast_dim, fast_dim, bias=False)
        self.f2s = nn.Linear(fast_dim, slow_dim, bias=False)
        self.s2s = nn.Linear(slow_dim, slow_dim, bias=False)
        self.s2f = nn.Linear(slow_dim, fast_dim, bias=False)

    @property
    def hidden_dim(self) -> int:
        return self.fast_dim + self.slow_dim

    def initial_state(self, batch_size: int) -> State:
        """Zeros, of the weights' type and on their device."""
        sizes = (self.fast_dim, self.slow_dim) * 2
        return tuple(self.f2f.weight.new_zeros(batch_size, size) for size in sizes)

    def cell(self, x: Tensor, state: State | None = None) -> State:
        """One step, equation by equation: x (B, in) -> the next state."""
        h_fast, h_slow, u_fast, u_slow = state or self.initial_state(len(x))
        into_fast = self.i2f(x) + self.f2f(h_fast) + self.s2f(h_slow)
        into_slow = self.f2s(h_fast) + self.s2s(h_slow)
        u_fast = (1 - 1 / self.fast_tau) * u_fast + into_fast / self.fast_tau
        u_slow = (1 - 1 / self.slow_tau) * u_slow + into_slow / self.slow_tau
        act = torch.tanh if self.activation == 'tanh' else torch.relu
        return act(u_fast), act(u_slow), u_fast, u_slow

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if state is None:
            state = self.initial_state(len(x))
        if x.shape[1] == 1:  # a control step, and what an exporter can read
            state = self.cell(x[:, 0], state)
            return torch.cat(state[:2], dim=-1)[:, None], state
        drive = F.linear(x, self.i2f.weight / self.fast_tau).to(self.f2f.weight.dtype)
        h, u = torch.cat(state[:2], dim=-1), torch.cat(state[2:], dim=-1)
        tau = self._time_constants()
        hidden, h, u = _Recurrence.apply(
            drive, self._recurrent_weight() / tau[:, None], h, u, 1 - 1 / tau, self.activation
        )
        sizes = (self.fast_dim, self.slow_dim)
        return hidden, (*h.split(sizes, -1), *u.split(sizes, -1))

    def _recurrent_weight(self) -> Tensor:
        """From all units to all units: (fast + slow, fast + slow)."""
        into_fast = torch.cat((self.f2f.weight, self.s2f.weight), dim=1)
        into_slow = torch.cat((self.f2s.weight, self.s2s.weight), dim=1)
        return torch.cat((into_fast, into_slow))

    def _time_constants(self) -> Tensor:
        tau = self.f2f.weight.new_full((self.hidden_dim,), self.fast_tau)
        tau[self.fast_dim :] = self.slow_tau
        return tau


class _Recurrence(torch.autograd.Function):
    """u[t] = decay * u[t-1] + weight h[t-1] + drive[t],  h[t] = activation(u[t]).

    drive (B, T, k) of the first k <= n units, weight (n, n), h and u (B, n), decay (n,) ->
    all h (B, T, n), last h (B, n), last u (B, n). In full precision also under autocast: a slow
    unit adds up small changes over many steps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        weight: Tensor,
        h: Tensor,
        u: Tensor,
        decay: Tensor,
        activation: ActivationName,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (batch, steps, driven), n = drive.shape, len(decay)
        # A row holds the potentials and then the outputs, so that a step is one product of it.
        rows = drive.new_empty(steps + 1, batch, 2 * n)
        rows[0, :, :n], rows[0, :, n:] = u, h
        rows[1:, :, :driven], rows[1:, :, driven:n] = drive.transpose(0, 1), 0
        matrix = torch.cat((decay.diag(), weight.t()))
        # One call for the views of all steps: indexing inside the loop costs as much as a sum.
        before, potentials, outputs = (
            part.unbind() for part in (rows, rows[..., :n], rows[..., n:])
        )
        for t in range(1, steps + 1):
            potentials[t].addmm_(before[t - 1], matrix)
            if activation == 'tanh':
                torch.tanh(potentials[t], out=outputs[t])
            else:
                torch.clamp(potentials[t], min=0, out=outputs[t])
        ctx.save_for_backward(rows, weight, decay)
        ctx.activation, ctx.driven = activation, driven
        hidden = rows[1:, :, n:].transpose(0, 1).contiguous()
        return hidden, outputs[-1].clone(), potentials[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_hidden: Tensor, grad_h: Tensor, grad_u: Tensor
    ) -> tuple[Tensor | None, ...]:
        rows, weight, decay = ctx.saved_tensors
        steps, n = grad_hidden.shape[1:]
        h = rows[..., n:]
        slope = 1 - h[1:] ** 2 if ctx.activation == 'tanh' else (h[1:] > 0).to(h.dtype)
        # What comes back to each step: to its potentials, and to its outputs.
        back = torch.empty_like(rows)
        back[..., :n] = 0
        back[0, :, n:], back[1:, :, n:] = 0, grad_hidden.transpose(0, 1)
        back[-1, :, :n] += grad_u
        back[-1, :, n:] += grad_h
        matrix = torch.cat((decay.diag(), weight), dim=1)
        both, to_u, to_h = (part.unbind() for part in (back, back[..., :n], back[..., n:]))
        slopes = slope.unbind()
        for t in range(steps, 0, -1):
            to_u[t].addcmul_(to_h[t], slopes[t - 1])
            both[t - 1].addmm_(to_u[t], matrix)
        into = back[1:, :, :n]
        with torch.autocast(h.device.type, enabled=False):
            grad_weight = into.reshape(-1, n).t() @ h[:-1].reshape(-1, n)
        return into[..., : ctx.driven].transpose(0, 1), grad_weight, to_h[0], to_u[0], None, None
