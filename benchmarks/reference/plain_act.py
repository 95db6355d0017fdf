# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT in plain PyTorch: the reference of the benchmarks.

The weights are those of a network of ours, so both give the same chunk.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from motion_policy.policies.act.act import ACTNetwork
from motion_policy.policies.act.backbone import ResNetBackbone
from motion_policy.policies.act.transformer import Attention, DecoderLayer, Dropout, EncoderLayer
from motion_policy.policies.cpu.products import Linear


class PlainAttention(nn.Module):
    """`nn.MultiheadAttention`, which computes its weights too, as it does unless told not to."""

    def __init__(self, ours: Attention) -> None:
        super().__init__()
        width = ours.out_proj.in_features
        self.inner = nn.MultiheadAttention(
            width, ours.heads, ours.dropout, batch_first=True, device=ours.in_proj_weight.device
        )
        self.inner.load_state_dict(ours.state_dict())

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None
    ) -> Tensor:
        mask = None if allowed is None else ~allowed
        attended: Tensor = self.inner(query, key, value, key_padding_mask=mask)[0]
        return attended


class PlainResNet(nn.Module):
    """torchvision's modules, one after the other."""

    def __init__(self, ours: ResNetBackbone) -> None:
        super().__init__()
        self.body = ours.body

    def forward(self, images: Tensor) -> Tensor:
        for part in self.body.values():
            images = part(images)
        return images


class PlainEncoderLayer(nn.Module):
    """Computes all tokens, also where only the first is read."""

    def __init__(self, ours: EncoderLayer) -> None:
        super().__init__()
        self.inner = ours

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        allowed: Tensor | None = None,
        first: int | None = None,
    ) -> Tensor:
        encoded: Tensor = self.inner(tokens, positions, allowed)
        return encoded


class PlainACT(nn.Module):
    """A copy of `network`: batch norm as a module, attention with weights, images (B, C, H, W)."""

    def __init__(self, network: ACTNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
        for index, backbone in enumerate(self.network.backbones):
            if isinstance(backbone, ResNetBackbone):
                self.network.backbones[index] = PlainResNet(backbone)
        posterior = self.network.posterior
        if posterior is not None:
            posterior.layers = nn.ModuleList(PlainEncoderLayer(part) for part in posterior.layers)
        for module in list(self.network.modules()):
            for name, part in module.named_children():
                if isinstance(part, Dropout):
                    setattr(module, name, nn.Dropout(part.rate))
                elif isinstance(part, Linear):
                    setattr(module, name, _plain_linear(part))
        for layer in self.network.modules():
            if isinstance(layer, EncoderLayer | DecoderLayer):
                layer.self_attn = PlainAttention(layer.self_attn)  # type: ignore[assignment]
            if isinstance(layer, DecoderLayer):
                layer.cross_attn = PlainAttention(layer.cross_attn)  # type: ignore[assignment]

    def forward(self, images: Sequence[Tensor], vector: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] per camera, vector (B, V) -> targets (B, k, A)."""
        targets: Tensor = self.network(images, vector).targets
        return targets


def _plain_linear(ours: Linear) -> nn.Linear:
    plain = nn.utils.skip_init(
        nn.Linear, ours.in_features, ours.out_features, device=ours.weight.device
    )
    plain.load_state_dict(ours.state_dict())
    return plain
