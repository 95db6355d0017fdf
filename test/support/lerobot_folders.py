# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Folders as LeRobot 0.4 writes them and as it did before, with weights from a seed."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import act_models as act
import torch
from policy_examples import small_robot, spec
from safetensors.torch import save_file
from torch import Tensor

from motion_policy.policies import make_policy

IMAGE = (64, 96)
CAMERAS = ('cam_high', 'top')
MEAN_STD = dict.fromkeys(('VISUAL', 'STATE', 'ACTION'), 'MEAN_STD')


def config(sizes: act.Sizes = act.SMALL, **changes: Any) -> dict[str, Any]:
    """`config.json`, as far as it matters."""
    images = {
        f'observation.images.{camera}': {'type': 'VISUAL', 'shape': [3, *IMAGE]}
        for camera in CAMERAS
    }
    content = {
        'type': 'act',
        'n_obs_steps': 1,
        'input_features': {
            'observation.state': {'type': 'STATE', 'shape': [sizes.joints]},
            **images,
        },
        'output_features': {'action': {'type': 'ACTION', 'shape': [sizes.joints]}},
        'device': 'cuda',
        'use_amp': False,
        'push_to_hub': True,
        'chunk_size': sizes.chunk,
        'n_action_steps': 4,
        'normalization_mapping': MEAN_STD,
        'vision_backbone': 'resnet18',
        'pretrained_backbone_weights': 'ResNet18_Weights.IMAGENET1K_V1',
        'replace_final_stride_with_dilation': 0,
        'pre_norm': False,
        'dim_model': sizes.hidden,
        'n_heads': sizes.heads,
        'dim_feedforward': sizes.inner,
        'feedforward_activation': 'relu',
        'n_encoder_layers': sizes.layers,
        'n_decoder_layers': 1,
        'use_vae': True,
        'latent_dim': sizes.latent,
        'n_vae_encoder_layers': sizes.layers,
        'temporal_ensemble_coeff': None,
        'dropout': 0.2,
        'kl_weight': 20.0,
        'optimizer_lr': 2e-5,
        'optimizer_weight_decay': 1e-4,
        'optimizer_lr_backbone': 3e-5,
    }
    return {key: value for key, value in {**content, **changes}.items() if value != 'absent'}


def statistics(sizes: act.Sizes = act.SMALL, seed: int = 2) -> dict[str, Tensor]:
    """Means, deviations and ends of everything, by feature."""
    random = torch.Generator().manual_seed(seed)
    found = {}
    for feature in ('observation.state', 'action', *(f'observation.images.{c}' for c in CAMERAS)):
        shape = (3, 1, 1) if 'images' in feature else (sizes.joints,)
        found[f'{feature}.mean'] = torch.rand(shape, generator=random) - 0.2
        found[f'{feature}.std'] = 0.1 + 0.5 * torch.rand(shape, generator=random)
        found[f'{feature}.min'] = -1 - torch.rand(shape, generator=random)
        found[f'{feature}.max'] = 1 + torch.rand(shape, generator=random)
    return found


def processors(
    content: dict[str, Any], renamed: dict[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """The texts of pre- and postprocessor."""
    found = {}
    for name, step, place in (
        ('policy_preprocessor', 'normalizer_processor', 3),
        ('policy_postprocessor', 'unnormalizer_processor', 0),
    ):
        scaling = {
            'registry_name': step,
            'config': {'eps': 1e-8, 'norm_map': content.get('normalization_mapping', MEAN_STD)},
            'state_file': f'{name}_step_{place}_{step}.safetensors',
        }
        device = {'registry_name': 'device_processor', 'config': {'device': 'cuda'}}
        steps = [scaling, device]
        if place:
            rename = {
                'registry_name': 'rename_observations_processor',
                'config': {'rename_map': renamed or {}},
            }
            steps = [rename, {'registry_name': 'to_batch_processor', 'config': {}}, *steps[::-1]]
        found[name] = {'name': name, 'steps': steps}
    return found


def folder(
    path: Path,
    weights: act.Weights | None = None,
    content: dict[str, Any] | None = None,
    numbers: dict[str, Tensor] | None = None,
    renamed: dict[str, str] | None = None,
) -> Path:
    """Write a folder of LeRobot 0.4."""
    path.mkdir(parents=True)
    content = config() if content is None else content
    numbers = statistics() if numbers is None else numbers
    (path / 'config.json').write_text(json.dumps(content))
    if weights is None:
        (path / 'model.safetensors').symlink_to(_usual_weights())
    else:
        own = {key: value.contiguous() for key, value in weights.items()}
        save_file(own, path / 'model.safetensors')
    for name, text in processors(content, renamed).items():
        (path / f'{name}.json').write_text(json.dumps(text))
        state = next(step['state_file'] for step in text['steps'] if 'state_file' in step)
        save_file({key: value.clone() for key, value in numbers.items()}, path / state)
    return path


@functools.cache
def _usual_weights() -> Path:
    """One file of 45 MB for all folders, as the caches of LeRobot's hub hold it."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    own = act.lerobot_weights(act.weights())
    path = folder / 'model.safetensors'
    save_file({key: value.contiguous() for key, value in own.items()}, path)
    return path


def old_folder(path: Path, content: dict[str, Any]) -> Path:
    """Write a folder of LeRobot before 0.4, with the statistics among the weights."""
    path.mkdir(parents=True)
    (path / 'config.json').write_text(json.dumps(content))
    own = dict(act.lerobot_weights(act.weights()))
    for key, value in statistics().items():
        feature, _, name = key.rpartition('.')
        side = ['unnormalize_outputs', 'normalize_targets'] if feature == 'action' else []
        for place in side or ['normalize_inputs']:
            own[f'{place}.buffer_{feature.replace(".", "_")}.{name}'] = value.clone()
    save_file({key: value.contiguous() for key, value in own.items()}, path / 'model.safetensors')
    return path


def observation(
    cameras: tuple[str, ...], joints: int = act.SMALL.joints, seed: int = 3
) -> dict[str, Any]:
    random = torch.Generator().manual_seed(seed)
    shape = (2, *IMAGE, 3)
    return {
        'qpos': torch.randn(2, joints, generator=random),
        'images': {
            camera: torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
            for camera in cameras
        },
    }


def ours_policy(**changes: Any) -> Any:
    hyper = {
        'chunk': 6, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24, 'encoder_layers': 2,
        'posterior_layers': 3, 'decoder_layers': 2, 'latent_dim': 4,
    }  # fmt: skip
    mean = {'mean': [0.1, -0.2, 0.3, 0.0, 0.01], 'std': [0.7, 0.3, 0.123456789, 0.2, 2e-4]}
    content: dict[str, Any] = {
        'kind': 'act',
        'cameras': ('top',),
        'image_size': IMAGE,
        'normalisation': {'qpos': mean, 'action': {**mean, 'mean': [0.0] * 5}},
        'robot': small_robot(*IMAGE),
        'hyper': {**hyper, **changes.pop('hyper', {})},
        'metrics': {'l1': 0.05},
    }
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return make_policy(spec(**{**content, **changes})).eval()
