# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Policies whose every answer can be recomputed, and a tiny random SARNN, for tests of judging."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from motion_policy.control import PolicyRunner
from motion_policy.policies import Policy, PolicySpec, make_policy, save_policy
from motion_policy.policies.normalisation import Normalisation, Range
from motion_policy.robot import RobotSpec, load_robot_spec, robot_spec_from_yaml

GREY = 102  # of the image that the echo policy predicts

LINE_ARM = """
name: line_arm
rate: 50.0
joints:
  names: [shoulder, slide]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState}
  leader: {topic: leader/joint_states, type: sensor_msgs/msg/JointState}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits: {position: [[-9, 9], [-9, 9]], velocity: [9, 9], acceleration: [99, 99]}
cameras:
  top: {topic: top/image_raw, type: sensor_msgs/msg/Image, width: 24, height: 16}
"""


def line_arm(rate: float = 50.0) -> RobotSpec:
    """Two joints and a small camera that is not square."""
    return robot_spec_from_yaml(LINE_ARM.replace('50.0', str(rate)), 'line_arm.yaml')


class EchoConfig(BaseModel):
    """The echo policy has nothing to set."""


class EchoPolicy(Policy):
    """Says that the joints stay where it sees them, and that the next image is all grey."""

    kind: ClassVar[str] = 'echo'
    Config: ClassVar[type[BaseModel]] = EchoConfig

    def initial_state(self, batch_size: int) -> None:
        """It remembers nothing."""
        return None

    def infer(
        self, images: dict[str, Tensor], qpos: Tensor, state: Any, explain: bool
    ) -> tuple[Tensor, None, dict[str, Tensor]]:
        """Return the joints as they are."""
        height, width = self.spec.image_size
        image = torch.full((len(qpos), height, width, 3), GREY, dtype=torch.uint8)
        return qpos[:, None], None, {'image': image} if explain else {}


def echo_runner(robot: RobotSpec, rate: float = 10.0, target: str = 'qpos') -> PolicyRunner:
    """A runner of the echo policy."""
    return PolicyRunner(EchoPolicy(_spec('echo', robot, rate, target, (8, 12))).eval(), robot)


def sarnn_checkpoint(folder: Path, robot: RobotSpec | None = None, size: int = 16) -> Path:
    """Write a checkpoint of a tiny SARNN with random weights."""
    robot = robot or load_robot_spec('tabletop_sim')
    torch.manual_seed(0)
    spec = _spec('sarnn', robot, 10.0, 'action', (size, size), rec_dim=8, k_dim=2)
    return save_policy(make_policy(spec), folder)


def _spec(
    kind: str, robot: RobotSpec, rate: float, target: str, size: tuple[int, int], **hyper: Any
) -> PolicySpec:
    limits = robot.joints.limits.position_array() / 2
    values = Range(min=tuple(limits[:, 0]), max=tuple(limits[:, 1]))
    return PolicySpec(
        kind=kind,
        rate=rate,
        cameras=('top',),
        image_size=size,
        target=target,
        hyper=hyper,
        normalisation=Normalisation(qpos=values, action=values),
        robot=robot,
    )
