# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated arms and their scripted teachers (MuJoCo), without ROS."""

from __future__ import annotations

from motion_policy.errors import UserError
from motion_policy.simulation.expert import GraspExpert, Trajectory
from motion_policy.simulation.tabletop import TAUGHT_POSITIONS, TabletopSim

__all__ = [
    'SCENES',
    'TAUGHT_POSITIONS',
    'GraspExpert',
    'TabletopSim',
    'Trajectory',
    'make_simulation',
]

SCENES = {'tabletop': TabletopSim}


def make_simulation(scene: str, seed: int = 0) -> TabletopSim:
    """Return the simulation called `scene`.

    Raises:
        UserError: there is no scene of that name.
    """
    if scene not in SCENES:
        raise UserError(f'scene {scene}: not known; scenes are {", ".join(SCENES)}')
    return SCENES[scene](seed)
