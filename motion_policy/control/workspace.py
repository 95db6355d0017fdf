# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Workspace guard: a box for one point of the robot, by forward kinematics of the URDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot.kinematics import AXES, Kinematics, checked_box

BISECTIONS = 12  # the way to the border is found to 1/4096 of one step


class Workspace:
    """A box in the frame of the URDF's root link, for the origin of one of its links.

    Args:
        urdf: the robot, meshes are not read.
        tool: the link that stays inside.
        box: x min, x max, y min, y max, z min, z max [m].
        joint_names: in the order of every vector given here; those that the URDF does not know
            (a gripper, say) do not move the tool.

    Raises:
        UserError: no such file or link, a box without room, or a joint that moves the tool and
            is not among the names.
    """

    def __init__(
        self, urdf: str | Path, tool: str, box: Sequence[float], joint_names: Sequence[str]
    ) -> None:
        self.tool = tool
        self._low, self._high = checked_box(box, 'workspace.box')
        self._kinematics = Kinematics(urdf, joint_names, 'workspace.urdf')
        self._link = self._kinematics.link(tool, 'workspace.tool')

    def tool_position(self, joints: Float64Array) -> Float64Array:
        """Where the tool is when the joints (J,) are there: x, y, z [m]."""
        return self._kinematics.position(self._link, joints)

    def contains(self, joints: Float64Array) -> bool:
        """Whether the tool is inside when the joints (J,) are there."""
        position = self.tool_position(joints)
        return bool(((position >= self._low) & (position <= self._high)).all())

    def describe(self, joints: Float64Array) -> str:
        """What is wrong with where the tool would be with joints (J,); '' if nothing is."""
        position = self.tool_position(joints)
        for axis, value, low, high in zip(AXES, position, self._low, self._high, strict=True):
            if not low <= value <= high:
                return (
                    f"'{self.tool}' at {axis} = {value:.3f} m, expected within [{low:g}, {high:g}]"
                )
        return ''

    def nearest_inside(self, inside: Float64Array, target: Float64Array) -> Float64Array:
        """As far as one can go from joints that are inside straight to the target (J,)."""
        if self.contains(target):
            return target
        reached, beyond = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (reached + beyond) / 2
            if self.contains(inside + middle * (target - inside)):
                reached = middle
            else:
                beyond = middle
        return inside + reached * (target - inside)
