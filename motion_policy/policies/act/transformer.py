# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The transformer of ACT: post-norm layers, positional embeddings added in each layer.

Tensors are (batch, tokens, width). Positions are added to queries and keys, never to values
(Carion et al., "End-to-End Object Detection with Transformers", arXiv:2005.12872).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.policies.cpu.products import Linear, differentiable_linear

TEMPERATURE = 10000.0  # of the sine positions


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al., arXiv:1706.03762).

    query (B, Q, D), key and value (B, T, D) -> (B, Q, D). `allowed` (B, T) bool is false for
    tokens that nobody may look at. Parameters are named as those of `nn.MultiheadAttention`.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None
    ) -> Tensor:
        width = query.shape[-1]
        if query is key:  # one product instead of two
            both = differentiable_linear(
                query, self.in_proj_weight[: 2 * width], self.in_proj_bias[: 2 * width]
            )
            q, k = both.chunk(2, dim=-1)
        else:
            q, k = self._projected(query, 0), self._projected(key, 1)
        q, k, v = (self._split(part) for part in (q, k, self._projected(value, 2)))
        mask = None if allowed is None else allowed[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = _attend(q, k, v, mask, dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each query attends to each token, mean of the heads: (B, Q, T)."""
        q, k = self._split(self._projected(query, 0)), self._split(self._projected(key, 1))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        return scores.softmax(-1).mean(1)

    def _projected(self, tokens: Tensor, part: int) -> Tensor:
        width = tokens.shape[-1]
        rows = slice(part * width, (part + 1) * width)
        return differentiable_linear(tokens, self.in_proj_weight[rows], self.in_proj_bias[rows])

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, dropout: float
) -> Tensor:
    """(B, heads, Q, E) by (B, heads, T, E) -> (B, heads, Q, E)."""
    learns = torch.is_grad_enabled() and query.requires_grad
    # torch's CPU kernel knows no dropout, and its bfloat16 gradients take five times as long.
    slow = dropout > 0 or query.dtype == torch.bfloat16
    if not (learns and slow and query.device.type == 'cpu'):
        return F.scaled_dot_product_attention(query, key, value, allowed, dropout)
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    return dropped(scores.softmax(-1).to(value.dtype), dropout) @ value


def dropped(values: Tensor, rate: float) -> Tensor:
    """`F.dropout` of values (...); on a CPU at a third of its cost.

    16 random bits per value are enough.
    """
    if not rate or values.device.type != 'cpu':
        return F.dropout(values, rate)
    count = values.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    numbers = bits.view(torch.int16)[:count].view(values.shape)
    kept = (numbers >= round(rate * 2**16) - 2**15).to(values.dtype)
    return values * kept.mul_(1 / (1 - rate))


class Dropout(nn.Module):
    """`nn.Dropout` by `dropped`: (...) -> (...)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        return dropped(values, self.rate) if self.training else values


class FeedForward(nn.Module):
    """linear2(dropout(relu(linear1(x)))): (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = Linear(width, inner)
        self.linear2 = Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear2(self.dropout(F.relu(self.linear1(tokens))))


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward part, each added and normalised; keeps (B, T, D)."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        allowed: Tensor | None = None,
        first: int | None = None,
    ) -> Tensor:
        """All tokens, or only the `first` ones: (B, first, D)."""
        placed = tokens + positions
        asking = placed if first is None else placed[:, :first]
        attended = self.self_attn(asking, placed, tokens, allowed)
        tokens = self.norm1(tokens[:, :first] + self.dropout(attended))
        return self.norm2(tokens + self.dropout(self.feed_forward(tokens)))


class DecoderLayer(nn.Module):
    """Self-attention of the queries, then attention to the memory, then a feed-forward part.

    targets (B, Q, D), memory (B, T, D) -> (B, Q, D).
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.cross_attn = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(
        self, targets: Tensor, memory: Tensor, query_positions: Tensor, positions: Tensor
    ) -> Tensor:
        targets = self.attend_each_other(targets, query_positions)
        attended = self.cross_attn(targets + query_positions, memory + positions, memory)
        targets = self.norm2(targets + self.dropout(attended))
        return self.norm3(targets + self.dropout(self.feed_forward(targets)))

    def attend_each_other(self, targets: Tensor, query_positions: Tensor) -> Tensor:
        """The first part: what the queries (B, Q, D) ask the memory with."""
        placed = targets + query_positions
        attended = self.self_attn(placed, placed, targets)
        return self.norm1(targets + self.dropout(attended))


def sine_positions(count: int, width: int) -> Tensor:
    """Positions in a sequence -> (count, D), D = width: sine and cosine in turns.

    Entry (p, j) has the angle p / 10000^(2 floor(j / 2) / width) (Vaswani et al.,
    arXiv:1706.03762).
    """
    if _on_paper():
        return torch.empty(count, width)
    columns = torch.arange(width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] / _divisors(width)
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos()).float()


def sine_positions_2d(height: int, width: int, channels: int) -> Tensor:
    """Positions in a feature map -> (height * width, C), C = channels.

    The first half of the channels tells the row, the other the column. Both are counted from 1 and
    scaled so that the last is at 2 pi (Carion et al., arXiv:2005.12872).
    """
    if _on_paper():
        return torch.empty(height * width, channels)
    halves = []
    for size in (height, width):
        place = torch.arange(1, size + 1, dtype=torch.float32)
        place = place / (size + 1e-6) * (2 * math.pi)
        angles = place[:, None] / _divisors(channels // 2).float()
        columns = torch.arange(channels // 2)
        halves.append(torch.where(columns % 2 == 0, angles.sin(), angles.cos()))
    rows = halves[0][:, None].expand(height, width, -1)
    columns = halves[1][None].expand(height, width, -1)
    return torch.cat((rows, columns), dim=-1).flatten(0, 1)


def _on_paper() -> bool:
    """Whether a model of shapes alone is made: to compute there, PyTorch imports its compiler."""
    return torch.empty(0).is_meta


def _divisors(width: int) -> Tensor:
    columns = torch.arange(width, dtype=torch.float64)
    return TEMPERATURE ** (2 * torch.div(columns, 2, rounding_mode='floor') / width)
