# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tabletop arm over a tray with two objects: task `push`, commanded in Cartesian space.

A command is a place of the tool; the joints follow by inverse kinematics. Nothing here reads a
clock, and a seed fixes every draw.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.simulation.expert import ToolKinematics
from motion_policy.simulation.graphics import OffscreenRenderer, mujoco

Float64Array = npt.NDArray[np.float64]

SCENE_FILE = Path(__file__).with_name('push.xml')
JOINT_NAMES = ('x', 'y', 'z')
OBJECTS = ('box', 'can')
# Where the tool may go, and how far from the shoulder's axis it reaches [m].
LOW_M, HIGH_M, REACH_M = np.array([0.12, -0.105, 0.016]), np.array([0.28, 0.105, 0.065]), 0.285
PUSH_HEIGHT_M = 0.018
# Pointing straight down near the base, leaning outwards far from it.
NEAR_M, NEAR_PITCH_RAD, FAR_PITCH_RAD = 0.12, math.radians(88), math.radians(62)
TRAY_M, TRAY_X_M, TRAY_FLOOR_M = (0.10, 0.13), 0.20, 0.001
OBJECT_RADIUS_M, OBJECT_HALF_HEIGHT_M = 0.027, 0.019
CLEARANCE_M = 0.05  # of the tool from the middle of an object that it does not touch
MOVED_M = 0.02
CLOSED_M = -0.009
CONTROL_PERIOD_S = 0.02
NEAR_SHARE = 0.75  # of the trials begin close to an object
DRAWS = 200
# Each pixel is the mean of so many in a row and a column: edges move smoothly, as in a camera.
SUPERSAMPLING = 3
CAMERAS_FOR_PEOPLE = ('view',)


def reachable(place: Float64Array) -> Float64Array:
    """Return the nearest place (3,) that the tool may go to [m]."""
    inside = np.clip(place, LOW_M, HIGH_M)
    radius = float(np.hypot(inside[0], inside[1]))
    if radius > REACH_M:
        inside[0] = math.sqrt(REACH_M**2 - inside[1] ** 2)
    return np.asarray(inside)


class PushSim:
    """An arm with a closed gripper, and a red box and a green can in a tray (MuJoCo; push.xml).

    Vectors are places of the tool, (3,) x ahead, y left, z up [m]. `success`: an object stands
    2 cm or more from where it stood at first, and both are in the tray.
    """

    robot = 'tabletop_push'
    joint_names = JOINT_NAMES
    grippers = ()
    usual_place = 'random'
    places = "'random'"
    wrench = None

    def __init__(self, seed: int = 0) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(SCENE_FILE))
        self.data = mujoco.MjData(self.model)
        self._kinematics = ToolKinematics()
        self._tool = self.model.site('tool').id
        joints = [self.model.joint(f'joint{i}') for i in range(1, 5)]
        self._qpos_index = np.array([joint.qposadr[0] for joint in joints])
        self._dof_index = np.array([joint.dofadr[0] for joint in joints])
        self._fingers = [
            int(self.model.joint(name).qposadr[0]) for name in ('gripper', 'gripper_mimic')
        ]
        self._objects = {name: int(self.model.joint(name).qposadr[0]) for name in OBJECTS}
        self._renderers: dict[bool, OffscreenRenderer] = {}
        self._rng = np.random.default_rng(seed)
        self.reset()

    @property
    def positions(self) -> dict[str, float]:
        """Named places of the objects: none; they stand at random."""
        return {}

    def reset(self, cube: str = 'random', seed: int | None = None) -> None:
        """Put the two objects and the tool at random places, apart from each other.

        Args:
            cube: 'random'.
            seed: fixes the places; without one the draws go on.
        """
        if cube != 'random':
            raise UserError(f"object position '{cube}': expected 'random'")
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        places: list[Float64Array] = []
        for address in self._objects.values():
            places.append(self._object_place(places))
            yaw = self._rng.uniform(-math.pi, math.pi)
            height = TRAY_FLOOR_M + OBJECT_HALF_HEIGHT_M
            self.data.qpos[address : address + 7] = (
                *places[-1], height, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2),
            )  # fmt: skip
        self._command = self._tool_place(places)
        self._angles: Float64Array = np.array([math.atan2(*self._command[1::-1]), -0.5, 0.9, 1.1])
        angles = self._solve(self._command)
        self.data.qpos[self._qpos_index] = angles
        self.data.qpos[self._fingers] = CLOSED_M
        self.data.ctrl[:] = (*angles, CLOSED_M, CLOSED_M)
        mujoco.mj_forward(self.model, self.data)
        self._begin = self._object_places()
        self.success = False

    def _object_place(self, others: list[Float64Array]) -> Float64Array:
        middle = np.array([TRAY_X_M, 0.0])
        half = np.array(TRAY_M) - OBJECT_RADIUS_M - 0.012
        return self._draw(lambda: middle + self._rng.uniform(-half, half), others, 0.06)

    def _tool_place(self, objects: list[Float64Array]) -> Float64Array:
        """Anywhere, or where a push of an object may begin."""

        def anywhere() -> Float64Array:
            return self._rng.uniform(LOW_M[:2], HIGH_M[:2])

        def near() -> Float64Array:
            angle = self._rng.uniform(-math.pi, math.pi)
            away = self._rng.uniform(CLEARANCE_M, 1.3 * CLEARANCE_M)
            place = objects[self._rng.integers(len(objects))]
            return place + away * np.array([math.cos(angle), math.sin(angle)])

        close = self._rng.random() < NEAR_SHARE
        flat = self._draw(near if close else anywhere, objects, CLEARANCE_M)
        raised = not close and self._rng.random() < 0.5
        return np.append(flat, HIGH_M[2] if raised else PUSH_HEIGHT_M)

    def _draw(self, place: Any, others: list[Float64Array], apart_m: float) -> Float64Array:
        """The first drawn place that the tool reaches and that is apart from the others."""
        for _ in range(DRAWS):
            drawn = np.asarray(place())
            fits = np.allclose(reachable(np.append(drawn, LOW_M[2]))[:2], drawn)
            if fits and all(np.linalg.norm(drawn - other) >= apart_m for other in others):
                return drawn
        raise RuntimeError('the tray has no room for another object')

    def step(self, command: Float64Array | None, duration_s: float) -> None:
        """Let `duration_s` pass while the tool moves evenly to `command`, (3,) [m].

        What it cannot reach becomes the nearest place that it can; None keeps the last place.
        """
        begin = self._command
        if command is not None:
            self._command = reachable(np.asarray(command, np.float64))
        ticks = max(1, round(duration_s / CONTROL_PERIOD_S))
        steps = max(1, round(duration_s / ticks / self.model.opt.timestep))
        for tick in range(1, ticks + 1):
            if command is not None:
                self.data.ctrl[:4] = self._solve(begin + tick / ticks * (self._command - begin))
            mujoco.mj_step(self.model, self.data, steps)
        # What is measured and seen belongs to the state after the last step.
        mujoco.mj_forward(self.model, self.data)
        self.success = self._judge()

    def _judge(self) -> bool:
        places = self._object_places()
        inside = np.abs(places[:, :2] - (TRAY_X_M, 0.0)) < TRAY_M
        lying = places[:, 2] < 2 * OBJECT_HALF_HEIGHT_M
        return max(self.moved_m.values()) >= MOVED_M and bool(inside.all() and lying.all())

    def _solve(self, place: Float64Array) -> Float64Array:
        share = (math.hypot(place[0], place[1]) - NEAR_M) / (REACH_M - NEAR_M)
        pitch = NEAR_PITCH_RAD + min(max(share, 0), 1) * (FAR_PITCH_RAD - NEAR_PITCH_RAD)
        self._angles = self._kinematics.solve(place, pitch, self._angles)
        return self._angles

    def _object_places(self) -> Float64Array:
        """Places of the objects, (2, 3) [m]."""
        return np.array([self.data.qpos[at : at + 3] for at in self._objects.values()])

    @property
    def object_places(self) -> dict[str, Float64Array]:
        """Where the middle of each object is, (3,) [m]."""
        return dict(zip(OBJECTS, self._object_places(), strict=True))

    @property
    def moved_m(self) -> dict[str, float]:
        """How far each object stands from where it stood at first [m]."""
        away = np.linalg.norm(self._object_places() - self._begin, axis=1)
        return dict(zip(OBJECTS, away.tolist(), strict=True))

    @property
    def time_ns(self) -> int:
        """Simulated time since the last reset [ns]."""
        return round(self.data.time * 1e9)

    @property
    def command(self) -> Float64Array:
        """The place to which the tool was sent last, (3,) [m]."""
        return self._command.copy()

    @property
    def qpos(self) -> Float64Array:
        """Measured place of the tool, (3,) [m]."""
        return np.array(self.data.site_xpos[self._tool])

    @property
    def qvel(self) -> Float64Array:
        """Measured velocity of the tool, (3,) [m/s]."""
        return np.asarray(self._jacobian() @ self.data.qvel[self._dof_index])

    @property
    def effort(self) -> Float64Array:
        """Force of the tool on what it touches, as the servos know it, (3,) [N]."""
        torques = self.data.actuator_force[:4]
        return np.asarray(np.linalg.lstsq(self._jacobian().T, torques, rcond=None)[0])

    def _jacobian(self) -> Float64Array:
        """How the tool moves with the joints, (3, 4)."""
        jacobian = np.zeros((3, self.model.nv))
        mujoco.mj_jacSite(self.model, self.data, jacobian, None, self._tool)
        return jacobian[:, self._dof_index]

    @property
    def cube_pose(self) -> Float64Array:
        """Position [m] and orientation quaternion (w, x, y, z) of the box, (7,)."""
        return np.array(self.data.qpos[self._objects['box'] :][:7])

    def render(self, camera: str, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Return an image, (height, width, 3) uint8 RGB; cameras: front, view.

        `view` is for people: shadows and smooth edges, slower.
        """
        for_people = camera in CAMERAS_FOR_PEOPLE
        if for_people not in self._renderers:
            self._renderers[for_people] = OffscreenRenderer(self.model, for_people=for_people)
        renderer = self._renderers[for_people]
        if for_people:
            return renderer.render(self.data, camera, height, width)
        fine = renderer.render(self.data, camera, SUPERSAMPLING * height, SUPERSAMPLING * width)
        return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA))

    def close(self) -> None:
        """Free the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
