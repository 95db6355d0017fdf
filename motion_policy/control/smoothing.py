# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Jerk-limited following of a moving target (Ruckig; Berscheid and Kroeger, arXiv:2105.04830).

It only proposes: the motion limiter after it has the last word, and tells what was really sent.
Every step could end at rest on the target, so a moving target is followed with a lag; to meet it
at its own speed, the arm would first have to move away from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from motion_policy.control.motion_limiter import BoolArray, Float64Array, MotionLimiter, Speed
from motion_policy.errors import UserError

# rad/s or m/s: Ruckig knows no way with a velocity limit of 0, nor one that takes hours.
LEAST_CAP = 1e-3
SAME = 1e-9  # rad or m: what was sent is what was proposed, or would have been without smoothing


class JerkLimiter:
    """Proposes positions within the limiter's velocities and accelerations, and a jerk limit.

    Velocities of a base pass as they are.

    Args:
        limiter: what will follow the proposals.
        jerk: greatest change of acceleration, one for all joints or one each [rad/s^3 or m/s^3].
        dt_ns: time between two steps that are on time.

    Raises:
        UserError: a jerk that is not a number > 0, or Ruckig is not installed.
    """

    def __init__(self, limiter: MotionLimiter, jerk: float | Sequence[float], dt_ns: int) -> None:
        joints = len(limiter.position)
        self._limiter = limiter
        self._smoothed = ~limiter.are_velocities  # the others have a limit of their jerk already
        self._jerk = _checked_jerk(jerk, joints)[self._smoothed]
        joints_smoothed = len(self._jerk)
        self._ruckig = _library()
        self._generator = self._ruckig.Ruckig(joints_smoothed, dt_ns * 1e-9)
        self._input = self._ruckig.InputParameter(joints_smoothed)
        self._output = self._ruckig.OutputParameter(joints_smoothed)
        self._input.synchronization = self._ruckig.Synchronization.No
        self._input.max_acceleration = limiter.max_acceleration[self._smoothed].tolist()
        self._input.max_jerk = self._jerk.tolist()
        self._proposed: Float64Array | None = None
        self._target: Float64Array | None = None  # of the step before
        self._motion: Float64Array = np.zeros((2, joints))

    def forget(self) -> None:
        """Begin anew from wherever the limiter is, with the velocity of its last step."""
        self._proposed = self._target = None

    @property
    def motion(self) -> Float64Array | None:
        """Velocity and acceleration (2, J) where the last step ends; None after `forget`.

        The velocity there is another than that of the step as a whole, which the limiter knows.
        """
        return None if self._proposed is None else self._motion

    def resume(self, motion: Float64Array | None) -> None:
        """Go on from where the limiter is, with the `motion` (2, J) that there was then."""
        self.forget()
        if motion is not None:
            self._proposed, self._motion = self._limiter.position, motion

    def step(
        self, target: Float64Array, dt_ns: int, speed: Speed = 1.0
    ) -> tuple[Float64Array, BoolArray]:
        """The position (J,) to go to in this step on the way to a target (J,) within the limits,
        and the joints (J,) that would be sent elsewhere without the jerk limit.

        `speed` in (0, 1] scales the velocity limit. Where no jerk-limited way exists (just after
        another stage braked), the target itself comes back, and the limiter's limits hold.
        """
        limiter = self._limiter
        if self._proposed is None or self._differ(limiter.position, self._proposed).any():
            self._motion = np.stack((limiter.velocity, np.zeros(len(target))))
            self._target = None
        plain = limiter.preview(target, self._target, dt_ns, speed)
        self._target = target
        smooth = self._smooth(target, dt_ns, speed)
        if smooth is None:
            return target, np.zeros(len(target), dtype=np.bool_)
        return smooth, self._differ(smooth, plain)

    def _differ(self, one: Float64Array, other: Float64Array) -> BoolArray:
        differ: BoolArray = self._smoothed & (np.abs(one - other) > SAME)
        return differ

    def _smooth(self, target: Float64Array, dt_ns: int, speed: Speed) -> Float64Array | None:
        limiter, given = self._limiter, self._input
        self._generator.delta_time = dt_ns * 1e-9
        mine = self._smoothed
        sent, (velocity, acceleration) = limiter.position[mine], self._motion[:, mine]
        cap = (speed * limiter.max_velocity)[mine]
        given.max_velocity = np.maximum(np.maximum(cap, LEAST_CAP), np.abs(velocity)).tolist()
        given.current_position = sent.tolist()
        given.current_velocity = velocity.tolist()
        given.current_acceleration = acceleration.tolist()
        given.target_position = target[mine].tolist()
        given.target_velocity = [0.0] * len(sent)
        given.target_acceleration = [0.0] * len(sent)
        try:
            result = self._generator.update(given, self._output)
        except (self._ruckig.RuckigError, ValueError):  # of a result that has no name
            result = None
        if result not in (self._ruckig.Result.Working, self._ruckig.Result.Finished):
            self._proposed = None
            return None
        self._motion = np.zeros((2, len(target)))
        self._motion[:, mine] = self._output.new_velocity, self._output.new_acceleration
        self._proposed = target.copy()
        self._proposed[mine] = self._output.new_position
        return self._proposed


def _library() -> Any:
    try:
        import ruckig
    except ImportError:
        raise UserError("smoothing 'ruckig' needs Ruckig: pip install ruckig") from None
    return ruckig


def _checked_jerk(jerk: float | Sequence[float], joints: int) -> Float64Array:
    values = np.atleast_1d(np.asarray(jerk, dtype=np.float64))
    if values.shape not in ((1,), (joints,)) or not (np.isfinite(values) & (values > 0)).all():
        raise UserError(f'max_jerk is {jerk}, expected one number > 0 or {joints}, one per joint')
    return values * np.ones(joints)
