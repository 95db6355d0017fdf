# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Shared by converters: the result, and its check against the source.

A weight goes in whole and under its own name or not at all; what does not fit is named as the
source calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.policies.base import Model
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.kinds import model_to_fill
from motion_policy.policies.normalisation import Statistics
from motion_policy.robot import ImageFit, RobotSpec
from motion_policy.robot.image_fit import Size
from motion_policy.robot.placeholder import PLACEHOLDER
from motion_policy.robot.units import UnitConversion

Bounds = npt.NDArray[np.float64]
Named = dict[str, tuple[str, Tensor]]  # our key: (where it comes from, in words; the weight)


# Standard deviations: how far data of which only mean and deviation are known is taken to go.
REACH = 3.0
STILL = 1e-3  # rad or m


@dataclass
class Conversion:
    """A converted model, and in one line each what was assumed or deserves a look."""

    model: Model
    notes: list[str] = field(default_factory=list)


def fill(paper: Model, weights: Named, source: str, theirs: Callable[[str], str]) -> Model:
    """Make the model and put the weights into it, every one of the shape that it has there.

    Args:
        paper: the model on paper.
        source: what they come from, in words: 'SARNN'.
        theirs: what a key of ours is called in the file, and in which: "FILE: key 'KEY'".

    Raises:
        UserError: a weight is missing, of another shape or kind, or one too many.
    """
    expected = paper.state_dict()
    for key, value in expected.items():
        if key not in weights:
            raise UserError(f'{theirs(key)} is missing, a {source} has it')
        origin, weight = weights[key]
        if weight.shape != value.shape:
            raise UserError(
                f'{origin} has shape {tuple(weight.shape)}, a {source} of these sizes has '
                f'{tuple(value.shape)}'
            )
        if weight.is_floating_point() != value.is_floating_point():
            raise UserError(f'{origin} is of {weight.dtype}, a {source} has {value.dtype}')
    for key, (origin, _) in weights.items():
        if key not in expected:
            raise UserError(f'{origin} does not belong to a {source}')
    model = model_to_fill(paper.spec)
    model.load_state_dict({key: weight for key, (_, weight) in weights.items()})
    return model


def reach(values: Statistics, ends: Bounds | None) -> Bounds:
    """How far data goes: its ends if they are known, else about; (2, J), robot units.

    It goes a little way even for a joint that never moved.
    """
    mean, std = np.array(values.offset), np.maximum(values.scale, STILL)
    if ends is not None:
        return both_reach(ends, np.stack([mean - STILL, mean + STILL]))
    return np.stack([mean - REACH * std, mean + REACH * std])


def surely_reached(values: Statistics, ends: Bounds | None) -> Bounds:
    """How far data certainly goes: its ends if they are known, else its mean; (2, J)."""
    return np.array([values.offset, values.offset]) if ends is None else ends


def both_reach(*bounds: Bounds) -> Bounds:
    """The least and greatest of one or more bounds, (2, J) each."""
    lows, highs = zip(*bounds, strict=True)
    return np.stack([np.minimum.reduce(lows), np.maximum.reduce(highs)])


def made_up(robot: RobotSpec) -> str:
    """The note on a robot that stands in for one that the files do not name."""
    sizes = dict.fromkeys(f'{one.width}x{one.height}' for one in robot.cameras.values())
    return (
        f"robot '{robot.name}' is made up: {len(robot.joints.names)} joints named joint1 and so "
        f'on, limits {robot.joints.limits.position[0]} and so on, a camera of '
        f'{" and ".join(sizes)} px; convert again with --robot SPEC before it drives an arm'
    )


def views_of(
    robot: RobotSpec, sizes: Mapping[str, Size], fits: Mapping[str, ImageFit] | None = None
) -> list[CameraView]:
    """What a model sees of the cameras of a robot: what its spec says, but for what is given.

    Args:
        sizes: height and width that the model sees, by camera.
        fits: of cameras of which the model's files say how they are seen.

    Raises:
        UserError: a camera that the robot does not have, or a crop that is not within its images.
    """
    views = []
    for camera, size in sizes.items():
        if camera not in robot.cameras:
            known = ', '.join(robot.cameras) or 'none'
            raise UserError(f"camera '{camera}': robot '{robot.name}' has: {known}")
        sends = robot.cameras[camera]
        fit = (fits or {}).get(camera, sends.image_fit)
        try:
            fit.check_within((sends.height, sends.width))
        except ValueError as error:
            raise UserError(f"camera '{camera}' of robot '{robot.name}': {error}") from None
        views.append(CameraView(camera, (sends.height, sends.width), size, fit))
    return views


def held_against(
    robot: RobotSpec,
    sizes: Mapping[str, Size],
    joints: int,
    bounds: Bounds,
    units: UnitConversion | None = None,
    fits: Mapping[str, ImageFit] | None = None,
) -> list[str]:
    """Notes on how a robot differs from what the model was trained with.

    Args:
        sizes: height and width in which the model sees each camera.
        bounds: least and greatest position of the training data, (2, joints) or (2, 1).
        units: how these become the robot's; None: they are.
        fits: as of `views_of`.

    Raises:
        UserError: other joints than `joints`, positions that no motion of it reaches, or as
            `views_of`.
    """
    names = robot.joints.names
    if len(names) != joints:
        raise UserError(
            f"robot '{robot.name}' has {len(names)} joints ({', '.join(names)}), "
            f'the model has {joints}'
        )
    notes = [note for view in views_of(robot, sizes, fits) for note in _seen_as(robot, view)]
    if units is not None and robot.name != PLACEHOLDER:
        notes += units.check(bounds[0], bounds[1], 'the training data')
        bounds = np.sort(units.positions(bounds), axis=0)
    return notes + _beyond_limits(robot, bounds)


def _seen_as(robot: RobotSpec, view: CameraView) -> list[str]:
    """Notes on how the model sees a camera, where it is not the whole undistorted image."""
    (high, wide), (height, width) = view.sent, view.size
    camera = f"camera '{view.camera}' of robot '{robot.name}'"
    notes = []
    if not view.options.is_plain:
        notes.append(f'{camera} is seen with {view.options}')
    _, _, across, down = view.options.crop or (0, 0, wide, high)
    if view.options.rotate in (90, 270):
        across, down = down, across
    if view.options.fit == 'stretch' and across * height != width * down:
        what = f'{across}x{down}' if view.options.is_plain else f'{across}x{down} of {wide}x{high}'
        notes.append(
            f'{camera} is {what}, the model sees {width}x{height}: images are stretched, not '
            'cropped; fit: crop or pad in the robot spec, if the model was trained so'
        )
    return notes


def _beyond_limits(robot: RobotSpec, bounds: Bounds) -> list[str]:
    names = robot.joints.names
    limits = robot.joints.limits.position_array().T
    least, greatest = np.broadcast_to(bounds, (2, len(names)))
    beyond = [
        name
        for name, low, high, bound, limit in zip(names, *limits, least, greatest, strict=True)
        if bound < low or limit > high
    ]
    if not beyond:
        return []
    return [
        f"joint '{beyond[0]}' was trained beyond its limits in robot '{robot.name}': "
        'commands there will be clamped'
        + (f' (and {len(beyond) - 1} more joints)' if len(beyond) > 1 else '')
    ]
