# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A model of ros2_control's joint_trajectory_controller, as its documentation and parameters say.

What it refuses, when it replaces one trajectory by the next, and what lies between two points: a
cubic where both have a velocity, else a straight line. It commands positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

RESTS = float(np.finfo(np.float32).eps)  # a last velocity up to that is none


@dataclass(frozen=True)
class Waypoints:
    """A trajectory of n points: `after_ns` (n,), `positions` and `velocities` (n, J).

    A `stamp_ns` of 0 means from its reception on.
    """

    stamp_ns: int
    after_ns: Int64Array
    positions: Float64Array
    velocities: Float64Array | None = None

    @classmethod
    def of(cls, message: Any) -> Waypoints:
        """Those of a trajectory_msgs/JointTrajectory."""
        stamp, points = message.header.stamp, message.points
        after = [p.time_from_start.sec * 10**9 + p.time_from_start.nanosec for p in points]
        velocities = np.array([p.velocities for p in points])
        return cls(
            stamp.sec * 10**9 + stamp.nanosec,
            np.array(after, dtype=np.int64),
            np.array([p.positions for p in points]),
            velocities if velocities.size else None,
        )


class TrajectoryController:
    """J joints at `rate_hz`; call `receive` when a message comes, `update` in every cycle.

    `from_desired` is the parameter interpolate_from_desired_state: a new trajectory goes on from
    the last command, else (the controller's default) from where the arm is measured.
    """

    def __init__(
        self, position: Float64Array, rate_hz: float = 1000.0, *, from_desired: bool = True
    ) -> None:
        self.period_ns = round(1e9 / rate_hz)
        self.rejected: list[str] = []
        self._from_desired = from_desired
        self._joints = len(position)
        self._command = (position.copy(), np.zeros(self._joints))
        self._commanded_ns = 0
        self._new: Waypoints | None = None
        self._points: Waypoints | None = None
        self._start_ns = 0
        self._before = (0, *self._command)

    def receive(self, points: Waypoints, now_ns: int) -> None:
        """Take a message at its reception, or refuse it."""
        problem = self._problem(points, now_ns)
        if problem:
            self.rejected.append(problem)
        else:
            self._new = points

    def update(
        self, now_ns: int, measured: Float64Array, measured_velocity: Float64Array
    ) -> Float64Array:
        """The command (J,) of one cycle: where the arm is to be a cycle later."""
        if self._new is not None:
            points, self._new = self._new, None
            self._points, self._start_ns = points, points.stamp_ns or now_ns
            self._before = (now_ns, measured.copy(), measured_velocity.copy())
            if self._from_desired:
                self._before = (self._commanded_ns or now_ns, *self._command)
        if self._points is not None:
            self._command = self._sample(self._points, now_ns + self.period_ns)
        self._commanded_ns = now_ns
        return self._command[0]

    def _problem(self, points: Waypoints, now_ns: int) -> str:
        shape = (len(points.after_ns), self._joints)
        velocities = points.velocities
        if not len(points.after_ns):
            return 'empty'
        if points.positions.shape != shape:
            return 'not all joints'
        if velocities is not None and velocities.shape != shape:
            return 'velocities of another width'
        if velocities is not None and (np.abs(velocities[-1]) > RESTS).any():
            return 'the last velocity is not zero'
        if (np.diff(points.after_ns) <= 0).any() or points.after_ns[0] < 0:
            return 'times do not increase'
        if points.stamp_ns and points.stamp_ns + points.after_ns[-1] < now_ns:
            return 'ends in the past'
        return ''

    def _sample(self, points: Waypoints, time_ns: int) -> tuple[Float64Array, Float64Array]:
        times = self._start_ns + points.after_ns
        after = int(np.searchsorted(times, time_ns, side='right'))
        velocities = points.velocities
        if after == len(times):
            return points.positions[-1], np.zeros(self._joints)
        end = points.positions[after], None if velocities is None else velocities[after]
        if after:
            begin_ns, position = times[after - 1], points.positions[after - 1]
            begin = position, None if velocities is None else velocities[after - 1]
        else:
            begin_ns, begin = self._before[0], self._before[1:]
        return between(begin, end, (time_ns - begin_ns) * 1e-9, (times[after] - begin_ns) * 1e-9)


def between(begin: Any, end: Any, since: float, span: float) -> tuple[Float64Array, Float64Array]:
    """Position and velocity (J,) `since` seconds after the begin of a way that takes `span`."""
    (position, speed), (end_position, end_speed) = begin, end
    mean = (end_position - position) / span
    if end_speed is None or speed is None:
        return position + mean * since, mean
    share = min(max(since / span, 0.0), 1.0)
    square = 3 * mean - 2 * speed - end_speed
    cube = speed + end_speed - 2 * mean
    at = position + span * share * (speed + share * (square + share * cube))
    return at, speed + share * (2 * square + 3 * share * cube)
