# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The box that the tool must not leave, found from the joints by the URDF's forward kinematics.

The kinematics are Pinocchio's; only joint positions in the order of the robot spec come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError

AXES = ('x', 'y', 'z')
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
        self._low, self._high = _checked_box(box)
        self._kinematics, self._model = _load(urdf)
        self._data = self._model.createData()
        if not self._model.existFrame(tool):
            links = [frame.name for frame in self._model.frames if frame.name != 'universe']
            raise UserError(
                f"workspace.tool: {urdf} has no link '{tool}', expected one of: {', '.join(links)}"
            )
        self._frame = self._model.getFrameId(tool)
        self._neutral: Float64Array = self._kinematics.neutral(self._model)
        self._placed = self._places(urdf, list(joint_names))

    def tool_position(self, joints: Float64Array) -> Float64Array:
        """Where the tool is when the joints (J,) are there: x, y, z [m]."""
        configuration = self._neutral.copy()
        for column, at, turns in self._placed:
            if turns:  # a joint without limits is told as cosine and sine
                configuration[at : at + 2] = np.cos(joints[column]), np.sin(joints[column])
            else:
                configuration[at] = joints[column]
        self._kinematics.framesForwardKinematics(self._model, self._data, configuration)
        position: Float64Array = self._data.oMf[self._frame].translation.copy()
        return position

    def contains(self, joints: Float64Array) -> bool:
        """Whether the tool is inside."""
        position = self.tool_position(joints)
        return bool(((position >= self._low) & (position <= self._high)).all())

    def describe(self, joints: Float64Array) -> str:
        """What is wrong with where the tool would be; '' if nothing is."""
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

    def _places(self, urdf: str | Path, names: list[str]) -> list[tuple[int, int, bool]]:
        """Per joint that moves: its column, its place in the configuration, if it is endless."""
        moving = set(self._model.supports[self._model.frames[self._frame].parentJoint])
        placed = []
        for index in range(1, self._model.njoints):
            name, joint = self._model.names[index], self._model.joints[index]
            if name in names:
                if joint.nv != 1:
                    raise UserError(
                        f"workspace.urdf: {urdf}: joint '{name}' moves in several ways"
                    )
                placed.append((names.index(name), joint.idx_q, joint.nq == 2))
            elif index in moving:
                raise UserError(
                    f"workspace.urdf: {urdf}: joint '{name}' moves '{self.tool}', expected only "
                    f'joints of the robot: {", ".join(names)}'
                )
        return placed


def _load(urdf: str | Path) -> tuple[Any, Any]:
    try:
        import pinocchio
    except ImportError:
        raise UserError(
            'a workspace box needs Pinocchio for forward kinematics: pip install pin'
        ) from None
    if not Path(urdf).is_file():
        raise UserError(f'workspace.urdf: {urdf}: no such file, expected a URDF')
    try:
        return pinocchio, pinocchio.buildModelFromUrdf(str(urdf))
    except (RuntimeError, ValueError) as error:
        line = ' '.join(str(error).split())[:150]
        raise UserError(f'workspace.urdf: {urdf}: is no URDF: {line}') from None


def _checked_box(box: Sequence[float]) -> tuple[Float64Array, Float64Array]:
    values = np.asarray(box, dtype=np.float64)
    if values.shape != (6,) or not np.isfinite(values).all():
        raise UserError(
            f'workspace.box: found {list(box)}, expected 6 numbers: x min, x max, y min, y max, '
            'z min, z max'
        )
    low, high = values[0::2], values[1::2]
    for axis, least, most in zip(AXES, low, high, strict=True):
        if not least < most:
            raise UserError(
                f'workspace.box: {axis} from {least:g} to {most:g}, expected min < max'
            )
    return low, high
