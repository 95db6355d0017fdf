# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Robot and cameras that all processes of this benchmark share.

Nothing here needs a node, or PyTorch.
"""

from __future__ import annotations

from motion_policy.robot import RobotSpec, load_robot_spec

CAMERAS = ('top', 'side')
WIDTH, HEIGHT, CAMERA_HZ = 640, 480, 30
JOINT_STATE_HZ = 100


def robot_at(rate_hz: float) -> RobotSpec:
    """The small arm with two cameras of 640x480, commanded at `rate_hz`."""
    robot = load_robot_spec('tabletop_sim')
    of_size = {'width': WIDTH, 'height': HEIGHT}
    cameras = {name: robot.cameras[name].model_copy(update=of_size) for name in CAMERAS}
    return robot.model_copy(update={'rate': float(rate_hz), 'cameras': cameras})
