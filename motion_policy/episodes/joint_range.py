# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Say where imported joint positions leave the bounds that they should keep.

Data beyond a bound is told about, never refused: a leader may well be moved beyond a limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot import RobotSpec

Array = npt.NDArray[Any]

# Of a bound's span: data beyond it is told about, and closer to it counts as reaching it.
BOUND_SLACK = 0.01


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
