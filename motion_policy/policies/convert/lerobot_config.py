# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reader of `config.json` of LeRobot's ACT: which of them our ACT can be, and their sizes.

Sizes are held against the weights before anything of that size is made.
"""

from __future__ import annotations

import re

from motion_policy.errors import UserError
from motion_policy.files import shown
from motion_policy.policies.convert.lerobot_folder import (
    ACTION,
    CONFIG_FILE,
    IMAGE,
    STATE,
    LeRobotFolder,
)
from motion_policy.policies.convert.lerobot_processors import MOST_PIXELS

# Of their configuration: what this ACT can do; their default where a file does not say it.
ONLY = {
    'type': ('act',),
    'n_obs_steps': (1,),
    'pre_norm': (False,),
    'feedforward_activation': ('relu',),
    'replace_final_stride_with_dilation': (False, 0),
    'vision_backbone': ('resnet18', 'resnet34', 'resnet50'),
    'use_peft': (False,),
}

HYPER = {
    'chunk': ('chunk_size', 100),
    'hidden_dim': ('dim_model', 512),
    'heads': ('n_heads', 8),
    'feedforward_dim': ('dim_feedforward', 3200),
    'encoder_layers': ('n_encoder_layers', 4),
    'decoder_layers': ('n_decoder_layers', 1),
    'dropout': ('dropout', 0.1),
    'latent_dim': ('latent_dim', 32),
    'posterior': ('use_vae', True),
    'posterior_layers': ('n_vae_encoder_layers', 4),
    'backbone': ('vision_backbone', 'resnet18'),
}

# What ACT here does not need, and LeRobot gets back as it was; its defaults for our own policies.
THEIRS = {
    'temporal_ensemble_coeff': None,
    'kl_weight': 10.0,
    'optimizer_lr': 1e-5,
    'optimizer_lr_backbone': 1e-5,
    'optimizer_weight_decay': 1e-4,
}

_NULL = type(None)
TYPES: dict[str, tuple[type, ...]] = {
    'n_heads': (int,),
    'dropout': (int, float),
    'use_vae': (bool,),
    'temporal_ensemble_coeff': (int, float, _NULL),
    'n_action_steps': (int,),
    'normalization_mapping': (dict,),
    'input_normalization_modes': (dict,),
    'output_normalization_modes': (dict,),
}

LONGEST_NAME = 200
IMAGES = 'observation.image'

# Where the weights say the sizes, too; no such size is made before.
SIZES = {
    'chunk_size': ('model.decoder_pos_embed.weight', 0),
    'dim_model': ('model.decoder_pos_embed.weight', 1),
    'dim_feedforward': ('model.encoder.layers.0.linear1.weight', 0),
    'latent_dim': ('model.encoder_latent_input_proj.weight', 1),
}

LAYERS = {
    'n_encoder_layers': re.compile(r'model\.encoder\.layers\.(\d+)\.'),
    'n_decoder_layers': re.compile(r'model\.decoder\.layers\.(\d+)\.'),
    'n_vae_encoder_layers': re.compile(r'model\.vae_encoder\.layers\.(\d+)\.'),
}

# Every key that a configuration of LeRobot's ACT has had.
KNOWN = frozenset(
    {
        *ONLY,
        *THEIRS,
        *(key for key, _ in HYPER.values()),
        *(f'{side}_{what}' for side in ('input', 'output') for what in ('features', 'shapes')),
        *(f'{side}_normalization_modes' for side in ('input', 'output')),
        'normalization_mapping',
        'n_action_steps',
        'pretrained_backbone_weights',
        'device',
        'use_amp',
        'push_to_hub',
        'repo_id',
        'private',
        'tags',
        'license',
        'pretrained_path',
        'pretrained_revision',
    }
)


def features(folder: LeRobotFolder) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes of the image features, in order, and the number of joints.

    Raises:
        UserError: another kind of policy, or sizes that are not those of the weights.
    """
    where, config = folder.path / CONFIG_FILE, folder.config
    for key, allowed in ONLY.items():
        value = config.get(key, allowed[0])
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise UserError(
                f'{where}: {key} is {value!r:.80}, expected {" or ".join(map(repr, allowed))}'
            )
    for key, kinds in TYPES.items():
        if key in config and type(config[key]) not in kinds:
            names = ' or '.join('null' if kind is _NULL else kind.__name__ for kind in kinds)
            raise UserError(f'{where}: {key} is {config[key]!r:.80}, expected {names}')
    inputs = _shapes(folder, 'input')
    joints, actions = inputs.pop(STATE, ()), _shapes(folder, 'output').get(ACTION, ())
    if len(joints) != 1 or joints != actions:
        raise UserError(
            f'{where}: {STATE} has the shape {list(joints)}, {ACTION} {list(actions)}; expected '
            'one value for each joint in both'
        )
    images = {key: shape for key, shape in inputs.items() if key.startswith(IMAGES)}
    if not images:
        raise UserError(f'{where}: has no camera, expected {IMAGE}NAME among its inputs')
    other = [key for key in inputs if key not in images]
    if other:
        raise UserError(f'{where}: has the input {other[0]}, expected joints and cameras')
    _check_sizes(folder, joints[0])
    return images, joints[0]


def image_sizes(
    folder: LeRobotFolder, images: dict[str, tuple[int, ...]]
) -> list[tuple[int, int]]:
    """Height and width in which its network sees its images, in order.

    Raises UserError: one is no colour image, or what is cropped is no image.
    """
    where, sizes = folder.path / CONFIG_FILE, []
    for key, shape in images.items():
        if len(shape) != 3 or shape[0] != 3:
            raise UserError(
                f'{where}: {key} has the shape {list(shape)}, expected [3, height, width]'
            )
        crop = folder.crops.get(key)
        left = (shape[1], shape[2]) if crop is None else (crop[3], crop[2])
        sizes.append(folder.resized or left)
    for key in folder.crops:
        if key not in images:
            raise UserError(f'{folder.path}: crops {shown(key)[:100]}, expected one of its images')
    return sizes


def played(folder: LeRobotFolder) -> list[str]:
    """How LeRobot played its chunks, which belongs to the node here, not to the policy."""
    config = folder.config
    coefficient, steps = config.get('temporal_ensemble_coeff'), config.get('n_action_steps')
    if coefficient is not None:
        return [
            f'{folder.path}: LeRobot ran it with temporal ensembling, coefficient {coefficient}: '
            f'set chunk.ensemble: {coefficient} of policy_node, --ensemble {coefficient} of '
            'evaluate'
        ]
    if steps is not None and steps < config.get('chunk_size', 100):
        return [
            f'{folder.path}: LeRobot played {steps} rows of each chunk: set chunk.execute: '
            f'{steps} of policy_node, --execute {steps} of evaluate'
        ]
    return []


def unknown_keys(folder: LeRobotFolder) -> list[str]:
    """Keys of the configuration that no version of LeRobot's ACT has."""
    keys = [key for key in folder.config if key not in KNOWN]
    if not keys:
        return []
    found = ', '.join(f'{key}: {folder.config[key]!r:.40}' for key in keys)
    where = folder.path / CONFIG_FILE
    return [f'{where}: not known and not carried over: {" ".join(found.split())}']


def _check_sizes(folder: LeRobotFolder, joints: int) -> None:
    """Hold sizes against the weights before anything of that size is made."""
    where = folder.path / CONFIG_FILE
    sizes = {key: folder.config.get(key, default) for key, default in HYPER.values()}
    said = [(key, sizes[key], weight, axis) for key, (weight, axis) in SIZES.items()]
    for key, value, weight, axis in [*said, ('action', joints, 'model.action_head.weight', 0)]:
        found = folder.weights.get(weight)
        if found is None or found.ndim <= axis:
            shape = 'is missing' if found is None else f'has shape {tuple(found.shape)}'
            raise UserError(f"{folder.path}: key '{weight}' {shape}")
        if type(value) is not int or value != found.shape[axis]:
            raise UserError(
                f"{where}: {key} is {value!r:.40}, but key '{weight}' has shape "
                f'{tuple(found.shape)}'
            )
    for key, prefix in LAYERS.items():
        value = sizes[key]
        numbers = {int(part[1]) for part in map(prefix.match, folder.weights) if part}
        if not numbers and not sizes['use_vae'] and key == 'n_vae_encoder_layers':
            continue
        if type(value) is not int or value != len(numbers):
            name = prefix.pattern.replace('\\', '').replace('(d+)', str(len(numbers)))
            raise UserError(
                f"{where}: {key} is {value!r:.40}, but {folder.path}: key '{name}...' is the "
                f'first of {len(numbers)} layers that is not there'
            )


def _shapes(folder: LeRobotFolder, side: str) -> dict[str, tuple[int, ...]]:
    """Shape of every feature: `input_features`, before 2025 `input_shapes`."""
    where = folder.path / CONFIG_FILE
    features = folder.config.get(f'{side}_features') or folder.config.get(f'{side}_shapes')
    if not isinstance(features, dict):
        raise UserError(f'{where}: {side}_features is missing')
    found = {}
    for key, feature in features.items():
        shape = feature.get('shape') if isinstance(feature, dict) else feature
        if not key.isprintable() or len(key) > LONGEST_NAME:
            raise UserError(f'{where}: {side}_features: {key[:80]!r}, expected a name')
        if not isinstance(shape, list) or not all(
            type(size) is int and 1 <= size <= MOST_PIXELS for size in shape
        ):
            raise UserError(
                f'{where}: {side}_features: {key} has the shape {shape!r:.80}, expected sizes'
            )
        kind = feature.get('type') if isinstance(feature, dict) else None
        expected = {STATE: 'STATE', ACTION: 'ACTION'}.get(key, 'VISUAL')
        if kind not in (None, expected) and (key in (STATE, ACTION) or key.startswith(IMAGES)):
            raise UserError(
                f'{where}: {side}_features: {key} is of type {kind!r:.40}, expected {expected}'
            )
        found[key] = tuple(shape)
    return found
