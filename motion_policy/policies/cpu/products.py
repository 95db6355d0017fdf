# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training of large linear layers on a CPU: forward and gradients by oneDNN.

PyTorch leaves them to the BLAS that it was built with, which not on every CPU takes the widest
instructions. Same weights, same numbers but for the order of sums; elsewhere PyTorch's own run.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from motion_policy.policies.cpu import onednn

MANY = 2**22  # multiplications from which on it pays


class Linear(nn.Linear):
    """`nn.Linear` by `differentiable_linear`: (..., I) -> (..., O)."""

    def forward(self, input: Tensor) -> Tensor:
        return differentiable_linear(input, self.weight, self.bias)


def differentiable_linear(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`: values (..., I), weight (O, I), bias (O,) -> (..., O)."""
    if not (_learns(values, weight) and onednn.works()):
        return F.linear(values, weight, bias)
    product: Tensor = _Linear.apply(values.flatten(0, -2), weight, bias)
    return product.unflatten(0, values.shape[:-1])


def _learns(values: Tensor, weight: Tensor) -> bool:
    """Whether its gradients are wanted here, in float32, and it is large."""
    return (
        torch.is_grad_enabled()
        and weight.requires_grad
        and values.ndim > 1
        and values.device.type == 'cpu'
        and values.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled('cpu')
        and values.numel() * len(weight) >= MANY
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(values, weight)
        return onednn.linear(values, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            onednn.linear(incoming, weight.t(), None) if wanted[0] else None,
            onednn.linear(incoming.t(), values.t(), None) if wanted[1] else None,
            incoming.sum(0) if wanted[2] else None,
        )
