# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Names of ACT weights here, in tonyzhaozh/act and in LeRobot.

A name is told by its beginning; every table can be read in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

Pairs = Sequence[tuple[str, str]]  # (theirs, ours), both as the beginnings of keys

SUMMARY = 'posterior.summary'

# Inside of a transformer layer; both projects have the names of DETR.
_LAYER = (
    ('multihead_attn.', 'cross_attn.'),
    ('linear1.', 'feed_forward.linear1.'),
    ('linear2.', 'feed_forward.linear2.'),
)
_IN_LAYER = re.compile(r'^((?:posterior\.layers|encoder|decoder)\.\d+\.)(.*)$')


@dataclass(frozen=True)
class WeightNames:
    """The names of one project: `pairs` of key beginnings, below `prefix`."""

    prefix: str
    pairs: Pairs

    def ours(self, key: str) -> str | None:
        """What a key of theirs is called here, below `network.`; None if it is not known."""
        if not key.startswith(self.prefix):
            return None
        found = _renamed(key.removeprefix(self.prefix), self.pairs)
        return None if found is None else _in_layer(found, _LAYER)

    def theirs(self, key: str) -> str:
        """What a key of ours, below `network.`, is called there."""
        plain = _in_layer(key, [(ours, theirs) for theirs, ours in _LAYER])
        found = _renamed(plain, [(ours, theirs) for theirs, ours in self.pairs])
        return self.prefix + (plain if found is None else found)


def act_names(backbones: int) -> WeightNames:
    """The names of tonyzhaozh/act, and of act-plus-plus with its backbone for each camera."""
    backbone_pairs = [(f'backbones.{i}.0.body.', f'backbones.{i}.body.') for i in range(backbones)]
    return WeightNames(
        'model.',
        (
            *backbone_pairs,
            ('transformer.encoder.layers.', 'encoder.'),
            ('transformer.decoder.layers.', 'decoder.'),
            ('transformer.decoder.norm.', 'decoder_norm.'),
            ('encoder.layers.', 'posterior.layers.'),
            ('encoder_action_proj.', 'posterior.action_proj.'),
            ('encoder_joint_proj.', 'posterior.state_proj.'),
            ('cls_embed.weight', SUMMARY),
            ('latent_proj.', 'posterior.to_distribution.'),
            ('latent_out_proj.', 'latent_proj.'),
            ('additional_pos_embed.weight', 'token_positions'),
            ('query_embed.weight', 'queries'),
            ('input_proj_robot_state.', 'state_proj.'),
            ('input_proj.', 'image_proj.'),
            ('action_head.', 'action_head.'),
        ),
    )


LEROBOT = WeightNames(
    'model.',
    (
        ('backbone.', 'backbones.0.body.'),
        ('encoder.layers.', 'encoder.'),
        ('decoder.layers.', 'decoder.'),
        ('decoder.norm.', 'decoder_norm.'),
        ('vae_encoder.layers.', 'posterior.layers.'),
        ('vae_encoder_action_input_proj.', 'posterior.action_proj.'),
        ('vae_encoder_robot_state_input_proj.', 'posterior.state_proj.'),
        ('vae_encoder_cls_embed.weight', SUMMARY),
        ('vae_encoder_latent_output_proj.', 'posterior.to_distribution.'),
        ('encoder_latent_input_proj.', 'latent_proj.'),
        ('encoder_1d_feature_pos_embed.weight', 'token_positions'),
        ('decoder_pos_embed.weight', 'queries'),
        ('encoder_robot_state_input_proj.', 'state_proj.'),
        ('encoder_img_feat_input_proj.', 'image_proj.'),
        ('action_head.', 'action_head.'),
    ),
)


def as_ours(key: str, weight: Tensor) -> Tensor:
    """A weight in the shape that it has here: the summary token is (1, 1, D), theirs (1, D)."""
    return weight[None] if key == SUMMARY else weight


def as_theirs(key: str, weight: Tensor) -> Tensor:
    """A weight of ours in the shape of the other projects: the summary token is (1, D) there."""
    return weight[0] if key == SUMMARY else weight


def _renamed(key: str, pairs: Pairs) -> str | None:
    pair = next((pair for pair in pairs if key.startswith(pair[0])), None)
    return None if pair is None else pair[1] + key.removeprefix(pair[0])


def _in_layer(key: str, pairs: Pairs) -> str:
    parts = _IN_LAYER.match(key)
    if parts is None:
        return key
    return parts[1] + (_renamed(parts[2], pairs) or parts[2])
