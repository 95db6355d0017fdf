# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics: joints that bring a link to a pose, never far from those of the row before.

Rule: what is returned is within the joints' limits and within the greatest step of each joint.
Where a pose is out of reach, or near a singularity asks for faster joints, the arm stays behind.
Levenberg-Marquardt with the damping of Sugihara (doi:10.1109/TRO.2011.2148230), half of the cost:
next to none near a pose, and far from one enough for joints that hardly matter not to run off.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from motion_policy.robot.kinematics import Kinematics, six_rows
from motion_policy.robot.spec import Float64Array

MOST_ITERATIONS = 60
MOST_PIVOTS = 50
LEVER_M = 0.2  # by which an error of 1 rad counts as one of position
LEAST_DAMPING = 1e-9
NEAR_M = 1e-5  # an error that is none any more, of position or of rotation times LEVER_M
FAR_M = 1.0  # an error beyond which damping and gains are no larger
LITTLE = 2e-4  # of the cost: a gain that the linear model promises with which no step is worth it
SLOW = 3e-3  # of the cost: a gain of a step after which another one would bring next to nothing
ALMOST_M = 5e-3  # an error so small that another try is worth it
INWARDS = (0.2, 0.5, 0.9)  # of the way to the middle of the limits, where such a try begins


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
        low = np.maximum(self._lower, joints - most_step)[self._moving]
        high = np.minimum(self._upper, joints + most_step)[self._moving]
        target = self._kinematics.pinocchio.SE3(rotation, position)
        reached, missing = self._descend(target, joints, low, high)
        if NEAR_M < np.linalg.norm(missing) < ALMOST_M:
            reached, missing = self._from_inside(target, reached, missing, low, high)
        turned = float(np.linalg.norm(missing[3:])) / LEVER_M
        return Reached(reached, float(np.linalg.norm(missing[:3])), turned)

    def _from_inside(
        self,
        target: Any,
        joints: Float64Array,
        missing: Float64Array,
        low: Float64Array,
        high: Float64Array,
    ) -> tuple[Float64Array, Float64Array]:
        """As `_descend`, for joints stuck at a limit on the way: from a little further inside.

        Where that does not get there either, they stay where they are.
        """
        moving = self._moving
        at, lower, upper = joints[moving], self._lower[moving], self._upper[moving]
        # One that its greatest step holds back comes no further from elsewhere.
        if (((at <= low) & (low > lower)) | ((at >= high) & (high < upper))).any():
            return joints, missing
        for share in INWARDS:
            other = joints.copy()
            other[moving] = np.clip(at + share * ((lower + upper) / 2 - at), low, high)
            again, still = self._descend(target, other, low, high)
            if still @ still < NEAR_M**2:
                return again, still
        return joints, missing

    def _descend(
        self, target: Any, joints: Float64Array, low: Float64Array, high: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Return the joints (J,) where a descent from others ends, and what is missing (6,) there.

        Those that move stay between `low` and `high` (n,).
        """
        moving = self._moving
        error, jacobian = self._error(target, joints)
        cost, damping = float(error @ error), 1.0
        for _ in range(MOST_ITERATIONS):
            if cost < NEAR_M**2:
                break
            here = joints[moving]
            near = min(cost, FAR_M**2)
            damped = damping * 0.5 * near + LEAST_DAMPING
            step = damped_step(jacobian, error, damped, low - here, high - here)
            left = error - jacobian @ step
            counted = math.sqrt(cost * near)
            if cost - left @ left < LITTLE * counted:
                break
            tried = joints.copy()
            tried[moving] = np.minimum(np.maximum(here + step, low), high)
            new_error, new_jacobian = self._error(target, tried)
            new_cost = float(new_error @ new_error)
            if new_cost >= cost:
                damping *= 8
                continue
            slow = cost - new_cost < SLOW * counted
            joints, error, jacobian, cost = tried, new_error, new_jacobian, new_cost
            damping = max(damping / 4, 1.0)
            if slow:
                break
        return joints, error

    def _error(self, target: Any, joints: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return what is missing to a pose (6,), and its Jacobian (6, n) by the joints that move.

        The first three are [m], the last three [rad] times LEVER_M, both in the link's own frame.
        """
        kinematics, link = self._kinematics, self._link
        library, model, data = kinematics.pinocchio, kinematics.model, kinematics.data
        library.computeJointJacobians(model, data, kinematics.configuration(joints))
        missing = library.updateFramePlacement(model, data, link).actInv(target)
        turn = library.log3(missing.rotation)
        error: Float64Array = np.concatenate((missing.translation, LEVER_M * turn))
        whole = library.getFrameJacobian(model, data, link, self._frame)
        jacobian: Float64Array = six_rows(whole) @ self._factors
        jacobian[3:] *= LEVER_M
        return error, jacobian


def damped_step(
    jacobian: Float64Array,
    error: Float64Array,
    damping: float,
    down: Float64Array,
    up: Float64Array,
) -> Float64Array:
    """Return the damped least squares step (n,) between `down` and `up` (n,), which hold 0.

    Joints that would leave stop at their limit, and the others make up for them. Which these are
    is found by block principal pivoting (Judice and Pires, doi:10.1016/0305-0548(94)90106-6): all
    joints on the wrong side change it at once, and only the last one where that leads nowhere.

    Args:
        jacobian: (6, n) of the error.
        error: (6,), what is missing.
        damping: > 0.
        down, up: how far each joint may go.
    """
    gradient, normal = jacobian.T @ error, jacobian.T @ jacobian
    identity = np.eye(len(normal))
    normal += damping * identity
    # Those at a limit that the error presses against it stay there to begin with.
    low, high = (down >= 0) & (gradient < 0), (up <= 0) & (gradient > 0)
    if not (low | high).any():
        step: Float64Array = np.asarray(np.linalg.solve(normal, gradient), np.float64)
        if ((step >= down) & (step <= up)).all():
            return step
    fewest = len(low) + 1
    for _ in range(MOST_PIVOTS):
        held, limit = low | high, np.where(low, down, up)
        system = np.where(held[:, None], identity, normal)
        step = np.where(held, limit, np.linalg.solve(system, np.where(held, limit, gradient)))
        pull = gradient - normal @ step
        to_low = np.where(low, pull < 0, step < down)
        to_high = np.where(high, pull > 0, step > up)
        wrong = np.flatnonzero((to_low != low) | (to_high != high))
        if not len(wrong):
            break
        if len(wrong) < fewest:
            fewest = len(wrong)
        else:
            wrong = wrong[-1:]
        low[wrong], high[wrong] = to_low[wrong], to_high[wrong]
    return np.minimum(np.maximum(step, down), up)
