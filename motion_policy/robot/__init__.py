# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Robot specs: cameras, joints, limits, rates and topics, read from one YAML file.

Nothing here needs torch, a file of data or ROS.
"""

from motion_policy.robot.errors import RobotSpecError
from motion_policy.robot.gripper import GripperSpec
from motion_policy.robot.image_fit import ImageFit, Placement
from motion_policy.robot.joint_topic import JointTopic
from motion_policy.robot.load import load_robot_spec, robot_spec_from_yaml
from motion_policy.robot.spec import (
    CameraSpec,
    DepthSpec,
    JointsSpec,
    LimitsSpec,
    RobotSpec,
    StreamSpec,
    depth_stream,
)
from motion_policy.robot.vector import VectorSpec

__all__ = [
    'CameraSpec',
    'DepthSpec',
    'GripperSpec',
    'ImageFit',
    'JointTopic',
    'JointsSpec',
    'LimitsSpec',
    'Placement',
    'RobotSpec',
    'RobotSpecError',
    'StreamSpec',
    'VectorSpec',
    'depth_stream',
    'load_robot_spec',
    'robot_spec_from_yaml',
]
