# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Initial weights of the ACT backbone: ImageNet, a file, or random.

What is asked for and cannot be had ends the run in one line; nothing begins at random instead.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.act.backbone import ResNetBackbone
from motion_policy.policies.convert.torch_files import float_weights, read_torch_file
from motion_policy.policies.weights_file import read_tensors, usable_weight
from motion_policy.training.config import ConfigError

KEY = 'policy.backbone_weights'
WEIGHTS = {name: f'ResNet{name[6:]}_Weights.IMAGENET1K_V1' for name in
           ('resnet18', 'resnet34', 'resnet50')}  # fmt: skip


def load_backbone_weights(policy: ACTPolicy, source: str | None) -> None:
    """Gives every backbone the weights of `source`: 'imagenet', 'none' or a file.

    None means 'imagenet' for a ResNet. Raises ConfigError.
    """
    backbones = [part for part in policy.network.backbones if isinstance(part, ResNetBackbone)]
    if source == 'none' or (source is None and not backbones):
        return
    if not backbones:
        raise ConfigError(
            f"{KEY}: found '{source}', but the backbone '{policy.config.backbone}' has only none"
        )
    whole = _imagenet(policy.config.backbone) if source in (None, 'imagenet') else _file(source)
    weights = {key: value for key, value in whole.items() if not key.startswith('fc.')}
    for backbone in backbones:
        wanted = backbone.body.state_dict()
        for key, value in wanted.items():
            if key not in weights or weights[key].shape != value.shape:
                found = tuple(weights[key].shape) if key in weights else 'nothing'
                raise ConfigError(
                    f"{KEY}: '{source}': key '{key}' is {found}, expected {tuple(value.shape)} "
                    f'of a {policy.config.backbone}'
                )
        backbone.body.load_state_dict({key: weights[key] for key in wanted})


def _imagenet(backbone: str) -> dict[str, Tensor]:
    from torchvision.models import get_weight  # slow to load

    weights = get_weight(WEIGHTS[backbone])
    try:
        found: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f'{KEY}: imagenet: {weights.url} cannot be had ({_short(error)}): fetch it elsewhere '
            f'and give its path, or begin at random with {KEY}=none'
        ) from None
    return found


def _file(source: str | None) -> dict[str, Tensor]:
    """A state dict with torchvision's keys, in a .safetensors or .pth file."""
    path = Path(str(source)).expanduser()
    try:
        if path.suffix != '.safetensors':
            return float_weights(path, read_torch_file(path, '.pth file of torchvision'))
        return {
            key: usable_weight(f"{path}: '{key}'", weight)
            for key, weight in read_tensors(path).items()
        }
    except UserError as error:
        raise ConfigError(f'{KEY}: {error}') from None


def _short(error: Exception) -> str:
    return ' '.join(str(error).split())[:100]
