# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Gradient accumulation over minibatches of frames, so that activations stay small.

On a CPU a minibatch's activations stay in the cache. A term of the loss that judges each frame by
itself goes further: its gradient is found for one minibatch after the other too, and no activation
is kept at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Frames per minibatch. On a CPU more would leave the cache, fewer cost calls.
CPU_FRAMES = 16
GPU_FRAMES = 1024

Term = Callable[..., Tensor]


def minibatches(*frames: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors (N, ...) of equal N -> the same minibatch of each, one after the other."""
    size = GPU_FRAMES if frames[0].is_cuda else CPU_FRAMES
    for start in range(0, max(len(frames[0]), 1), size):  # one empty minibatch of no frames
        yield tuple(tensor[start : start + size] for tensor in frames)


def over_frames(call: Term, *frames: Tensor) -> Tensor:
    """`call(*frames)` in minibatches: (N, ...) each -> (N, ...). Backward has the activations."""
    return torch.cat([call(*minibatch) for minibatch in minibatches(*frames)])


def sum_over_frames(term: Term, *frames: Tensor, weights: Iterable[nn.Parameter]) -> Tensor:
    """The sum of `term(*minibatch)` over all minibatches, a scalar; equal to `term(*frames)`.

    Gradients are found at once with the value, so there is none of a gradient.

    Args:
        term: of a minibatch, the sum (not the mean) over its frames of what each frame adds; a
            scalar. It must have a gradient into nothing but the minibatch and `weights`.
        frames: (N, ...) each, of equal N.
        weights: what `term` uses of the network, or more.
    """
    learned = [weight for weight in weights if weight.requires_grad]
    wanted = any(tensor.requires_grad for tensor in (*frames, *learned))
    if not (wanted and torch.is_grad_enabled()) or _scaled_later():
        return torch.stack([term(*minibatch) for minibatch in minibatches(*frames)]).sum()
    total: Tensor = _SumOverFrames.apply(term, len(frames), *frames, *learned)
    return total


class _SumOverFrames(torch.autograd.Function):
    """Forward finds value and gradients together; backward only scales them."""

    @staticmethod
    def forward(ctx: Any, term: Term, count: int, *tensors: Tensor) -> Tensor:
        frames, weights = tensors[:count], tensors[count:]
        followed = [index for index, tensor in enumerate(frames) if tensor.requires_grad]
        parts: list[list[Tensor]] = [[] for _ in followed]
        sums: list[Tensor | None] = [None] * len(weights)
        values = []
        for minibatch in minibatches(*frames):
            inputs = [tensor.detach() for tensor in minibatch]
            leaves = [inputs[index].requires_grad_() for index in followed]
            with torch.enable_grad():
                value = term(*inputs)
            inside = (*leaves, *weights)
            # A network may draw what none of its weights has a part in.
            found: Sequence[Tensor | None] = [None] * len(inside)
            if value.requires_grad:
                found = torch.autograd.grad(value, inside, allow_unused=True)
            for part, leaf, gradient in zip(parts, leaves, found, strict=False):
                part.append(torch.zeros_like(leaf) if gradient is None else gradient)
            sums = _added(sums, found[len(leaves) :])
            values.append(value.detach())
        of_frames: list[Tensor | None] = [None] * count
        for index, part in zip(followed, parts, strict=True):
            of_frames[index] = torch.cat(part)
        ctx.gradients = (*of_frames, *sums)
        return torch.stack(values).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if part is None else (part * incoming).to(part) for part in ctx.gradients]
        return None, None, *scaled


def _added(sums: Sequence[Tensor | None], more: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The sums with `more` added, in place; two weights may have been given the same gradient."""
    added: list[Tensor | None] = []
    for total, part in zip(sums, more, strict=True):
        if part is not None:
            total = part.clone() if total is None else total.add_(part)
        added.append(total)
    return added


def _scaled_later() -> bool:
    """Whether gradients are in half precision: those of an unscaled loss would leave its range."""
    if not torch.is_autocast_enabled():
        return False
    if hasattr(torch, 'get_autocast_dtype'):  # from torch 2.4 on
        return torch.get_autocast_dtype('cuda') is torch.float16
    return torch.get_autocast_gpu_dtype() is torch.float16
