# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Robot and cameras that all processes of this benchmark share.

Nothing here needs a node, or PyTorch.
"""

from __future__ import annotations

from typing import Any

from motion_policy.robot import RobotSpec, VectorSpec, load_robot_spec
from motion_policy.robot.spec import DepthSpec

CAMERAS = ('top', 'side')
WIDTH, HEIGHT, CAMERA_HZ = 640, 480, 30
JOINT_STATE_HZ = 100
WRENCH_HZ = 1000
DEPTH = {'topic': 'top/depth'}
WRENCH = VectorSpec(
    topic='wrench',
    type='geometry_msgs/msg/WrenchStamped',
    fields=tuple(f'wrench.{part}.{axis}' for part in ('force', 'torque') for axis in 'xyz'),
    window='mean',
    rate=WRENCH_HZ,
)


def robot_at(rate_hz: float, more: bool = False) -> RobotSpec:
    """The small arm with two cameras of 640x480, commanded at `rate_hz`.

    With `more` there are a depth camera of that size and a wrench, too.
    """
    robot = load_robot_spec('tabletop_sim')
    as_sent = {'width': WIDTH, 'height': HEIGHT, 'rate': CAMERA_HZ}
    changed: dict[str, Any] = {
        'rate': float(rate_hz),
        'cameras': {name: robot.cameras[name].model_copy(update=as_sent) for name in CAMERAS},
    }
    if more:
        changed |= {'vectors': {'wrench': WRENCH}, 'depth': {'top': DepthSpec(**as_sent, **DEPTH)}}
    return robot.model_copy(update=changed)
