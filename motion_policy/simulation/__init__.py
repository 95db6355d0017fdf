# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated arms and their scripted teachers (MuJoCo), without ROS."""

from __future__ import annotations

from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.simulation.expert import GraspExpert, ScriptedMotion
from motion_policy.simulation.press import PressSim
from motion_policy.simulation.press_expert import PressExpert
from motion_policy.simulation.tabletop import TAUGHT_POSITIONS, TabletopSim
from motion_policy.simulation.transfer_cube import TransferCubeSim
from motion_policy.simulation.transfer_expert import TransferExpert

__all__ = [
    'SCENES',
    'TAUGHT_POSITIONS',
    'GraspExpert',
    'PressExpert',
    'PressSim',
    'ScriptedMotion',
    'TabletopSim',
    'TransferCubeSim',
    'TransferExpert',
    'check_scene_robot',
    'make_simulation',
]

NodeSimulation = TabletopSim | TransferCubeSim | PressSim  # those of sim_node

SCENES: dict[str, type[TabletopSim] | type[TransferCubeSim] | type[PressSim]] = {
    'tabletop': TabletopSim,
    'transfer_cube': TransferCubeSim,
    'press': PressSim,
}


def make_simulation(scene: str, seed: int = 0) -> NodeSimulation:
    """Return the simulation called `scene`.

    Raises:
        UserError: there is no scene of that name, or what it needs is not installed.
    """
    if scene not in SCENES:
        raise UserError(f'scene {scene}: not known; scenes are {", ".join(SCENES)}')
    return SCENES[scene](seed)


def check_scene_robot(scene: str, robot: RobotSpec) -> None:
    """UserError if `robot` has other joints than the arm of `scene`."""
    names, expected = robot.joints.names, SCENES[scene].joint_names
    if names != expected:
        raise UserError(
            f"robot '{robot.name}': its joints are {', '.join(names)}, expected those of scene "
            f"'{scene}': {', '.join(expected)}"
        )
