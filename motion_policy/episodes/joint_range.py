# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Say where imported joint positions leave the bounds that they should keep.

Data beyond a bound is told about: a leader may well be moved beyond a limit. What is no position
of any joint is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.robot import RobotSpec

Array = npt.NDArray[Any]

# Of a bound's span: data beyond it is told about, and closer to it counts as reaching it.
BOUND_SLACK = 0.01

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


class JointRange:
    """The least and greatest positions of a robot's joints, row by row."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._low = np.full(len(robot.joints.names), np.inf)
        self._high = -self._low

    def add(self, qpos: Array) -> None:
        """Take in the positions (J,) of a row."""
        np.minimum(self._low, qpos, out=self._low)
        np.maximum(self._high, qpos, out=self._high)

    def beyond(self) -> str:
        """As `beyond_limits`; empty where none does, or there was no row."""
        if not np.isfinite(self._low).all():
            return ''
        return beyond_limits(np.stack([self._low, self._high]), self._robot) or ''


def beyond_limits(values: Array, robot: RobotSpec) -> str | None:
    """Say which of the positions `values` (T, J) leave the robot's limits; None: none does."""
    limits = robot.joints.limits.position_array().T
    what = f"its limits in robot spec '{robot.name}'"
    return beyond_bounds(values, limits, what, robot.joints.names)


def beyond_bounds(values: Array, bounds: Array, what: str, names: tuple[str, ...]) -> str | None:
    """Say which joint of `values` (T, J) leaves `bounds`, least and greatest, (2, J) or (2, 1)."""
    low, high = values.min(axis=0), values.max(axis=0)
    least, greatest = bounds
    slack = BOUND_SLACK * (greatest - least)
    outside = np.flatnonzero((low < least - slack) | (high > greatest + slack))
    if not len(outside):
        return None
    first = outside[0]
    more = f' (and {len(outside) - 1} more joints)' if len(outside) > 1 else ''
    bound = np.broadcast_to(bounds, (2, len(low)))[:, first]
    return (
        f"joint '{names[first]}' goes from {low[first]:.3g} to {high[first]:.3g}, beyond {what}: "
        f'{bound[0]:.3g} to {bound[1]:.3g}{more}'
    )
