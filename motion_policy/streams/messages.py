# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion of ROS messages to arrays: the one place for it.

Messages are read by their fields only, so those of rclpy and those of a bag give the same arrays.
A joint that a message lacks is an error, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import NANOSECONDS_PER_S, RobotSpec, depth_stream
from motion_policy.streams.depth import DepthImage
from motion_policy.streams.errors import StreamError, UnusableFrameError
from motion_policy.streams.frames import decode_image
from motion_policy.streams.images import RgbImage, image_to_rgb, own_jpeg
from motion_policy.streams.joint_values import Float32Array, JointValues
from motion_policy.streams.joints import JointReading, read_joint_message, read_joints
from motion_policy.streams.sampler import Row
from motion_policy.streams.samples import Sample

__all__ = [
    'Float32Array',
    'JointReading',
    'Observation',
    'image_to_rgb',
    'observation_from_row',
    'read_joint_message',
    'read_joints',
    'stamp_ns',
]


@dataclass(frozen=True)
class Observation:
    """One row as arrays, in the order of the robot spec's joints.

    `qpos`, `qvel`, `effort` and `action` are (J,) float32 [rad or m, per second, N m or N];
    `images` are (H, W, 3) uint8 RGB by camera. `qvel` is zero where the robot does not report
    velocities, and `has_qvel` is False then; `effort` is None where not every joint has one;
    `action` is the leader's position, None without a leader. `held` are those of 'velocity' and
    'effort' that stand from an earlier message; `lacking` are, for each of them, the joints that
    do not report it though others do. `vectors` are (n,) float32 by name, in the order of the
    columns of the robot spec's vectors, or (k, n) of the last k messages; `depth` are (H, W)
    uint16 [mm] by name, 0: no measurement. `jpegs` are, of cameras that send JPEG, the bytes
    (n,) uint8 of the camera's own message, of which the image was decoded: what an episode keeps.
    """

    qpos: Float32Array
    qvel: Float32Array
    effort: Float32Array | None
    images: dict[str, RgbImage]
    action: Float32Array | None
    has_qvel: bool = True
    held: frozenset[str] = frozenset()
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vectors: dict[str, Float32Array] = field(default_factory=dict)
    depth: dict[str, DepthImage] = field(default_factory=dict)
    jpegs: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)

    def image(self, stream: str) -> RgbImage:
        """Return the image of a camera, (H, W, 3) uint8, or of a depth stream (`depth_top`).

        Of the latter it is (H, W, 2) uint8, the low and the high byte of each number [mm].
        """
        if stream in self.images:
            return self.images[stream]
        depth = self.depth[stream.removeprefix(depth_stream(''))]
        return np.ascontiguousarray(depth, dtype='<u2')[..., None].view(np.uint8)


def stamp_ns(message: Any) -> int:
    """Return `header.stamp` in nanoseconds, 0 where the message has none."""
    header = getattr(message, 'header', None)
    if header is None:
        return 0
    return int(header.stamp.sec) * NANOSECONDS_PER_S + int(header.stamp.nanosec)


def observation_from_row(row: Row, robot: RobotSpec) -> Observation:
    """Turn a row into arrays; the recorder, the importer and the live policy all do it here.

    Cameras, leader topics, vectors and depth that are not sampled are left out; the joint state
    must be there.

    Raises:
        StreamError: a stream of the row is missing or stale, or a message does not fit the spec;
            UnusableFrameError for an image that cannot be decoded.
    """
    if row.faults:
        name, fault = next(iter(row.faults.items()))
        raise StreamError(f"stream '{name}' ({_topic_of(robot, name)}): {fault}")
    state = _joint_values('state', row, robot)
    qpos, qvel, effort = state.arrays()
    leader = [name for name, _ in robot.joint_streams('leader') if name in row.samples]
    return Observation(
        qpos=qpos,
        qvel=qvel,
        effort=effort,
        images={
            camera: _camera_image(row.samples[camera].value, camera, robot)
            for camera in robot.cameras
            if camera in row.samples
        },
        action=_joint_values('leader', row, robot).arrays()[0] if leader else None,
        has_qvel=state.velocity is not None,
        held=state.held,
        lacking=state.lacking,
        vectors={
            name: row.samples[name].value.astype(np.float32)
            for name in robot.vectors
            if name in row.samples
        },
        depth={
            name: _camera_depth(row.samples[depth_stream(name)].value, name, robot)
            for name in robot.depth
            if depth_stream(name) in row.samples
        },
        jpegs={
            camera: jpeg
            for camera in robot.cameras
            if camera in row.samples and (jpeg := _jpeg(row.samples[camera])) is not None
        },
    )


def _joint_values(role: Literal['state', 'leader'], row: Row, robot: RobotSpec) -> JointValues:
    values = JointValues(robot, role)
    for name, topic in values.topics.items():
        if name not in row.samples:
            raise StreamError(f"stream '{name}' ({topic.topic}): not sampled, expected in the row")
    values.update(row.samples)
    for name, fault in values.faults.items():
        raise StreamError(f"stream '{name}' ({values.topics[name].topic}): {fault}")
    return values


def _camera_image(message: Any, camera: str, robot: RobotSpec) -> RgbImage:
    spec = robot.cameras[camera]
    try:
        return decode_image(message, spec)
    except StreamError as error:
        raise UnusableFrameError(f"camera '{camera}' ({spec.topic}): {error}", camera) from None


def _jpeg(sample: Sample) -> npt.NDArray[np.uint8] | None:
    return own_jpeg(sample.value) if sample.jpeg is None else sample.jpeg


def _camera_depth(message: Any, name: str, robot: RobotSpec) -> DepthImage:
    spec, stream = robot.depth[name], depth_stream(name)
    try:
        return decode_image(message, spec)
    except StreamError as error:
        raise UnusableFrameError(f"depth '{name}' ({spec.topic}): {error}", stream) from None


def _topic_of(robot: RobotSpec, stream_name: str) -> str:
    topics = {stream.name: stream.topic for stream in robot.streams()}
    return topics.get(stream_name, 'no topic of this robot')
