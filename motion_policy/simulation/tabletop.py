# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tabletop arm in front of a cube and its task `grasp`: lift the cube and hold it.

Nothing here reads a clock: the scene moves on only by `step`, and a seed fixes every draw.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.simulation.graphics import mujoco
from motion_policy.simulation.tabletop_arm import TabletopArm

Float64Array = npt.NDArray[np.float64]

SCENE_FILE = Path(__file__).with_name('tabletop.xml')
HOME = (0.0, -1.05, 0.45, 0.95, 0.015)
POSITION_NAMES = ('A', 'B', 'C', 'D', 'E')
TAUGHT_POSITIONS = ('A', 'C', 'E')
LIFT_HEIGHT_M = 0.05
HOLD_DURATION_S = 1.0
PLACEMENT_JITTER_M = 0.008
YAW_JITTER_RAD = 0.08
OUTSIDE_M = 0.06  # beyond A and E, where nothing is taught
AWAY_M = 100.0  # where nothing is seen any more


class TabletopSim(TabletopArm):
    """The arm in front of a cube (MuJoCo; scene in tabletop.xml); cameras: top, side, view."""

    robot = 'tabletop_sim'
    usual_place = 'C'
    places = "A..E, 'random', 'outside', or y in metres (left is positive)"
    wrench = None

    def __init__(self, seed: int = 0) -> None:
        super().__init__(SCENE_FILE, HOME, seed)
        self.positions = {name: float(self.model.site(name).pos[1]) for name in POSITION_NAMES}
        self._line_x = float(self.model.site('C').pos[0])
        self._cube_qpos = int(self.model.joint('cube').qposadr[0])
        self._cube_dof = int(self.model.joint('cube').dofadr[0])
        self.reset()

    def reset(self, cube: str | float = 'C', seed: int | None = None) -> None:
        """Put the arm home and the cube on the line A..E, each with a little variation.

        Args:
            cube: a position name, 'random' (anywhere between A and E), 'outside' (up to 6 cm
                beyond A or E), or the place y on the line in metres (left of the arm is positive).
            seed: fixes the variation; without one the draws go on.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        cube_y = self._place(cube)
        self._put_home()
        jitter = self._rng.uniform(-PLACEMENT_JITTER_M, PLACEMENT_JITTER_M, 2)
        x, y = self._line_x + jitter[0], cube_y + jitter[1]
        yaw = math.atan2(y, x) + self._rng.uniform(-YAW_JITTER_RAD, YAW_JITTER_RAD)
        self.data.qpos[self._cube_qpos : self._cube_qpos + 7] = (
            x, y, 0.015, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2),
        )  # fmt: skip
        mujoco.mj_forward(self.model, self.data)
        self._held_s = 0.0
        self.success = False

    def _place(self, cube: str | float) -> float:
        low, high = min(self.positions.values()), max(self.positions.values())
        if cube == 'random':
            return float(self._rng.uniform(low, high))
        low, high = low - OUTSIDE_M, high + OUTSIDE_M
        if cube == 'outside':
            beyond = float(self._rng.uniform(-OUTSIDE_M, OUTSIDE_M))
            return (low if beyond > 0 else high) + beyond
        if isinstance(cube, str) and cube in self.positions:
            return self.positions[cube]
        try:
            place = float(cube)
        except ValueError:
            place = math.nan
        if not low <= place <= high:
            names = ', '.join(self.positions)
            raise UserError(
                f"cube position '{cube}': expected one of {names}, 'random', 'outside', or a "
                f'number from {low:g} to {high:g} m'
            )
        return place

    def _judge(self) -> None:
        lifted = self.cube_height_m >= LIFT_HEIGHT_M
        self._held_s = self._held_s + self.model.opt.timestep if lifted else 0.0
        self.success = self.success or self._held_s >= HOLD_DURATION_S

    def remove_cube(self) -> None:
        """Take the cube away, as a hand would between two images."""
        self.data.qpos[self._cube_qpos] += AWAY_M
        self.data.qvel[self._cube_dof : self._cube_dof + 6] = 0.0

    @property
    def cube_pose(self) -> Float64Array:
        """Cube position [m] and orientation quaternion (w, x, y, z), (7,)."""
        return np.array(self.data.qpos[self._cube_qpos : self._cube_qpos + 7])

    @property
    def cube_height_m(self) -> float:
        """Height of the cube's lower side above the table, when it lies flat [m]."""
        return float(self.data.qpos[self._cube_qpos + 2]) - 0.015

    def show(self, qpos: Float64Array, cube_pose: Float64Array) -> None:
        """Pose joints (5,) and cube (7,), as of `cube_pose`, without physics.

        This draws a recorded moment.
        """
        self._pose(qpos)
        self.data.qpos[self._cube_qpos : self._cube_qpos + 7] = cube_pose
        mujoco.mj_forward(self.model, self.data)
