# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ROS parameters of the guard chain: which stages there are, the reaction to a violation.

Without any of them set the chain still keeps every limit of the robot spec.
"""

from __future__ import annotations

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from motion_policy.control import GuardChain
from motion_policy.control.collision import CollisionGuard
from motion_policy.control.guard import CLAMPING_STAGES
from motion_policy.control.tool_speed import ToolSpeedLimit
from motion_policy.control.workspace import Workspace
from motion_policy.errors import UserError
from motion_policy.nodes.shell import declare, parameter
from motion_policy.robot import RobotSpec

REACTIONS = ('clamp', 'stop')
NO_BOX = [0.0] * 6
NO_TOOL = (
    'tool_speed_limit needs workspace.urdf, expected a URDF there, and the link of the tool in '
    'workspace.tool'
)
NO_BOXES = [0.0]  # ROS 2 knows the type of a list only by what is in it


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
    declare(node, 'workspace.urdf', '', 'URDF for the box and speed of the tool; empty: neither')
    declare(node, 'workspace.tool', '', 'Link whose origin stays in the box')
    declare(
        node, 'workspace.box', NO_BOX,
        'x min, x max, y min, y max, z min, z max [m] in the frame of the root link',
        length=len(NO_BOX),
    )  # fmt: skip
    declare(
        node, 'tool_speed_limit', 0.0,
        'Greatest speed of workspace.tool [m/s]; 0.25 is usual beside people; 0: any',
        minimum=0.0, maximum=10.0, live=True,
    )  # fmt: skip
    declare(node, 'collision.urdf', '', 'URDF with collision geometry; empty: not looked at')
    declare(
        node, 'collision.boxes', NO_BOXES,
        'x min, x max, y min, y max, z min, z max [m] of each box, in the frame of the root link',
    )  # fmt: skip
    declare(
        node, 'collision.margin', 0.01, 'Distance kept between links, and to boxes [m]',
        minimum=0.001, maximum=1.0,
    )  # fmt: skip
    declare(node, 'collision.self', True, 'Whether links may not touch each other either')
    declare(
        node, 'collision.ignore', [''],
        "Links that are not looked at, 'LINK', and pairs that may touch, 'LINK1 LINK2'",
    )  # fmt: skip
    declare(node, 'collision.srdf', '', 'SRDF whose disabled pairs may touch; empty: none')
    declare(node, 'collision.package_dirs', [''], 'Folders with the packages of meshes')
    for stage in CLAMPING_STAGES:
        declare(
            node, f'on_violation.{stage}', 'clamp',
            f'What a target over the limit of {stage} leads to', choices=REACTIONS,
        )  # fmt: skip
    node.add_on_set_parameters_callback(lambda changes: _checked_changes(node, changes))


def make_guard(node: Node, robot: RobotSpec) -> GuardChain:
    """Make the chain that the node's parameters ask for; UserError if they cannot be met."""
    return GuardChain(
        robot,
        max_following_error=parameter(node, 'max_following_error') or None,
        position_margin=parameter(node, 'position_margin'),
        max_jerk=parameter(node, 'max_jerk') or None,
        workspace=_workspace(node, robot),
        collision=_collision(node, robot),
        tool_speed=_tool_speed(node, robot),
        on_violation={
            stage: parameter(node, f'on_violation.{stage}') for stage in CLAMPING_STAGES
        },
    )


def _checked_changes(node: Node, changes: list[Parameter]) -> SetParametersResult:
    """Refuse a limit that would have no effect."""
    given = {change.name: change.value for change in changes}
    urdf = given.get('workspace.urdf', parameter(node, 'workspace.urdf'))
    if given.get('tool_speed_limit') and not urdf:
        return SetParametersResult(successful=False, reason=NO_TOOL)
    return SetParametersResult(successful=True)


def _workspace(node: Node, robot: RobotSpec) -> Workspace | None:
    urdf, tool = parameter(node, 'workspace.urdf'), parameter(node, 'workspace.tool')
    box = list(parameter(node, 'workspace.box'))
    if urdf and (box != NO_BOX or not parameter(node, 'tool_speed_limit')):
        return Workspace(urdf, tool, box, robot.joints.names)
    if not urdf and (tool or box != NO_BOX):
        raise UserError('workspace.urdf is empty, expected a URDF beside workspace.tool and box')
    return None


def _tool_speed(node: Node, robot: RobotSpec) -> ToolSpeedLimit | None:
    urdf, limit = parameter(node, 'workspace.urdf'), parameter(node, 'tool_speed_limit')
    if urdf:
        return ToolSpeedLimit(urdf, parameter(node, 'workspace.tool'), limit, robot.joints.names)
    if limit:
        raise UserError(NO_TOOL)
    return None


def _collision(node: Node, robot: RobotSpec) -> CollisionGuard | None:
    urdf, boxes = parameter(node, 'collision.urdf'), list(parameter(node, 'collision.boxes'))
    boxes = [] if boxes == NO_BOXES else boxes
    if urdf:
        return CollisionGuard(
            urdf,
            robot,
            boxes=boxes,
            margin=parameter(node, 'collision.margin'),
            self_collision=parameter(node, 'collision.self'),
            ignore=_given(node, 'collision.ignore'),
            srdf=parameter(node, 'collision.srdf'),
            package_dirs=_given(node, 'collision.package_dirs'),
        )
    if boxes:
        raise UserError('collision.urdf is empty, expected a URDF beside collision.boxes')
    return None


def _given(node: Node, name: str) -> list[str]:
    """The entries of a list of texts: ROS 2 has none that is empty, but one of an empty text."""
    return [entry for entry in parameter(node, name) if entry]
