# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Joints that follow what they are told, as those of a position-controlled arm do: a little late.

The arm can do a little more than its spec lets anybody ask of it; what it was asked is judged
elsewhere. A base follows velocities, and stops by itself when none come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from motion_policy.robot import RobotSpec

Float64Array = npt.NDArray[np.float64]

LAG_S = 0.03
# Beyond the spec's limits: how fast it can be, how soon it is at full speed, how far it can go.
FASTER = 1.2
FULL_SPEED_AFTER_S = 0.1
BRAKING = 0.6  # of its acceleration that it counts on to stop at its target
BEYOND = 0.05  # of the range, where its stops are
LONGEST_STEP_S = 0.004
LONGEST_TIME_S = 0.5  # that is made up for
BASE_TIMEOUT_NS = 500_000_000  # a base that is told nothing for so long stands
STIFFNESS = 10.0  # N m/rad or N/m: the effort of a joint that is away from its target


class StandInArm:
    """J joints; call `command` when one comes and `step` before they are looked at.

    Attributes:
        position, velocity, target: (J,), rad or m, per second.
        blocked: joints, by their places, that do not move whatever they are told.
        obeys: whether it heeds commands at all.
    """

    def __init__(
        self, robot: RobotSpec, position: Float64Array | None = None, *, lags: bool = True
    ) -> None:
        limits = robot.joints.limits
        low, high = limits.position_array().T
        self._velocities = robot.joints.are_velocities
        if position is None:
            middle = np.where(self._velocities, 0.0, (low + high) / 2)
            position = np.array(robot.home) if robot.home else middle
        self.position: Float64Array = np.array(position, dtype=np.float64)
        self.velocity: Float64Array = np.zeros(len(self.position))
        self.target: Float64Array = self.position.copy()
        self.blocked: set[int] = set()
        self.obeys = True
        self._lags = lags
        self._low, self._high = low - BEYOND * (high - low), high + BEYOND * (high - low)
        self._fastest = FASTER * limits.velocity_array()
        self._acceleration = np.maximum(
            2 * limits.acceleration_array(), self._fastest / FULL_SPEED_AFTER_S
        )
        self._time_ns: int | None = None
        self._told = False  # velocities, since the last step
        self._told_ns = 0

    @property
    def effort(self) -> Float64Array:
        """What its motors do, (J,) N m or N: a spring to the target."""
        return STIFFNESS * (self.target - self.position)

    def command(self, values: npt.ArrayLike, columns: Sequence[int] | None = None) -> None:
        """Send the joints of these places, or all, to finite `values`."""
        if not self.obeys:
            return
        places = range(len(self.position)) if columns is None else columns
        self.target[list(places)] = values
        self._told = self._told or bool(self._velocities[list(places)].any())
        if not self._lags:
            free = [place for place in places if place not in self.blocked]
            position = self.position.copy()
            position[free] = self.target[free]
            self.position = position

    def place(self, position: Float64Array) -> None:
        """Let it stand somewhere else."""
        self.position = np.array(position, dtype=np.float64)
        self.target = self.position.copy()
        self.velocity = np.zeros(len(self.position))

    def step(self, now_ns: int) -> None:
        """Move until `now_ns`."""
        last_ns, self._time_ns = self._time_ns, now_ns
        self._stop_untold(now_ns)
        if not self._lags or last_ns is None or now_ns <= last_ns:
            return
        left_s = min((now_ns - last_ns) * 1e-9, LONGEST_TIME_S)
        count = int(np.ceil(left_s / LONGEST_STEP_S))
        for _ in range(count):
            self._advance(left_s / count)

    def _stop_untold(self, now_ns: int) -> None:
        if self._told:
            self._told, self._told_ns = False, now_ns
        elif now_ns - self._told_ns > BASE_TIMEOUT_NS and self._velocities.any():
            self.target[self._velocities] = 0.0
            if not self._lags:
                self.position = np.where(self._velocities, 0.0, self.position)

    def _advance(self, dt: float) -> None:
        gap = self.target - self.position
        room = np.abs(gap)
        wanted = np.minimum(room / LAG_S, np.sqrt(2 * BRAKING * self._acceleration * room))
        wanted = np.sign(gap) * np.minimum(wanted, self._fastest)
        most = self._acceleration * dt
        velocity = self.velocity + np.clip(wanted - self.velocity, -most, most)
        velocity[list(self.blocked)] = 0.0
        position = np.clip(self.position + velocity * dt, self._low, self._high)
        stuck = [joint for joint in self.blocked if self._velocities[joint]]
        position[stuck] = 0.0
        self.velocity = (position - self.position) / dt
        self.position = position
