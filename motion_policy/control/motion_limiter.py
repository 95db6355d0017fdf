# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Follows a target within position, velocity and acceleration limits, from what was sent last.

The one rule: every position it returns can be left again at rest inside the limits. It therefore
brakes in time for a position limit, and for its target, which it reaches without swinging.

A joint that is a velocity itself (of a base) is limited alike: its position is that velocity, its
velocity an acceleration. But it comes to rest at zero only.

Time is that between two commands. While a command is late the arm gets nothing to follow, so a
late step is never longer than one at full speed that is on time, and speeds up no more than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.robot import LimitsSpec

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Speed = float | Float64Array  # share of the velocity limits, of all joints or of each (J,)

# Differences of rounded positions, divided by a small dt twice, must stay below the limits too.
ROUNDING_MARGIN = 1e-6
BASE_STANDS_NS = 500_000_000  # without a command: what drivers of bases have as their timeout
STANDS = 1e-9  # m/s or rad/s: a base that is sent so little is sent 0


def within(values: Float64Array, lower: Float64Array, upper: Float64Array) -> Float64Array:
    """`numpy.clip` of values (..., J) to limits (J,), without the calls around it.

    These cost a control tick more than the work.
    """
    inside: Float64Array = np.minimum(np.maximum(values, lower), upper)
    return inside


@dataclass(frozen=True)
class Motion:
    """One limited step: where to, and which joints (J,) wanted more than a limit allows."""

    position: Float64Array
    velocity: Float64Array
    over_velocity: BoolArray
    over_acceleration: BoolArray


class MotionLimiter:
    """Trapezoidal follower of a moving target for J joints; `dt_ns` may differ between steps.

    It stays `margin` [rad or m] inside the position limits. A joint that begins outside of them
    may stay there, and leave it on one side only. UserError for a margin without room between.
    A step of more than `period_ns` is late; None: none is. `are_velocities` (J,) are joints that
    stand at zero only; they have no margin. None: none is.
    """

    def __init__(
        self,
        limits: LimitsSpec,
        margin: float = 0.0,
        period_ns: int | None = None,
        are_velocities: BoolArray | None = None,
    ) -> None:
        position = limits.position_array()
        if are_velocities is None:
            are_velocities = np.zeros(len(position), dtype=np.bool_)
        self.are_velocities = are_velocities
        self._any_velocities = bool(are_velocities.any())
        self._period_s = np.inf if period_ns is None else period_ns * 1e-9
        margins = np.where(are_velocities, 0.0, margin)
        self._soft_lower, self._soft_upper = position[:, 0] + margins, position[:, 1] - margins
        if not (margin >= 0 and (self._soft_lower < self._soft_upper).all()):
            room = float((position[:, 1] - position[:, 0]).min()) / 2
            raise UserError(f'position_margin is {margin}, expected 0 <= margin < {room:g}')
        self.lower, self.upper = self._soft_lower, self._soft_upper
        self.max_velocity = limits.velocity_array() * (1 - ROUNDING_MARGIN)
        self.max_acceleration = limits.acceleration_array() * (1 - ROUNDING_MARGIN)
        self.position: Float64Array = within(np.zeros(len(position)), self.lower, self.upper)
        self.velocity: Float64Array = np.zeros(len(position))
        self._last_target: Float64Array | None = None
        self._dt = 1.0  # of the last step, s

    @property
    def at_rest(self) -> bool:
        """True when the last two positions were the same, and every velocity is zero."""
        if self._any_velocities and self.position[self.are_velocities].any():
            return False
        return not self.velocity.any()

    @property
    def longest_stop_s(self) -> float:
        """How long it takes at most until all is at rest."""
        braking = self.max_velocity / self.max_acceleration
        fastest = np.maximum(np.abs(self._soft_lower), np.abs(self._soft_upper))
        # A velocity: what speeds it up ends, what slows it down begins, and that ends again.
        slowing = fastest / self.max_velocity + 3 * braking
        return float(np.where(self.are_velocities, slowing, braking).max())

    def start(self, position: Float64Array) -> None:
        """Begin at rest at `position` (J,), where the limits are widened to until it is inside."""
        self.position = np.array(position, dtype=np.float64)
        self.velocity = np.zeros(len(self.position))
        self._last_target = None
        self._narrow()

    def resume(self, position: Float64Array, velocity: Float64Array) -> None:
        """Go on from a `position` (J,) that was sent, and the `velocity` (J,) that led to it."""
        self.position, self.velocity = position, velocity
        self._last_target = None
        self._narrow()

    def took_longer(self, by_ns: int) -> None:
        """Take the last step for one that took so much longer, and was that much slower."""
        self.velocity = self.velocity * self._dt / (self._dt + by_ns * 1e-9)
        self._dt += by_ns * 1e-9

    def was_silent(self, silent_ns: int) -> None:
        """Take that nothing was sent for so long: a base slows down meanwhile, and then stands.

        To be told its old velocity after that would be a jump for it.
        """
        if not self._any_velocities:
            return
        slower = self.max_velocity * silent_ns * 1e-9  # the acceleration of a velocity
        left = np.maximum(np.abs(self.position) - slower, 0.0) * (silent_ns < BASE_STANDS_NS)
        slowed = np.sign(self.position) * left
        self.position = np.where(self.are_velocities, slowed, self.position)
        self.velocity = np.where(self.are_velocities, 0.0, self.velocity)
        self._last_target = None

    def expect(self, target: Float64Array) -> None:
        """Take `target` (J,) for that of the step before, so that the next one tells its speed."""
        self._last_target = within(target, self.lower, self.upper)

    def braking_positions(self, dt_ns: int) -> Float64Array:
        """Where it would be (n, J) after each step of `dt_ns` if it braked from now on; n >= 1."""
        dt = dt_ns * 1e-9
        unit = self.max_acceleration * dt
        steps = np.arange(1, max(1, int(np.ceil(np.abs(self.velocity / unit).max()))) + 1)
        speeds = np.maximum(np.abs(self.velocity) - steps[:, None] * unit, 0.0)
        way: Float64Array = np.cumsum(speeds, axis=0) * dt
        return self.position + np.sign(self.velocity) * way

    def longest_braking_positions(self, dt_ns: int) -> Float64Array:
        """As `braking_positions` (n, J), in steps without end: those of any length end sooner."""
        lasts = np.abs(self.velocity) / self.max_acceleration
        steps = np.arange(1, max(1, int(np.ceil(lasts.max() / (dt_ns * 1e-9)))) + 1)
        times = np.minimum(steps[:, None] * dt_ns * 1e-9, lasts)
        slower = np.sign(self.velocity) * self.max_acceleration * times
        way: Float64Array = (self.velocity - slower / 2) * times
        return self.position + way

    def snapshot(self) -> Callable[[], None]:
        """Return what brings back the state of now."""
        position, velocity, target = self.position, self.velocity, self._last_target
        lower, upper = self.lower, self.upper

        def bring_back() -> None:
            self.position, self.velocity, self._last_target = position, velocity, target
            self.lower, self.upper = lower, upper

        return bring_back

    def step(self, target: Float64Array, dt_ns: int, speed: Speed = 1.0) -> Motion:
        """Move towards a finite `target` (J,) inside the position limits.

        `speed` in (0, 1] scales the velocity limit.
        """
        dt = dt_ns * 1e-9
        wanted = (target - self.position) / dt
        over_velocity = np.abs(wanted) > self.max_velocity
        bounded = within(wanted, -self.max_velocity, self.max_velocity)
        over_acceleration = np.abs(bounded - self.velocity) > self.max_acceleration * dt
        self._advance(self._approach(target, dt, speed), dt, speed)
        self._last_target = target
        return Motion(self.position, self.velocity, over_velocity, over_acceleration)

    def follow(self, velocity: Float64Array, dt_ns: int) -> Motion:
        """Move with a `velocity` (J,), or as nearly as the limits allow."""
        none = np.zeros(len(self.position), dtype=np.bool_)
        self._advance(velocity, dt_ns * 1e-9, 1.0)
        return Motion(self.position, self.velocity, none, none)

    def preview(
        self, target: Float64Array, before: Float64Array | None, dt_ns: int, speed: Speed = 1.0
    ) -> Float64Array:
        """Where `step` would lead (J,) if the target of the step before had been `before`."""
        bring_back = self.snapshot()
        self._last_target = before
        position = self.step(target, dt_ns, speed).position
        bring_back()
        return position

    def stop(self, dt_ns: int) -> Motion:
        """Brake with the whole acceleration, then stay; a velocity is brought to zero."""
        dt = dt_ns * 1e-9
        none = np.zeros(len(self.position), dtype=np.bool_)
        if not self.at_rest:
            still = np.zeros(len(self.position))
            self._last_target = None
            slower = self._approach(still, dt, 1.0) if self._any_velocities else still
            self._advance(np.where(self.are_velocities, slower, still), dt, 1.0)
        self._last_target = None
        return Motion(self.position, self.velocity, none, none)

    def _approach(self, target: Float64Array, dt: float, speed: Speed) -> Float64Array:
        """Return the velocity that closes the gap to the target and ends at the target's own."""
        last = target if self._last_target is None else self._last_target
        cap = speed * self.max_velocity
        target_velocity = within((target - last) / dt, -cap, cap)
        if self._any_velocities:  # one that goes along with its target would overshoot its end
            target_velocity[self.are_velocities] = 0.0
        gap = target - self.position - target_velocity * dt
        closing = self._braking_speed if dt > self._period_s else self._closing_speed
        velocity: Float64Array = target_velocity + np.sign(gap) * closing(np.abs(gap), dt)
        return velocity

    def _closing_speed(self, gap: Float64Array, dt: float) -> Float64Array:
        """Return the greatest speed from which steps of -a*dt end exactly on the target."""
        unit = self.max_acceleration * dt
        steps = gap / (unit * dt)
        count = np.maximum(np.ceil((np.sqrt(1 + 8 * steps) - 1) / 2), 1)
        speed: Float64Array = unit * (steps + count * (count - 1) / 2) / count
        return speed

    def _advance(self, velocity: Float64Array, dt: float, speed: Speed) -> None:
        self._dt = dt
        lower, upper = self._reachable(dt, speed)
        upper = np.minimum(upper, self._braking_speed(self.upper - self.position, dt))
        lower = np.maximum(lower, -self._braking_speed(self.position - self.lower, dt))
        velocity = within(velocity, lower, upper)
        position = within(self.position + velocity * dt, self.lower, self.upper)
        if self._any_velocities:
            position[self.are_velocities & (np.abs(position) < STANDS)] = 0.0
        self.velocity = (position - self.position) / dt
        self.position = position
        self._narrow()

    def _reachable(self, dt: float, speed: Speed) -> tuple[Float64Array, Float64Array]:
        """Return the lowest and highest velocity (J,) of a step that takes `dt` [s].

        An arm without a new command can have slowed down meanwhile, but not have sped up.
        """
        reach = self.max_acceleration * dt
        slowed = np.minimum(np.abs(self.velocity) - reach, self.max_velocity)
        cap = np.maximum(speed * self.max_velocity, slowed)
        if dt <= self._period_s:
            return (
                np.maximum(self.velocity - reach, -cap), np.minimum(self.velocity + reach, cap)
            )  # fmt: skip
        share = self._period_s / dt
        cap = np.minimum(cap, self.max_velocity * share)
        fastest = self._fastest_late(np.abs(self.velocity), share)
        turned = self._fastest_late(np.zeros(len(fastest)), share)
        ahead = np.sign(self.velocity)
        # Along its direction: from as slow as it brakes, or turned round, up to the fastest.
        slowest = np.maximum(np.abs(self.velocity) - reach, -turned)
        one, other = ahead * slowest, ahead * fastest
        lower = np.where(ahead == 0, -turned, np.minimum(one, other))
        upper = np.where(ahead == 0, turned, np.maximum(one, other))
        return within(lower, -cap, cap), within(upper, -cap, cap)

    def _fastest_late(self, speed: Float64Array, share: float) -> Float64Array:
        """Greatest speed after a late step: as before, or what one period of speeding up gives."""
        sped_up = (speed + self.max_acceleration * self._period_s) * share
        fastest: Float64Array = np.maximum(speed, sped_up)
        return fastest

    def _narrow(self) -> None:
        """The soft limits hold from where the joint is: no further out, and never out again."""
        self.lower = np.minimum(self._soft_lower, self.position)
        self.upper = np.maximum(self._soft_upper, self.position)

    def _braking_speed(self, room: Float64Array, dt: float) -> Float64Array:
        """Return the greatest speed for this step that can still be braked in the `room` left.

        It solves v*dt + v^2/(2a) = room, which later steps of any length can keep: one braking
        step from v to v - a*h uses up (v - a*h)*h and frees more than that.
        """
        speed: Float64Array = np.sqrt(dt**2 + 2 * room / self.max_acceleration) - dt
        return self.max_acceleration * speed
