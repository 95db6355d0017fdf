# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A plan as a trajectory of future commands, for controllers that take whole trajectories.

Rule: a new trajectory goes on from a point of the one before that is still to come, so what a
controller plays one after the other keeps every limit, and each one ends at rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from motion_policy.control.action_buffer import ActionBuffer, Int64Array
from motion_policy.control.grippers import Grippers
from motion_policy.control.guard import GuardChain, GuardResult
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot import RobotSpec

STILL = 1e-9  # rad or m per step: at rest
STILL_STEPS = 3  # so many of them, for where a motion turns round it is still for one
AFTER_TICKS = 0.25  # of a period: ticks that are hardly late find the next point this far ahead
# A controller that finds points on both sides of its present time plays what is between them. To
# a first point that is yet to come it would go from where the arm is measured, which lags behind.
BACK_PERIODS = 1.5
REST_PERIODS = 2  # so long has the arm rested when it sets out
MAX_POINTS = 20_000  # a plan that takes longer is braked there
END_STEPS = 2  # of rounding and of standing still, beyond those of braking
PAUSE_STEPS = 4  # after so many points others may do something


@dataclass(frozen=True)
class Plan:
    """What the controller follows: targets by time, and the share of the speed limits.

    `buffer` is in plan time, which was `plan_ns` at `at_ns` and goes on `pace` times as fast.
    """

    number: int
    buffer: ActionBuffer
    speed: float = 1.0
    at_ns: int = 0
    plan_ns: int = 0
    pace: float = 1.0

    def plan_time_ns(self, time_ns: int) -> int:
        """The plan's time at a time."""
        return self.plan_ns + round(self.pace * (time_ns - self.at_ns))

    def target(self, time_ns: int) -> Float64Array | None:
        """Where to be (J,) at a time; None without a plan."""
        return self.buffer.target(self.plan_time_ns(time_ns))

    @property
    def covers_until_ns(self) -> int:
        """When the last row is reached; 0 where it never is, or is already."""
        until_ns = self.buffer.covers_until_ns
        if until_ns is None or self.pace <= 0:
            return 0
        return self.at_ns + round((until_ns - self.plan_ns) / self.pace)


@dataclass(frozen=True)
class Point:
    """A position (J,), the velocity (J,) that led to it, velocity and acceleration (2, J) there if
    the motion is smoothed, and where the grippers (G,) are sent.
    """

    position: Float64Array
    velocity: Float64Array
    smoothed: Float64Array | None
    grippers: Float64Array

    def at_rest(self) -> Point:
        """Return it without motion."""
        return replace(self, velocity=np.zeros(len(self.position)), smoothed=None)


@dataclass(frozen=True)
class Trajectory:
    """Points that are `period_ns` apart, the first of them at `start_ns`.

    `brakes_ns` is when it leaves a plan of which it holds a part only, else None.
    """

    start_ns: int
    period_ns: int
    points: tuple[Point, ...]
    brakes_ns: int | None = None

    @property
    def end_ns(self) -> int:
        """When its last position is reached."""
        return self.start_ns + (len(self.points) - 1) * self.period_ns

    @property
    def positions(self) -> Float64Array:
        """All positions (n, J)."""
        return np.array([point.position for point in self.points])

    def point(self, index: int) -> Point:
        """Return one point; beyond the last it stays there."""
        return self.points[index] if index < len(self.points) else self.points[-1].at_rest()

    @property
    def velocities(self) -> Float64Array:
        """The speed at each point (n, J): between that of the step before and after; 0 at last."""
        led = np.array([point.velocity for point in self.points])
        leads = np.concatenate((led[1:], np.zeros((1, led.shape[1]))))
        middle: Float64Array = (led + leads) / 2
        middle[-1] = 0.0
        return middle

    def position_at(self, now_ns: int) -> Float64Array:
        """Where it is (J,) at a time: straight on between the points, at rest beyond them."""
        steps = (now_ns - self.start_ns) / self.period_ns
        before = min(max(int(steps), 0), len(self.points) - 1)
        share = min(max(steps - before, 0.0), 1.0)
        begin, end = self.points[before].position, self.point(before + 1).position
        return begin + share * (end - begin)

    def points_after(self, now_ns: int) -> tuple[Int64Array, Float64Array, Float64Array]:
        """Return what comes after a time: times in ns (m,), positions and velocities (m, J)."""
        times = self.start_ns + self.period_ns * np.arange(len(self.points), dtype=np.int64)
        ahead = times > now_ns
        return times[ahead], self.positions[ahead], self.velocities[ahead]


class Lookahead:
    """Computes trajectories, and knows the one that was `sent` last.

    Every point of a plan passes `guard`, which nobody else uses; braking needs its limits only,
    and may be asked for in another thread.
    """

    def __init__(self, robot: RobotSpec, guard: GuardChain) -> None:
        self.sent: Trajectory | None = None
        self._period_ns = robot.period_ns
        self._guard = guard
        self._brake = copy.deepcopy(guard.limiter)
        self._grippers = Grippers(robot)

    def rest(self, now_ns: int, position: Float64Array) -> None:
        """Take the arm for resting at `position` (J,); `now_ns` is the time of a tick.

        Points come a little later than ticks, which can then brake from the next one very soon.
        """
        self._grippers.start(position)
        still = np.zeros(len(position))
        point = Point(position.copy(), still, None, self._grippers.targets)
        start_ns = now_ns + round(AFTER_TICKS * self._period_ns) - REST_PERIODS * self._period_ns
        self.sent = Trajectory(start_ns, self._period_ns, (point,))

    def back_ns(self, now_ns: int) -> int:
        """The time after which points are sent, so that those around `now_ns` are among them.

        That of a controller whose clock is half a period behind as well.
        """
        return now_ns - round(BACK_PERIODS * self._period_ns)

    def shift(self, by_ns: int) -> None:
        """Take part in a jump of the clock, in which the arm did not move."""
        if self.sent is not None:
            sent, brakes_ns = self.sent, self.sent.brakes_ns
            self.sent = replace(
                sent,
                start_ns=sent.start_ns + by_ns,
                brakes_ns=None if brakes_ns is None else brakes_ns + by_ns,
            )

    def take(self, new: Trajectory, now_ns: int) -> Trajectory:
        """Return what to send: the old trajectory from around now until the `new` one begins, and
        that. It is the one `sent` from now on.
        """
        old = self._known()
        last = (new.start_ns - old.start_ns) // old.period_ns
        since_ns = self.back_ns(now_ns)
        first = min(max(0, (since_ns - old.start_ns) // old.period_ns), last)
        left = tuple(old.point(index) for index in range(first, last))
        start_ns = old.start_ns + first * old.period_ns
        self.sent = Trajectory(start_ns, old.period_ns, left + new.points, new.brakes_ns)
        return self.sent

    def braked(self, now_ns: int) -> Trajectory:
        """Brake with the whole acceleration from the next point on, then stay.

        A point that is over is no place to begin at: the arm has left it, and would have to brake
        harder than it may.
        """
        start_ns, begin = self._begin(now_ns)
        limiter = self._brake
        limiter.resume(begin.position, begin.velocity)
        points = [begin]
        while len(points) < 2 or not limiter.at_rest:
            motion = limiter.stop(self._period_ns)
            braked = replace(begin.at_rest(), position=motion.position, velocity=motion.velocity)
            points.append(braked)
        return Trajectory(start_ns, self._period_ns, tuple(points))

    def planned(
        self, plan: Plan, from_ns: int, pause: Callable[[], None], end_ns: int | None = None
    ) -> Trajectory:
        """Follow the plan from the next point after `from_ns` to its end, and stay there.

        `pause` is called now and then: this takes long. A stage that stops the arm ends it there.
        With `end_ns` it brakes early enough to rest by then; where it cannot, at once.
        """
        start_ns, begin = self._begin(from_ns)
        guard = self._guard
        self._resume(begin)
        guard.expect(self._target(plan, start_ns))
        points = [begin]
        time_ns, still, stopped, brakes_ns = start_ns, 0, False, None
        until_ns = plan.covers_until_ns
        while still < STILL_STEPS and not stopped and len(points) < MAX_POINTS:
            time_ns += self._period_ns
            result = guard.apply(self._target(plan, time_ns), None, self._period_ns, plan.speed)
            if end_ns is not None and time_ns + self._to_rest_ns() > end_ns:
                brakes_ns = time_ns - self._period_ns
                self._resume(points[-1])
                break
            moved = np.abs(result.position - points[-1].position).max() > STILL
            still = 0 if moved or time_ns <= until_ns else still + 1
            stopped = bool(result.stopped_by)
            points.append(self._point(result))
            if len(points) % PAUSE_STEPS == 0:
                pause()
        while not guard.limiter.at_rest or len(points) < 2:
            points.append(self._point(guard.stop(self._period_ns)))
        return Trajectory(start_ns, self._period_ns, tuple(points), brakes_ns)

    def _resume(self, point: Point) -> None:
        """Let guard and grippers go on from a point that they led to before."""
        self._grippers.targets = point.grippers
        self._guard.resume(point.position, point.velocity, point.smoothed)

    def _to_rest_ns(self) -> int:
        """How long the arm takes to rest after the last step, and to say so."""
        braking = len(self._guard.limiter.braking_positions(self._period_ns))
        return (braking + END_STEPS) * self._period_ns

    def _point(self, result: GuardResult) -> Point:
        return Point(
            result.position, result.velocity, self._guard.smoothed, self._grippers.targets
        )

    def _target(self, plan: Plan, time_ns: int) -> Float64Array:
        limiter = self._guard.limiter
        target = plan.target(time_ns)
        if target is None:
            return limiter.position
        return self._grippers.decide(target, limiter.lower, limiter.upper)

    def _begin(self, from_ns: int) -> tuple[int, Point]:
        """Return the next point of what was sent, where it rests when that is over; its time."""
        sent = self._known()
        index = max(0, -((sent.start_ns - from_ns) // sent.period_ns))
        return sent.start_ns + index * sent.period_ns, sent.point(index)

    def _known(self) -> Trajectory:
        if self.sent is None:
            raise RuntimeError('the lookahead does not know where the arm rests')
        return self.sent
