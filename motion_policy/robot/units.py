# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Bring joint positions of other units into those of a robot spec, rad and m.

No file says its units, so numbers that no motion of the robot reaches are refused until somebody
says what they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.robot.placeholder import PLACEHOLDER
from motion_policy.robot.spec import RobotSpec

Float64Array = npt.NDArray[np.float64]
Units = Literal['rad', 'degrees', 'normalized']

CONVERTED = ('degrees', 'normalized')

GRIPPER = 'gripper'

# As LeRobot's drivers count: from one end of a joint's calibrated range to the other.
ARM_ENDS = (-100.0, 100.0)
GRIPPER_ENDS = (0.0, 100.0)

# A robot that stands in has limits that hold any data; its joints may turn twice round.
MOST_TURNS_RAD = 4 * math.pi

# A gripper that counts from 0 to 1, with what a calibration may be off.
FAR_FROM_ZERO_TO_ONE = (-2.0, 3.0)
# Ends of a gripper in m or rad that are closer together cannot be those of 0 to 1.
LITTLE_TRAVEL = 0.5

# Degrees within which a whole data set hardly stays.
LEAST_DEGREES = 2 * math.pi


@dataclass(frozen=True)
class UnitConversion:
    """Ours = scale * theirs + offset, (J,) each. `units` None: as they are, if that can be."""

    robot: RobotSpec
    units: Units | None
    scale: Float64Array
    offset: Float64Array

    @property
    def changes(self) -> bool:
        """Whether any number becomes another one."""
        return bool((self.scale != 1).any() or self.offset.any())

    def positions(self, values: npt.ArrayLike) -> Float64Array:
        """Return positions (..., J) in the robot's units."""
        return np.asarray(values, dtype=np.float64) * self.scale + self.offset

    def speeds(self, values: npt.ArrayLike) -> Float64Array:
        """Return velocities (..., J) in the robot's units."""
        return np.asarray(values, dtype=np.float64) * self.scale

    def check(self, low: Float64Array, high: Float64Array, where: str) -> list[str]:
        """Hold the least and greatest positions (J,), as the file has them, against the robot.

        Returns: what is odd, in one line each.

        Raises:
            UserError: no motion of the robot reaches them in these units.
        """
        odd = self.check_grippers(low, high, where)
        if self.units == 'degrees' and max(abs(low).max(), abs(high).max()) < LEAST_DEGREES:
            least, most = low.min(), high.max()
            odd.append(f'{where}: goes from {least:.3g} to {most:.3g} only, taken as degrees')
        if self.units == 'rad':
            return odd
        bounds = self._reachable()
        ours = np.sort(np.stack([self.positions(low), self.positions(high)]), axis=0)
        beyond = np.flatnonzero((ours[0] < bounds[0]) | (ours[1] > bounds[1]))
        if not len(beyond):
            return odd
        first = beyond[0]
        name = self.robot.joints.names[first]
        limits = self.robot.joints.limits.position[first]
        more = f' (and {len(beyond) - 1} more joints)' if len(beyond) > 1 else ''
        known = '' if self.robot.name == PLACEHOLDER else _limits_said(self.robot, limits)
        raise UserError(
            f"{where}: joint '{name}' goes from {low[first]:.5g} to {high[first]:.5g}{more}"
            f'{self._said()}{known}; expected rad or m, or --units degrees, --units normalized '
            '(-100 to 100, grippers 0 to 100), or --units rad to take the numbers as they are'
            f'{self._zero_to_one_said(first, ours)}'
        )

    def check_grippers(self, low: Float64Array, high: Float64Array, where: str) -> list[str]:
        """As `check`, of grippers that are said to count from 0 to 1 only."""
        if self.units in CONVERTED:
            return []
        odd = []
        for index in np.flatnonzero((self.scale != 1) | (self.offset != 0)):
            found = f'{low[index]:.5g} to {high[index]:.5g}'
            goes = f"{where}: joint '{self.robot.joints.names[index]}' goes from {found}"
            if low[index] < FAR_FROM_ZERO_TO_ONE[0] or high[index] > FAR_FROM_ZERO_TO_ONE[1]:
                raise UserError(f'{goes}, expected 0 (closed) to 1 (open) with --grippers')
            closed, opened = self.offset[index], self.offset[index] + self.scale[index]
            slack = 0.1 * abs(opened - closed)
            inside = min(closed, opened) - slack <= low[index]
            inside &= high[index] <= max(closed, opened) + slack
            if inside and abs(opened - closed) < LITTLE_TRAVEL and high[index] != 0:
                odd.append(
                    f'{goes}, within {closed:.5g} to {opened:.5g} already, but is taken as 0 '
                    '(closed) to 1 (open), as --grippers says'
                )
        return odd

    def _reachable(self) -> Float64Array:
        """Least and greatest positions that data of this robot can have, (2, J)."""
        limits = self.robot.joints.limits.position_array().T
        if self.robot.name == PLACEHOLDER:
            return np.broadcast_to([[-MOST_TURNS_RAD], [MOST_TURNS_RAD]], limits.shape)
        span = limits[1] - limits[0]
        return np.stack([limits[0] - span, limits[1] + span])

    def _zero_to_one_said(self, joint: int, ours: Float64Array) -> str:
        name = self.robot.joints.names[joint]
        if self.units or not name.endswith(GRIPPER) or ours[0, joint] < -1 or ours[1, joint] > 2:
            return ''
        return ', or --grippers CLOSED OPEN where it counts from 0 to 1'

    def _said(self) -> str:
        return f', taken as {self.units}' if self.units else ''


def unit_conversion(
    robot: RobotSpec, units: Units | None, grippers: tuple[float, float] | None = None
) -> UnitConversion:
    """Return how numbers of a file become the robot's.

    Args:
        robot: whose joints they are, in its order.
        units: of the file. `degrees`: of the joints but grippers, about the same zero.
            `normalized`: from -100 to 100 of a joint's range, which is taken to be that of its
            limits. With either, grippers count from 0 (closed) to 100 (open), and velocities of
            a base are in m/s and degrees per second.
        grippers: the positions that closed and open stand for; default: those of the robot spec,
            else its limits. Without `units` a gripper counts from 0 to 1.

    Raises:
        UserError: there is no robot, or no gripper, to convert for, or closed is open.
    """
    if grippers is not None and grippers[0] == grippers[1]:
        raise UserError(
            f'--grippers is {grippers[0]:g} for closed and for open, expected two positions'
        )
    names = robot.joints.names
    scale, offset = np.ones(len(names)), np.zeros(len(names))
    converted = units in CONVERTED
    if converted and robot.name == PLACEHOLDER:
        raise UserError(f'--units {units}: expected --robot, whose limits say what they stand for')
    hands = [name.endswith(GRIPPER) or name in robot.joints.grippers for name in names]
    if grippers is not None and not any(hands):
        raise UserError(
            f"robot '{robot.name}' has no joint named *{GRIPPER}, expected one with --grippers"
        )
    for index, name in enumerate(names):
        low, high = robot.joints.limits.position[index]
        if hands[index] and (grippers is not None or converted):
            spec = robot.joints.grippers.get(name)
            ends = (spec.closed, spec.open) if spec else (low, high)
            theirs = GRIPPER_ENDS if converted else (0.0, 1.0)
            scale[index], offset[index] = _line(theirs, grippers or ends)
        elif robot.joints.unit_of(name):
            scale[index] = _of_velocity(robot.joints.unit_of(name), units)
        elif units == 'degrees':
            scale[index] = math.pi / 180
        elif units == 'normalized':
            scale[index], offset[index] = _line(ARM_ENDS, (low, high))
    return UnitConversion(robot, units, scale, offset)


def _of_velocity(unit: str, units: Units | None) -> float:
    """Ours in one of theirs: LeRobot's bases drive in m/s and turn in degrees per second."""
    return math.pi / 180 if unit == 'rad/s' and units in CONVERTED else 1.0


def _line(theirs: tuple[float, float], ours: tuple[float, float]) -> tuple[float, float]:
    scale = (ours[1] - ours[0]) / (theirs[1] - theirs[0])
    return scale, ours[0] - scale * theirs[0]


def _limits_said(robot: RobotSpec, limits: tuple[float, float]) -> str:
    return f", its limits in robot '{robot.name}' are {limits[0]:.3g} to {limits[1]:.3g}"
