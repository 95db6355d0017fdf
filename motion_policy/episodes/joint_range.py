# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Check of imported joint positions against the bounds that they should keep.

Data beyond a bound is told about: a leader may well be moved beyond a limit. What is far beyond,
or no position of any joint, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.motion import gripper_like
from motion_policy.robot import RobotSpec
from motion_policy.robot.placeholder import PLACEHOLDER

Array = npt.NDArray[Any]

# Of a bound's span: data beyond it is told about, and closer to it counts as reaching it.
BOUND_SLACK = 0.01

# As far beyond a limit as the joint's whole range, and at least this, is in other units.
FAR_AT_LEAST = math.pi  # rad or m

MOST_POSITION = 1e6  # rad or m, either way


def as_float32(values: Array, where: Callable[[int, int], str]) -> npt.NDArray[np.float32]:
    """Positions (T, J) as episodes hold them.

    Args:
        values: as the file has them.
        where: what begins the line of an error: "FILE: row ROW, column J".

    Raises:
        EpisodeError: one is not finite, or no position of any joint.
    """
    wrong = np.argwhere(~(np.abs(values) <= MOST_POSITION))
    if len(wrong):
        row, joint = map(int, wrong[0])
        raise EpisodeError(
            f'{where(row, joint)} is {values[row, joint]:g}, expected a finite number, up to '
            f'{MOST_POSITION:g}'
        )
    return np.asarray(values, dtype=np.float32)


def far_beyond_limits(values: Array, robot: RobotSpec) -> list[tuple[int, str]]:
    """The first place of each joint that no limit of its arm can be meant to allow: row and line.

    `values` (T, J) are positions. A gripper may be told in units of its own; the limits of a
    placeholder are guessed from the data.
    """
    if robot.name == PLACEHOLDER:
        return []
    least, greatest = robot.joints.limits.position_array().T
    far = np.maximum(greatest - least, FAR_AT_LEAST)
    beyond = (values < least - far) | (values > greatest + far)
    found = []
    for joint in np.flatnonzero(beyond.any(axis=0)):
        if gripper_like(int(joint), robot):
            continue
        rows = np.flatnonzero(beyond[:, joint])
        more = f' ({len(rows)} such rows)' if len(rows) > 1 else ''
        found.append(
            (
                int(rows[0]),
                f"joint '{robot.joints.names[joint]}' is at {values[rows[0], joint]:.3g}{more}, "
                f"far beyond its limits in robot spec '{robot.name}': {least[joint]:.3g} to "
                f'{greatest[joint]:.3g}: other units?',
            )
        )
    return sorted(found)


def beyond_limits(values: Array, robot: RobotSpec) -> tuple[int, str] | None:
    """Say which of the positions `values` (T, J) leave the robot's limits, and in which row most.

    None: none does.
    """
    limits = robot.joints.limits.position_array().T
    what = f"its limits in robot spec '{robot.name}'"
    return beyond_bounds(values, limits, what, robot.joints.names)


def beyond_bounds(
    values: Array, bounds: Array, what: str, names: tuple[str, ...]
) -> tuple[int, str] | None:
    """Say which joint of `values` (T, J) leaves `bounds`, least and greatest, (2, J) or (2, 1).

    Returns: the row in which it does so most, and a line; None: none does.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    least, greatest = bounds
    slack = BOUND_SLACK * (greatest - least)
    outside = np.flatnonzero((low < least - slack) | (high > greatest + slack))
    if not len(outside):
        return None
    first = outside[0]
    more = f' (and {len(outside) - 1} more joints)' if len(outside) > 1 else ''
    bound = np.broadcast_to(bounds, (2, len(low)))[:, first]
    row = np.argmax(np.maximum(bound[0] - values[:, first], values[:, first] - bound[1]))
    return int(row), (
        f"joint '{names[first]}' goes from {low[first]:.3g} to {high[first]:.3g}, beyond {what}: "
        f'{bound[0]:.3g} to {bound[1]:.3g}{more}'
    )
