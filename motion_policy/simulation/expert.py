# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted expert of the tabletop arm: the leader pose at any time.

Waypoints of the tool in space become joint targets by damped least squares on the MuJoCo
Jacobian; between waypoints the joints follow minimum-jerk curves (Flash and Hogan, 1985,
doi:10.1523/JNEUROSCI.05-07-01688.1985).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.simulation.graphics import mujoco
from motion_policy.simulation.tabletop import SCENE_FILE

Float64Array = npt.NDArray[np.float64]

GRIPPER_OPEN_M = 0.015
GRIPPER_CLOSED_M = -0.004
GRASP_HEIGHT_M = 0.016
POSITION_TOLERANCE_M = 5e-4
NUDGE_RAD = (0.05, 0.03, 0.03, 0.04)


def minimum_jerk(progress: float) -> float:
    """Position from 0 to 1 on a minimum-jerk curve at `progress` in [0, 1] of its duration."""
    s = min(max(progress, 0.0), 1.0)
    return s * s * s * (10.0 + s * (6.0 * s - 15.0))


@dataclass(frozen=True)
class Nudge:
    """A smooth push on the follower while the leader stays on its way.

    So the recorded actions show how to come back, which an undisturbed demonstration never does
    (DART: Laskey et al., CoRL 2017, arXiv:1703.09327). It fades before the gripper closes.

    Attributes:
        sway_rad: (2, 4) amplitudes of two sines per joint.
        frequency_hz, phase_rad: (2, 4) of these sines.
        fade_s: times at which it is full, begins to fade, is small, is gone.
    """

    sway_rad: Float64Array
    frequency_hz: Float64Array
    phase_rad: Float64Array
    fade_s: tuple[float, float, float, float]

    def __call__(self, time_s: float) -> Float64Array:
        """Return the offset of the follower from the leader at `time_s`, (5,)."""
        strength = np.interp(time_s, (0.0, *self.fade_s), (0.0, 1.0, 1.0, 0.35, 0.0))
        angle = 2 * math.pi * self.frequency_hz * time_s + self.phase_rad
        return np.append(strength * (self.sway_rad * np.sin(angle)).sum(axis=0), 0.0)


@dataclass(frozen=True)
class ScriptedMotion:
    """Joint targets over time: minimum-jerk pieces between waypoints.

    Attributes:
        times_s: (N,) start at 0, increasing [s].
        waypoints: (N, 5) joint targets [rad, m].
        nudge: what pushes the follower off the leader's way.
    """

    times_s: Float64Array
    waypoints: Float64Array
    nudge: Nudge

    @property
    def duration_s(self) -> float:
        """Length of the demonstration [s]."""
        return float(self.times_s[-1])

    def __call__(self, time_s: float) -> Float64Array:
        """Return the joint targets (5,) at `time_s`; before and after, the ends."""
        piece = int(np.searchsorted(self.times_s, time_s, side='right')) - 1
        if piece < 0:
            return np.array(self.waypoints[0])
        if piece >= len(self.times_s) - 1:
            return np.array(self.waypoints[-1])
        begin, end = self.times_s[piece], self.times_s[piece + 1]
        blend = minimum_jerk(float((time_s - begin) / (end - begin)))
        return np.asarray(
            self.waypoints[piece] + blend * (self.waypoints[piece + 1] - self.waypoints[piece])
        )

    def follower(self, time_s: float) -> Float64Array:
        """Return the joint targets (5,) of the nudged follower at `time_s`."""
        return self(time_s) + self.nudge(time_s)


class ToolKinematics:
    """Inverse kinematics of the arm: tool position and pitch -> the four joint angles."""

    def __init__(self) -> None:
        self._model = mujoco.MjModel.from_xml_path(str(SCENE_FILE))
        self._data = mujoco.MjData(self._model)
        self._tool = self._model.site('tool').id
        self._joints = [self._model.joint(f'joint{i}') for i in range(1, 5)]
        self._qpos_index = np.array([joint.qposadr[0] for joint in self._joints])
        self._dof_index = np.array([joint.dofadr[0] for joint in self._joints])
        self._range = np.array([joint.range for joint in self._joints])

    def solve(self, position: Float64Array, pitch_rad: float, start: Float64Array) -> Float64Array:
        """Return the joint angles (4,) that put the tool at `position` pointing down by `pitch`.

        Args:
            position: (3,) [m].
            pitch_rad: 0 points ahead, pi/2 straight down.
            start: (4,) where the search begins.

        Raises:
            UserError: the place is out of reach.
        """
        angles = np.array(start[:4])
        jacobian = np.zeros((3, self._model.nv))
        for _ in range(200):
            self._data.qpos[self._qpos_index] = angles
            mujoco.mj_kinematics(self._model, self._data)
            mujoco.mj_comPos(self._model, self._data)
            error = np.append(
                position - self._data.site_xpos[self._tool], pitch_rad - angles[1:4].sum()
            )
            if np.abs(error).max() < POSITION_TOLERANCE_M / 10:
                break
            mujoco.mj_jacSite(self._model, self._data, jacobian, None, self._tool)
            rows = np.vstack([jacobian[:, self._dof_index], [0.0, 1.0, 1.0, 1.0]])
            damped = rows @ rows.T + 1e-5 * np.eye(4)
            step = rows.T @ np.linalg.solve(damped, error)
            angles = np.clip(
                angles + np.clip(step, -0.2, 0.2), self._range[:, 0], self._range[:, 1]
            )
        if np.linalg.norm(error[:3]) > POSITION_TOLERANCE_M:
            place = ', '.join(f'{value:.3f}' for value in position)
            raise UserError(f'tool position ({place}) m: out of reach of the arm')
        return angles


class GraspExpert:
    """Plans demonstrations of `grasp`: reach above the cube, lower, close, lift, hold.

    Args:
        seed: fixes the little variation between demonstrations.
    """

    def __init__(self, seed: int = 0) -> None:
        self._kinematics = ToolKinematics()
        self._rng = np.random.default_rng(seed)

    def plan(self, cube_xy: Float64Array, qpos: Float64Array) -> ScriptedMotion:
        """Return the leader's joint targets for a cube at `cube_xy` (2,) [m].

        Args:
            cube_xy: centre of the cube on the table.
            qpos: (5,) joint positions at the start.
        """
        direction = np.asarray(cube_xy, np.float64) / np.linalg.norm(cube_xy)
        above = np.array([*(cube_xy - 0.012 * direction), 0.075])
        above += self._rng.uniform(-1, 1, 3) * (0.003, 0.003, 0.006)
        grasp = np.array([*cube_xy, GRASP_HEIGHT_M])
        lifted = np.array([*(cube_xy - 0.055 * direction), 0.135])
        lifted += self._rng.uniform(-1, 1, 3) * (0.004, 0.004, 0.006)

        angles_above = self._kinematics.solve(above, math.radians(80), qpos[:4])
        angles_grasp = self._kinematics.solve(grasp, math.radians(84), angles_above)
        angles_lifted = self._kinematics.solve(lifted, math.radians(62), angles_grasp)
        pose = [
            (0.0, qpos[:4], qpos[4]),
            (0.3, qpos[:4], GRIPPER_OPEN_M),
            (1.9, angles_above, GRIPPER_OPEN_M),
            (1.1, angles_grasp, GRIPPER_OPEN_M),
            (0.2, angles_grasp, GRIPPER_OPEN_M),
            (0.6, angles_grasp, GRIPPER_CLOSED_M),
            (0.2, angles_grasp, GRIPPER_CLOSED_M),
            (1.6, angles_lifted, GRIPPER_CLOSED_M),
            (1.5, angles_lifted, GRIPPER_CLOSED_M),
        ]
        pace = self._rng.uniform(0.98, 1.02)
        times = np.cumsum([duration for duration, _, _ in pose]) * pace
        waypoints = np.array([[*angles, gripper] for _, angles, gripper in pose])
        return ScriptedMotion(times, waypoints, self._nudge(times))

    def _nudge(self, times_s: Float64Array) -> Nudge:
        return Nudge(
            self._rng.uniform(0.3, 1.0, (2, 4)) * NUDGE_RAD,
            self._rng.uniform(0.25, 0.8, (2, 4)),
            self._rng.uniform(0, 2 * math.pi, (2, 4)),
            (0.8, float(times_s[2]) - 0.4, float(times_s[3]) - 0.3, float(times_s[4])),
        )
