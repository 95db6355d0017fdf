# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The small arm with a gripper that the tabletop scenes share, commanded by joint targets.

Nothing here reads a clock: a scene moves on only by `step`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.simulation.graphics import OffscreenRenderer, mujoco

Float64Array = npt.NDArray[np.float64]

JOINT_NAMES = ('joint1', 'joint2', 'joint3', 'joint4', 'gripper')
HOME_JITTER_RAD = 0.02
CAMERAS_FOR_PEOPLE = ('view',)


class TabletopArm:
    """A 4-joint arm with a gripper (MuJoCo; tabletop_arm.xml, included by the scene's file).

    Vectors are in the order of `joint_names`: four angles [rad], one finger position [m].

    Args:
        scene_file: the MuJoCo model.
        home: (5,) where the arm stands at the begin of a trial.
        seed: fixes every draw.
    """

    joint_names = JOINT_NAMES
    grippers = (4,)

    def __init__(self, scene_file: Path, home: tuple[float, ...], seed: int) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(scene_file))
        self.data = mujoco.MjData(self.model)
        self.home: Float64Array = np.array(home)
        joints = [self.model.joint(name) for name in JOINT_NAMES]
        self._qpos_index = np.array([joint.qposadr[0] for joint in joints])
        self._dof_index = np.array([joint.dofadr[0] for joint in joints])
        self._mimic_qpos = int(self.model.joint('gripper_mimic').qposadr[0])
        self._renderers: dict[bool, OffscreenRenderer] = {}
        self._rng = np.random.default_rng(seed)
        self.success = False

    def _put_home(self) -> None:
        """Put the arm home, with a little variation; all else is as the model has it."""
        mujoco.mj_resetData(self.model, self.data)
        home = self.home.copy()
        home[:4] += self._rng.uniform(-HOME_JITTER_RAD, HOME_JITTER_RAD, 4)
        self._pose(home)
        self._set_control(home)

    def _pose(self, qpos: Float64Array) -> None:
        self.data.qpos[self._qpos_index] = qpos
        self.data.qpos[self._mimic_qpos] = qpos[4]

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
            self._judge()

    def _judge(self) -> None:
        """Note after every step of the physics how the task stands."""
        raise NotImplementedError

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

    def render(self, camera: str, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Return an image, (height, width, 3) uint8 RGB, of a camera of the scene.

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
