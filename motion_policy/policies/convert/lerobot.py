# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Converter of ACT policies of LeRobot to ours, and of ours to LeRobot's.

Nothing is rounded on the way: there and back again gives the same bits. What LeRobot has no
place for (robot, rate) lies beside its files in our own `policy.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from motion_policy import __version__
from motion_policy.errors import UserError
from motion_policy.files import is_there, shown
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.base import Model, PolicySpec, said_fits
from motion_policy.policies.checkpoint import SPEC_FILE, read_policy_spec, spec_to_yaml
from motion_policy.policies.convert.act_names import LEROBOT, as_ours, as_theirs
from motion_policy.policies.convert.conversion import (
    Bounds,
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
from motion_policy.policies.convert.lerobot_config import (
    HYPER,
    THEIRS,
    features,
    image_sizes,
    played,
    unknown_keys,
)
from motion_policy.policies.convert.lerobot_folder import (
    ACTION,
    CONFIG_FILE,
    IMAGE,
    STATE,
    Affine,
    LeRobotFolder,
    SideNormalisation,
    read_lerobot_folder,
    write_lerobot_folder,
)
from motion_policy.policies.convert.lerobot_processors import INPUT_STEP, PROCESSORS
from motion_policy.policies.kinds import model_on_paper
from motion_policy.policies.normalisation import MeanStd, MinMax, Normalisation
from motion_policy.robot import ImageFit, RobotSpec
from motion_policy.robot.image_fit import Size
from motion_policy.robot.joint_order import joint_order
from motion_policy.robot.load import first_error_line
from motion_policy.robot.placeholder import placeholder_robot
from motion_policy.robot.units import UnitConversion, Units, unit_conversion

RATE = 50.0  # Hz, where nothing says it: that of ALOHA
POSITIONS = 'model.vae_encoder_pos_enc'  # a table that both sides make anew


JOINT_AXES = {
    'model.action_head.weight': 0,
    'model.action_head.bias': 0,
    'model.encoder_robot_state_input_proj.weight': 1,
    'model.vae_encoder_robot_state_input_proj.weight': 1,
    'model.vae_encoder_action_input_proj.weight': 1,
}


@dataclass(frozen=True)
class LeRobotOptions:
    """What a folder of LeRobot does not hold.

    `cameras` are names for its cameras, in its order; () keeps its own. `robot` and `rate` [Hz]
    None: those of the policy that was turned into this folder, else a placeholder and what the
    training environment says. `joints` are the folder's names for joints of the robot, where they
    differ; `units` what it counts positions in, None: those of the robot; `grippers` what closed
    and open of one stand for: see `unit_conversion`.
    """

    cameras: tuple[str, ...] = ()
    robot: RobotSpec | None = None
    rate: float | None = None
    joints: Mapping[str, str] = field(default_factory=dict)
    units: Units | None = None
    grippers: tuple[float, float] | None = None


def from_lerobot(path: str | Path, options: LeRobotOptions) -> Conversion:
    """Convert a folder with an ACT policy of LeRobot.

    Raises:
        UserError: no such folder, another kind of policy, or options that do not fit it.
    """
    folder = read_lerobot_folder(path)
    images, joints = features(folder)
    cameras, notes = _cameras(folder, options, list(images))
    notes = [*folder.notes, *notes, *played(folder), *unknown_keys(folder)]
    sizes = dict(zip(cameras, image_sizes(folder, images), strict=True))
    hyper = _hyper(folder, list(images))
    origin = _origin(folder, cameras, joints, notes)
    rate = _rate(folder, options, origin, notes)
    theirs = Normalisation(
        qpos=_mean_std(folder.inputs, STATE, 'STATE', joints),
        action=_mean_std(folder.outputs, ACTION, 'ACTION', joints),
    )
    robot = options.robot or (origin.robot if origin else None)
    order = _order(folder, options, origin, robot, joints, notes)
    if robot is None:
        bounds = both_reach(*(reach(*known) for known in _known(folder, theirs)))
        # Of an image that is cropped its feature says how large it is before.
        shapes = zip(cameras, images.items(), strict=True)
        before = {camera: (s[1], s[2]) for camera, (key, s) in shapes if key in folder.crops}
        robot = placeholder_robot(bounds.T, {**sizes, **before}, rate)
        notes.append(made_up(robot))
        conversion = unit_conversion(robot, options.units, options.grippers)
        fits = _fits(folder, None, sizes, images)
    else:
        bounds = both_reach(*(surely_reached(*known) for known in _known(folder, theirs)))
        conversion = unit_conversion(robot, options.units, options.grippers)
        fits = _fits(folder, origin if options.robot is None else None, sizes, images)
        args = (sizes, joints, bounds[:, order], conversion, fits)
        notes += held_against(robot, *args)
    content: dict[str, Any] = {
        'kind': 'act',
        'rate': rate,
        'cameras': cameras,
        'image_size': next(iter(sizes.values())),
        'fit': said_fits(views_of(robot, sizes, fits)),
        'target': origin.target if origin else 'action',
        'hyper': hyper,
        **_action_space(folder, robot, order),
        'normalisation': _as_ours(theirs, order, conversion, _counted_from_state(folder, order)),
        **_provenance(folder, origin, robot),
    }
    try:
        paper = model_on_paper(PolicySpec(**content, robot=robot))
    except ValidationError as error:
        where = folder.path / CONFIG_FILE
        raise UserError(first_error_line(error, content, where)) from None
    model = _with_weights(folder, paper, order)
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


def _fits(
    folder: LeRobotFolder,
    origin: PolicySpec | None,
    sizes: Mapping[str, Size],
    images: Iterable[str],
) -> dict[str, ImageFit]:
    """What is seen of the cameras of which the folder says it, or a policy of ours that it was."""
    fits = {name: origin.view(name).options for name in sizes} if origin else {}
    for camera, key in zip(sizes, images, strict=True):
        if key in folder.crops:
            fits[camera] = ImageFit(crop=folder.crops[key])
    return fits


def _cameras(
    folder: LeRobotFolder, options: LeRobotOptions, images: list[str]
) -> tuple[tuple[str, ...], list[str]]:
    """The names of cameras that the robot had, which may not be those that the policy has."""
    robots = {ours: theirs for theirs, ours in folder.renamed.items()}
    outside = [robots.get(key, key) for key in images]
    cameras = tuple(key.removeprefix(IMAGE).removeprefix('observation.') for key in outside)
    if options.cameras and len(options.cameras) != len(cameras):
        raise UserError(
            f'--cameras: found {len(options.cameras)} ({", ".join(options.cameras)}), '
            f'{folder.path} has {len(cameras)}: {", ".join(cameras)}'
        )
    renamed = [
        f'{theirs} as {ours}'
        for theirs, ours in folder.renamed.items()
        if ours in (*images, STATE)
    ]
    if renamed and not options.cameras:
        return cameras, [
            f'{folder.path}: LeRobot gave it {", ".join(renamed)}; --cameras takes other names'
        ]
    return options.cameras or cameras, []


def _order(
    folder: LeRobotFolder,
    options: LeRobotOptions,
    origin: PolicySpec | None,
    robot: RobotSpec | None,
    joints: int,
    notes: list[str],
) -> list[int]:
    """Which of the folder's columns each joint of the robot is; where it names them, by name."""
    as_they_are = list(range(joints))
    if robot is None or len(robot.joints.names) != joints:
        return as_they_are  # the latter is refused in a moment
    if origin is not None:
        where, names = folder.path / SPEC_FILE, origin.robot.joints.names
        order = joint_order(names, robot.joints.names, str(where), options.joints)
        if order is not None and order != as_they_are:
            notes.append(f'{where}: its joints stand in another order than the robot: by name')
        return order or as_they_are
    if not folder.action_names:
        return as_they_are
    where = folder.path / f'{PROCESSORS[INPUT_STEP]}.json: action_names'
    order = joint_order(folder.action_names, robot.joints.names, str(where), options.joints)
    if order is not None and order != as_they_are:
        raise UserError(
            f'{where}: {", ".join(folder.action_names)}; the robot has '
            f'{", ".join(robot.joints.names)}; in which order its state is, nothing says: '
            'expected a robot spec with the joints in this order'
        )
    return as_they_are


def _counted_from_state(folder: LeRobotFolder, order: list[int]) -> list[bool] | None:
    """Of which joints of the robot actions are less the state; None: of none."""
    if not folder.relative:
        return None
    tokens = [token.lower() for token in folder.excluded if token]
    names = [name.lower() for name in folder.action_names]
    # What has no name is relative, as there.
    names += [''] * (len(order) - len(names))
    return [not any(token in names[column] for token in tokens) for column in order]


def _action_space(folder: LeRobotFolder, robot: RobotSpec, order: list[int]) -> dict[str, Any]:
    relative = _counted_from_state(folder, order)
    if relative is None:
        return {}
    pairs = zip(robot.joints.names, relative, strict=True)
    absolute = tuple(name for name, counted in pairs if not counted)
    return {'action_space': 'joints_relative', 'absolute_joints': absolute}


def _as_ours(
    theirs: Normalisation, order: list[int], units: UnitConversion, relative: list[bool] | None
) -> Normalisation:
    """Means and deviations in the order and the units of the robot: the same network values.

    Where actions are `relative` to the state, their means are differences of positions.
    """

    def converted(values: Any, of: list[bool] | None = None) -> MeanStd:
        mean, std = (np.array(numbers)[order] for numbers in (values.offset, values.scale))
        if not units.changes:
            return MeanStd(mean=tuple(mean.tolist()), std=tuple(std.tolist()))
        means = units.positions(mean)
        if of is not None:
            means = np.where(of, units.speeds(mean), means)
        return MeanStd(mean=tuple(means.tolist()), std=tuple(units.speeds(std).tolist()))

    qpos = converted(theirs.qpos)
    if relative is None:
        return Normalisation(qpos=qpos, action=converted(theirs.action))
    # Nobody says how actions as such are spread; they are where the joints are.
    return Normalisation(qpos=qpos, action=qpos, target=converted(theirs.action, relative))


def _mean_std(statistics: SideNormalisation, feature: str, kind: str, joints: int) -> MeanStd:
    values = statistics.of(feature, kind, joints)
    content = {'mean': values.offset, 'std': values.scale}
    try:
        return MeanStd(**content)
    except ValidationError as error:
        where = f'{statistics.where}: {feature}'
        raise UserError(first_error_line(error, content, where)) from None


def _known(
    folder: LeRobotFolder, normalisation: Normalisation
) -> Iterator[tuple[MinMax | MeanStd, Bounds | None]]:
    """Means, deviations and, where the folder says them, ends of joints and their targets."""
    joints = len(normalisation.qpos.offset)
    sides = (
        (folder.inputs, STATE, normalisation.qpos),
        (folder.outputs, ACTION, normalisation.action),
    )
    for statistics, feature, values in sides[: 1 if folder.relative else 2]:
        yield values, statistics.ends(feature, joints)


def _origin(
    folder: LeRobotFolder, cameras: tuple[str, ...], joints: int, notes: list[str]
) -> PolicySpec | None:
    """The spec of our policy that was turned into this folder, if it was."""
    if not is_there(folder.path / SPEC_FILE):
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


def _with_weights(folder: LeRobotFolder, paper: Model, order: list[int]) -> Model:
    named: Named = {}
    for key, weight in folder.weights.items():
        if key == POSITIONS:
            continue
        ours = LEROBOT.ours(key)
        if ours is None:
            raise UserError(f"{folder.path}: key '{shown(key)}' does not belong to an ACT policy")
        weight = _reordered(key, as_ours(ours, weight), order)
        named[f'network.{ours}'] = (f"{folder.path}: key '{key}'", weight)
    prefix = 'network.'
    return fill(
        paper,
        named,
        'policy with this config.json',
        lambda key: f"{folder.path}: key '{LEROBOT.theirs(key.removeprefix(prefix))}'",
    )


def _reordered(key: str, weight: Tensor, order: list[int]) -> Tensor:
    """A weight with the joints in the robot's order, if it has any."""
    axis = JOINT_AXES.get(key)
    if axis is None or weight.ndim <= axis or weight.shape[axis] != len(order):
        return weight
    return weight.index_select(axis, torch.tensor(order))


def _refuse_what_lerobot_has_not(policy: ACTPolicy) -> None:
    config = policy.config
    found = {
        f"backbone '{config.backbone}'": not config.backbone.startswith('resnet'),
        'backbone_per_camera': config.backbone_per_camera and len(policy.cameras) > 1,
        'camera_embedding': config.camera_embedding,
        'latent_dim 0': not config.latent_dim,
        'effort': policy.spec.effort,
        'inputs': bool(policy.spec.inputs),
        'no camera': not policy.cameras,
        'depth': bool(policy.spec.depth),
        **{
            f"camera '{name}' seen with {view.options}": not view.options.is_plain
            for name, view in policy.views.items()
        },
        f"action_space '{policy.space.name}'": policy.space.name != 'joints',
    }
    names = [name for name, present in found.items() if present]
    if names:
        raise UserError(f'{policy.source}: has {", ".join(names)}, LeRobot has no such ACT')


def _their_config(policy: ACTPolicy) -> dict[str, Any]:
    joints = [len(policy.joint_names)]
    hyper = policy.config.model_dump(mode='json') | {'posterior': policy.config.has_posterior}
    images = {
        f'{IMAGE}{camera}': {'type': 'VISUAL', 'shape': [3, *view.size]}
        for camera, view in policy.views.items()
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


def _affine(values: MinMax | MeanStd) -> Affine:
    return Affine(values.offset, values.scale)
