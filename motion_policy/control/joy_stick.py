# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the axes and buttons of a gamepad mean, as a robot spec says it.

Rule: an axis that says no number moves nothing, and a button acts once for each press.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot.teleop import JoyLeader
from motion_policy.robot.twist import FIELDS


class JoyStick:
    """Reads the messages of `joy` one after the other."""

    def __init__(self, joy: JoyLeader) -> None:
        self._joy = joy
        self._buttons: Sequence[int] | None = None

    def velocity(self, axes: Sequence[float]) -> Float64Array:
        """Return what the axes want: of the tool (6,) [m/s, rad/s], or shares (n,) of joints.

        The joints are those of `joy.axes`. UserError names an axis that is not there or says no
        number.
        """
        joy = self._joy
        for name, number in joy.axes.items():
            if number >= len(axes):
                raise UserError(f"axis {number} of '{name}' is not there: {len(axes)} axes came")
            if not math.isfinite(axes[number]):
                raise UserError(f"axis {number} of '{name}' is {axes[number]}")
        wanted = {name: self._shaped(name, axes[number]) for name, number in joy.axes.items()}
        if not joy.of_tool:
            return joy.joint_speed * np.array(list(wanted.values()))
        full = [joy.linear] * 3 + [joy.angular] * 3
        return np.array([wanted.get(field, 0.0) for field in FIELDS]) * full

    def pressed(self, buttons: Sequence[int]) -> list[str]:
        """Return what was pressed since the message before, by its key; none at the first."""
        before, self._buttons = self._buttons, list(buttons)
        if before is None:
            return []
        return [
            key
            for key, number in self._joy.buttons.items()
            if number < min(len(buttons), len(before)) and buttons[number] > 0 >= before[number]
        ]

    def _shaped(self, name: str, value: float) -> float:
        size = min(abs(value), 1.0)
        beyond = max(size - self._joy.dead_zone, 0.0) / (1.0 - self._joy.dead_zone)
        expo = self._joy.expo
        shaped = (1.0 - expo) * beyond + expo * beyond**3
        sign = -1.0 if name in self._joy.reversed else 1.0
        return math.copysign(shaped, sign * value) if shaped else 0.0
