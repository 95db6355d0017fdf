# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Small policies and observations for tests; every number follows from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from recordings import tabletop, write_episode

from motion_policy.policies import Policy, PolicySpec, make_policy
from motion_policy.policies.base import ObservationBatch
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

LOW = [-1.0, -0.8, -1.2, -1.5, -0.01]
HIGH = [1.0, 0.9, 1.1, 1.6, 0.019]


def small_robot(height: int = 24, width: int = 32, **changes: Any) -> RobotSpec:
    """Return the tabletop robot with small images and changed top-level keys."""
    content = yaml.safe_load(tabletop().to_yaml())
    for camera in content['cameras'].values():
        camera.update(height=height, width=width)
    return robot_spec_from_yaml(yaml.safe_dump({**content, **changes}, sort_keys=False), 'test')


def spec(robot: RobotSpec | None = None, **changes: Any) -> PolicySpec:
    """Return the spec of a small SARNN."""
    given = {
        'kind': 'sarnn',
        'rate': 10.0,
        'cameras': ('top',),
        'image_size': (16, 20),
        'hyper': {'rec_dim': 12, 'k_dim': 3, 'temperature': 0.1},
        'normalisation': {
            'qpos': {'min': LOW, 'max': HIGH},
            'action': {'min': [x - 0.1 for x in LOW], 'max': HIGH},
        },
        'robot': robot or small_robot(),
    }
    return PolicySpec(**{**given, **changes})


def small_policy(seed: int = 0, **changes: Any) -> Policy:
    """Return a SARNN with random weights, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make_policy(spec(**changes)).eval()


FAMILIES = {
    'sarnn': {'rec_dim': 12, 'k_dim': 3, 'temperature': 0.1},
    'cnnrnn': {'rec_dim': 12, 'feat_dim': 4},
    'cnnrnnln': {'rec_dim': 12, 'feat_dim': 4},
}


def family(kind: str, seed: int = 0, **changes: Any) -> Policy:
    """Return a small policy of a recurrent family, with random weights, in eval mode."""
    given = {'kind': kind, 'hyper': FAMILIES[kind], 'image_size': (32, 64), **changes}
    return small_policy(seed, **given)


def random_observation(
    batch: int = 2, height: int = 24, width: int = 32, seed: int = 0
) -> ObservationBatch:
    """Return an observation of the `top` camera and five joints."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, height, width, 3)
    image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return {
        'qpos': torch.rand(batch, 5, generator=generator),
        'images': {'top': image},
    }


def write_demonstrations(folder: Path, lengths: tuple[int, ...], **options: Any) -> Path:
    """Write one episode per length, at 50 rows per second, with 24x32 images."""
    folder.mkdir(parents=True)
    for index, length in enumerate(lengths):
        path = folder / f'episode_{index:06d}.hdf5'
        write_episode(path, length, robot=small_robot(), compress=False, **options)
    return folder
