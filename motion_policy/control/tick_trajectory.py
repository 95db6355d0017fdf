# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One command as a short trajectory that has velocities, and that ends at rest by itself.

Rule: whatever follows it or not, a controller that plays it keeps the limits that the command
kept: it brakes along the way on which the guards have looked.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.action_buffer import Int64Array
from motion_policy.control.motion_limiter import Float64Array


def half_way(position: Float64Array, velocity: Float64Array, period_ns: int) -> Float64Array:
    """Return the middle (J,) of a step of one period that led to a command (J,)."""
    middle: Float64Array = position - velocity * (period_ns * 0.5e-9)
    return middle


def tick_trajectory(
    position: Float64Array, velocity: Float64Array, acceleration: Float64Array, period_ns: int
) -> tuple[Int64Array, Float64Array, Float64Array]:
    """Return what to send for a command (J,), to which a step with `velocity` (J,) has led.

    Times from now in ns (m,), positions and velocities (m, J). A step's velocity is that in its
    middle, so the first point is the middle of the step, a period from now: from one message to
    the next a cubic then has a constant acceleration, that between the two commands. It goes on
    to the command itself, and brakes from there, each joint with its whole `acceleration` (J,).
    A command that stands is one point.
    """
    still = np.zeros(len(position))
    if not velocity.any():
        return np.array([period_ns]), position[None], still[None]
    lasts_s = np.abs(velocity) / acceleration
    # A point wherever a joint comes to rest: between these each brakes evenly, or stands.
    after_ns = np.unique(np.append(np.ceil(lasts_s * 1e9).astype(np.int64), 0))
    braking_s = np.minimum(after_ns[:, None] * 1e-9, lasts_s)
    left = np.where(
        braking_s < lasts_s, velocity - np.sign(velocity) * acceleration * braking_s, 0
    )
    reached = position + (velocity + left) / 2 * braking_s
    return (
        np.concatenate(([period_ns], period_ns + period_ns // 2 + after_ns)),
        np.concatenate((half_way(position, velocity, period_ns)[None], reached)),
        np.concatenate((velocity[None], left)),
    )
