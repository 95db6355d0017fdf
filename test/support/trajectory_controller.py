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

from motion_policy.robot import RobotSpec

RESTS = float(np.finfo(np.float32).eps)  # a last velocity up to that is none


@dataclass(frozen=True)
class Points:
    """A trajectory: `stamp_ns` 0 means from its reception on; n points of J joints."""

    stamp_ns: int
    after_ns: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray | None = None

    @classmethod
    def of(cls, message: Any) -> Points:
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
        self, position: np.ndarray, rate_hz: float = 1000.0, *, from_desired: bool = True
    ) -> None:
        self.period_ns = round(1e9 / rate_hz)
        self.rejected: list[str] = []
        self._from_desired = from_desired
        self._joints = len(position)
        self._command = (position.copy(), np.zeros(self._joints))
        self._commanded_ns = 0
        self._new: Points | None = None
        self._points: Points | None = None
        self._start_ns = 0
        self._before = (0, *self._command)

    def receive(self, points: Points, now_ns: int) -> None:
        """Take a message at its reception, or refuse it."""
        problem = self._problem(points, now_ns)
        if problem:
            self.rejected.append(problem)
        else:
            self._new = points

    def update(
        self, now_ns: int, measured: np.ndarray, measured_velocity: np.ndarray
    ) -> np.ndarray:
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

    def _problem(self, points: Points, now_ns: int) -> str:
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

    def _sample(self, points: Points, time_ns: int) -> tuple[np.ndarray, np.ndarray]:
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
            begin_ns, *begin = self._before
        return between(begin, end, (time_ns - begin_ns) * 1e-9, (times[after] - begin_ns) * 1e-9)


def between(begin: Any, end: Any, since: float, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity `since` seconds after the begin of a way that takes `span`."""
    (position, speed), (end_position, end_speed) = begin, end
    mean = (end_position - position) / span
    if end_speed is None or speed is None:
        return position + mean * since, mean
    share = min(max(since / span, 0.0), 1.0)
    square = 3 * mean - 2 * speed - end_speed
    cube = speed + end_speed - 2 * mean
    at = position + span * share * (speed + share * (square + share * cube))
    return at, speed + share * (2 * square + 3 * share * cube)


def play(
    controller: TrajectoryController,
    sent: list[tuple[int, Points]],
    measured: np.ndarray,
    *,
    delay_ns: int = 1_000_000,
    skew_ns: int = 0,
    lag_s: float = 0.03,
) -> np.ndarray:
    """Commands (n, J) of the cycles in which messages come, `delay_ns` after each was sent.

    The controller's clock is `skew_ns` ahead; the arm follows with a first-order lag, measured as
    it is, until a second after the last message.
    """
    period_s = controller.period_ns * 1e-9
    begin_ns, end_ns = sent[0][0], sent[-1][0] + 1_000_000_000
    waiting, speed, commands = list(sent), np.zeros(len(measured)), []
    for now_ns in range(begin_ns, end_ns, controller.period_ns):
        while waiting and waiting[0][0] + delay_ns <= now_ns:
            controller.receive(waiting.pop(0)[1], now_ns + skew_ns)
        commands.append(controller.update(now_ns + skew_ns, measured, speed))
        speed = (commands[-1] - measured) * min(1.0, period_s / lag_s) / period_s
        measured = measured + speed * period_s
    return np.array(commands)


def assert_played_safely(
    robot: RobotSpec,
    sent: list[tuple[int, Points]],
    *,
    rate_hz: float = 1000.0,
    from_desired: bool = True,
    **how: Any,
) -> None:
    """Nothing sent is refused, and what the controller makes of it keeps the limits.

    Between two points of the cubic the speed may exceed its limit by a quarter of what the
    acceleration limit adds in one period. A message that comes on the way to the point from which
    the new plan goes on changes the velocity there, and so the cubic under way: in that cycle the
    command goes so much further.
    """
    start = sent[0][1].positions[0]
    controller = TrajectoryController(start, rate_hz, from_desired=from_desired)
    commands = play(controller, sent, start, **how)
    assert controller.rejected == []
    limits, period_s = robot.joints.limits, robot.period_ns * 1e-9
    low, high = limits.position_array().T
    added = limits.acceleration_array() * period_s
    speed = np.abs(np.diff(commands, axis=0, prepend=start[None])) * 1e9 / controller.period_ns
    excess = speed - limits.velocity_array() - added / 4
    assert (excess > 1e-6).any(axis=1).sum() < len(sent)
    # Two plans part at a point by twice the acceleration limit at most, so their velocities there
    # by `added`; a cubic differs by 4/27 of that at most, when it comes at two thirds of the way.
    # An arm that goes at its full speed cannot gain any: half of that. A slower one is slower.
    turned = 4 / 27 * added * robot.period_ns / controller.period_ns
    assert (excess <= np.maximum(turned / 2, turned - added) + 1e-9).all(), excess.max()
    overshoot = added * period_s / 8
    assert (commands >= low - overshoot).all() and (commands <= high + overshoot).all()
