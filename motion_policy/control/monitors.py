# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Monitors of the moving arm: tracking error and joint effort.

What they find is a doubt about where the arm is or what it touches: it ends in `disabled`.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams.joints import Int64Array

# An arm that is on its way is where one of the commands of the last so many seconds led.
LAG_S = 0.3
# Of motion at full speed: how far from those commands a joint may be, unless the spec says.
TOLERANCE_S = 0.15
# Of its limit: how far from those commands a velocity of a base may be. Less is slip, what a
# driver leaves away near zero, or its own limit of acceleration. Beyond that the base stands where
# it is sent to drive, and would set out at full speed when it is let go, or rolls by itself.
TOLERANCE_SHARE = 0.5


class TrackingMonitor:
    """Compares the measured position with the commands of the `LAG_S` seconds before it.

    The tracking error of a joint is its distance from the range of those commands and of those
    since, so that an arm which only lags behind, or is seldom measured, has none. Its
    greatest allowed value is the robot spec's `tracking_error`, by default `TOLERANCE_S` at the
    velocity limit, of velocities of a base `TOLERANCE_SHARE` of their limit; grippers that are
    open or closed may hold an object, and are watched only where the spec says how far.

    Attributes:
        tolerance: greatest allowed tracking error (J,) [rad or m]; infinite: not watched.
        greatest: greatest tracking error (J,) [rad or m] since `start`.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._names = robot.joints.names
        self._velocities = robot.joints.are_velocities
        self.tolerance = _tolerances(robot)
        ahead = any(topic.send == 'chunk' for topic in robot.joints.command)
        self._per_s = robot.rate * (2 if ahead else 1)
        oldest_s = max(topic.max_age for _, topic in robot.joint_streams('state'))
        self._kept = self._window(oldest_s)
        # Each command twice, so that the last of them always lie one after the other.
        self._commands = np.zeros((len(self._names), 2 * self._kept))
        self._next = 0
        self.greatest: Float64Array = np.zeros(len(self._names))

    def __str__(self) -> str:
        return ', '.join(
            f'{name} {limit:.3g}' if np.isfinite(limit) else f'{name} none'
            for name, limit in zip(self._names, self.tolerance, strict=True)
        )

    def start(self, position: Float64Array) -> None:
        """Begin with an arm that rests at its command `position` (J,)."""
        self._commands[:] = position[:, None]
        self.greatest = np.zeros(len(position))

    def sent(self, position: Float64Array) -> None:
        """Take a command (J,), or where a trajectory that was sent is by now."""
        self._commands[:, self._next] = self._commands[:, self._next + self._kept] = position
        self._next = (self._next + 1) % self._kept

    def check(self, measured: Float64Array, age_ns: int | Int64Array = 0) -> str:
        """What is wrong with where the arm was measured (J,) so long ago; '' if nothing is.

        `age_ns` is (J,) where joints are measured apart.
        """
        ages_s = np.broadcast_to(age_ns, measured.shape) / NANOSECONDS_PER_S
        low, high = self._range(ages_s)
        error = np.maximum(np.maximum(low - measured, measured - high), 0.0)
        self.greatest = np.maximum(self.greatest, error)
        excess = error - self.tolerance
        joint = int(excess.argmax())
        if excess[joint] <= 0:
            return ''
        is_at = 'moves' if self._velocities[joint] else 'stands'
        return (
            f"tracking error: joint '{self._names[joint]}' {is_at} at {measured[joint]:.3f}, "
            f'{error[joint]:.3f} from its commands [{low[joint]:.3f}, {high[joint]:.3f}] of the '
            f'last {LAG_S + ages_s[joint]:.2g} s, limit {self.tolerance[joint]:.3f}'
        )

    def _range(self, ages_s: Float64Array) -> tuple[Float64Array, Float64Array]:
        """The least and the greatest command (J,) that each joint may have been on its way to."""
        end = self._next + self._kept
        windows = [min(self._window(age_s), self._kept) for age_s in ages_s.tolist()]
        low, high = np.empty(len(windows)), np.empty(len(windows))
        for window in set(windows):
            commands = self._commands[:, end - window : end]
            joints = np.equal(windows, window)
            np.copyto(low, commands.min(axis=1), where=joints)
            np.copyto(high, commands.max(axis=1), where=joints)
        return low, high

    def _window(self, age_s: float) -> int:
        """How many commands an arm that was measured so long ago may have been on its way to."""
        return max(2, round((LAG_S + max(age_s, 0.0)) * self._per_s) + 1)


class EffortMonitor:
    """Compares measured efforts with the robot spec's `effort_limits`.

    `limit` [N m or N] holds for every joint, beside those; None: only those.

    Attributes:
        watches: whether any joint's effort is limited.
    """

    def __init__(self, robot: RobotSpec, limit: float | None = None) -> None:
        self._names = robot.joints.names
        values = np.array(robot.effort_limits or np.zeros(len(self._names)))
        self._limits = np.where(values > 0, values, np.inf)
        if limit:
            self._limits = np.minimum(self._limits, limit)
        self._limits[robot.joints.are_velocities] = np.inf  # nobody measures the effort of a base
        self.watches = bool(np.isfinite(self._limits).any())

    def check(self, effort: Float64Array | None) -> str:
        """What is wrong with the measured efforts (J,), NaN: not reported; '' if nothing is."""
        if not self.watches:
            return ''
        if effort is None:
            return 'effort: the joint state reports none, expected one for every joint'
        # NaN is beyond every limit, too.
        beyond = ~(np.abs(effort) <= self._limits) & np.isfinite(self._limits)
        if not beyond.any():
            return ''
        joint = int(beyond.argmax())
        if np.isnan(effort[joint]):
            return (
                f"effort: the joint state reports none of joint '{self._names[joint]}', which has "
                'a limit'
            )
        return (
            f"effort: joint '{self._names[joint]}' has {effort[joint]:.2f}, "
            f'limit {self._limits[joint]:g}'
        )


def _tolerances(robot: RobotSpec) -> Float64Array:
    if robot.tracking_error is not None:
        values = np.array(robot.tracking_error)
        return np.where(values > 0, values, np.inf)
    grippers = np.array([name in robot.joints.grippers for name in robot.joints.names])
    limits = robot.joints.limits
    default = np.where(
        robot.joints.are_velocities,
        TOLERANCE_SHARE * np.abs(limits.position_array()).max(axis=1),
        TOLERANCE_S * limits.velocity_array(),
    )
    return np.where(grippers, np.inf, default)


def checked_home(robot: RobotSpec) -> Float64Array:
    """Where `~/home` drives to (J,); UserError where the spec does not say."""
    if robot.home is None:
        raise UserError(
            f"the spec of '{robot.name}' has no home, expected home: [...] with one position "
            'for each joint'
        )
    return np.array(robot.home, dtype=np.float64)
