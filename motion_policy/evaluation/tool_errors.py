# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How far the tool would be from where it was, in mm and degrees, of predicted joint targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from motion_policy.errors import UserError
from motion_policy.evaluation.joint_errors import Float64Array
from motion_policy.policies.action_space import angles_between, rotation_of
from motion_policy.robot import RobotSpec
from motion_policy.robot.kinematics import Kinematics

MM_PER_M = 1000.0


@dataclass(frozen=True)
class ToolErrors:
    """How far (N,) [mm] and turned (N,) [degrees] the tool is from where it was.

    `predicted` is the same of the poses that a policy predicts, before inverse kinematics makes
    joints of them; None for one that predicts joints.
    """

    away_mm: Float64Array
    turned_degrees: Float64Array
    predicted: ToolErrors | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values: `{'position_mm': {'rmse', 'mean', 'max'}, 'rotation_degrees': ...}`.

        With `predicted`, as that, if there is one.
        """
        names = ('rmse', 'mean', 'max')
        content: dict[str, Any] = {
            'position_mm': dict(zip(names, _figures(self.away_mm), strict=True)),
            'rotation_degrees': dict(zip(names, _figures(self.turned_degrees), strict=True)),
        }
        if self.predicted is not None:
            content['predicted'] = self.predicted.to_json()
        return content

    def rows(self) -> list[tuple[str, ...]]:
        """Name, RMSE, mean and largest error, of a table."""
        told = [
            ('tool (mm)', self.away_mm),
            ('rotation of the tool (degrees)', self.turned_degrees),
        ]
        if self.predicted is not None:
            told += [
                ('predicted pose (mm)', self.predicted.away_mm),
                ('its rotation (degrees)', self.predicted.turned_degrees),
            ]
        return [(name, *(f'{value:.2f}' for value in _figures(values))) for name, values in told]


def tool_errors(
    robot: RobotSpec,
    predicted: Float64Array,
    truth: Float64Array,
    poses: Float64Array | None = None,
) -> ToolErrors | None:
    """Compare the tool of a robot at joints (N, J), and poses of it (N, 9), with that at others.

    None where it names no tool, or Pinocchio is missing.
    """
    if robot.tool is None:
        return None
    try:
        kinematics = Kinematics(robot.tool.urdf, robot.joints.names, 'tool')
    except UserError:
        return None
    link = kinematics.link(robot.tool.link, 'tool')
    at, turned = kinematics.poses(link, predicted)
    there, goal = kinematics.poses(link, truth)
    asked = None
    if poses is not None:
        asked = _errors(
            poses[:, :3], rotation_of(torch.from_numpy(poses[:, 3:])).numpy(), there, goal
        )
    reached = _errors(at, turned, there, goal)
    return ToolErrors(reached.away_mm, reached.turned_degrees, asked)


def _errors(
    at: Float64Array, turned: Float64Array, there: Float64Array, goal: Float64Array
) -> ToolErrors:
    away = MM_PER_M * np.linalg.norm(at - there, axis=1)
    return ToolErrors(away, np.degrees(angles_between(turned, goal)))


def _figures(values: Float64Array) -> tuple[float, float, float]:
    rmse = float(np.sqrt((values**2).mean()))
    return rmse, float(values.mean()), float(values.max())
