# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Registry of the simulated tasks that `sim:SCENE:TASK` names.

A new task adds one entry here.

Simulators are imported only when a scene is made, so that judging recordings needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError

if TYPE_CHECKING:
    from motion_policy.simulation.disturbances import Disturbance

PREFIX = 'sim:'
# What may happen to an arm while it reaches for the object.
DISTURBANCES = ('cube-removed', 'camera-covered', 'arm-pushed')

Float64Array = npt.NDArray[np.float64]


class Simulation(Protocol):
    """What a rollout needs of a simulated arm; vectors (J,) in the order of `joint_names`."""

    success: bool

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the J joints."""

    @property
    def positions(self) -> Mapping[str, float]:
        """Named places of the object [m]."""

    @property
    def cube_pose(self) -> Float64Array:
        """Position [m] and quaternion (w, x, y, z) of the object, (7,)."""

    @property
    def time_ns(self) -> int:
        """Simulated time since the reset."""

    @property
    def qpos(self) -> Float64Array:
        """Measured joint positions [rad, m]."""

    @property
    def qvel(self) -> Float64Array:
        """Measured joint velocities [rad/s, m/s]."""

    @property
    def effort(self) -> Float64Array:
        """Measured joint efforts [N m, N]."""

    @property
    def wrench(self) -> Float64Array | None:
        """Force [N] and torque [N m] in the wrist, (6,); None without a sensor there."""

    def reset(self, cube: Any, seed: int | None = None) -> None:
        """Begin a trial with the object at a position (a name, or a place as the scene has it)."""

    def step(self, command: Float64Array | None, duration_s: float) -> None:
        """Let time pass under a joint command, or under the one before (None)."""

    def render(self, camera: str, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Image of a camera, (height, width, 3) RGB."""

    def close(self) -> None:
        """Free what rendering took."""


class ScriptedDemonstration(Protocol):
    """Joint targets (J,) over time, from the start of the trial."""

    @property
    def duration_s(self) -> float:
        """How long it lasts."""

    def __call__(self, time_s: float) -> Float64Array:
        """Where the leader stands: the action of that moment."""

    def follower(self, time_s: float) -> Float64Array:
        """Where the follower is sent, which may be nudged off the leader's way."""


@dataclass(frozen=True)
class Reach:
    """How a scene is disturbed.

    Attributes:
        window_s: between these times after the start the arm reaches for the object.
        pushes: joints that may be pushed, each with the torque [N m] of a push.
    """

    window_s: tuple[float, float]
    pushes: tuple[tuple[str, float], ...]


Teacher = Callable[[Simulation, int], ScriptedDemonstration]


@dataclass(frozen=True)
class Scene:
    """One simulated task.

    Attributes:
        name: as the user writes it, `sim:SCENE:TASK`.
        robot: the robot spec that describes the simulated arm.
        positions: where the object is put by default.
        taught: those of them at which the usual demonstrations are given.
        horizon_s: a trial that has not succeeded by then has failed.
        camera_rate_hz: how many frames the simulated cameras give.
        overview: a camera for people, or None.
        make: builds the simulation.
        teacher: builds what plans a demonstration of the scene as it stands, varied by a seed.
        nodes: what sim_node and demonstrator_node call it; None where they do not have it.
        over_ros: whether it is taught over ROS topics where nothing else is asked for.
        raw_pixels: whether demonstrations keep pixels, as for small images, or JPEG.
        reach: how it is disturbed; None where it cannot be.
        corrects: whether its teacher plans a whole demonstration from wherever the arm is, and so
            can correct a policy.
    """

    name: str
    robot: str
    positions: tuple[str, ...]
    taught: tuple[str, ...]
    horizon_s: float
    camera_rate_hz: float
    overview: str | None
    make: Callable[[], Simulation]
    teacher: Callable[[], Teacher]
    nodes: str | None = None
    over_ros: bool = False
    raw_pixels: bool = False
    reach: Reach | None = None
    corrects: bool = False

    def disturbance(self, name: str, sim: Simulation, seed: int) -> Disturbance:
        """One of DISTURBANCES, begun at a moment of the reach that `seed` fixes.

        UserError if there is none of that name, or the scene cannot be disturbed.
        """
        if self.reach is None or name not in DISTURBANCES:
            known = ', '.join(DISTURBANCES if self.reach else ()) or 'none'
            raise UserError(f"{self.name}: no disturbance '{name}', expected one of: {known}")
        from motion_policy.simulation.disturbances import Disturbable, make_disturbance

        reached = cast(Disturbable, sim)
        return make_disturbance(name, reached, self.reach.window_s, self.reach.pushes, seed)


def _make_tabletop() -> Simulation:
    from motion_policy.simulation import TabletopSim

    return TabletopSim(seed=0)


def _make_grasp_teacher() -> Teacher:
    from motion_policy.simulation.expert import GraspExpert

    return lambda sim, seed: GraspExpert(seed).plan(sim.cube_pose[:2], sim.qpos)


def _make_transfer_cube() -> Simulation:
    from motion_policy.simulation.transfer_cube import TransferCubeSim

    return TransferCubeSim(seed=0)


def _make_transfer_teacher() -> Teacher:
    from motion_policy.simulation.transfer_expert import TransferExpert

    expert = TransferExpert()
    return lambda sim, seed: expert.plan(sim.cube_pose[:2], sim.qpos, seed)


def _make_push() -> Simulation:
    from motion_policy.simulation.push import PushSim

    return PushSim(seed=0)


def _make_push_teacher() -> Teacher:
    from motion_policy.simulation.push_expert import push_teacher

    return push_teacher


def _make_press() -> Simulation:
    from motion_policy.simulation.press import PressSim

    return PressSim(seed=0)


def _make_press_teacher() -> Teacher:
    from motion_policy.simulation.press_expert import press_teacher

    return press_teacher


SCENES = {
    scene.name: scene
    for scene in (
        Scene(
            name='sim:tabletop:grasp',
            robot='tabletop_sim',
            positions=('A', 'B', 'C', 'D', 'E'),
            taught=('A', 'C', 'E'),
            horizon_s=15.0,
            camera_rate_hz=25.0,
            overview='view',
            make=_make_tabletop,
            teacher=_make_grasp_teacher,
            nodes='tabletop',
            over_ros=True,
            reach=Reach((0.8, 2.8), (('joint1', 4.0), ('joint2', 4.0))),
            corrects=True,
        ),
        Scene(
            name='sim:aloha:transfer_cube',
            robot='aloha_sim',
            positions=('random',),
            taught=('random',),
            horizon_s=8.0,
            camera_rate_hz=50.0,
            overview='view',
            make=_make_transfer_cube,
            teacher=_make_transfer_teacher,
            nodes='transfer_cube',
            reach=Reach((0.6, 2.0), (('right_waist', 80.0), ('right_shoulder', 120.0))),
        ),
        Scene(
            name='sim:tabletop:push',
            robot='tabletop_push',
            positions=('random',),
            taught=('random',),
            horizon_s=6.0,
            camera_rate_hz=5.0,
            overview='view',
            make=_make_push,
            teacher=_make_push_teacher,
            raw_pixels=True,
        ),
        Scene(
            name='sim:tabletop:press',
            robot='tabletop_press',
            positions=('random',),
            taught=('random',),
            horizon_s=10.0,
            camera_rate_hz=25.0,
            overview='view',
            make=_make_press,
            teacher=_make_press_teacher,
            nodes='press',
        ),
    )
}


def is_scene(text: str) -> bool:
    """Whether the user means a simulated task rather than recorded data."""
    return text.startswith(PREFIX)


def find_scene(text: str) -> Scene:
    """The scene of `sim:SCENE:TASK`, or of the first task of `sim:SCENE`."""
    for name, scene in SCENES.items():
        if text in (name, name.rpartition(':')[0]):
            return scene
    raise UserError(f"'{text}': no such simulated task, expected one of: {', '.join(SCENES)}")
