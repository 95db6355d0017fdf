# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""gym-aloha's task `transfer_cube`: the right arm lifts the cube, the left arm takes it over.

Scene and meshes are those of the gym-aloha package and the physics is stepped as there, so that
the same commands give the same motion; only the images are plain and the verdict is stricter.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.simulation.graphics import OffscreenRenderer, mujoco

Float64Array = npt.NDArray[np.float64]

SCENE_NAME = 'bimanual_viperx_transfer_cube.xml'
ARM_JOINTS = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
SIDES = ('left', 'right')
JOINT_NAMES = tuple(f'{side}_{joint}' for side in SIDES for joint in (*ARM_JOINTS, 'gripper'))
HOME = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0)
# A gripper is told as in ALOHA: 0 closed, 1 open, between these places of its left finger [m].
FINGER_CLOSED_M, FINGER_OPEN_M = 0.01844, 0.058
HOME_FINGER_M = 0.02239
CUBE_X_M, CUBE_Y_M, CUBE_DROP_M = (0.0, 0.2), (0.4, 0.6), 0.05
CUBE_QUATERNION = (1.0, 0.0, 0.0, 0.0)
HELD_STEPS = 25
CONTROL_PERIOD_S = 0.02
GRIPPERS = [6, 13]
AWAY_M = 100.0  # where nothing is seen any more
CAMERAS_FOR_PEOPLE = ('view',)
VIEW_CAMERA = 'angle'


def scene_file(name: str = SCENE_NAME) -> Path:
    """Return the path of a scene in the gym-aloha package, which is not imported.

    Raises:
        UserError: gym-aloha is not installed.
    """
    package = importlib.util.find_spec('gym_aloha')
    if package is None or not package.submodule_search_locations:
        raise UserError(
            'scene transfer_cube: the package gym-aloha is missing, expected it for its scene '
            'files; run: pip install --no-deps gym-aloha'
        )
    return Path(package.submodule_search_locations[0]) / 'assets' / name


def gripper_to_finger(opening: Any) -> Any:
    """Return the place of the left finger [m] of grippers from 0 closed to 1 open."""
    return FINGER_CLOSED_M + opening * (FINGER_OPEN_M - FINGER_CLOSED_M)


def finger_to_gripper(finger_m: Any) -> Any:
    """Return how far grippers are open, 0 to 1, of the place of their left finger [m]."""
    return (finger_m - FINGER_CLOSED_M) / (FINGER_OPEN_M - FINGER_CLOSED_M)


class TransferCubeSim:
    """Two ViperX arms at a table with a cube (MuJoCo; scene of gym-aloha 0.1.5).

    Vectors are in the order of `joint_names`, left arm first: six angles [rad] and the gripper,
    0 closed to 1 open. `success` becomes true, and stays so, when the cube was held by the left
    gripper alone, off the table, for 25 control steps in a row.
    """

    robot = 'aloha_sim'
    joint_names = JOINT_NAMES
    grippers = tuple(GRIPPERS)
    usual_place = 'random'
    places = "'random', or x,y in metres, x 0 to 0.2, y 0.4 to 0.6"
    wrench = None

    def __init__(self, seed: int = 0) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(scene_file()))
        self.data = mujoco.MjData(self.model)
        arm: Float64Array = np.array([*HOME, finger_to_gripper(HOME_FINGER_M)])
        self.home: Float64Array = np.tile(arm, 2)
        joints = [
            self.model.joint(f'vx300s_{side}/{joint}')
            for side in SIDES
            for joint in (*ARM_JOINTS, 'left_finger')
        ]
        self._qpos_index = np.array([joint.qposadr[0] for joint in joints])
        self._dof_index = np.array([joint.dofadr[0] for joint in joints])
        self._control_index = np.array([*range(7), *range(8, 15)])
        self._cube_qpos = int(self.model.joint('red_box_joint').qposadr[0])
        self._cube_dof = int(self.model.joint('red_box_joint').dofadr[0])
        self._touch = _CubeContacts(self.model)
        self._steps_per_period = round(CONTROL_PERIOD_S / self.model.opt.timestep)
        self._renderers: dict[bool, OffscreenRenderer] = {}
        self._rng = np.random.RandomState(seed)
        self.reset()

    @property
    def positions(self) -> dict[str, float]:
        """Named places of the cube: none; it stands at random, or where it is told."""
        return {}

    def reset(self, cube: str = 'random', seed: int | None = None) -> None:
        """Put the arms home and the cube on the table.

        Args:
            cube: 'random', or its place `x,y` in metres, x 0 to 0.2 (to the right), y 0.4 to 0.6.
            seed: fixes the random place, which is that of gym-aloha for the same seed; without
                one the draws go on.
        """
        if seed is not None:
            self._rng = np.random.RandomState(seed)
        place = self._place(cube)
        mujoco.mj_resetData(self.model, self.data)
        fingers = (HOME_FINGER_M, -HOME_FINGER_M)
        pose = np.array([*HOME, *fingers, *HOME, *fingers])
        self.data.qpos[:16] = pose
        self.data.ctrl[:] = pose
        self.data.qpos[self._cube_qpos : self._cube_qpos + 7] = (*place, *CUBE_QUATERNION)
        # As dm_control does: a first state without actuation.
        with _without_actuation(self.model):
            mujoco.mj_forward(self.model, self.data)
        self._physics_steps = 0
        self._held_steps = 0
        self.success = False

    def _place(self, cube: str) -> Float64Array:
        low = np.array([CUBE_X_M[0], CUBE_Y_M[0], CUBE_DROP_M])
        high = np.array([CUBE_X_M[1], CUBE_Y_M[1], CUBE_DROP_M])
        if cube == 'random':
            return self._rng.uniform(low, high)
        try:
            x, y = (float(value) for value in str(cube).split(','))
        except ValueError:
            x = y = np.nan
        place = np.array([x, y, CUBE_DROP_M])
        if not ((low <= place) & (place <= high)).all():
            raise UserError(
                f"cube position '{cube}': expected 'random' or x,y in metres, x from "
                f'{low[0]} to {high[0]}, y from {low[1]} to {high[1]}'
            )
        return place

    def step(self, command: Float64Array | None, duration_s: float) -> None:
        """Let `duration_s` pass while the servos follow `command`, (14,) joint targets.

        None keeps the last targets.
        """
        if command is not None:
            self._set_control(np.asarray(command, np.float64))
        for _ in range(max(1, round(duration_s / self.model.opt.timestep))):
            mujoco.mj_step(self.model, self.data)
            self._physics_steps += 1
            if self._physics_steps % self._steps_per_period == 0:
                mujoco.mj_step1(self.model, self.data)
                self._judge()
        # What is measured and seen belongs to the state after the last step.
        mujoco.mj_step1(self.model, self.data)

    def _set_control(self, command: Float64Array) -> None:
        control = command.copy()
        control[GRIPPERS] = gripper_to_finger(command[GRIPPERS])
        self.data.ctrl[self._control_index] = control
        self.data.ctrl[[7, 15]] = -control[GRIPPERS]

    def _judge(self) -> None:
        held = self._touch.held_by_left(self.data)
        self._held_steps = self._held_steps + 1 if held else 0
        self.success = self.success or self._held_steps >= HELD_STEPS

    def remove_cube(self) -> None:
        """Take the cube away, as a hand would between two images."""
        self.data.qpos[self._cube_qpos] += AWAY_M
        self.data.qvel[self._cube_dof : self._cube_dof + 6] = 0.0

    def push(self, torque: Float64Array) -> None:
        """Push the joints from outside, (14,) [N m; grippers N], until told otherwise or reset.

        A gripper is pushed at its left finger.
        """
        self.data.qfrc_applied[self._dof_index] = torque

    @property
    def reward(self) -> int:
        """gym-aloha's reward of this moment: 1 touched, 2 lifted by the right, 3 to 4 left."""
        return self._touch.reward(self.data)

    @property
    def time_ns(self) -> int:
        """Simulated time since the last reset [ns]."""
        return round(self.data.time * 1e9)

    @property
    def qpos(self) -> Float64Array:
        """Measured joint positions, (14,) [rad; grippers 0 to 1]."""
        values = self.data.qpos[self._qpos_index]
        values[GRIPPERS] = finger_to_gripper(values[GRIPPERS])
        return np.asarray(values)

    @property
    def qvel(self) -> Float64Array:
        """Measured joint velocities, (14,) [rad/s; grippers 1/s]."""
        values = self.data.qvel[self._dof_index]
        values[GRIPPERS] /= FINGER_OPEN_M - FINGER_CLOSED_M
        return np.asarray(values)

    @property
    def effort(self) -> Float64Array:
        """Actuator efforts, (14,) [N m; grippers N]."""
        return np.asarray(self.data.actuator_force[self._control_index])

    @property
    def cube_pose(self) -> Float64Array:
        """Cube position [m] and orientation quaternion (w, x, y, z), (7,)."""
        return np.array(self.data.qpos[self._cube_qpos : self._cube_qpos + 7])

    def render(self, camera: str, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Return an image, (height, width, 3) uint8 RGB; cameras: those of gym-aloha, and view.

        `view` is `angle` for people: shadows and smooth edges, slower.
        """
        for_people = camera in CAMERAS_FOR_PEOPLE
        if for_people not in self._renderers:
            self._renderers[for_people] = OffscreenRenderer(self.model, for_people=for_people)
        name = VIEW_CAMERA if for_people else camera
        return self._renderers[for_people].render(self.data, name, height, width)

    def close(self) -> None:
        """Free the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


@contextlib.contextmanager
def _without_actuation(model: mujoco.MjModel) -> Iterator[None]:
    """Actuators give no force inside this block."""
    flags = model.opt.disableflags
    model.opt.disableflags = flags | mujoco.mjtDisableBit.mjDSBL_ACTUATION
    try:
        yield
    finally:
        model.opt.disableflags = flags


class _CubeContacts:
    """What touches the cube."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._cube = model.geom('red_box').id
        self._table = model.geom('table').id
        self._fingers = {
            side: {
                model.geom(f'vx300s_{side}/10_{finger}_gripper_finger').id
                for finger in ('left', 'right')
            }
            for side in SIDES
        }
        # gym-aloha looks at the outer finger of each arm alone.
        self._rewarded = {
            side: model.geom(f'vx300s_{side}/10_{side}_gripper_finger').id for side in SIDES
        }

    def _touching(self, data: mujoco.MjData) -> set[int]:
        pairs = data.contact.geom[: data.ncon]
        mine = pairs[(pairs == self._cube).any(axis=1)]
        return set(mine.ravel().tolist()) - {self._cube}

    def held_by_left(self, data: mujoco.MjData) -> bool:
        """Whether both fingers of the left gripper touch the cube, and nothing else does."""
        return self._touching(data) == self._fingers['left']

    def reward(self, data: mujoco.MjData) -> int:
        """gym-aloha's reward, 0 to 4."""
        touching = self._touching(data)
        lifted = self._table not in touching
        if self._rewarded['left'] in touching:
            return 4 if lifted else 3
        if self._rewarded['right'] in touching:
            return 2 if lifted else 1
        return 0
