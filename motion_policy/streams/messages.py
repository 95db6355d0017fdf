# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion of ROS messages to arrays: the one place for it.

Messages are read by their fields only, so those of rclpy and those of a bag give the same arrays.
A joint that a message lacks is an error, never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import NANOSECONDS_PER_S, JointTopic, RobotSpec
from motion_policy.streams.errors import StreamError, UnusableFrameError
from motion_policy.streams.images import RgbImage, decode_frame, image_to_rgb
from motion_policy.streams.joints import (
    Float64Array,
    JointReading,
    read_joint_message,
    read_joints,
)
from motion_policy.streams.sampler import Row, Sample

__all__ = [
    'JointReading',
    'Observation',
    'image_to_rgb',
    'joints_in',
    'observation_from_row',
    'read_joint_message',
    'read_joints',
    'stamp_ns',
]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Observation:
    """One row as arrays, in the order of the robot spec's joints.

    `qpos`, `qvel`, `effort` and `action` are (J,) float32 [rad or m, per second, N m or N];
    `images` are (H, W, 3) uint8 RGB by camera. `qvel` is zero where the robot does not report
    velocities, and `has_qvel` is False then; `effort` is None where not every joint has one;
    `action` is the leader's position, None without a leader.
    """

    qpos: Float32Array
    qvel: Float32Array
    effort: Float32Array | None
    images: dict[str, RgbImage]
    action: Float32Array | None
    has_qvel: bool = True


def stamp_ns(message: Any) -> int:
    """Return `header.stamp` in nanoseconds, 0 where the message has none."""
    header = getattr(message, 'header', None)
    if header is None:
        return 0
    return int(header.stamp.sec) * NANOSECONDS_PER_S + int(header.stamp.nanosec)


def joints_in(sample: Sample, topic: JointTopic) -> JointReading:
    """The joints of a topic in the sample that stands in a row.

    Raises:
        StreamError: the sample is a message that does not hold them all.
    """
    value = sample.value
    return value if isinstance(value, JointReading) else read_joint_message(value, topic)


def observation_from_row(row: Row, robot: RobotSpec) -> Observation:
    """Turn a row into arrays; the recorder, the importer and the live policy all do it here.

    Cameras and leader topics that are not sampled are left out; the joint state must be there.

    Raises:
        StreamError: a stream of the row is missing or stale, or a message does not fit the spec;
            UnusableFrameError for an image that cannot be decoded.
    """
    if row.faults:
        name, fault = next(iter(row.faults.items()))
        raise StreamError(f"stream '{name}' ({_topic_of(robot, name)}): {fault}")
    qpos, qvel, effort = _read_role('state', row, robot)
    leader = [name for name, _ in robot.joint_streams('leader') if name in row.samples]
    return Observation(
        qpos=qpos.astype(np.float32),
        qvel=_zeros_if_none(qvel, len(qpos)).astype(np.float32),
        effort=None if effort is None else effort.astype(np.float32),
        images={
            camera: _camera_image(row.samples[camera].value, camera, robot)
            for camera in robot.cameras
            if camera in row.samples
        },
        action=_read_role('leader', row, robot)[0].astype(np.float32) if leader else None,
        has_qvel=qvel is not None,
    )


def _read_role(
    role: Literal['state', 'leader'], row: Row, robot: RobotSpec
) -> tuple[Float64Array, Float64Array | None, Float64Array | None]:
    """Gather position, velocity and effort (J,) from all topics of a role, in joint order."""
    place = {joint: index for index, joint in enumerate(robot.joints.names)}
    fields: list[Float64Array | None] = [np.full(len(place), np.nan) for _ in range(3)]
    for name, topic in robot.joint_streams(role):
        if name not in row.samples:
            raise StreamError(f"stream '{name}' ({topic.topic}): not sampled, expected in the row")
        try:
            reading = joints_in(row.samples[name], topic)
        except StreamError as error:
            raise StreamError(f"stream '{name}' ({topic.topic}): {error}") from None
        columns = [place[joint] for joint in topic.joints]
        parts = (reading.position, reading.velocity, reading.effort)
        fields = [_put(whole, columns, part) for whole, part in zip(fields, parts, strict=True)]
    position, velocity, effort = fields
    assert position is not None
    return position, velocity, effort


def _put(
    whole: Float64Array | None, columns: list[int], part: Float64Array | None
) -> Float64Array | None:
    """Fill columns of the whole; a part that is not reported leaves no whole."""
    if whole is None or part is None:
        return None
    whole[columns] = part
    return whole


def _zeros_if_none(values: Float64Array | None, count: int) -> Float64Array:
    return np.zeros(count) if values is None else values


def _camera_image(message: Any, camera: str, robot: RobotSpec) -> RgbImage:
    spec = robot.cameras[camera]
    try:
        return decode_frame(message, spec)
    except StreamError as error:
        raise UnusableFrameError(f"camera '{camera}' ({spec.topic}): {error}", camera) from None


def _topic_of(robot: RobotSpec, stream_name: str) -> str:
    topics = {stream.name: stream.topic for stream in robot.streams()}
    return topics.get(stream_name, 'no topic of this robot')
