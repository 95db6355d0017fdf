# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Converter of policies trained by tonyzhaozh/act or act-plus-plus; the numbers stay the same.

Sizes follow from the shapes; what the file does not hold (heads, cameras, image size) is given.
What the original computes and never uses is left out: it does not change the answer by a bit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from motion_policy import __version__
from motion_policy.errors import UserError
from motion_policy.files import shown
from motion_policy.policies.base import PolicySpec, said_fits
from motion_policy.policies.convert.act_names import WeightNames, act_names, as_ours
from motion_policy.policies.convert.act_stats import ActStats
from motion_policy.policies.convert.conversion import (
    Conversion,
    Named,
    both_reach,
    fill,
    held_against,
    made_up,
    reach,
    surely_reached,
    views_of,
)
from motion_policy.policies.convert.torch_files import float_weights, read_torch_file
from motion_policy.policies.kinds import model_on_paper
from motion_policy.policies.normalisation import MeanStd, Normalisation
from motion_policy.robot import RobotSpec
from motion_policy.robot.load import first_error_line
from motion_policy.robot.placeholder import PLACEHOLDER, placeholder_robot

Weights = dict[str, Tensor]

PREFIX = 'model.'
NETWORK = 'network.'
RATE = 50.0  # of ALOHA, Hz
BASE_ACTIONS = 2  # linear and angular velocity, which act-plus-plus appends to the actions
RESNETS = {(2, False): 'resnet18', (6, False): 'resnet34', (6, True): 'resnet50'}

# Computed and never used, or made anew: no part of our networks.
UNUSED = re.compile(r'(^model\.(is_pad_head\.|pos_table$))|(\.num_batches_tracked$)')


@dataclass(frozen=True)
class ActOptions:
    """What the checkpoint of ACT does not hold.

    `cameras` are the names in the order of training, `image_size` is (height, width) in px,
    `rate` [Hz] that of the data. `decoder_layers` counts the layers that the answer comes from:
    the first alone, unless somebody repaired that. `robot` None: a placeholder.
    """

    stats: ActStats
    cameras: tuple[str, ...]
    heads: int = 8
    image_size: tuple[int, int] = (480, 640)
    rate: float = RATE
    decoder_layers: int = 1
    robot: RobotSpec | None = None


@dataclass
class _Source:
    """The file and its weights, of which those that have no place here are taken away."""

    path: Path
    weights: Weights

    def size(self, key: str, axis: int = 0) -> int:
        weight = self.weights.get(PREFIX + key)
        if weight is None or weight.ndim <= axis:
            found = 'no such key' if weight is None else f'shape {tuple(weight.shape)}'
            raise UserError(f"{self.path}: '{PREFIX}{key}' of an ACT policy: found {found}")
        return int(weight.shape[axis])

    def count(self, pattern: str) -> int:
        """How many numbers there are, from 0 on, in keys that begin like `pattern`."""
        starts = (re.match(PREFIX + pattern, key) for key in self.weights)
        found = {start[1]: start[0] for start in starts if start}
        for number, start in found.items():
            if len(number) > len(str(len(found))) or int(number) >= len(found):
                raise UserError(
                    f"{self.path}: has the key '{shown(start)}...', but {len(found)} of that kind "
                    'in all, expected them from 0 on'
                )
        return len(found)

    def drop(self, pattern: str) -> bool:
        """Forget the weights whose keys begin so; whether there were any."""
        unwanted = [key for key in self.weights if re.match(PREFIX + pattern, key)]
        for key in unwanted:
            del self.weights[key]
        return bool(unwanted)


def convert_act(path: str | Path, options: ActOptions) -> Conversion:
    """Convert `policy_best.ckpt`, or another of the state dicts that the trainers save.

    Raises:
        UserError: a file that is no ACT policy or would run code, or options that do not fit it.
    """
    source = _read(Path(path))
    notes = _left_out(source, options)
    joints = source.size('input_proj_robot_state.weight', 1)
    notes += _without_base(source, joints)
    normalisation = _normalisation(source, options.stats, joints)
    robot, more = _robot(options, normalisation, joints)
    backbones = source.count(r'backbones\.(\d+)\.')
    spec = _spec(source, options, robot, normalisation, _hyper(source, options, backbones))
    try:
        paper = model_on_paper(spec)
    except ValidationError as error:
        raise UserError(first_error_line(error, spec.hyper, source.path)) from None
    theirs = act_names(backbones)
    named = _named(source, theirs)
    model = fill(
        paper,
        named,
        'policy of ACT',
        lambda key: f"{source.path}: key '{theirs.theirs(key.removeprefix(NETWORK))}'",
    )
    return Conversion(model.eval(), notes + more)


def _robot(
    options: ActOptions, normalisation: Normalisation, joints: int
) -> tuple[RobotSpec, list[str]]:
    """The robot that is given, held against the data, or one made up; and notes."""
    ends = options.stats.action_bounds
    ends = None if ends is None else ends[:, :joints]
    qpos, action = normalisation.qpos, normalisation.action
    if options.robot is None:
        sizes = dict.fromkeys(options.cameras, options.image_size)
        bounds = both_reach(reach(qpos, None), reach(action, ends))
        robot = placeholder_robot(bounds.T, sizes, options.rate)
        return robot, [made_up(robot)]
    bounds = both_reach(surely_reached(qpos, None), surely_reached(action, ends))
    sizes = dict.fromkeys(options.cameras, options.image_size)
    return options.robot, held_against(options.robot, sizes, joints, bounds)


def _named(source: _Source, names: WeightNames) -> Named:
    """The weights under our keys."""
    named: Named = {}
    for key, weight in source.weights.items():
        ours = names.ours(key)
        if ours is None:
            raise UserError(f"{source.path}: key '{shown(key)}' does not belong to an ACT policy")
        named[NETWORK + ours] = (f"{source.path}: key '{key}'", as_ours(ours, weight))
    return named


def _read(path: Path) -> _Source:
    content = read_torch_file(path, 'checkpoint of ACT (policy_best.ckpt)')
    state = content.get('model_state_dict', content.get('state_dict', content))
    weights = {
        key.removeprefix('module.'): weight for key, weight in float_weights(path, state).items()
    }
    if not any(key.startswith(PREFIX) for key in weights):
        weights = {PREFIX + key: weight for key, weight in weights.items()}
    source = _Source(path, {k: w for k, w in weights.items() if not UNUSED.search(k)})
    for key in ('query_embed.weight', 'transformer.decoder.norm.weight', 'action_head.weight'):
        if PREFIX + key not in weights:
            found = shown(', '.join(list(weights)[:3]))
            raise UserError(
                f"{path}: has the keys {found}, ...; '{PREFIX}{key}' of an ACT policy is missing"
            )
    if f'{PREFIX}transformer.encoder.norm.weight' in weights:
        raise UserError(
            f'{path}: was trained with pre_norm, which this ACT has not; expected the default'
        )
    if f'{PREFIX}input_proj_env_state.weight' in weights:
        raise UserError(
            f'{path}: sees the state of a simulation instead of cameras; expected cameras'
        )
    return source


def _left_out(source: _Source, options: ActOptions) -> list[str]:
    """Takes away what does not change the answer; notes on it."""
    notes = []
    layers, used = source.count(r'transformer\.decoder\.layers\.(\d+)\.'), options.decoder_layers
    if not 1 <= used <= layers:
        raise UserError(
            f'--decoder-layers is {used}, {source.path} has {layers}: expected 1 to {layers}'
        )
    for layer in range(used, layers):
        source.drop(rf'transformer\.decoder\.layers\.{layer}\.')
    if layers > used == 1:
        notes.append(
            f'{source.path}: {layers} decoder layers, of which the original reads the first; the '
            'others are left out (--decoder-layers N if yours reads layer N)'
        )
    return notes + _without_posterior(source)


def _without_posterior(source: _Source) -> list[str]:
    """Takes away an encoder of the CVAE that is not ours: only further training needs one."""
    older = source.drop(r'encoder_proj\.')
    latent = source.size('latent_out_proj.weight', 1)
    code = source.size('latent_proj.weight') != 2 * latent
    none = not source.count(r'encoder\.layers\.(\d+)\.')
    if older or code or none:
        source.drop(r'(encoder\.|encoder_action_proj\.|encoder_joint_proj\.|cls_embed\.)')
        source.drop(r'latent_proj\.')
    if code:
        return [
            f'{source.path}: its latent is a code of {latent} digits that a second network '
            'picks, which is not in the file; here it is zero, which that policy has never '
            'seen: judge it before it moves an arm'
        ]
    if older:
        return [
            f'{source.path}: its CVAE encoder (before April 2023) does not see the joints: left '
            'out, only further training would need it'
        ]
    return []


def _without_base(source: _Source, joints: int) -> list[str]:
    """Takes away the actions of a mobile base, which follow those of the joints."""
    actions = source.size('action_head.weight')
    if actions == joints:
        return []
    if actions != joints + BASE_ACTIONS:
        raise UserError(
            f'{source.path}: {actions} actions for {joints} joints, expected {joints}, or '
            f'{joints + BASE_ACTIONS} with those of a mobile base'
        )
    for key in ('action_head.weight', 'action_head.bias'):
        source.weights[PREFIX + key] = source.weights[PREFIX + key][:joints]
    projection = source.weights.get(f'{PREFIX}encoder_action_proj.weight')
    if projection is not None:
        source.weights[f'{PREFIX}encoder_action_proj.weight'] = projection[:, :joints]
    return [
        f'{source.path}: its last {BASE_ACTIONS} actions of {actions} move a base; they are left '
        f'out, the {joints} joints stay'
    ]


def _normalisation(source: _Source, stats: ActStats, joints: int) -> Normalisation:
    actions = len(stats.action.mean)
    for name, found in (('qpos', len(stats.qpos.mean)), ('action', actions)):
        if found != joints and not (name == 'action' and found == joints + BASE_ACTIONS):
            raise UserError(
                f"{stats.path}: '{name}_mean' has {found} values, {source.path} has {joints} "
                'joints'
            )
    action = MeanStd(mean=stats.action.mean[:joints], std=stats.action.std[:joints])
    return Normalisation(qpos=stats.qpos, action=action)


def _hyper(source: _Source, options: ActOptions, backbones: int) -> dict[str, Any]:
    cameras = len(options.cameras)
    if backbones > 1 and backbones != cameras:
        raise UserError(
            f'--cameras: found {cameras} ({", ".join(options.cameras)}), {source.path} has a '
            f'backbone for each of {backbones}'
        )
    posterior = source.count(r'encoder\.layers\.(\d+)\.')
    return {
        'chunk': source.size('query_embed.weight'),
        'hidden_dim': source.size('query_embed.weight', 1),
        'heads': options.heads,
        'feedforward_dim': source.size('transformer.encoder.layers.0.linear1.weight'),
        'encoder_layers': source.count(r'transformer\.encoder\.layers\.(\d+)\.'),
        'decoder_layers': options.decoder_layers,
        'latent_dim': source.size('latent_out_proj.weight', 1),
        'posterior': posterior > 0,
        'posterior_layers': posterior or 1,
        'backbone': _resnet(source),
        'backbone_per_camera': backbones > 1,
    }


def _resnet(source: _Source) -> str:
    body = r'backbones\.0\.0\.body\.'
    blocks = source.count(body + r'layer3\.(\d+)\.')
    bottleneck = source.count(body + r'layer1\.(\d+)\.conv3\.') > 0
    if (blocks, bottleneck) not in RESNETS:
        raise UserError(
            f'{source.path}: its backbone has {blocks} blocks in layer3, expected that of '
            f'{", ".join(RESNETS.values())}'
        )
    return RESNETS[blocks, bottleneck]


def _spec(
    source: _Source,
    options: ActOptions,
    robot: RobotSpec,
    normalisation: Normalisation,
    hyper: dict[str, Any],
) -> PolicySpec:
    content: dict[str, Any] = {
        'kind': 'act',
        'rate': options.rate,
        'cameras': options.cameras,
        'image_size': options.image_size,
        'fit': said_fits(views_of(robot, dict.fromkeys(options.cameras, options.image_size))),
        'target': 'action',
        'hyper': hyper,
        'normalisation': normalisation,
        'data': {
            'converted_from': {
                'project': 'act',
                'model': 'ACT',
                'file': source.path.name,
                'statistics': options.stats.path.name,
                'robot': PLACEHOLDER if options.robot is None else robot.name,
            }
        },
        'software': {'motion_policy': __version__, 'torch': str(torch.__version__)},
    }
    try:
        return PolicySpec(**content, robot=robot)
    except ValidationError as error:
        raise UserError(first_error_line(error, content, source.path)) from None
