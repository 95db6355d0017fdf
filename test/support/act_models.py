# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT as equations on a state dict with the keys of tonyzhaozh/act, random from a seed.

Written from the published architecture with `torch.nn.functional` and torchvision's ResNet; images
are normalised, (B, 3, H, W), joints and actions too. LeRobot's names are told by a table.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import resnet18
from torchvision.ops import FrozenBatchNorm2d

Weights = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@dataclass(frozen=True)
class Sizes:
    """Small by default; `PUBLISHED` are those of the paper."""

    joints: int = 3
    actions: int = 3
    hidden: int = 16
    inner: int = 24
    layers: int = 2
    decoder_layers: int = 7
    chunk: int = 5
    latent: int = 32
    backbones: int = 1
    heads: int = 2


SMALL = Sizes()
PUBLISHED = Sizes(14, 14, 512, 3200, 4, 7, 100, 32, 1, 8)


def shapes(sizes: Sizes) -> Shapes:
    """Keys and shapes of `policy_best.ckpt`."""
    wide, found = sizes.hidden, {}
    for layer in range(sizes.layers):
        found |= _layer(f'transformer.encoder.layers.{layer}', sizes, cross=False)
        found |= _layer(f'encoder.layers.{layer}', sizes, cross=False)
    for layer in range(sizes.decoder_layers):
        found |= _layer(f'transformer.decoder.layers.{layer}', sizes, cross=True)
    found |= _pair('transformer.decoder.norm', (wide,))
    found |= _pair('action_head', (sizes.actions, wide)) | _pair('is_pad_head', (1, wide))
    found |= _pair('input_proj', (wide, 512, 1, 1))
    found |= _pair('input_proj_robot_state', (wide, sizes.joints))
    found |= _pair('encoder_joint_proj', (wide, sizes.joints))
    found |= _pair('encoder_action_proj', (wide, sizes.actions))
    found |= _pair('latent_proj', (2 * sizes.latent, wide))
    found |= _pair('latent_out_proj', (wide, sizes.latent))
    found |= {
        'pos_table': (1, sizes.chunk + 2, wide),
        'query_embed.weight': (sizes.chunk, wide),
        'cls_embed.weight': (1, wide),
        'additional_pos_embed.weight': (2, wide),
    }
    for index in range(sizes.backbones):
        for key, value in _backbone().state_dict().items():
            if not key.startswith('fc.'):
                found[f'backbones.{index}.0.body.{key}'] = tuple(value.shape)
    return {f'model.{key}': shape for key, shape in found.items()}


def weights(sizes: Sizes = SMALL, seed: int = 1) -> Weights:
    """A state dict of the usual magnitudes."""
    return dict(_weights(sizes, seed))


@functools.cache
def _weights(sizes: Sizes, seed: int) -> Weights:
    random = torch.Generator().manual_seed(seed)
    found = {}
    for key, shape in shapes(sizes).items():
        value = 2 * torch.rand(shape, generator=random) - 1
        if key.endswith('running_var') or (len(shape) == 1 and key.endswith('weight')):
            found[key] = 1 + 0.3 * value  # of a normalisation
        elif key.endswith(('bias', 'running_mean')):
            found[key] = 0.1 * value
        elif 'embed' in key:
            found[key] = value
        else:
            found[key] = value * math.sqrt(3 / max(1, math.prod(shape[1:])))
    table = torch.from_numpy(_sine(np.arange(sizes.chunk + 2), sizes.hidden)).float()
    found['model.pos_table'] = table[None]
    return found


def chunk(own: Weights, sizes: Sizes, joints: Tensor, images: Sequence[Tensor]) -> Tensor:
    """The answer of the original at run time, (B, chunk, actions): cameras side by side."""
    w = {key.removeprefix('model.'): value for key, value in own.items()}
    batch, maps = len(joints), []
    for index, image in enumerate(images):
        backbone = index if sizes.backbones > 1 else 0
        features = _extract_features(w, backbone, (image - MEAN) / STD)
        maps.append(F.conv2d(features, w['input_proj.weight'], w['input_proj.bias']))
    places = _places(maps[0].shape[2], maps[0].shape[3], sizes.hidden)
    source = torch.cat(maps, dim=3).flatten(2).permute(2, 0, 1)
    where = torch.cat([places] * len(maps), dim=2).flatten(1).T[:, None]
    latent = _linear(w, 'latent_out_proj', torch.zeros(batch, sizes.latent))
    proprio = _linear(w, 'input_proj_robot_state', joints)
    source = torch.cat([torch.stack([latent, proprio]), source])
    where = torch.cat([w['additional_pos_embed.weight'][:, None], where])
    for layer in range(sizes.layers):
        source = _encode(w, f'transformer.encoder.layers.{layer}', sizes, source, where)
    queries = w['query_embed.weight'][:, None].expand(-1, batch, -1)
    answer = _decode(w, 'transformer.decoder.layers.0', sizes, source, where, queries)
    answer = _norm(w, 'transformer.decoder.norm', answer)
    return _linear(w, 'action_head', answer).transpose(0, 1)


def distribution(
    own: Weights, sizes: Sizes, joints: Tensor, actions: Tensor, padded: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and log variance that the encoder of the CVAE gives, (B, latent) each."""
    w = {key.removeprefix('model.'): value for key, value in own.items()}
    batch = len(joints)
    tokens = torch.cat(
        [
            w['cls_embed.weight'][None].expand(-1, batch, -1),
            _linear(w, 'encoder_joint_proj', joints)[None],
            _linear(w, 'encoder_action_proj', actions).transpose(0, 1),
        ]
    )
    hidden = torch.cat([torch.zeros(batch, 2, dtype=torch.bool), padded], dim=1)
    where = w['pos_table'].permute(1, 0, 2)
    for layer in range(sizes.layers):
        tokens = _encode(w, f'encoder.layers.{layer}', sizes, tokens, where, hidden)
    both = _linear(w, 'latent_proj', tokens[0])
    return both[:, : sizes.latent], both[:, sizes.latent :]


def statistics(joints: int = SMALL.joints, actions: int = SMALL.joints) -> dict[str, Any]:
    """What `dataset_stats.pkl` holds."""
    found: dict[str, Any] = {}
    for number, (name, size) in enumerate((('qpos', joints), ('action', actions))):
        found[f'{name}_mean'] = np.linspace(-0.3, 0.4, size, dtype=np.float32) + np.float32(number)
        found[f'{name}_std'] = np.linspace(0.1, 0.6, size, dtype=np.float32)
    return {**found, 'example_qpos': np.zeros((4, joints))}


# What LeRobot calls the parts, longer names before shorter ones that they begin with.
LEROBOT_NAMES = (
    ('model.transformer.encoder.', 'model.encoder.'),
    ('model.transformer.decoder.', 'model.decoder.'),
    ('model.backbones.0.0.body.', 'model.backbone.'),
    ('model.query_embed.', 'model.decoder_pos_embed.'),
    ('model.input_proj_robot_state.', 'model.encoder_robot_state_input_proj.'),
    ('model.input_proj.', 'model.encoder_img_feat_input_proj.'),
    ('model.encoder_action_proj.', 'model.vae_encoder_action_input_proj.'),
    ('model.encoder_joint_proj.', 'model.vae_encoder_robot_state_input_proj.'),
    ('model.cls_embed.', 'model.vae_encoder_cls_embed.'),
    ('model.latent_proj.', 'model.vae_encoder_latent_output_proj.'),
    ('model.latent_out_proj.', 'model.encoder_latent_input_proj.'),
    ('model.additional_pos_embed.', 'model.encoder_1d_feature_pos_embed.'),
    ('model.pos_table', 'model.vae_encoder_pos_enc'),
    ('model.encoder.', 'model.vae_encoder.'),
    ('model.action_head.', 'model.action_head.'),
)


def lerobot_weights(own: Weights) -> Weights:
    """The same weights as `model.safetensors` of LeRobot names them."""
    found = {}
    for key, value in own.items():
        unused = key.startswith(('model.is_pad_head.', 'model.transformer.decoder.layers.'))
        if not unused or key.startswith('model.transformer.decoder.layers.0.'):
            theirs, ours = next(pair for pair in LEROBOT_NAMES if key.startswith(pair[0]))
            found[ours + key.removeprefix(theirs)] = value
    return found


def _pair(key: str, shape: tuple[int, ...]) -> Shapes:
    return {f'{key}.weight': shape, f'{key}.bias': shape[:1]}


def _layer(key: str, sizes: Sizes, cross: bool) -> Shapes:
    wide, found = sizes.hidden, {}
    for name in ('self_attn', 'multihead_attn')[: 1 + cross]:
        found[f'{key}.{name}.in_proj_weight'] = (3 * wide, wide)
        found[f'{key}.{name}.in_proj_bias'] = (3 * wide,)
        found |= _pair(f'{key}.{name}.out_proj', (wide, wide))
    found |= _pair(f'{key}.linear1', (sizes.inner, wide))
    found |= _pair(f'{key}.linear2', (wide, sizes.inner))
    for number in range(1, 3 + cross):
        found |= _pair(f'{key}.norm{number}', (wide,))
    return found


def _backbone() -> torch.nn.Module:
    with torch.device('meta'):
        return resnet18(norm_layer=FrozenBatchNorm2d)


def _extract_features(w: Weights, index: int, image: Tensor) -> Tensor:
    backbone = _backbone()
    prefix = f'backbones.{index}.0.body.'
    own = {k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)}
    fc = backbone.fc.state_dict(prefix='fc.')  # is not used
    backbone.load_state_dict({**own, **fc}, assign=True)
    for name, part in backbone.eval().named_children():
        if name not in ('avgpool', 'fc'):
            image = part(image)
    return image


def _linear(w: Weights, key: str, value: Tensor) -> Tensor:
    return F.linear(value, w[f'{key}.weight'], w[f'{key}.bias'])


def _norm(w: Weights, key: str, value: Tensor) -> Tensor:
    return F.layer_norm(value, value.shape[-1:], w[f'{key}.weight'], w[f'{key}.bias'])


def _attend(
    w: Weights,
    key: str,
    sizes: Sizes,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    hidden: Tensor | None = None,
) -> Tensor:
    out = F.multi_head_attention_forward(
        query, keys, values, sizes.hidden, sizes.heads,
        w[f'{key}.in_proj_weight'], w[f'{key}.in_proj_bias'], None, None, False, 0.0,
        w[f'{key}.out_proj.weight'], w[f'{key}.out_proj.bias'],
        training=False, key_padding_mask=hidden,
    )  # fmt: skip
    return out[0]


def _feed(w: Weights, key: str, value: Tensor) -> Tensor:
    return _linear(w, f'{key}.linear2', F.relu(_linear(w, f'{key}.linear1', value)))


def _encode(
    w: Weights, key: str, sizes: Sizes, x: Tensor, where: Tensor, hidden: Tensor | None = None
) -> Tensor:
    x = _norm(
        w,
        f'{key}.norm1',
        x + _attend(w, f'{key}.self_attn', sizes, x + where, x + where, x, hidden),
    )
    return _norm(w, f'{key}.norm2', x + _feed(w, key, x))


def _decode(
    w: Weights, key: str, sizes: Sizes, memory: Tensor, where: Tensor, queries: Tensor
) -> Tensor:
    t = torch.zeros_like(queries)
    t = _norm(
        w, f'{key}.norm1', t + _attend(w, f'{key}.self_attn', sizes, t + queries, t + queries, t)
    )
    seen = _attend(w, f'{key}.multihead_attn', sizes, t + queries, memory + where, memory)
    t = _norm(w, f'{key}.norm2', t + seen)
    return _norm(w, f'{key}.norm3', t + _feed(w, key, t))


def _sine(places: np.ndarray, width: int) -> np.ndarray:
    table = np.zeros((len(places), width))
    for column in range(width):
        angle = places / 10000 ** (2 * (column // 2) / width)
        table[:, column] = np.cos(angle) if column % 2 else np.sin(angle)
    return table


def _places(height: int, width: int, hidden: int) -> Tensor:
    """Sine positions of a map, (hidden, height, width): the row, then the column."""
    halves = []
    for axis, size in enumerate((height, width)):
        places = (np.arange(size) + 1) / (size + 1e-6) * 2 * math.pi
        table = _sine(places, hidden // 2).T[:, :, None]
        table = table if axis == 0 else table.transpose(0, 2, 1)
        halves.append(np.broadcast_to(table, (hidden // 2, height, width)))
    return torch.from_numpy(np.concatenate(halves)).float()
