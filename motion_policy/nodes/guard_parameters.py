# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The guard chain that the parameters ask for: which stages, the reaction to a violation.

Without any of them set the chain still keeps every limit of the robot spec.
"""

from __future__ import annotations

from collections.abc import Iterable

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from motion_policy.control import GuardChain
from motion_policy.control.collision import CollisionGuard
from motion_policy.control.tool_speed import ToolSpeedLimit
from motion_policy.control.workspace import Workspace
from motion_policy.errors import UserError
from motion_policy.nodes.parameters.arm import NO_BOX, NO_BOXES, GuardParameters
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.robot import RobotSpec

NO_TOOL = (
    'tool_speed_limit needs workspace.urdf, expected a URDF there, and the link of the tool in '
    'workspace.tool'
)


def declare_guard_parameters(node: Node) -> None:
    """Declare the parameters of the optional stages, and the reactions of all."""
    declare_group(node, GuardParameters)
    node.add_on_set_parameters_callback(lambda changes: _checked_changes(node, changes))


def make_guard(parameters: GuardParameters, robot: RobotSpec) -> GuardChain:
    """Make the chain that the parameters ask for; UserError if they cannot be met."""
    return GuardChain(
        robot,
        max_following_error=parameters.max_following_error or None,
        position_margin=parameters.position_margin,
        max_jerk=parameters.max_jerk or None,
        workspace=_workspace(parameters, robot),
        collision=_collision(parameters, robot),
        tool_speed=_tool_speed(parameters, robot),
        on_violation=dict(parameters.on_violation),
    )


def _checked_changes(node: Node, changes: list[Parameter]) -> SetParametersResult:
    """Refuse a limit that would have no effect."""
    given = {change.name: change.value for change in changes}
    urdf = given.get('workspace.urdf', read_group(node, GuardParameters).workspace.urdf)
    if given.get('tool_speed_limit') and not urdf:
        return SetParametersResult(successful=False, reason=NO_TOOL)
    return SetParametersResult(successful=True)


def _workspace(parameters: GuardParameters, robot: RobotSpec) -> Workspace | None:
    asked = parameters.workspace
    if asked.urdf and (asked.box != NO_BOX or not parameters.tool_speed_limit):
        return Workspace(asked.urdf, asked.tool, list(asked.box), robot.joints.names)
    if not asked.urdf and (asked.tool or asked.box != NO_BOX):
        raise UserError('workspace.urdf is empty, expected a URDF beside workspace.tool and box')
    return None


def _tool_speed(parameters: GuardParameters, robot: RobotSpec) -> ToolSpeedLimit | None:
    asked, limit = parameters.workspace, parameters.tool_speed_limit
    if asked.urdf:
        return ToolSpeedLimit(asked.urdf, asked.tool, limit, robot.joints.names)
    if limit:
        raise UserError(NO_TOOL)
    return None


def _collision(parameters: GuardParameters, robot: RobotSpec) -> CollisionGuard | None:
    asked = parameters.collision
    boxes = [] if asked.boxes == NO_BOXES else list(asked.boxes)
    if asked.urdf:
        return CollisionGuard(
            asked.urdf,
            robot,
            boxes=boxes,
            margin=asked.margin,
            self_collision=asked.self_collision,
            ignore=_given(asked.ignore),
            srdf=asked.srdf,
            package_dirs=_given(asked.package_dirs),
        )
    if boxes:
        raise UserError('collision.urdf is empty, expected a URDF beside collision.boxes')
    return None


def _given(words: Iterable[str]) -> list[str]:
    """The entries of a list of texts: ROS 2 has none that is empty, but one of an empty text."""
    return [word for word in words if word]
