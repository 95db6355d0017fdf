# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted expert of `transfer_cube`: joint targets of both arms over time.

Waypoints of the two grippers in space become joint targets by damped least squares on the MuJoCo
Jacobian, so what is planned is what is commanded; between them the joints move by minimum jerk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.simulation.expert import Nudge, ScriptedMotion
from motion_policy.simulation.graphics import mujoco
from motion_policy.simulation.transfer_cube import SIDES, scene_file

Float64Array = npt.NDArray[np.float64]

# The point between the finger tips that is to be at the cube, ahead of the gripper's frame [m].
PINCH_M = 0.14
CUBE_HALF_M = 0.02
OPEN, CLOSED = 0.95, 0.0
MEETING = (0.0, 0.5, 0.25)
GRASP_PITCH_RAD = math.radians(60)
POSITION_TOLERANCE_M, ROTATION_TOLERANCE_RAD = 1e-3, 1e-2
# Where a reaching arm stands must not tell where the cube is, or a policy reads it there and not
# in the image: the right arm is pushed about as far as the places of the cube lie apart.
LEFT_NUDGE_RAD = (0.03, 0.02, 0.02, 0.04, 0.04, 0.04)
RIGHT_NUDGE_RAD = (0.09, 0.06, 0.06, 0.12, 0.12, 0.12)
# When a nudge is full, begins to fade, is small, is gone [s].
LEFT_FADE_S, RIGHT_FADE_S = (2.8, 3.8, 4.5, 5.0), (0.3, 1.2, 1.7, 2.0)

Amplitudes = tuple[float, ...]
Fade = tuple[float, float, float, float]
Waypoint = tuple[float, Float64Array, float]  # time [s], six angles [rad], opening of the gripper


class GripperKinematics:
    """Inverse kinematics of one arm: pinch point and orientation -> the six joint angles."""

    def __init__(self, side: str) -> None:
        self._model = mujoco.MjModel.from_xml_path(str(scene_file()))
        self._data = mujoco.MjData(self._model)
        self._body = self._model.body(f'vx300s_{side}/gripper_link').id
        first = 8 * SIDES.index(side)
        self._joints = slice(first, first + 6)
        self._range = self._model.jnt_range[self._joints]

    def pinch(self, angles: Float64Array) -> Float64Array:
        """Return the pinch point (3,) at `angles` (6,)."""
        return self._forward(angles)[0]

    def _forward(self, angles: Float64Array) -> tuple[Float64Array, Float64Array]:
        self._data.qpos[self._joints] = angles
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        rotation = self._data.xmat[self._body].reshape(3, 3)
        return self._data.xpos[self._body] + PINCH_M * rotation[:, 0], rotation

    def solve(
        self, position: Float64Array, rotation: Float64Array, start: Float64Array
    ) -> Float64Array:
        """Return the joint angles (6,) that bring the pinch point to a pose.

        Args:
            position: (3,) of the pinch point [m].
            rotation: (3, 3) of the gripper: x ahead, y from the right to the left finger.
            start: (6,) where the search begins.

        Raises:
            UserError: the pose is out of reach.
        """
        angles = np.array(start)
        jacobian = np.zeros((6, self._model.nv))
        for _ in range(200):
            point, now = self._forward(angles)
            error = np.concatenate([position - point, _rotation_error(now, rotation)])
            if np.abs(error).max() < 1e-5:
                break
            mujoco.mj_jac(self._model, self._data, jacobian[:3], jacobian[3:], point, self._body)
            rows = jacobian[:, self._joints]
            damped = rows @ rows.T + 1e-4 * np.eye(6)
            step = rows.T @ np.linalg.solve(damped, error)
            angles = np.clip(
                angles + np.clip(step, -0.2, 0.2), self._range[:, 0], self._range[:, 1]
            )
        far = np.linalg.norm(error[:3]) > POSITION_TOLERANCE_M
        if far or np.linalg.norm(error[3:]) > ROTATION_TOLERANCE_RAD:
            place = ', '.join(f'{value:.3f}' for value in position)
            raise UserError(f'gripper position ({place}) m: out of reach of the arm')
        return angles


def _rotation_error(now: Float64Array, wanted: Float64Array) -> Float64Array:
    """Return the rotation vector (3,) that turns `now` towards `wanted`, in world axes."""
    quaternion, vector = np.zeros(4), np.zeros(3)
    mujoco.mju_mat2Quat(quaternion, (wanted @ now.T).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


@dataclass(frozen=True)
class BothArms:
    """A demonstration of two arms at once; in every vector the left one comes first.

    Attributes:
        left, right: joint targets of each arm with its gripper, (7,).
    """

    left: ScriptedMotion
    right: ScriptedMotion

    @property
    def duration_s(self) -> float:
        """Length of the demonstration [s]."""
        return max(self.left.duration_s, self.right.duration_s)

    def __call__(self, time_s: float) -> Float64Array:
        """Return the joint targets (14,) at `time_s`; before and after, the ends."""
        return np.concatenate([self.left(time_s), self.right(time_s)])

    def follower(self, time_s: float) -> Float64Array:
        """Return the joint targets (14,) of the nudged followers at `time_s`."""
        return np.concatenate([self.left.follower(time_s), self.right.follower(time_s)])


class TransferExpert:
    """Plans demonstrations of `transfer_cube`: lift with the right, hand over, hold with the left.

    Args:
        nudge: how strongly the followers are pushed off the leaders' way; 0: not at all.
    """

    def __init__(self, nudge: float = 1.0) -> None:
        self._left, self._right = GripperKinematics('left'), GripperKinematics('right')
        self._strength = nudge

    def plan(self, cube_xy: Float64Array, qpos: Float64Array, seed: int = 0) -> BothArms:
        """Return the leaders' joint targets for a cube at `cube_xy` (2,) [m].

        Args:
            cube_xy: centre of the cube on the table.
            qpos: (14,) joint positions at the start.
            seed: fixes the little variation between demonstrations.
        """
        rng = np.random.default_rng(seed)
        meeting = np.array(MEETING) + rng.uniform(-1, 1, 3) * (0.01, 0.01, 0.01)
        right = self._right_arm(np.asarray(cube_xy, np.float64), meeting, qpos[7:], rng)
        left = self._left_arm(meeting, qpos[:7])
        pace = rng.uniform(0.98, 1.02)
        return BothArms(
            self._trajectory(left, pace, (LEFT_NUDGE_RAD, LEFT_FADE_S), rng),
            self._trajectory(right, pace, (RIGHT_NUDGE_RAD, RIGHT_FADE_S), rng),
        )

    def _trajectory(
        self,
        rows: list[Waypoint],
        pace: float,
        push: tuple[Amplitudes, Fade],
        rng: np.random.Generator,
    ) -> ScriptedMotion:
        amplitudes_rad, fade_s = push
        times = np.array([time for time, _, _ in rows]) * pace
        waypoints = np.array([[*angles, gripper] for _, angles, gripper in rows])
        nudge = Nudge(
            rng.uniform(0.3, 1.0, (2, 6)) * amplitudes_rad * self._strength,
            rng.uniform(0.25, 0.8, (2, 6)),
            rng.uniform(0, 2 * math.pi, (2, 6)),
            fade_s,
        )
        return ScriptedMotion(times, waypoints, nudge)

    def _right_arm(
        self,
        cube_xy: Float64Array,
        meeting: Float64Array,
        qpos: Float64Array,
        rng: np.random.Generator,
    ) -> list[Waypoint]:
        grasp = np.array([*cube_xy, CUBE_HALF_M])
        above = grasp + (0.0, 0.0, 0.09) + rng.uniform(-1, 1, 3) * (0.005, 0.005, 0.01)
        down = _right_rotation(GRASP_PITCH_RAD)
        at_above = self._right.solve(above, down, qpos[:6])
        at_grasp = self._right.solve(grasp, down, at_above)
        at_lifted = self._right.solve(grasp + (0.0, 0.0, 0.1), down, at_grasp)
        at_meeting = self._right.solve(meeting, down, at_lifted)
        away = meeting - 0.1 * down[:, 0]
        at_away = self._right.solve(away, down, at_meeting)
        return [
            (0.0, qpos[:6], qpos[6]),
            (1.5, at_above, OPEN),
            (2.2, at_grasp, OPEN),
            (2.4, at_grasp, OPEN),
            (2.8, at_grasp, CLOSED),
            (3.3, at_lifted, CLOSED),
            (4.3, at_meeting, CLOSED),
            (5.5, at_meeting, CLOSED),
            (5.9, at_meeting, OPEN),
            (6.5, at_away, OPEN),
            (7.2, at_away, OPEN),
        ]

    def _left_arm(self, meeting: Float64Array, qpos: Float64Array) -> list[Waypoint]:
        level = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
        before = meeting + (-0.1, 0.0, 0.0)
        at_before = self._left.solve(before, level, qpos[:6])
        at_meeting = self._left.solve(meeting, level, at_before)
        return [
            (0.0, qpos[:6], qpos[6]),
            (2.2, qpos[:6], qpos[6]),
            (4.0, at_before, OPEN),
            (4.3, at_before, OPEN),
            (5.0, at_meeting, OPEN),
            (5.4, at_meeting, CLOSED),
            (7.2, at_meeting, CLOSED),
        ]


def _right_rotation(pitch_rad: float) -> Float64Array:
    """Return the gripper of the right arm looking left, and down by `pitch_rad`, (3, 3)."""
    ahead = np.array([-math.cos(pitch_rad), 0.0, -math.sin(pitch_rad)])
    across = np.array([0.0, -1.0, 0.0])
    return np.column_stack([ahead, across, np.cross(ahead, across)])
