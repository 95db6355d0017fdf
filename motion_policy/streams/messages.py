# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The one place where messages become arrays.

Messages are read by their fields only, so those of rclpy and those of a bag give the same arrays.
A joint that a message lacks is an error, never a zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import NANOSECONDS_PER_S, JointTopic, RobotSpec
from motion_policy.streams.errors import StreamError
from motion_policy.streams.images import RgbImage, image_to_rgb
from motion_policy.streams.sampler import Row

__all__ = [
    'JointReading',
    'Observation',
    'image_to_rgb',
    'observation_from_row',
    'read_joint_message',
    'read_joints',
    'stamp_ns',
]

LAYOUTS = 64  # of joint messages, whose order is remembered

Float64Array = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class JointReading:
    """Joints as one message gives them, each (n,) float64; None where it does not report them."""

    position: Float64Array
    velocity: Float64Array | None
    effort: Float64Array | None


@dataclass(frozen=True)
class Observation:
    """One row as arrays, in the order of the robot spec's joints.

    `qpos`, `qvel`, `effort` and `action` are (J,) float32 [rad or m, per second, N m or N];
    `images` are (H, W, 3) uint8 RGB by camera. `qvel` is zero where the robot does not report
    velocities; `effort` is None where not every joint has one; `action` is the leader's position,
    None without a leader.
    """

    qpos: Float32Array
    qvel: Float32Array
    effort: Float32Array | None
    images: dict[str, RgbImage]
    action: Float32Array | None


def stamp_ns(message: Any) -> int:
    """Return `header.stamp` in nanoseconds, 0 where the message has none."""
    header = getattr(message, 'header', None)
    if header is None:
        return 0
    return int(header.stamp.sec) * NANOSECONDS_PER_S + int(header.stamp.nanosec)


def read_joints(message: Any, message_names: Sequence[str]) -> JointReading:
    """Read the named joints from a JointState-like message, in the order of `message_names`.

    Velocities or efforts that are empty or NaN count as not reported: joint_state_broadcaster
    publishes NaN for an interface that the hardware lacks.

    Raises:
        StreamError: a joint is missing, or its position is not a finite number.
    """
    order = _places(tuple(message.name), tuple(message_names))
    position = _pick(message.position, order, len(message.name), 'positions')
    _check_finite(position, message_names, 'position')
    return JointReading(
        position,
        _reported(message.velocity, order, message_names, 'velocity'),
        _reported(message.effort, order, message_names, 'effort'),
    )


def read_joint_message(message: Any, topic: JointTopic) -> JointReading:
    """Read the joints of `topic` from a message of any joint type that a robot spec may name.

    The positions of a leader are converted as the spec says; its velocities are dropped then.

    Raises:
        StreamError: the message does not hold these joints as finite numbers.
    """
    reading = _read_any(message, topic)
    if not topic.is_converted:
        return reading
    position = np.array(topic.scale) * reading.position + np.array(topic.offset)
    return JointReading(position, None, None)


def observation_from_row(row: Row, robot: RobotSpec) -> Observation:
    """Turn a row into arrays; the recorder, the importer and the live policy all do it here.

    Cameras and leader topics that are not sampled are left out; the joint state must be there.

    Raises:
        StreamError: a stream of the row is missing or stale, or a message does not fit the spec.
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
    )


@lru_cache(maxsize=LAYOUTS)
def _places(found: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Where the wanted joints are among those of a message, which are mostly the same again."""
    index = {name: place for place, name in enumerate(found)}
    missing = [name for name in wanted if name not in index]
    if missing:
        raise StreamError(
            f"joint '{missing[0]}' is not in the message, found joints: {', '.join(index) or '-'}"
        )
    return [index[name] for name in wanted]


def _read_any(message: Any, topic: JointTopic) -> JointReading:
    if hasattr(message, 'name'):
        return read_joints(message, topic.message_names)
    if hasattr(message, 'points'):
        return _read_trajectory(message, topic.message_names)
    position = np.array(message.data, dtype=np.float64)
    if len(position) != len(topic.joints):
        raise StreamError(
            f'the message holds {len(position)} numbers, expected {len(topic.joints)}, '
            f'one for each of: {", ".join(topic.joints)}'
        )
    _check_finite(position, topic.joints, 'position')
    return JointReading(position, None, None)


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
            reading = read_joint_message(row.samples[name].value, topic)
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
        image = image_to_rgb(message)
    except StreamError as error:
        raise StreamError(f"camera '{camera}' ({spec.topic}): {error}") from None
    if image.shape[:2] != (spec.height, spec.width):
        raise StreamError(
            f"camera '{camera}' ({spec.topic}): image is {image.shape[1]}x{image.shape[0]} "
            f'(width x height), expected {spec.width}x{spec.height} of the robot spec'
        )
    return image


def _read_trajectory(message: Any, message_names: Sequence[str]) -> JointReading:
    """Read the first point of a JointTrajectory."""
    if not message.points:
        raise StreamError('the trajectory has no points, expected at least one')
    index = {name: place for place, name in enumerate(message.joint_names)}
    missing = [name for name in message_names if name not in index]
    if missing:
        raise StreamError(f"joint '{missing[0]}' is not in the message, found: {', '.join(index)}")
    order = [index[name] for name in message_names]
    position = _pick(message.points[0].positions, order, len(index), 'positions')
    _check_finite(position, message_names, 'position')
    return JointReading(position, None, None)


def _pick(values: Iterable[float], order: list[int], count: int, what: str) -> Float64Array:
    array = np.array(values, dtype=np.float64)
    if len(array) != count:
        raise StreamError(f'the message holds {len(array)} {what}, expected {count}, one per name')
    return array[order]


def _reported(
    values: Sequence[float], order: list[int], names: Sequence[str], what: str
) -> Float64Array | None:
    """Return the values of our joints, or None where any of them is not reported."""
    if len(values) == 0:
        return None
    if len(values) <= max(order):
        raise StreamError(
            f'the message holds {len(values)} values of {what}, expected none or one per name'
        )
    array = np.array(values, dtype=np.float64)[order]
    if np.isfinite(array).all():
        return array
    if np.isnan(array).any():
        return None
    _check_finite(array, names, what)
    return array


def _check_finite(values: Float64Array, names: Sequence[str], what: str) -> None:
    if np.isfinite(values).all():
        return
    for name, value in zip(names, values, strict=True):
        if not np.isfinite(value):
            raise StreamError(f"joint '{name}': {what} is {value}, expected a finite number")


def _topic_of(robot: RobotSpec, stream_name: str) -> str:
    topics = {stream.name: stream.topic for stream in robot.streams()}
    return topics.get(stream_name, 'no topic of this robot')
