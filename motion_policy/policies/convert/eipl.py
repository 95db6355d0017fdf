# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Converter of models trained by EIPL; the numbers stay the same.

EIPL's images are BGR, ours RGB, so the weights of the colours change places where an image enters
and where one is drawn. SARNN turns the colours of its images instead: its small temperature would
magnify the rounding of a sum in another order. What a file does not say is assumed aloud.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from motion_policy import __version__
from motion_policy.errors import UserError
from motion_policy.policies.base import PolicySpec, said_fits
from motion_policy.policies.convert.conversion import (
    Bounds,
    Conversion,
    Named,
    fill,
    held_against,
    made_up,
    views_of,
)
from motion_policy.policies.convert.eipl_layout import Layout, layout_of, layout_of_rnn
from motion_policy.policies.convert.eipl_weights import EiplWeights
from motion_policy.policies.kinds import model_on_paper
from motion_policy.policies.normalisation import MinMax, Normalisation
from motion_policy.robot import RobotSpec
from motion_policy.robot.load import first_error_line
from motion_policy.robot.placeholder import PLACEHOLDER, placeholder_robot

Part = tuple[EiplWeights, Layout]

RNNS = ('BasicLSTM', 'BasicMTRNN')
RGB_FROM_BGR = [2, 1, 0]

# What EIPL's trainers scale to by default; its CAE-RNN sees the joints as the CAE's trainer did.
SCALE = (0.0, 1.0)
CAE_SCALE = (0.1, 0.9)


@dataclass(frozen=True)
class EiplOptions:
    """What the files of EIPL do not hold.

    `joint_bounds` (2, J) or (2, 1): least and greatest positions, rad or m; `feature_bounds`
    (2, 1) or (2, F): the same of an autoencoder's features, for an RNN. `robot` None: a
    placeholder. `rate` [Hz] is that of the data, `channels` the colours the weights were trained
    on. Where a slope or time constant is None, EIPL's own.
    """

    joint_bounds: Bounds
    camera: str = ''
    robot: RobotSpec | None = None
    rate: float = 10.0
    channels: Literal['bgr', 'rgb'] = 'bgr'
    leaky_slope: float | None = None
    fast_tau: float | None = None
    slow_tau: float | None = None
    feature_bounds: Bounds | None = None


def convert_eipl(
    eipl: EiplWeights, options: EiplOptions, cae: EiplWeights | None = None
) -> Conversion:
    """Convert a model; `cae` is the autoencoder on whose features an RNN was trained.

    Raises:
        UserError: weights, bounds, robot or options that do not fit together.
    """
    notes = _unused(eipl, options)
    parts = _layouts(eipl, options, cae)
    layout = parts[0][1]
    ranges = _joint_range(eipl, options, cae, layout.joints, notes)
    camera = _camera(options)
    robot = options.robot or placeholder_robot(
        np.stack([ranges.min, ranges.max], axis=1), {camera: layout.image_size}, options.rate
    )
    notes += _check_robot(robot, camera, layout, options)
    spec = _spec(eipl, options, layout, camera, robot, ranges)
    try:
        paper = model_on_paper(spec)
    except ValidationError as error:
        raise UserError(first_error_line(error, spec.hyper, eipl.path)) from None
    weights: Named = {}
    for source, its in parts:
        weights |= _named(source, its, options.channels)
        notes += its.notes
        notes += [source.assumption(its.assumed)] if its.assumed else []
    if eipl.family in RNNS:
        weights |= _feature_range(eipl, options, layout, notes)
    families = ' with a '.join(source.family for source, _ in parts)
    model = fill(paper, weights, families, lambda key: _theirs(key, parts))
    return Conversion(model.eval(), notes)


def _unused(eipl: EiplWeights, options: EiplOptions) -> list[str]:
    """Notes on options that were given and mean nothing for this model."""
    mtrnn = eipl.family == 'BasicMTRNN'
    given = {
        '--leaky-slope': (options.leaky_slope, eipl.family == 'SARNN'),
        '--fast-tau': (options.fast_tau, mtrnn),
        '--slow-tau': (options.slow_tau, mtrnn),
        '--feat-bounds': (options.feature_bounds, eipl.family in RNNS),
    }
    return [
        f'{eipl.path}: {name} is not used, a {eipl.family} has nothing of the kind'
        for name, (value, meant) in given.items()
        if value is not None and not meant
    ]


def _layouts(eipl: EiplWeights, options: EiplOptions, cae: EiplWeights | None) -> list[Part]:
    """The layout of the model, then that of the autoencoder inside a CAE-RNN."""
    if eipl.family not in RNNS:
        if cae is not None:
            raise UserError(f'{eipl.path}: is a {eipl.family}, expected an RNN beside {cae.path}')
        layout = layout_of(eipl, options.leaky_slope)
        return [(eipl, replace(layout, joints=layout.joints or _joints_of_bounds(options)))]
    if cae is not None and 'CAE' not in cae.family:
        raise UserError(f'{cae.path}: is a {cae.family}, expected an autoencoder')
    cae_layout = None if cae is None else layout_of(cae)
    layout = layout_of_rnn(
        eipl,
        _joints_of_bounds(options),
        cae_layout,
        fast_tau=options.fast_tau,
        slow_tau=options.slow_tau,
    )
    if cae is None or cae_layout is None:
        return [(eipl, layout)]
    prefixes = tuple((theirs, f'network.{ours}') for theirs, ours in cae_layout.prefixes)
    return [(eipl, layout), (cae, replace(cae_layout, prefixes=prefixes))]


def _joints_of_bounds(options: EiplOptions) -> int:
    if options.joint_bounds.shape[1] == 1 and options.robot is not None:
        return len(options.robot.joints.names)
    return int(options.joint_bounds.shape[1])


def _joint_range(
    eipl: EiplWeights,
    options: EiplOptions,
    cae: EiplWeights | None,
    joints: int,
    notes: list[str],
) -> MinMax:
    """The positions that become 0 and 1, from the bounds that become vmin and vmax."""
    bounds = options.joint_bounds
    if bounds.shape[1] not in (1, joints):
        raise UserError(f'joint bounds: found {bounds.shape[1]} joints, {eipl.path} has {joints}')
    least, greatest = np.broadcast_to(bounds, (2, joints))
    still = np.flatnonzero(greatest <= least)
    if len(still):
        raise UserError(
            f'joint bounds: joint {still[0] + 1} goes from {least[still[0]]:g} to '
            f'{greatest[still[0]]:g}; EIPL divides by that range, so no model of it was trained '
            'with these bounds; expected those of its training'
        )
    # extract.py saves the joints as the CAE's trainer scales them; the RNN's takes them so.
    scaled_by = cae if cae is not None else (None if eipl.family in RNNS else eipl)
    default = CAE_SCALE if 'CAE' in eipl.family or eipl.family in RNNS else SCALE
    if scaled_by is None:
        notes.append(
            f'{eipl.path}: assumed joints in {default[0]:g}..{default[1]:g}, as the CAE of EIPL '
            'leaves them by default; --cae CAE.pth would tell'
        )
        low, high = default
    else:
        low, high = _scale(scaled_by, default, notes)
    span = (greatest - least) / (high - low)
    zero = least - low * span
    return MinMax(min=tuple(zero.tolist()), max=tuple((zero + span).tolist()))


def _scale(
    eipl: EiplWeights, default: tuple[float, float], notes: list[str]
) -> tuple[float, float]:
    assumed: dict[str, float] = {}
    low, high = (
        eipl.number(name, value, assumed)
        for name, value in zip(('vmin', 'vmax'), default, strict=True)
    )
    if not low < high:
        raise UserError(
            f'{eipl.arguments_path}: vmin {low:g}, vmax {high:g}: expected vmin < vmax'
        )
    if assumed:
        notes.append(eipl.assumption(assumed))
    return low, high


def _feature_range(
    eipl: EiplWeights, options: EiplOptions, layout: Layout, notes: list[str]
) -> Named:
    """The range of the features, which stands among our weights."""
    low, high = _scale(eipl, SCALE, notes)
    features = layout.hyper['cae']['feat_dim']
    bounds = options.feature_bounds
    if bounds is None:
        if layout.kind == 'cae_rnn':
            raise UserError(
                f'{eipl.path}: --feat-bounds is missing, expected the feat_bounds.npy that '
                'extract.py of EIPL wrote'
            )
        notes.append(f'{eipl.path}: without --feat-bounds its features are taken as normalised')
        bounds = np.array([[low], [high]])
    if bounds.shape[1] not in (1, features):
        raise UserError(
            f'feature bounds: found {bounds.shape[1]} features, {eipl.path} has {features}'
        )
    least, greatest = np.broadcast_to(bounds, (2, features))
    if (greatest <= least).any():
        still = int(np.flatnonzero(greatest <= least)[0])
        raise UserError(
            f'feature bounds: feature {still + 1} goes from {least[still]:g} to '
            f'{greatest[still]:g}, expected a range'
        )
    span = (greatest - least) / (high - low)
    place = next(ours for _, ours in layout.prefixes).partition('sequence.')[0] + 'sequence.'
    values = {'feature_low': least - low * span, 'feature_span': span}
    return {
        place + name: (f'{eipl.path}: feature bounds', torch.from_numpy(value).float())
        for name, value in values.items()
    }


def _camera(options: EiplOptions) -> str:
    if options.camera:
        return options.camera
    cameras = tuple(options.robot.cameras) if options.robot else ()
    if len(cameras) != 1:
        known = f': the robot has {", ".join(cameras)}' if cameras else ''
        raise UserError(f'--camera is missing, expected the name of the camera{known}')
    return cameras[0]


def _check_robot(robot: RobotSpec, camera: str, layout: Layout, options: EiplOptions) -> list[str]:
    if options.robot is None:
        return [made_up(robot)]
    sizes = {camera: layout.image_size}
    return held_against(robot, sizes, layout.joints, options.joint_bounds)


def _spec(
    eipl: EiplWeights,
    options: EiplOptions,
    layout: Layout,
    camera: str,
    robot: RobotSpec,
    joints: MinMax,
) -> PolicySpec:
    content: dict[str, Any] = {
        'kind': layout.kind,
        'rate': options.rate,
        'cameras': (camera,),
        'image_size': layout.image_size,
        'fit': said_fits(views_of(robot, {camera: layout.image_size})),
        'target': 'qpos',  # EIPL predicts what was measured
        'hyper': _hyper(layout, options.channels),
        'normalisation': Normalisation(qpos=joints, action=joints),
        'data': {
            'converted_from': {
                'project': 'eipl',
                'model': eipl.family,
                'file': eipl.path.name,
                'channels': options.channels,
                'robot': PLACEHOLDER if options.robot is None else robot.name,
            }
        },
        'training': {'eipl': eipl.arguments} if eipl.arguments else {},
        'metrics': eipl.metrics,
        'software': {'motion_policy': __version__, 'torch': str(torch.__version__)},
    }
    try:
        return PolicySpec(**content, robot=robot)
    except ValidationError as error:
        raise UserError(first_error_line(error, content, eipl.path)) from None


def _hyper(layout: Layout, channels: str) -> dict[str, Any]:
    return {**layout.hyper, 'channels': channels} if layout.kind == 'sarnn' else layout.hyper


def _named(eipl: EiplWeights, layout: Layout, channels: str) -> Named:
    """The weights under our keys; the colours in the order RGB, but for SARNN."""
    named: Named = {}
    flip = channels == 'bgr' and layout.kind != 'sarnn'
    for key, weight in eipl.weights.items():
        prefix = next((pair for pair in layout.prefixes if key.startswith(pair[0])), None)
        if prefix is None:
            raise UserError(f"{eipl.path}: key '{key}' does not belong to a {eipl.family}")
        layer, _, part = key.rpartition('.')
        if flip and part == 'weight' and layer in (*layout.enters, *layout.leaves):
            # (out, 3, k, k) of a convolution, (in, 3, k, k) of a transposed one.
            weight = _colours(eipl, key, weight, 1)
        elif flip and part == 'bias' and layer in layout.leaves:
            weight = _colours(eipl, key, weight, 0)
        named[prefix[1] + key.removeprefix(prefix[0])] = (f"{eipl.path}: key '{key}'", weight)
    return named


def _colours(eipl: EiplWeights, key: str, weight: Tensor, axis: int) -> Tensor:
    if weight.ndim <= axis or weight.shape[axis] != 3:
        raise UserError(
            f"{eipl.path}: '{key}' has shape {tuple(weight.shape)}, expected 3 colours "
            f'along axis {axis}'
        )
    return weight.index_select(axis, torch.tensor(RGB_FROM_BGR))


def _theirs(ours: str, parts: list[Part]) -> str:
    """What a key of ours is called in the file, and in which."""
    for eipl, layout in parts:
        for theirs, prefix in layout.prefixes:
            if ours.startswith(prefix):
                return f"{eipl.path}: key '{theirs}{ours.removeprefix(prefix)}'"
    return f"{parts[0][0].path}: key '{ours}'"
