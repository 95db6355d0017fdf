# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy of this benchmark: ACT with random weights, full size by default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from control_path.scenario import CAMERAS, HEIGHT, WIDTH
from motion_policy.policies import Policy, PolicySpec, make_policy, save_policy
from motion_policy.policies.normalisation import MeanStd, Normalisation
from motion_policy.robot import RobotSpec, depth_stream

POLICY_HZ = 50.0
CHUNK_ROWS = 100
DEPTH_RANGE = (0.2, 2.0)  # m


@dataclass(frozen=True)
class Size:
    """How large the network and its images are; the usual one is the paper's."""

    height: int = HEIGHT
    width: int = WIDTH
    hyper: tuple[tuple[str, Any], ...] = (('chunk', CHUNK_ROWS),)
    cameras: tuple[str, ...] = CAMERAS


FULL_SIZE = Size()


def random_act(robot: RobotSpec, size: Size = FULL_SIZE) -> Policy:
    """ACT with random weights, whose targets stay about the middle of the limits.

    The vectors and depth cameras of the robot are inputs.
    """
    torch.manual_seed(0)
    middle = robot.joints.limits.position_array().mean(axis=1)
    spread = MeanStd(mean=tuple(middle), std=(0.01,) * len(middle))
    inputs = tuple(robot.vectors)
    count = sum(len(vector.columns) for vector in robot.vectors.values())
    plain = MeanStd(mean=(0.0,) * count, std=(1.0,) * count) if inputs else None
    spec = PolicySpec(
        kind='act',
        rate=POLICY_HZ,
        cameras=(*size.cameras, *map(depth_stream, robot.depth)),
        image_size=(size.height, size.width),
        hyper={'posterior': False, **dict(size.hyper)},
        inputs=inputs,
        depth=dict.fromkeys(robot.depth, DEPTH_RANGE),
        normalisation=Normalisation(qpos=spread, action=spread, inputs=plain),
        robot=robot,
    )
    return make_policy(spec).eval()


def save_act(robot: RobotSpec, folder: Path, size: Size = FULL_SIZE) -> Path:
    """Save `random_act` as a checkpoint, which names the robot too."""
    return save_policy(random_act(robot, size), folder / 'act')
