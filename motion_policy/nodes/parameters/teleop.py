# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of teleop_node, beside those of every node that drives an arm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from motion_policy.declared import Declared
from motion_policy.nodes.parameters.fields import READ_ONLY

ClutchKind = Literal['absolute', 'relative']


class ClutchParameters(Declared):
    """How an arm takes up with its leader again."""

    kind: ClutchKind = Field(
        default='absolute',
        description='Where the arm goes when the clutch is pressed again; absolute: to the '
        'leader, slowly; relative: nowhere, it moves as the leader does from then on',
    )
    topic: str = Field(
        default='',
        description='sensor_msgs/Joy: the arm follows only while clutch.button is held; empty: '
        '~/clutch says so',
    )
    button: int = Field(default=0, ge=0, le=63, description='Index of the button in Joy.buttons')
    timeout: float = Field(
        default=0.5, ge=0.02, le=10.0,
        description='Silence of clutch.topic that counts as released [s]',
    )  # fmt: skip


class TakeoverClutchParameters(ClutchParameters):
    """How an arm takes up with the leader of a person who takes over from a policy."""

    kind: ClutchKind = Field(
        default='relative',
        description='Where the arm goes when a person takes over, and when the clutch is pressed '
        'again; relative: nowhere, it moves as the leader does from then on; absolute: to the '
        'leader, slowly',
    )


class TakeoverParameters(Declared):
    """Whether a person may take over."""

    allowed: bool = Field(
        default=True,
        description='Whether a person may take over from the policy, where the robot spec has '
        'teleop',
    )


class TeleopParameters(Declared):
    """What leads the arm, and how."""

    robot: str = Field(
        default='',
        description='Robot spec: name or YAML file; with autostart the node ends without one',
    )
    autostart: Annotated[bool, READ_ONLY] = Field(
        default=False,
        description='Configure and activate at start; the arm still waits for ~/enable',
    )
    clutch: ClutchParameters
