# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Policies whose every answer can be recomputed, and a tiny random SARNN, for tests of judging."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from motion_policy.control import Mix, PolicyRunner
from motion_policy.policies import Policy, PolicySpec, make_policy, save_policy
from motion_policy.policies.normalisation import MeanStd, MinMax, Normalisation
from motion_policy.robot import RobotSpec, load_robot_spec, robot_spec_from_yaml
from motion_policy.simulation.tabletop import HOME

GREY = 102  # of the image that the echo policy predicts
WEIGHT = 1.5  # by which it expects the efforts to grow
SENSOR_ALONE = Mix()

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
  side: {topic: side/image_raw, type: sensor_msgs/msg/Image, width: 12, height: 8}
"""


def line_arm(rate: float = 50.0) -> RobotSpec:
    """Two joints and two small cameras that are not square."""
    return robot_spec_from_yaml(LINE_ARM.replace('50.0', str(rate)), 'line_arm.yaml')


class EchoConfig(BaseModel):
    """What the echo policy keeps to itself."""

    blind: bool = False


class EchoPolicy(Policy):
    """Says that the joints stay where it sees them, and that the next image is all grey.

    Its hidden state is what it sees: the joints, then the mean grey of each camera.
    """

    kind: ClassVar[str] = 'echo'
    Config: ClassVar[type[BaseModel]] = EchoConfig

    def initial_state(self, batch_size: int) -> None:
        """It remembers nothing."""
        return None

    def infer(
        self, images: dict[str, Tensor], vector: Tensor, state: Any, explain: bool
    ) -> tuple[Tensor, None, dict[str, Tensor]]:
        """Return the joints as they are."""
        targets = vector[:, None, : len(self.joint_names)]
        if not explain:
            return targets, None, {}
        assert isinstance(self.config, EchoConfig)
        greys = [image.mean(dim=(1, 2, 3))[:, None] for image in images.values()]
        extras = {'hidden': torch.cat([vector, *greys], dim=1)}
        size = (len(vector), *self.spec.image_size, 3)
        for camera in self.cameras if not self.config.blind else ():
            extras[f'image/{camera}'] = torch.full(size, GREY, dtype=torch.uint8)
        if self.normalise_effort is not None:
            effort = self.normalise_effort.inverse(vector[:, len(self.joint_names) :])
            extras['effort'] = WEIGHT * effort
        return targets, None, extras


def echo_policy(
    robot: RobotSpec, rate: float = 10.0, target: str = 'qpos', **changes: Any
) -> EchoPolicy:
    """The echo policy of a robot; `changes` are of its spec."""
    spec = _spec('echo', robot, rate, target, (8, 12))
    return EchoPolicy(PolicySpec(**{**dict(spec), **changes})).eval()


def echo_runner(
    robot: RobotSpec,
    rate: float = 10.0,
    target: str = 'qpos',
    mix: Mix = SENSOR_ALONE,
    **changes: Any,
) -> PolicyRunner:
    """A runner of the echo policy."""
    return PolicyRunner(echo_policy(robot, rate, target, **changes), robot, mix)


def sarnn_checkpoint(
    folder: Path, robot: RobotSpec | None = None, size: int = 16, **changes: Any
) -> Path:
    """Write a checkpoint of a tiny SARNN with random weights; `changes` are of its spec."""
    robot = robot or load_robot_spec('tabletop_sim')
    torch.manual_seed(0)
    spec = _spec('sarnn', robot, 10.0, 'action', (size, size), rec_dim=8, k_dim=2)
    return save_policy(make_policy(PolicySpec(**{**dict(spec), **changes})), folder)


def act_checkpoint(folder: Path) -> Path:
    """Write a tiny random ACT of the tabletop robot, that stays about where the arm begins."""
    torch.manual_seed(0)
    robot = load_robot_spec('tabletop_sim')
    spread = MeanStd(mean=HOME, std=(0.01,) * 5)
    hyper = {
        'chunk': 40, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 16, 'encoder_layers': 1,
        'backbone': 'small', 'posterior': False,
    }  # fmt: skip
    spec = PolicySpec(
        kind='act', rate=50.0, cameras=('top',), image_size=(32, 32), hyper=hyper, robot=robot,
        normalisation=Normalisation(qpos=spread, action=spread),
    )  # fmt: skip
    return save_policy(make_policy(spec), folder)


def _spec(
    kind: str, robot: RobotSpec, rate: float, target: str, size: tuple[int, int], **hyper: Any
) -> PolicySpec:
    limits = robot.joints.limits.position_array() / 2
    values = MinMax(min=tuple(limits[:, 0]), max=tuple(limits[:, 1]))
    return PolicySpec(
        kind=kind,
        rate=rate,
        cameras=('top',),
        image_size=size,
        target=target,
        hyper=hyper,
        normalisation=Normalisation(qpos=values, action=values, effort=values),
        robot=robot,
    )
