# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the guard chain: which stages there are, and what a violation leads to.

Without any of them set the chain still keeps every limit of the robot spec.
"""

from __future__ import annotations

from rclpy.node import Node

from motion_policy.control import GuardChain
from motion_policy.control.guard import CLAMPING_STAGES
from motion_policy.control.workspace import Workspace
from motion_policy.errors import UserError
from motion_policy.nodes.shell import declare, parameter
from motion_policy.robot import RobotSpec

REACTIONS = ('clamp', 'stop')
NO_BOX = [0.0] * 6


def declare_guard_parameters(node: Node) -> None:
    """Declare the parameters of the optional stages, and the reactions of all."""
    declare(
        node, 'max_following_error', 0.0,
        'Greatest distance of a command from the measured joint [rad or m]; 0: no such limit',
        minimum=0.0, maximum=10.0,
    )  # fmt: skip
    declare(
        node, 'position_margin', 0.0, 'Distance kept from every position limit [rad or m]',
        minimum=0.0, maximum=3.0,
    )  # fmt: skip
    declare(
        node, 'max_jerk', 0.0,
        'Greatest change of acceleration [rad/s^3 or m/s^3], kept by Ruckig; 0: no such limit',
        minimum=0.0, maximum=1e6,
    )  # fmt: skip
    declare(node, 'workspace.urdf', '', 'URDF for the box of the tool; empty: no box')
    declare(node, 'workspace.tool', '', 'Link whose origin stays in the box')
    declare(
        node, 'workspace.box', NO_BOX,
        'x min, x max, y min, y max, z min, z max [m] in the frame of the root link',
    )  # fmt: skip
    for stage in CLAMPING_STAGES:
        declare(
            node, f'on_violation.{stage}', 'clamp',
            f'What a target over the limit of {stage} leads to', choices=REACTIONS,
        )  # fmt: skip


def make_guard(node: Node, robot: RobotSpec) -> GuardChain:
    """Make the chain that the node's parameters ask for; UserError if they cannot be met."""
    return GuardChain(
        robot,
        max_following_error=parameter(node, 'max_following_error') or None,
        position_margin=parameter(node, 'position_margin'),
        max_jerk=parameter(node, 'max_jerk') or None,
        workspace=_workspace(node, robot),
        on_violation={
            stage: parameter(node, f'on_violation.{stage}') for stage in CLAMPING_STAGES
        },
    )


def _workspace(node: Node, robot: RobotSpec) -> Workspace | None:
    urdf, tool = parameter(node, 'workspace.urdf'), parameter(node, 'workspace.tool')
    box = list(parameter(node, 'workspace.box'))
    if urdf:
        return Workspace(urdf, tool, box, robot.joints.names)
    if tool or box != NO_BOX:
        raise UserError('workspace.urdf is empty, expected a URDF beside workspace.tool and box')
    return None
