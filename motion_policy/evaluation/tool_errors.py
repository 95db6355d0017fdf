# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How far the tool would be from where it was, in mm and degrees, of predicted joint targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from motion_policy.errors import UserError
from motion_policy.evaluation.joint_errors import Float64Array
from motion_policy.policies.action_space import angles_between
from motion_policy.robot import RobotSpec
from motion_policy.robot.kinematics import Kinematics

MM_PER_M = 1000.0


@dataclass(frozen=True)
class ToolErrors:
    """How far (N,) [mm] and turned (N,) [degrees] the tool is from where it was."""

    away_mm: Float64Array
    turned_degrees: Float64Array

    def to_json(self) -> dict[str, Any]:
        """Plain values: `{'position_mm': {'rmse', 'mean', 'max'}, 'rotation_degrees': ...}`."""
        names = ('rmse', 'mean', 'max')
        return {
            'position_mm': dict(zip(names, _figures(self.away_mm), strict=True)),
            'rotation_degrees': dict(zip(names, _figures(self.turned_degrees), strict=True)),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Name, RMSE, mean and largest error, of a table."""
        return [
            (name, *(f'{value:.2f}' for value in _figures(values)))
            for name, values in (
                ('tool (mm)', self.away_mm),
                ('rotation of the tool (degrees)', self.turned_degrees),
            )
        ]


def tool_errors(
    robot: RobotSpec, predicted: Float64Array, truth: Float64Array
) -> ToolErrors | None:
    """Compare the tool of a robot at joints (N, J) with that at others.

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
    away = MM_PER_M * np.linalg.norm(at - there, axis=1)
    return ToolErrors(away, np.degrees(angles_between(turned, goal)))


def _figures(values: Float64Array) -> tuple[float, float, float]:
    rmse = float(np.sqrt((values**2).mean()))
    return rmse, float(values.mean()), float(values.max())
