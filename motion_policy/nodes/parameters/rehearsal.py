# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the stand-in arm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from motion_policy.declared import Declared
from motion_policy.nodes.parameters.fields import READ_ONLY


class RehearsalParameters(Declared):
    """What rehearsal_node stands in for, and what goes wrong with it."""

    robot: Annotated[str, READ_ONLY] = Field(
        default='', description='Robot spec: name or YAML file; no default'
    )
    urdf: Annotated[str, READ_ONLY] = Field(
        default='',
        description='URDF to publish on robot_description; empty: the one that the spec names',
    )
    guide: Annotated[bool, READ_ONLY] = Field(
        default=False,
        description='Somebody guides the arm: leader and joints move along a smooth path until a '
        'command comes',
    )
    faults: Annotated[tuple[str, ...], READ_ONLY] = Field(
        default=('',),
        description='What goes wrong: KIND[:NAME][@START][+DURATION], as of motion-policy '
        'rehearse --fault',
    )
    seconds: Annotated[float, READ_ONLY] = Field(
        default=0.0, ge=0.0, le=1e6,
        description='The node ends after so long [s]; 0: when it is ended',
    )  # fmt: skip
