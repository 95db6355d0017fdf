# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Continuous joints: wrap-around, and encoders that start a full turn away.

Rule: positions are never brought back by whole turns. One that jumps by a turn is a fault: for a
policy the arm would then stand elsewhere, and it would send the joint back the long way round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec

TURN = 2 * math.pi
ABOUT = 0.5  # rad: so far from a whole turn a jump may be, for the joint may move meanwhile
STATES_S = 0.2  # at least so often a joint state comes


class TurnMonitor:
    """Compares each measured position with the one before, also at the next start."""

    def __init__(self, robot: RobotSpec) -> None:
        self._names = robot.joints.names
        self._reach = robot.joints.limits.velocity_array() * STATES_S
        self._velocities = robot.joints.are_velocities
        self._before: Float64Array | None = None

    def start(self, measured: Float64Array) -> None:
        """Begin there (J,); UserError if that is a whole turn away from where the arm was last.

        Its driver may count on from there, and would go the whole way back.
        """
        joint = self._turned(measured)
        if joint is not None and self._before is not None:
            raise UserError(
                f"joint '{self._names[joint]}' stands at {measured[joint]:.3f}, a whole turn from "
                f'{self._before[joint]:.3f} where it was last: let its driver count turns, or '
                'turn it back; ~/reset if it was turned by hand'
            )
        self._before = measured

    def forget(self) -> None:
        """Forget where the arm was."""
        self._before = None

    def check(self, measured: Float64Array) -> str:
        """Say which joint (J,) jumped by a whole turn or more; '' if none did."""
        before, joint = self._before, self._turned(measured, self._reach)
        if joint is None or before is None:
            self._before = measured
            return ''
        return (
            f"joint '{self._names[joint]}' jumped from {before[joint]:.3f} to "
            f'{measured[joint]:.3f}, a whole turn: its positions begin anew, expected a driver '
            'that counts turns, or position limits within one turn of them'
        )

    def _turned(self, measured: Float64Array, reach: float | Float64Array = 0.0) -> int | None:
        """The first joint that is about one turn, or more of them, from where it was before, and
        further than `reach` (J,).
        """
        if self._before is None:
            return None
        jump = np.where(self._velocities, 0.0, np.abs(measured - self._before))
        if max(jump.tolist()) <= TURN - ABOUT:
            return None
        off = np.abs(jump - TURN * np.round(jump / TURN))
        turned = np.flatnonzero((jump > np.maximum(reach, TURN - ABOUT)) & (off < ABOUT))
        return int(turned[0]) if len(turned) else None


def whole_turn_away(
    names: Sequence[str], measured: Float64Array, lower: Float64Array, upper: Float64Array
) -> str:
    """Say which joint (J,) is outside of its limits by whole turns; '' if none is.

    The joint stands where it may be, and its encoder counts otherwise.
    """
    outside = np.maximum(lower - measured, measured - upper)
    turns = np.ceil(outside / TURN) * np.where(measured < lower, 1.0, -1.0)
    inside = measured + TURN * turns
    away = (outside > 0) & (inside >= lower) & (inside <= upper)
    if not away.any():
        return ''
    joint = int(away.argmax())
    return (
        f"joint '{names[joint]}' stands at {measured[joint]:.3f}, expected within "
        f'[{lower[joint]:g}, {upper[joint]:g}], where it is {abs(turns[joint]):g} turn(s) '
        f'further on, at {inside[joint]:.3f}: turn it back, or let its driver count from there'
    )
