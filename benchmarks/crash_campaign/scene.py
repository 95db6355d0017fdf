# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm whose messages are known by their stamps, so that each row can be judged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot import RobotSpec, robot_spec_from_yaml

# Samples count so long that a busy machine is not taken for a silent stream.
SPEC = """
name: crash_arm
rate: 50.0
joints:
  names: [joint1, joint2, joint3, gripper]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 3.0}
  leader: {topic: leader/joint_states, type: sensor_msgs/msg/JointState, max_age: 3.0}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits:
    position: [[-2, 2], [-2, 2], [-2, 2], [-2, 2]]
    velocity: [2.0, 2.0, 2.0, 2.0]
    acceleration: [8.0, 8.0, 8.0, 8.0]
cameras:
  top: {topic: top/image_raw, width: 96, height: 64, max_age: 3.0}
  side: {topic: side/image_raw, width: 64, height: 48, max_age: 3.0}
depth:
  top: {topic: top/depth, width: 40, height: 30, max_age: 3.0}
vectors:
  wrench: {topic: wrench, type: geometry_msgs/msg/WrenchStamped, max_age: 3.0,
    fields: [wrench.force.x, wrench.force.y, wrench.force.z]}
"""
TICK_NS = 10_000_000
PERIODS = {'state': 1, 'leader': 1, 'wrench': 1, 'top': 3, 'side': 4, 'depth_top': 3}  # in ticks
SHIFT = 0.01  # of the leader, ahead of the arm


def crash_arm() -> RobotSpec:
    """The arm that is recorded."""
    return robot_spec_from_yaml(SPEC, 'crash_arm.yaml')


def joints_at(stamp_ns: int) -> npt.NDArray[np.float64]:
    """Joint positions (4,) of a stamp."""
    return 0.2 * np.sin(_seconds(stamp_ns) * (1.0 + 0.3 * np.arange(4)))


def forces_at(stamp_ns: int) -> npt.NDArray[np.float64]:
    """Forces (3,) of a stamp."""
    return _seconds(stamp_ns) + 0.25 * np.arange(3)


def image_at(stamp_ns: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """The image (height, width, 3) of a stamp: a ramp, on which a square moves."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    left = int(_seconds(stamp_ns) * 30) % (width - 16)
    image[8:24, left : left + 16] = stamp_ns // TICK_NS % 251, 20, 250
    return image


def depth_at(stamp_ns: int, height: int, width: int) -> npt.NDArray[np.uint16]:
    """The depth (height, width) of a stamp [mm]."""
    rows = 900 + 3 * np.arange(height)[:, None] + np.arange(width) % 2
    return (rows + stamp_ns // TICK_NS % 997).astype(np.uint16)


class Messages:
    """Makes messages of streams; with no types given such as can be read alike.

    Args:
        types: `Image`, `JointState`, `WrenchStamped`, `Wrench`, `Vector3`, `Header`, `Time`.
    """

    def __init__(self, robot: RobotSpec, types: dict[str, Any] | None = None) -> None:
        self._robot = robot
        self._types = types or {}

    def make(self, stream: str, stamp_ns: int) -> Any:
        """The message of a stream and a stamp."""
        time = self._of('Time', sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        header = self._of('Header', stamp=time, frame_id='')
        if stream == 'wrench':
            force = dict(zip('xyz', forces_at(stamp_ns).tolist(), strict=True))
            none = self._of('Vector3', x=0.0, y=0.0, z=0.0)
            wrench = self._of('Wrench', force=self._of('Vector3', **force), torque=none)
            return self._of('WrenchStamped', header=header, wrench=wrench)
        if stream in ('state', 'leader'):
            values = joints_at(stamp_ns)
            return self._of(
                'JointState', header=header, name=list(self._robot.joints.names),
                position=(values + SHIFT * (stream == 'leader')).tolist(),
                velocity=(0.5 * values).tolist(), effort=(2.0 * values).tolist(),
            )  # fmt: skip
        if stream in self._robot.cameras:
            camera = self._robot.cameras[stream]
            return self._image(header, image_at(stamp_ns, camera.height, camera.width), 'rgb8')
        depth = self._robot.depth[stream.removeprefix('depth_')]
        return self._image(header, depth_at(stamp_ns, depth.height, depth.width), '16UC1')

    def _image(self, header: Any, pixels: npt.NDArray[Any], encoding: str) -> Any:
        return self._of(
            'Image', header=header, height=pixels.shape[0], width=pixels.shape[1],
            encoding=encoding, is_bigendian=0, step=pixels.nbytes // pixels.shape[0],
            data=pixels.tobytes(),
        )  # fmt: skip

    def _of(self, kind: str, /, **fields: Any) -> Any:
        return self._types.get(kind, SimpleNamespace)(**fields)


def _seconds(stamp_ns: int) -> float:
    return stamp_ns % 10**12 / 1e9
