# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn an ACT policy of LeRobot into one of ours, and one of ours into one of LeRobot.

Nothing is rounded on the way: there and back again gives the same bits. What LeRobot has no
place for (robot, rate) lies beside its files in our own `policy.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from motion_policy import __version__
from motion_policy.errors import UserError
from motion_policy.policies.act import ACTPolicy
from motion_policy.policies.act_names import LEROBOT, as_ours, as_theirs
from motion_policy.policies.base import Model, PolicySpec
from motion_policy.policies.checkpoint import SPEC_FILE, read_policy_spec, spec_to_yaml
from motion_policy.policies.conversion import (
    Bounds,
    Conversion,
    Named,
    both_reach,
    fill,
    held_against,
    made_up,
    reach,
    surely_reached,
)
from motion_policy.policies.kinds import make_model
from motion_policy.policies.lerobot_folder import (
    ACTION,
    CONFIG_FILE,
    IMAGE,
    STATE,
    Affine,
    LeRobotFolder,
    Statistics,
    read_lerobot_folder,
    write_lerobot_folder,
)
from motion_policy.policies.normalisation import Normalisation, Range, Spread
from motion_policy.robot import RobotSpec
from motion_policy.robot.load import first_error_line
from motion_policy.robot.placeholder import placeholder_robot

RATE = 50.0  # Hz, where nothing says it: that of ALOHA
POSITIONS = 'model.vae_encoder_pos_enc'  # a table that both sides make anew

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


@dataclass(frozen=True)
class LeRobotOptions:
    """What a folder of LeRobot does not hold.

    `cameras` are names for its cameras, in its order; () keeps its own. `robot` and `rate` [Hz]
    None: those of the policy that was turned into this folder, else a placeholder and what the
    training environment says.
    """

    cameras: tuple[str, ...] = ()
    robot: RobotSpec | None = None
    rate: float | None = None


def from_lerobot(path: str | Path, options: LeRobotOptions) -> Conversion:
    """Convert a folder with an ACT policy of LeRobot.

    Raises:
        UserError: no such folder, another kind of policy, or options that do not fit it.
    """
    folder = read_lerobot_folder(path)
    images, joints = _features(folder)
    cameras, notes = _cameras(folder, options, list(images))
    image_size = _image_size(folder, images)
    normalisation = Normalisation(
        qpos=_spread(folder.inputs, STATE, 'STATE', joints),
        action=_spread(folder.outputs, ACTION, 'ACTION', joints),
    )
    origin = _origin(folder, cameras, joints, notes)
    rate = _rate(folder, options, origin, notes)
    robot = options.robot or (origin.robot if origin else None)
    if robot is None:
        bounds = both_reach(*(reach(*known) for known in _known(folder, normalisation)))
        robot = placeholder_robot(bounds.T, dict.fromkeys(cameras, image_size), rate)
        notes.append(made_up(robot, image_size))
    else:
        bounds = both_reach(*(surely_reached(*known) for known in _known(folder, normalisation)))
        notes += held_against(robot, cameras, image_size, joints, bounds)
    content: dict[str, Any] = {
        'kind': 'act',
        'rate': rate,
        'cameras': cameras,
        'image_size': image_size,
        'target': origin.target if origin else 'action',
        'hyper': _hyper(folder, list(images)),
        'normalisation': normalisation,
        **_provenance(folder, origin, robot),
    }
    try:
        model = make_model(PolicySpec(**content, robot=robot))
    except ValidationError as error:
        where = folder.path / CONFIG_FILE
        raise UserError(first_error_line(error, content, where)) from None
    _put_weights(folder, model)
    return Conversion(model.eval(), notes)


def to_lerobot(policy: Model, path: str | Path) -> tuple[Path, list[str]]:
    """Write an ACT policy as a folder that LeRobot loads; returns it, with notes.

    Raises:
        UserError: a policy that LeRobot's ACT cannot be, or a folder with anything else in it.
    """
    if not isinstance(policy, ACTPolicy):
        raise UserError(f"{policy.source}: is a '{policy.kind}', LeRobot takes only act from here")
    _refuse_what_lerobot_has_not(policy)
    weights: dict[str, Tensor] = {}
    for key, weight in policy.network.state_dict().items():
        weights[LEROBOT.theirs(key)] = as_theirs(key, weight).cpu().contiguous()
    if policy.network.posterior is not None:
        weights[POSITIONS] = policy.network.posterior.positions.cpu().contiguous()
    folder = Path(path).expanduser().resolve()
    also = {SPEC_FILE: spec_to_yaml(policy.spec)}
    write_lerobot_folder(folder, _their_config(policy), weights, _their_statistics(policy), also)
    notes = []
    if policy.network.posterior is None:
        notes.append(f'{folder}: without the encoder of the CVAE (use_vae false), as the source')
    if policy.spec.target == 'qpos':
        notes.append(f'{folder}: its action is the joint position of the next step')
    return folder, notes


def _features(folder: LeRobotFolder) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes of the image features, in order, and the number of joints."""
    where, config = folder.path / CONFIG_FILE, folder.config
    for key, allowed in ONLY.items():
        value = config.get(key, allowed[0])
        if value not in allowed:
            raise UserError(
                f'{where}: {key} is {value!r}, expected {" or ".join(map(repr, allowed))}'
            )
    inputs = _shapes(folder, 'input')
    joints, actions = inputs.pop(STATE, ()), _shapes(folder, 'output').get(ACTION, ())
    if len(joints) != 1 or joints != actions:
        raise UserError(
            f'{where}: {STATE} has the shape {list(joints)}, {ACTION} {list(actions)}; expected '
            'one value for each joint in both'
        )
    for key in inputs:
        if key == 'observation.environment_state':
            raise UserError(f'{where}: has the input {key}, expected joints and cameras')
    images = {key: shape for key, shape in inputs.items() if key.startswith('observation.image')}
    if not images:
        raise UserError(f'{where}: has no camera, expected {IMAGE}NAME among its inputs')
    return images, joints[0]


def _shapes(folder: LeRobotFolder, side: str) -> dict[str, tuple[int, ...]]:
    """Shape of every feature: `input_features`, before 2025 `input_shapes`."""
    where = folder.path / CONFIG_FILE
    features = folder.config.get(f'{side}_features') or folder.config.get(f'{side}_shapes')
    if not isinstance(features, dict):
        raise UserError(f'{where}: {side}_features is missing')
    found = {}
    for key, feature in features.items():
        shape = feature.get('shape') if isinstance(feature, dict) else feature
        if not isinstance(shape, list) or not all(isinstance(size, int) for size in shape):
            raise UserError(f'{where}: {side}_features: {key} has the shape {shape!r}')
        found[str(key)] = tuple(shape)
    return found


def _cameras(
    folder: LeRobotFolder, options: LeRobotOptions, images: list[str]
) -> tuple[tuple[str, ...], list[str]]:
    cameras = tuple(key.removeprefix(IMAGE).removeprefix('observation.') for key in images)
    if options.cameras and len(options.cameras) != len(cameras):
        raise UserError(
            f'--cameras: found {len(options.cameras)} ({", ".join(options.cameras)}), '
            f'{folder.path} has {len(cameras)}: {", ".join(cameras)}'
        )
    renamed = [f'{theirs} as {ours}' for theirs, ours in folder.renamed.items() if ours in images]
    if renamed and not options.cameras:
        return cameras, [
            f'{folder.path}: LeRobot gave it {", ".join(renamed)}; --cameras takes other names'
        ]
    return options.cameras or cameras, []


def _image_size(folder: LeRobotFolder, images: dict[str, tuple[int, ...]]) -> tuple[int, int]:
    (key, shape), *others = images.items()
    if len(shape) != 3 or shape[0] != 3:
        raise UserError(
            f'{folder.path / CONFIG_FILE}: {key} has the shape {list(shape)}, expected '
            '[3, height, width]'
        )
    for other, its in others:
        if its != shape:
            raise UserError(
                f'{folder.path / CONFIG_FILE}: {key} has the shape {list(shape)}, {other} '
                f'{list(its)}; expected images of one size'
            )
    return shape[1], shape[2]


def _spread(statistics: Statistics, feature: str, kind: str, joints: int) -> Spread:
    values = statistics.of(feature, kind, joints)
    content = {'mean': values.offset, 'std': values.scale}
    try:
        return Spread(**content)
    except ValidationError as error:
        where = f'{statistics.where}: {feature}'
        raise UserError(first_error_line(error, content, where)) from None


def _known(
    folder: LeRobotFolder, normalisation: Normalisation
) -> Iterator[tuple[Range | Spread, Bounds | None]]:
    """Means, deviations and, where the folder says them, ends of joints and actions."""
    joints = len(normalisation.qpos.offset)
    sides = (
        (folder.inputs, STATE, normalisation.qpos),
        (folder.outputs, ACTION, normalisation.action),
    )
    for statistics, feature, values in sides:
        yield values, statistics.ends(feature, joints)


def _origin(
    folder: LeRobotFolder, cameras: tuple[str, ...], joints: int, notes: list[str]
) -> PolicySpec | None:
    """The spec of our policy that was turned into this folder, if it was."""
    if not (folder.path / SPEC_FILE).is_file():
        return None
    spec = read_policy_spec(folder.path)
    if spec.kind == 'act' and spec.cameras == cameras and len(spec.robot.joints.names) == joints:
        return spec
    notes.append(f'{folder.path / SPEC_FILE}: is of another policy, not used')
    return None


def _rate(
    folder: LeRobotFolder, options: LeRobotOptions, origin: PolicySpec | None, notes: list[str]
) -> float:
    known = options.rate or (origin.rate if origin else None) or folder.rate
    if known is not None:
        return known
    rate = options.robot.rate if options.robot else RATE
    notes.append(f'{folder.path}: assumed {rate:g} steps per second: it does not say; --rate HZ')
    return rate


def _hyper(folder: LeRobotFolder, images: list[str]) -> dict[str, Any]:
    hyper = {ours: folder.config.get(key, default) for ours, (key, default) in HYPER.items()}
    colours = [folder.inputs.of(key, 'VISUAL', 3) for key in images]
    if all(values == colours[0] for values in colours):
        colours = colours[:1]
    hyper['image_mean'] = [values.offset for values in colours]
    hyper['image_std'] = [values.scale for values in colours]
    return hyper


def _provenance(
    folder: LeRobotFolder, origin: PolicySpec | None, robot: RobotSpec
) -> dict[str, Any]:
    """Where it comes from: our own record where the policy was ours, else LeRobot's."""
    if origin is not None:
        ours = ('data', 'training', 'metrics', 'software')
        return {key: getattr(origin, key) for key in ours}
    kept = ('n_action_steps', *THEIRS)
    known = {key: folder.config[key] for key in kept if key in folder.config}
    return {
        'data': {
            'converted_from': {
                'project': 'lerobot',
                'model': 'ACT',
                'file': folder.path.name,
                'robot': robot.name,
            }
        },
        'training': {'lerobot': known} if known else {},
        'software': {'motion_policy': __version__, 'torch': str(torch.__version__)},
    }


def _put_weights(folder: LeRobotFolder, model: Model) -> None:
    named: Named = {}
    for key, weight in folder.weights.items():
        if key == POSITIONS:
            continue
        ours = LEROBOT.ours(key)
        if ours is None:
            raise UserError(f"{folder.path}: key '{key}' does not belong to an ACT policy")
        named[f'network.{ours}'] = (f"{folder.path}: key '{key}'", as_ours(ours, weight))
    prefix = 'network.'
    fill(
        model,
        named,
        'policy with this config.json',
        lambda key: f"{folder.path}: key '{LEROBOT.theirs(key.removeprefix(prefix))}'",
    )


def _refuse_what_lerobot_has_not(policy: ACTPolicy) -> None:
    config = policy.config
    found = {
        f"backbone '{config.backbone}'": not config.backbone.startswith('resnet'),
        'backbone_per_camera': config.backbone_per_camera and len(policy.cameras) > 1,
        'camera_embedding': config.camera_embedding,
        'latent_dim 0': not config.latent_dim,
        'effort': policy.spec.effort,
        'no camera': not policy.cameras,
    }
    names = [name for name, present in found.items() if present]
    if names:
        raise UserError(f'{policy.source}: has {", ".join(names)}, LeRobot has no such ACT')


def _their_config(policy: ACTPolicy) -> dict[str, Any]:
    joints = [len(policy.joint_names)]
    height, width = policy.spec.image_size
    hyper = policy.config.model_dump(mode='json') | {'posterior': policy.config.has_posterior}
    images = {
        f'{IMAGE}{camera}': {'type': 'VISUAL', 'shape': [3, height, width]}
        for camera in policy.cameras
    }
    kept = policy.spec.training.get('lerobot', {})
    return {
        'type': 'act',
        'n_obs_steps': 1,
        'input_features': {STATE: {'type': 'STATE', 'shape': joints}, **images},
        'output_features': {ACTION: {'type': 'ACTION', 'shape': joints}},
        'device': 'cpu',
        'use_amp': False,
        'normalization_mapping': dict.fromkeys(('VISUAL', 'STATE', 'ACTION'), 'MEAN_STD'),
        **{theirs: hyper[ours] for ours, (theirs, _) in HYPER.items()},
        'n_action_steps': kept.get('n_action_steps', policy.config.chunk),
        'pretrained_backbone_weights': None,  # all weights are here, nothing is to be fetched
        'replace_final_stride_with_dilation': False,
        'pre_norm': False,
        'feedforward_activation': 'relu',
        **{key: kept.get(key, default) for key, default in THEIRS.items()},
    }


def _their_statistics(policy: ACTPolicy) -> dict[str, Affine]:
    means, stds = policy.config.image_mean, policy.config.image_std
    found = {
        STATE: _affine(policy.spec.normalisation.qpos),
        ACTION: _affine(policy.spec.target_range),
    }
    for index, camera in enumerate(policy.cameras):
        of = index if len(means) > 1 else 0
        found[f'{IMAGE}{camera}'] = Affine(means[of], stds[of])
    return found


def _affine(values: Range | Spread) -> Affine:
    return Affine(values.offset, values.scale)
