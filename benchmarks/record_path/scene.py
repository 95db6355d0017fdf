# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The robots whose streams are recorded: a spec that all processes of this benchmark read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_policy.documents import dump_yaml
from motion_policy.robot.joint_topic import FLOAT64_MULTI_ARRAY, JOINT_STATE
from motion_policy.robot.spec import COMPRESSED_IMAGE, IMAGE

RATE_HZ = 50
CAMERA_HZ, JOINTS_HZ, WRENCH_HZ = 30, 100, 1000
JOINTS = 7
MAX_AGE_S = 2.0  # what a busy machine does to the publishers is not measured


@dataclass(frozen=True)
class Load:
    """What is recorded beside the joints and their leader, both at 100 Hz."""

    cameras: int
    compressed: bool = False
    wrench: bool = True
    depth: bool = False
    width: int = 640
    height: int = 480

    def __str__(self) -> str:
        kind = 'JPEG' if self.compressed else 'raw'
        plural = 's' if self.cameras > 1 else ''
        parts = [f'{self.cameras} {kind} camera{plural} of {self.width}x{self.height}']
        if self.depth:
            parts.append('a depth camera')
        if self.wrench:
            parts.append('a wrench at 1 kHz')
        return ', '.join(parts)


def write_spec(load: Load, folder: Path) -> Path:
    """Write the robot spec of such a load; returns its file."""
    names = [f'joint{number}' for number in range(1, JOINTS + 1)]
    joint_state = {'type': JOINT_STATE, 'rate': JOINTS_HZ, 'max_age': MAX_AGE_S}
    camera = {
        'type': COMPRESSED_IMAGE if load.compressed else IMAGE,
        'width': load.width,
        'height': load.height,
        'rate': CAMERA_HZ,
        'max_age': MAX_AGE_S,
    }
    spec: dict[str, Any] = {
        'name': 'recorded',
        'rate': RATE_HZ,
        'joints': {
            'names': names,
            'state': {'topic': 'joint_states', **joint_state},
            'leader': {'topic': 'leader/joint_states', **joint_state},
            'command': {'topic': 'commands', 'type': FLOAT64_MULTI_ARRAY},
            'limits': {
                'position': [[-3.0, 3.0]] * JOINTS,
                'velocity': [2.0] * JOINTS,
                'acceleration': [8.0] * JOINTS,
            },
        },
        'cameras': {
            f'camera{number}': {'topic': f'camera{number}/image', **camera}
            for number in range(1, load.cameras + 1)
        },
    }
    if load.wrench:
        spec['vectors'] = {
            'wrench': {
                'topic': 'wrench',
                'type': 'geometry_msgs/msg/WrenchStamped',
                'fields': ['wrench'],
                'window': 'mean',
                'rate': WRENCH_HZ,
                'max_age': MAX_AGE_S,
            }
        }
    if load.depth:
        spec['depth'] = {'depth': {'topic': 'depth/image', **camera, 'type': IMAGE}}
    path = folder / 'recorded.yaml'
    path.write_text(dump_yaml(spec), encoding='utf-8')
    return path
