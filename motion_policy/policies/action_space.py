# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Action spaces: what a network predicts in place of joint targets, and the way back to joints.

Rule: outside of the network all is joint targets. Rotations are the first two columns of their
matrix (Zhou et al., arXiv:1812.07035), so no quaternion has a sign to get wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from motion_policy.robot import RobotSpec
from motion_policy.robot.inverse_kinematics import InverseKinematics
from motion_policy.robot.kinematics import Kinematics
from motion_policy.robot.spec import Float64Array
from motion_policy.robot.tool import tool_movers

ActionSpaceName = Literal['joints', 'joints_relative', 'tool', 'tool_relative']
OF_TOOL = ('tool', 'tool_relative')
POSE = (
    'tool.x', 'tool.y', 'tool.z',
    *(f'tool.rotation.{column}{row}' for column in 'xy' for row in 'xyz'),
)  # fmt: skip
LAG_S = 0.3  # by which a leader may be ahead of the joints where a chunk begins
LEAST_LENGTH = 1e-6  # of a column from which no direction can be told
KEY = 'action_space'


class ActionSpace:
    """How joint targets and what a network predicts become one another.

    Args:
        name: `joints_relative` is the difference from the joints at the observation; `tool` the
            pose of the robot's tool in the frame of its root link, `tool_relative` in that of the
            tool at the observation. Joints that do not move the tool stay as they are.
        robot: with a tool, if the space is one of the tool.
        rate: rows of a chunk per second, by which the steps between them are bounded.
        absolute: joints that `joints_relative` leaves as they are.

    Attributes:
        columns: what each of the A values of an action is.

    Raises:
        ValueError: the robot has no tool, one that a gripper moves, or not such joints.
    """

    def __init__(
        self, name: ActionSpaceName, robot: RobotSpec, rate: float, absolute: Sequence[str] = ()
    ) -> None:
        self.name, self.robot, self.rate = name, robot, rate
        self.absolute = tuple(absolute)
        names = robot.joints.names
        moving: set[str] = set()
        if name in OF_TOOL:
            if robot.tool is None:
                raise ValueError(f"{KEY}: '{name}', but robot '{robot.name}' has no tool")
            moving = set(tool_movers(robot.tool, names, robot.name))
            for joint in robot.joints.grippers:
                if joint in moving:
                    raise ValueError(
                        f"{KEY}: '{name}', but gripper '{joint}' moves the tool "
                        f"'{robot.tool.link}', expected a link that no gripper moves"
                    )
        if absolute and name != 'joints_relative':
            raise ValueError(f"absolute_joints: found with '{name}', expected joints_relative")
        for joint in absolute:
            if joint not in names:
                raise ValueError(
                    f"absolute_joints: '{joint}' is none of the joints: {', '.join(names)}"
                )
        for joint in robot.joints.velocities:
            if name == 'joints_relative' and joint not in absolute:
                raise ValueError(
                    f"absolute_joints: '{joint}' is a velocity, expected it among them: a "
                    'difference of velocities is none'
                )
        self._rest = [at for at, joint in enumerate(names) if joint not in moving]
        told = [names[at] for at in self._rest]
        self.columns = (*POSE, *told) if moving else tuple(told)
        relative = [float(name == 'joints_relative' and joint not in absolute) for joint in names]
        self._relative = torch.tensor(relative)
        self._solver: tuple[Kinematics, int, InverseKinematics] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the kinematics, which are made anew where they are needed."""
        return {**self.__dict__, '_solver': None}

    @property
    def of_tool(self) -> bool:
        """Whether poses of the tool are predicted."""
        return self.name in OF_TOOL

    @property
    def is_relative(self) -> bool:
        """Whether an action depends on where the robot is at the observation."""
        return self.name in ('joints_relative', 'tool_relative')

    def on(self, robot: RobotSpec) -> ActionSpace:
        """The same for a robot with such joints: within its limits, of the tool as in training."""
        if not self.of_tool or robot.joints.limits == self.robot.joints.limits:
            return self
        told = robot.model_copy(update={'tool': self.robot.tool})
        return ActionSpace(self.name, told, self.rate, self.absolute)

    def still(self, span: Tensor) -> Tensor:
        """The span (A,) below which a value counts as still, from that of the joints (J,)."""
        rest = span[self._rest]
        if not self.of_tool:
            return rest
        pose = torch.tensor([STILL_M] * 3 + [STILL_ROTATION] * 6, dtype=span.dtype)
        return torch.cat((pose, rest))

    def placed(self, joints: Tensor) -> Tensor:
        """Joints (T, J) -> what actions are expressed from (T, A) float32: `tool`, or joints."""
        if not self.of_tool:
            return joints
        kinematics, link, _ = self.solver()
        positions, rotations = kinematics.poses(link, joints.cpu().double().numpy())
        pose = np.concatenate((positions, rotations[:, :, 0], rotations[:, :, 1]), axis=1)
        rest = joints[:, self._rest].float()
        return torch.cat((torch.from_numpy(pose).to(rest), rest), dim=1)

    def express(self, targets: Tensor, observed: Tensor) -> Tensor:
        """Targets and what was there at the observation, as `placed` -> actions (..., A)."""
        if self.name == 'joints_relative':
            return targets - observed * self._relative.to(targets.device)
        if self.name != 'tool_relative':
            return targets
        here, turned = rotation_of(observed[..., 3:9]), rotation_of(targets[..., 3:9])
        away = (targets[..., :3] - observed[..., :3]).unsqueeze(-2)
        position = (away @ here).squeeze(-2)
        turn = here.mT @ turned
        columns = (position, turn[..., 0], turn[..., 1], targets[..., 9:])
        return torch.cat([*torch.broadcast_tensors(*columns[:3]), columns[3]], dim=-1)

    def poses(self, actions: Tensor, observed: Tensor) -> Tensor:
        """Actions (B, k, A) of the tool and joints (B, J) at the observation -> poses (B, k, 9).

        Position [m] and the first two columns of the rotation, in the frame of the root link.
        """
        if self.name == 'tool':
            return actions[..., : len(POSE)]
        here = self.placed(observed).to(actions)[:, None]
        turned = rotation_of(here[..., 3:9])
        position = here[..., :3] + (turned @ actions[..., :3, None]).squeeze(-1)
        rotation = turned @ rotation_of(actions[..., 3:9])
        return torch.cat((position, rotation[..., 0], rotation[..., 1]), dim=-1)

    def joints(self, actions: Tensor, observed: Tensor) -> Tensor:
        """Actions (B, k, A) and the joints at the observation (B, J) -> joint targets (B, k, J).

        A row that is not finite stays so: all of its joints are NaN.
        """
        if self.name == 'joints':
            return actions
        observed = observed.to(actions.device, actions.dtype)
        if not self.of_tool:
            return actions + observed[:, None] * self._relative.to(actions.device)
        pairs = zip(actions.cpu().double().numpy(), observed.cpu().double().numpy(), strict=True)
        rows = [self._from_poses(chunk, joints) for chunk, joints in pairs]
        return torch.from_numpy(np.stack(rows)).to(actions)

    def solver(self) -> tuple[Kinematics, int, InverseKinematics]:
        """Kinematics, the tool's link and the inverse; UserError without Pinocchio."""
        if self._solver is None:
            assert self.robot.tool is not None
            tool, limits = self.robot.tool, self.robot.joints.limits.position_array()
            kinematics = Kinematics(tool.urdf, self.robot.joints.names, KEY)
            link = kinematics.link(tool.link, KEY)
            inverse = InverseKinematics(kinematics, link, limits[:, 0], limits[:, 1])
            self._solver = kinematics, link, inverse
        return self._solver

    def _from_poses(self, chunk: Float64Array, observed: Float64Array) -> Float64Array:
        """Actions (k, A) of the tool and the joints (J,) at the observation -> joints (k, J)."""
        kinematics, link, inverse = self.solver()
        targets = np.full((len(chunk), len(observed)), np.nan)
        if not np.isfinite(observed).all():
            return targets
        positions, rotations = chunk[:, :3], _rotations(chunk[:, 3:9])
        begin, here = (value[0] for value in kinematics.poses(link, observed[None]))
        if self.name == 'tool_relative':
            positions, rotations = begin + positions @ here.T, here @ rotations
        step = self.robot.joints.limits.velocity_array() / self.rate
        most, joints = (
            np.maximum(step, self.robot.joints.limits.velocity_array() * LAG_S),
            observed,
        )
        for row, (position, rotation) in enumerate(zip(positions, rotations, strict=True)):
            if not (np.isfinite(chunk[row]).all() and np.isfinite(rotation).all()):
                continue
            joints = inverse.solve(position, rotation, joints, most).joints
            most = step
            targets[row] = joints
            targets[row, self._rest] = chunk[row, len(POSE) :]
        return targets


STILL_M = 0.005  # a tool that moves less is not stretched to the whole range
STILL_ROTATION = 0.02  # of an entry of its rotation matrix; likewise


def rotation_of(columns: Tensor) -> Tensor:
    """The first two columns of rotations (..., 6), not quite so -> matrices (..., 3, 3)."""
    first = torch.nn.functional.normalize(columns[..., :3], dim=-1)
    second = columns[..., 3:] - (first * columns[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second)), dim=-1)


def angles_between(turned: Float64Array, goal: Float64Array) -> Float64Array:
    """The angles (T,) [rad] between rotations (T, 3, 3)."""
    # From the sine and the cosine, which each lose half of the digits somewhere.
    between = turned.swapaxes(1, 2) @ goal
    skew = between - between.swapaxes(1, 2)
    sine = np.sqrt(skew[:, 2, 1] ** 2 + skew[:, 0, 2] ** 2 + skew[:, 1, 0] ** 2)
    angles: Float64Array = np.arctan2(sine, np.trace(between, axis1=1, axis2=2) - 1)
    return angles


def _rotations(columns: Float64Array) -> Float64Array:
    """As `rotation_of`, (k, 6) -> (k, 3, 3); NaN where two columns tell no rotation."""
    with np.errstate(invalid='ignore', divide='ignore'):
        first, second = columns[:, :3], columns[:, 3:]
        length = np.linalg.norm(first, axis=1, keepdims=True)
        first = np.where(length > LEAST_LENGTH, first / length, np.nan)
        second = second - (first * second).sum(1, keepdims=True) * first
        length = np.linalg.norm(second, axis=1, keepdims=True)
        second = np.where(length > LEAST_LENGTH, second / length, np.nan)
    return np.stack((first, second, np.cross(first, second)), axis=-1)
