# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics: joints that bring a link to a pose, never far from those of the row before.

Rule: what is returned is within the joints' limits and within the greatest step of each joint.
Where a pose is out of reach, or near a singularity asks for faster joints, the arm stays behind.
Levenberg-Marquardt with the damping of Sugihara (doi:10.1109/TRO.2011.2148230).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from motion_policy.robot.kinematics import Kinematics, six_rows
from motion_policy.robot.spec import Float64Array

MOST_ITERATIONS = 30
LEVER_M = 0.2  # by which an error of 1 rad counts as one of position
LEAST_DAMPING = 1e-9
NEAR_M = 1e-5  # an error that is none any more, of position or of rotation times LEVER_M
ENOUGH = 0.999  # of the cost that is left after a step; more: it leads nowhere
ALMOST_M = 5e-3  # an error so small that another try is worth it
INWARDS = (0.2, 0.5, 0.9)  # of the way to the middle of the limits, where such a try begins
STILL = 1e-7  # [rad or m] a step that leads nowhere


class Reached(NamedTuple):
    """Joints (J,), and how far the link is from where it should be [m] and [rad]."""

    joints: Float64Array
    position_error: float
    rotation_error: float


class InverseKinematics:
    """Where the joints (J,) must be for a link of a robot to be somewhere.

    Joints that do not move the link stay as they are. Of all solutions that a redundant arm has
    the one near the start is found, for each step is the smallest that serves.

    Args:
        kinematics: the robot.
        link: the number of the link, as `Kinematics.link` gives it.
        lower, upper: limits of the joints (J,).
    """

    def __init__(
        self, kinematics: Kinematics, link: int, lower: Float64Array, upper: Float64Array
    ) -> None:
        self._kinematics, self._link = kinematics, link
        self._lower, self._upper = lower, upper
        self._moving = kinematics.movers(link)
        self._factors = np.ascontiguousarray(kinematics.factors[:, self._moving])
        self._frame = kinematics.pinocchio.ReferenceFrame.LOCAL

    def solve(
        self,
        position: Float64Array,
        rotation: Float64Array,
        start: Float64Array,
        most_step: Float64Array,
    ) -> Reached:
        """Return the joints that bring the link to a pose, or as near as they may.

        Args:
            position: (3,) [m], in the frame of the root link.
            rotation: (3, 3).
            start: joints (J,) from which to begin; outside of the limits, the nearest within.
            most_step: how far each joint may go from there, (J,).
        """
        joints = np.clip(start, self._lower, self._upper)
        moving = self._moving
        low = np.maximum(self._lower, joints - most_step)[moving]
        high = np.minimum(self._upper, joints + most_step)[moving]
        reached, missing = self._descend(position, rotation, joints, low, high)
        at, middle = reached[moving], (self._lower + self._upper)[moving] / 2
        # One that its greatest step holds back comes no further from elsewhere.
        slowed = (at <= low) & (low > self._lower[moving])
        slowed |= (at >= high) & (high < self._upper[moving])
        for share in () if slowed.any() else INWARDS:
            if not NEAR_M < np.linalg.norm(missing) < ALMOST_M:
                break
            # Stuck at a limit on the way: from a little further inside, if it gets there.
            other = reached.copy()
            other[moving] = np.clip(at + share * (middle - at), low, high)
            again, still = self._descend(position, rotation, other, low, high)
            if still @ still < NEAR_M**2:
                reached, missing = again, still
        turned = float(np.linalg.norm(missing[3:])) / LEVER_M
        return Reached(reached, float(np.linalg.norm(missing[:3])), turned)

    def _descend(
        self,
        position: Float64Array,
        rotation: Float64Array,
        joints: Float64Array,
        low: Float64Array,
        high: Float64Array,
    ) -> tuple[Float64Array, Float64Array]:
        """Return the joints (J,) where a descent from others ends, and what is missing (6,) there.

        Those that move stay between `low` and `high` (n,).
        """
        moving = self._moving
        error, jacobian = self._error(position, rotation, joints)
        cost, damping = float(error @ error), 0.1
        for _ in range(MOST_ITERATIONS):
            if cost < NEAR_M**2:
                break
            here = joints[moving]
            step = _step(jacobian, error, damping * 0.5 * cost + LEAST_DAMPING, here, low, high)
            if np.abs(step).max(initial=0.0) < STILL:
                break
            tried = joints.copy()
            tried[moving] = np.clip(here + step, low, high)
            new_error, new_jacobian = self._error(position, rotation, tried)
            new_cost = float(new_error @ new_error)
            if new_cost >= cost:
                damping *= 8
                continue
            slow = new_cost > ENOUGH * cost
            joints, error, jacobian, cost = tried, new_error, new_jacobian, new_cost
            damping = max(damping / 4, 1e-6)
            if slow:
                break
        return joints, error

    def _error(
        self, position: Float64Array, rotation: Float64Array, joints: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Return what is missing to a pose (6,), and its Jacobian (6, n) by the joints that move.

        The first three are [m], the last three [rad] times LEVER_M, both in the link's own frame.
        """
        library, model, data = (
            self._kinematics.pinocchio,
            self._kinematics.model,
            self._kinematics.data,
        )
        library.computeJointJacobians(model, data, self._kinematics.configuration(joints))
        pose = library.updateFramePlacement(model, data, self._link)
        whole = library.getFrameJacobian(model, data, self._link, self._frame)
        jacobian: Float64Array = six_rows(whole) @ self._factors
        own = pose.rotation.T
        error = np.empty(6)
        error[:3] = own @ (position - pose.translation)
        error[3:] = library.log3(own @ rotation)
        error[3:] *= LEVER_M
        jacobian[3:] *= LEVER_M
        return error, jacobian


def _step(
    jacobian: Float64Array,
    error: Float64Array,
    damping: float,
    joints: Float64Array,
    low: Float64Array,
    high: Float64Array,
) -> Float64Array:
    """Return a damped least squares step (n,) that keeps the joints between `low` and `high`.

    Joints that would leave stop at their limit, and the others make up for them.
    """
    gradient = jacobian.T @ error
    normal = jacobian.T @ jacobian
    normal.flat[:: len(normal) + 1] += damping
    down, up = low - joints, high - joints
    step = np.asarray(np.linalg.solve(normal, gradient), np.float64)
    held = (step < down) | (step > up)
    for _ in range(2 * len(step)):
        if not held.any():
            break
        step[held] = np.clip(step, down, up)[held]
        free = ~held
        if free.any():
            wanted = gradient[free] - normal[np.ix_(free, held)] @ step[held]
            step[free] = np.linalg.solve(normal[np.ix_(free, free)], wanted)
        outside = (step < down) | (step > up)
        if outside.any():
            held |= outside
            continue
        # One that its limit does not hold back, but that would rather go inwards, is let go.
        pull = gradient - normal @ step
        inwards = held & np.where(step >= up, pull < 0, pull > 0) & (down < up)
        if not inwards.any():
            break
        held[np.where(inwards, np.abs(pull), -1.0).argmax()] = False
    inside: Float64Array = np.clip(step, down, up)
    return inside
