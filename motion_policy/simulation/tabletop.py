# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated tabletop arm and its task `grasp`: lift the cube and hold it.

Nothing here reads a clock: the scene moves on only by `step`, and a seed fixes every draw.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.simulation.graphics import OffscreenRenderer, mujoco

Float64Array = npt.NDArray[np.float64]

SCENE_FILE = Path(__file__).with_name('tabletop.xml')
JOINT_NAMES = ('joint1', 'joint2', 'joint3', 'joint4', 'gripper')
HOME = (0.0, -1.05, 0.45, 0.95, 0.015)
POSITION_NAMES = ('A', 'B', 'C', 'D', 'E')
TAUGHT_POSITIONS = ('A', 'C', 'E')
LIFT_HEIGHT_M = 0.05
HOLD_DURATION_S = 1.0
PLACEMENT_JITTER_M = 0.008
YAW_JITTER_RAD = 0.08
HOME_JITTER_RAD = 0.02
AWAY_M = 100.0  # where nothing is seen any more
CAMERAS_FOR_PEOPLE = ('view',)


class TabletopSim:
    """A 4-joint arm with a gripper in front of a cube (MuJoCo; scene in tabletop.xml).

    Vectors are in the order of `joint_names`: four angles [rad], one finger position [m].
    """

    robot = 'tabletop_sim'
    joint_names = JOINT_NAMES
    grippers = (4,)
    usual_place = 'C'
    places = "A..E, 'random', or y in metres (left is positive)"

    def __init__(self, seed: int = 0) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(SCENE_FILE))
        self.data = mujoco.MjData(self.model)
        self.home: Float64Array = np.array(HOME)
        self.positions = {name: float(self.model.site(name).pos[1]) for name in POSITION_NAMES}
        self._line_x = float(self.model.site('C').pos[0])
        joints = [self.model.joint(name) for name in JOINT_NAMES]
        self._qpos_index = np.array([joint.qposadr[0] for joint in joints])
        self._dof_index = np.array([joint.dofadr[0] for joint in joints])
        self._cube_qpos = int(self.model.joint('cube').qposadr[0])
        self._cube_dof = int(self.model.joint('cube').dofadr[0])
        self._mimic_qpos = int(self.model.joint('gripper_mimic').qposadr[0])
        self._renderers: dict[bool, OffscreenRenderer] = {}
        self._rng = np.random.default_rng(seed)
        self.reset()

    def reset(self, cube: str | float = 'C', seed: int | None = None) -> None:
        """Put the arm home and the cube on the line A..E, each with a little variation.

        Args:
            cube: a position name, 'random' (anywhere between A and E), or the place y on the
                line in metres (left of the arm is positive).
            seed: fixes the variation; without one the draws go on.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        cube_y = self._place(cube)
        mujoco.mj_resetData(self.model, self.data)
        home = self.home.copy()
        home[:4] += self._rng.uniform(-HOME_JITTER_RAD, HOME_JITTER_RAD, 4)
        self.data.qpos[self._qpos_index] = home
        self.data.qpos[self._mimic_qpos] = home[4]
        jitter = self._rng.uniform(-PLACEMENT_JITTER_M, PLACEMENT_JITTER_M, 2)
        x, y = self._line_x + jitter[0], cube_y + jitter[1]
        yaw = math.atan2(y, x) + self._rng.uniform(-YAW_JITTER_RAD, YAW_JITTER_RAD)
        self.data.qpos[self._cube_qpos : self._cube_qpos + 7] = (
            x, y, 0.015, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2),
        )  # fmt: skip
        self._set_control(home)
        mujoco.mj_forward(self.model, self.data)
        self._held_s = 0.0
        self.success = False

    def _place(self, cube: str | float) -> float:
        low, high = min(self.positions.values()), max(self.positions.values())
        if cube == 'random':
            return float(self._rng.uniform(low, high))
        if isinstance(cube, str) and cube in self.positions:
            return self.positions[cube]
        try:
            place = float(cube)
        except ValueError:
            place = math.nan
        if not low <= place <= high:
            names = ', '.join(self.positions)
            raise UserError(
                f"cube position '{cube}': expected one of {names}, 'random', or a number from "
                f'{low} to {high} m'
            )
        return place

    def _set_control(self, command: Float64Array) -> None:
        self.data.ctrl[:5] = command
        self.data.ctrl[5] = command[4]

    def step(self, command: Float64Array | None, duration_s: float) -> None:
        """Let `duration_s` pass while the servos follow `command`, (5,) joint targets.

        None keeps the last targets.
        """
        if command is not None:
            self._set_control(np.asarray(command, np.float64))
        count = max(1, round(duration_s / self.model.opt.timestep))
        for _ in range(count):
            mujoco.mj_step(self.model, self.data)
            lifted = self.cube_height_m >= LIFT_HEIGHT_M
            self._held_s = self._held_s + self.model.opt.timestep if lifted else 0.0
            self.success = self.success or self._held_s >= HOLD_DURATION_S

    def remove_cube(self) -> None:
        """Take the cube away, as a hand would between two images."""
        self.data.qpos[self._cube_qpos] += AWAY_M
        self.data.qvel[self._cube_dof : self._cube_dof + 6] = 0.0

    def push(self, torque: Float64Array) -> None:
        """Push the joints from outside, (5,) [N m, N], until told otherwise or reset."""
        self.data.qfrc_applied[self._dof_index] = torque

    @property
    def time_ns(self) -> int:
        """Simulated time since the last reset [ns]."""
        return round(self.data.time * 1e9)

    @property
    def qpos(self) -> Float64Array:
        """Measured joint positions, (5,) [rad, m]."""
        return np.array(self.data.qpos[self._qpos_index])

    @property
    def qvel(self) -> Float64Array:
        """Measured joint velocities, (5,) [rad/s, m/s]."""
        return np.array(self.data.qvel[self._dof_index])

    @property
    def effort(self) -> Float64Array:
        """Actuator efforts, (5,) [N m, N]."""
        return np.array(self.data.actuator_force[:5])

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
        self.data.qpos[self._qpos_index] = qpos
        self.data.qpos[self._mimic_qpos] = qpos[4]
        self.data.qpos[self._cube_qpos : self._cube_qpos + 7] = cube_pose
        mujoco.mj_forward(self.model, self.data)

    def render(self, camera: str, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Return an image, (height, width, 3) uint8 RGB; cameras: top, side, view.

        `view` is for people: shadows and smooth edges, slower.
        """
        for_people = camera in CAMERAS_FOR_PEOPLE
        if for_people not in self._renderers:
            self._renderers[for_people] = OffscreenRenderer(self.model, for_people=for_people)
        return self._renderers[for_people].render(self.data, camera, height, width)

    def close(self) -> None:
        """Free the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
