# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the simulated arm and of its scripted teacher.

The scene is a group of its own: defaults of the other parameters depend on it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from motion_policy.declared import Declared
from motion_policy.nodes.parameters.fields import LIVE, READ_ONLY, OneOf
from motion_policy.simulation import SCENES


class SceneParameters(Declared):
    """Which scene sim_node simulates."""

    scene: Annotated[str, READ_ONLY, OneOf(tuple(SCENES))] = Field(
        default='tabletop', description='What is simulated'
    )


def _rate_of(name: str, usual: float, most: float = 100.0) -> Any:
    return Field(
        default=usual, ge=1.0, le=most,
        description=f'Rate of {name} messages [Hz of simulated time]',
    )  # fmt: skip


class SimParameters(Declared):
    """How sim_node simulates its scene."""

    robot: Annotated[str, READ_ONLY] = Field(
        description='Robot spec, name or YAML file; its joints are those of the scene'
    )
    cube: Annotated[Any, LIVE] = Field(description='Where ~/reset puts the cube')
    seed: Annotated[int, LIVE] = Field(
        default=0, description='Fixes the variation of the scene; a new value counts from reset'
    )
    publish_clock: Annotated[bool, READ_ONLY] = Field(
        default=False, description='Publish /clock and stamp with it'
    )
    real_time_factor: Annotated[float, LIVE] = Field(
        default=1.0, ge=0.1, le=20.0,
        description='Simulated seconds per second; not 1 needs /clock',
    )  # fmt: skip
    joint_state_rate: Annotated[float, READ_ONLY] = _rate_of('joint_state', 100.0, most=500.0)
    camera_rate: Annotated[float, READ_ONLY] = _rate_of('camera', 25.0)
    cube_pose_rate: Annotated[float, READ_ONLY] = _rate_of('cube_pose', 50.0)
    success_rate: Annotated[float, READ_ONLY] = _rate_of('success', 10.0)


class TaughtSceneParameters(Declared):
    """Which scene demonstrator_node teaches."""

    scene: Annotated[str, READ_ONLY, OneOf(tuple(SCENES))] = Field(
        default='tabletop', description='What is taught'
    )


class DemonstratorParameters(Declared):
    """How demonstrator_node teaches it."""

    robot: Annotated[str, READ_ONLY] = Field(
        description='Robot spec, name or YAML file; its joints are those of the scene'
    )
    seed: Annotated[int, READ_ONLY] = Field(
        default=0, description='Fixes the variation between demonstrations'
    )
