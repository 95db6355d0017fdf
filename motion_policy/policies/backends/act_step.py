# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT inference for one observation on a CPU in PyTorch, with constants folded.

Frozen batch norm, the scale of the images, and everything that follows from weights and positions
alone are worked out once; layers do not move their weights again at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.policies.act.act import ACTNetwork, ACTPolicy
from motion_policy.policies.act.backbone import ResNetBackbone
from motion_policy.policies.act.transformer import Attention, DecoderLayer, EncoderLayer
from motion_policy.policies.backends.graph import step_inputs
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.cpu.packed_layers import PackedConvolution, PackedLinear
from motion_policy.policies.depth_bytes import STEPS, depth_numbers

LayerFunction = Callable[[Tensor], Tensor]


class PackedACT:
    """A back end: one step of `policy`, whose weights may not change from now on.

    Args:
        policy: on the CPU, in eval mode.
        precision: 'float32', or 'bf16' for weights and activations.
    """

    name = 'torch'

    @torch.inference_mode()
    def __init__(self, policy: ACTPolicy, precision: str) -> None:
        self.policy, self.precision = policy, precision
        dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
        network = policy.network
        self.camera_networks = [
            _CameraNetwork(network, at, policy.spec.sizes[at], dtype) for at in _cameras(policy)
        ]
        tokens, positions = _positions(network, self.camera_networks)
        self.start = tokens
        self.sizes = [camera_network.shape for camera_network in self.camera_networks]
        self.layers = [_EncoderStep(layer, positions, dtype) for layer in _encoder(network)]
        self.decode = _Decoder(network, positions, dtype)
        self.positions, self.dtype = positions, dtype

    def takes(self, observation: ObservationBatch, explain: bool) -> bool:
        """One observation at a time; points are shown by the policy itself."""
        return len(observation['qpos']) == 1 and not (explain and self.policy.sees_points)

    def act(
        self, observation: ObservationBatch, state: None, explain: bool
    ) -> tuple[Tensor, None, dict[str, Tensor]]:
        """As `Policy.act`: chunk (1, k, A) in robot units, None, and explained `attention/CAM`."""
        policy, network = self.policy, self.policy.network
        inputs = step_inputs(policy, observation, None)
        vector = policy.scaled(inputs[: len(policy.sensors)])
        seen = inputs[len(inputs) - len(self.camera_networks) :]
        tokens = [*self.start, network.state_proj(vector)[:, None].to(self.dtype)]
        tokens += [
            camera_network(image)
            for camera_network, image in zip(self.camera_networks, seen, strict=True)
        ]
        memory = torch.cat(tokens, dim=1)
        for layer in self.layers:
            memory = layer(memory)
        chunk = policy.normalise_target.inverse(self.decode(memory))
        extras = policy.attention(memory.float(), self.positions, self.sizes) if explain else {}
        return chunk, None, extras


class _CameraNetwork:
    """Pixels (1, H, W, 3) uint8, or depth (1, H, W, 2) -> tokens (1, h w, D) of one camera."""

    def __init__(
        self, network: ACTNetwork, camera: int, size: tuple[int, int], dtype: torch.dtype
    ) -> None:
        of = camera if len(network.image_mean) > 1 else 0
        backbone = network.backbone_for(camera)
        mean, std = (table[of].flatten() for table in (network.image_mean, network.image_std))
        # What is subtracted from each pixel; of full size, as a CPU subtracts rows fastest.
        self.mean = (255 * mean).expand(1, *size, 3).contiguous()
        self.pixels = torch.empty_like(self.mean)
        self.dtype = dtype
        image = torch.zeros(1, 3, *size, dtype=dtype).contiguous(memory_format=torch.channels_last)
        self.layers = _backbone_layers(backbone, image, 255 * std)
        features = self._features(image)
        self.shape = (features.shape[-2], features.shape[-1])
        projection = network.image_proj
        weight, bias = projection.weight.to(dtype), projection.bias.to(dtype)
        self.project = PackedLinear(weight.flatten(1), bias, self.shape[0] * self.shape[1])

    def __call__(self, image: Tensor) -> Tensor:
        if image.shape[-1] == 2:
            image = depth_numbers(image)[..., None] * (255 / STEPS)
        self.pixels.copy_(image).sub_(self.mean)
        features = self._features(self.pixels.permute(0, 3, 1, 2).to(self.dtype))
        return self.project(features.permute(0, 2, 3, 1).flatten(1, 2))

    def _features(self, image: Tensor) -> Tensor:
        for layer in self.layers:
            image = layer(image)
        return image


class _Block:
    """A residual block of a ResNet, its shortcut added in the last convolution."""

    def __init__(self, block: Any, shape: torch.Size, dtype: torch.dtype) -> None:
        self.shortcut: PackedConvolution | None = None
        if block.downsample is not None:
            self.shortcut = _folded(block.downsample[0], block.downsample[1], shape, dtype, False)
        self.steps: list[PackedConvolution] = []
        for number in (1, 2, 3):
            layer = getattr(block, f'conv{number}', None)
            if layer is not None:
                norm = getattr(block, f'bn{number}')
                self.steps.append(_folded(layer, norm, shape, dtype, True))
                shape = _shape_after(layer, shape)
        self.shape = shape

    def __call__(self, maps: Tensor) -> Tensor:
        around = maps if self.shortcut is None else self.shortcut(maps)
        for step in self.steps[:-1]:
            maps = step(maps)
        return self.steps[-1](maps, around)


class _EncoderStep:
    def __init__(self, layer: EncoderLayer, positions: Tensor, dtype: torch.dtype) -> None:
        attention, rows = layer.self_attn, positions.shape[1]
        self.heads = attention.heads
        table = _placed(attention, positions[0])
        self.into = PackedLinear(attention.in_proj_weight.to(dtype), table.to(dtype), rows)
        self.out = _linear(attention.out_proj, rows, dtype)
        self.rest = _FeedForward(layer, (layer.norm1, layer.norm2), rows, dtype)

    def __call__(self, tokens: Tensor) -> Tensor:
        q, k, v = self.into(tokens).chunk(3, dim=-1)
        return self.rest(self.out(_attend(q, k, v, self.heads), tokens))


class _FeedForward:
    """What follows attention in each layer: normalise, feed forward, add, normalise."""

    def __init__(
        self,
        layer: EncoderLayer | DecoderLayer,
        norms: tuple[nn.LayerNorm, nn.LayerNorm],
        rows: int,
        dtype: torch.dtype,
    ) -> None:
        self.norms = [_norm(norm, dtype) for norm in norms]
        self.widen = _linear(layer.feed_forward.linear1, rows, dtype, relu=True)
        self.narrow = _linear(layer.feed_forward.linear2, rows, dtype)

    def __call__(self, tokens: Tensor) -> Tensor:
        tokens = self.norms[0](tokens)
        return self.norms[1](self.narrow(self.widen(tokens), tokens))


class _Decoder:
    """Memory (1, T, D) -> normalised targets (1, k, A) float32."""

    def __init__(self, network: ACTNetwork, positions: Tensor, dtype: torch.dtype) -> None:
        first, *others = _decoder(network)
        rows, memory_rows = len(network.queries), positions.shape[1]
        attention = first.cross_attn
        width = network.queries.shape[1]
        # What the queries tell one another before they look at anything is always the same.
        nothing = torch.zeros_like(network.queries)[None]
        asked = first.attend_each_other(nothing, network.queries)
        table = _placed(attention, positions[0])[:, width:]
        weight = attention.in_proj_weight[width:]
        query_weight, query_bias = attention.in_proj_weight[:width], attention.in_proj_bias[:width]
        into_q = F.linear(asked + network.queries, query_weight, query_bias)
        self.heads, self.asked, self.q = attention.heads, asked.to(dtype), into_q.to(dtype)
        self.into = PackedLinear(weight.to(dtype), table.to(dtype), memory_rows)
        self.out = _linear(attention.out_proj, rows, dtype)
        self.rest = _FeedForward(first, (first.norm2, first.norm3), rows, dtype)
        self.others, self.network, self.positions = others, network, positions

    def __call__(self, memory: Tensor) -> Tensor:
        k, v = self.into(memory).chunk(2, dim=-1)
        targets = self.rest(self.out(_attend(self.q, k, v, self.heads), self.asked)).float()
        network = self.network
        for layer in self.others:
            targets = layer(targets, memory.float(), network.queries, self.positions)
        chunk: Tensor = network.action_head(network.decoder_norm(targets))
        return chunk


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """(1, Q, D), (1, T, D), (1, T, D) -> (1, Q, D)."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    if q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    # In half the width, two products are faster than PyTorch's attention on a CPU.
    scores = torch.matmul(q * (1 / math.sqrt(q.shape[-1])), k.transpose(-1, -2))
    return torch.matmul(scores.softmax(-1), v).transpose(1, 2).flatten(2)


def _placed(attention: Attention, positions: Tensor) -> Tensor:
    """What positions (T, D) and biases add to queries, keys and values: (T, 3 D)."""
    width = positions.shape[-1]
    table = attention.in_proj_bias.expand(len(positions), -1).clone()
    weight = attention.in_proj_weight[: 2 * width].double()
    table[:, : 2 * width] += (positions.double() @ weight.t()).float()
    return table


def _positions(
    network: ACTNetwork, camera_networks: Sequence[_CameraNetwork]
) -> tuple[list[Tensor], Tensor]:
    """The tokens that are always the same, and the positions (1, T, D) of all tokens."""
    tokens, places = [], [network.token_positions]
    if network.latent_proj is not None:
        latent = torch.zeros(1, network.config.latent_dim)
        dtype = camera_networks[0].dtype if camera_networks else torch.float32
        tokens.append(network.latent_proj(latent)[:, None].to(dtype))
    for camera, camera_network in enumerate(camera_networks):
        place = network.map_positions(*camera_network.shape)
        if network.camera_embedding is not None:
            place = place + network.camera_embedding[camera]
        places.append(place)
    return tokens, torch.cat(places)[None]


def _backbone_layers(backbone: nn.Module, image: Tensor, std: Tensor) -> list[LayerFunction]:
    """The layers of a backbone for pixels that are not divided by `std`, in channel order."""
    if not isinstance(backbone, ResNetBackbone):
        scale = (1 / std)[None, :, None, None]
        dtype = image.dtype
        return [lambda maps: backbone(maps.float() * scale).to(dtype)]
    body, shape, dtype = backbone.body, image.shape, image.dtype
    layers: list[LayerFunction] = [
        _folded(body['conv1'], body['bn1'], shape, dtype, True, 1 / std)
    ]
    layers.append(body['maxpool'])
    shape = body['maxpool'](layers[0](image)).shape
    for stage in ('layer1', 'layer2', 'layer3', 'layer4'):
        for block in body[stage]:
            layers.append(built := _Block(block, shape, dtype))
            shape = built.shape
    return layers


def _folded(
    layer: nn.Conv2d, norm: Any, shape: torch.Size, dtype: torch.dtype, relu: bool,
    scale: Tensor | None = None,
) -> PackedConvolution:  # fmt: skip
    """A convolution without bias, and the frozen batch norm behind it, as one."""
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = layer.weight.double() * factor[:, None, None, None]
    if scale is not None:
        weight = weight * scale[None, :, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * factor
    return PackedConvolution(weight.to(dtype), bias.to(dtype), layer, shape, relu)


def _shape_after(layer: nn.Conv2d, shape: torch.Size) -> torch.Size:
    sides = [
        (side + 2 * int(layer.padding[at]) - layer.kernel_size[at]) // layer.stride[at] + 1
        for at, side in enumerate(shape[2:])
    ]
    return torch.Size((shape[0], layer.out_channels, *sides))


def _linear(layer: nn.Linear, rows: int, dtype: torch.dtype, relu: bool = False) -> PackedLinear:
    return PackedLinear(layer.weight.to(dtype), layer.bias.to(dtype), rows, relu)


def _norm(norm: nn.LayerNorm, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    shape, weight, bias = norm.normalized_shape, norm.weight.to(dtype), norm.bias.to(dtype)
    return lambda values: F.layer_norm(values, shape, weight, bias, norm.eps)


def _cameras(policy: ACTPolicy) -> range:
    return range(len(policy.cameras))


def _encoder(network: ACTNetwork) -> list[EncoderLayer]:
    return [layer for layer in network.encoder if isinstance(layer, EncoderLayer)]


def _decoder(network: ACTNetwork) -> list[DecoderLayer]:
    return [layer for layer in network.decoder if isinstance(layer, DecoderLayer)]
