# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms between frames: read from serialised tf2_msgs/msg/TFMessage, composed, interpolated.

A pose is a tuple of seven numbers: x, y, z [m] and the unit quaternion x, y, z, w.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.robot.vector import ROTATION, VectorSpec
from motion_policy.streams.errors import StreamError
from motion_policy.streams.wire import PLAIN_CDR, START, aligned, byte_order

Pose = tuple[float, float, float, float, float, float, float]
IDENTITY: Pose = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)

MOST_METRES = 1e12
# By how much the square of a quaternion's length may differ from 1, as in tf2.
NORM_TOLERANCE = 0.01
# Half way round from it, where the sign of a first row is by chance, is no orientation along the
# axes: each is 11 degrees away or more.
FIRST_SIGN = np.array([3.83, 2.41, 1.0, 9.24])
# Of one topic that are remembered: each publisher has one, or few.
MOST_LAYOUTS = 64
STAMP_BYTES = 8
POSE_BYTES = 56


@dataclass(frozen=True)
class TransformMessage:
    """A serialised tf2_msgs/msg/TFMessage as it came; `is_static` if on the topic of such."""

    data: bytes
    is_static: bool = False


@dataclass(frozen=True)
class TransformPlace:
    """Where the transform of `child` in `parent` lies within serialised messages."""

    child: str
    parent: str
    stamp: int
    numbers: int


class TransformLayout:
    """The places of the transforms in all messages that hold the same frames in the same order.

    Such messages differ in stamps and numbers only; the rest is compared at once, not read again.

    Raises:
        StreamError: the bytes are no such message.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < START or data[0] or data[1] not in PLAIN_CDR:
            raise StreamError('is no TFMessage in plain CDR')
        self._order = byte_order(data)
        self._stamp = struct.Struct(self._order + 'iI')
        self._pose = struct.Struct(self._order + '7d')
        self.places: list[TransformPlace] = []  # of all that is between two frames
        self.wanted: list[TransformPlace] = []  # of those on a way that was found of frames
        self.applied = -1  # of this version
        fixed = [(0, START + 4)]
        try:
            place = START + 4
            for _ in range(self._number(data, START)):
                place = self._read(data, place, fixed)
        except (struct.error, UnicodeDecodeError):
            raise StreamError(f'{len(data)} bytes are no TFMessage') from None
        self._fixed = np.concatenate([np.arange(*each) for each in fixed])
        self._text = self._fixed_of(data)

    def fits(self, data: bytes) -> bool:
        """Whether another message, of as many bytes, is laid out so."""
        return self._fixed_of(data) == self._text

    def stamp_and_pose(self, data: bytes, place: TransformPlace) -> tuple[int, Pose]:
        """The stamp [ns] and the pose at a place, its quaternion normalised.

        Raises:
            StreamError: a number is not finite, or the quaternion is no rotation.
        """
        seconds, nanoseconds = self._stamp.unpack_from(data, place.stamp)
        pose = self._pose.unpack_from(data, place.numbers)
        return seconds * NANOSECONDS_PER_S + nanoseconds, checked_pose(pose)

    def _read(self, data: bytes, place: int, fixed: list[tuple[int, int]]) -> int:
        stamp = aligned(place)
        begin = stamp + STAMP_BYTES
        end, parent = self._name(data, begin)
        fixed.append((begin, end))
        begin = aligned(end)
        end, child = self._name(data, begin)
        fixed.append((begin, end))
        numbers = aligned(end, 8)
        self._pose.unpack_from(data, numbers)  # they are there
        if child and parent and child != parent:  # tf2 does not take the others either
            self.places.append(TransformPlace(child, parent, stamp, numbers))
        return numbers + POSE_BYTES

    def _name(self, data: bytes, place: int) -> tuple[int, str]:
        length = self._number(data, place)
        begin, end = place + 4, place + 4 + length
        if end > len(data):
            raise struct.error
        return end, data[begin:end].rstrip(b'\0').decode().lstrip('/')

    def _number(self, data: bytes, place: int) -> int:
        (number,) = struct.unpack_from(self._order + 'I', data, place)
        return int(number)

    def _fixed_of(self, data: bytes) -> bytes:
        text: bytes = np.frombuffer(data, np.uint8)[self._fixed].tobytes()
        return text


class TransformLayouts:
    """The layouts of the messages of one topic, each read once."""

    def __init__(self) -> None:
        self._known: dict[int, list[TransformLayout]] = {}
        self._count = 0

    def of(self, data: bytes) -> TransformLayout:
        """The layout of a message.

        Raises:
            StreamError: the bytes are no TFMessage.
        """
        for layout in self._known.get(len(data), ()):
            if layout.fits(data):
                return layout
        layout = TransformLayout(data)
        if self._count == MOST_LAYOUTS:
            self._known, self._count = {}, 0
        self._known.setdefault(len(data), []).append(layout)
        self._count += 1
        return layout


def checked_pose(numbers: tuple[float, ...]) -> Pose:
    """A pose with its quaternion normalised.

    Raises:
        StreamError: a number is not finite, or the quaternion's length is not about 1.
    """
    x, y, z, qx, qy, qz, qw = numbers
    square = qx * qx + qy * qy + qz * qz + qw * qw
    if not (abs(square - 1) < NORM_TOLERANCE):  # NaN is not
        told = ', '.join(f'{each:g}' for each in numbers[3:])
        raise StreamError(f'rotation is [{told}], expected a quaternion of length 1')
    if not (abs(x) < MOST_METRES and abs(y) < MOST_METRES and abs(z) < MOST_METRES):
        told = ', '.join(f'{each:g}' for each in numbers[:3])
        raise StreamError(f'translation is [{told}], expected finite metres')
    length = math.sqrt(square)
    return x, y, z, qx / length, qy / length, qz / length, qw / length


def composed(outer: Pose, inner: Pose) -> Pose:
    """The pose of C in A, of that of B in A and that of C in B."""
    ax, ay, az, bx, by, bz, bw = outer
    x, y, z = _turned(outer, inner[0], inner[1], inner[2])
    cx, cy, cz, cw = inner[3:]
    return (
        ax + x,
        ay + y,
        az + z,
        bw * cx + bx * cw + by * cz - bz * cy,
        bw * cy + by * cw + bz * cx - bx * cz,
        bw * cz + bz * cw + bx * cy - by * cx,
        bw * cw - bx * cx - by * cy - bz * cz,
    )


def inverted(pose: Pose) -> Pose:
    """The pose of A in B, of that of B in A."""
    back = (0.0, 0.0, 0.0, -pose[3], -pose[4], -pose[5], pose[6])
    x, y, z = _turned(back, pose[0], pose[1], pose[2])
    return (-x, -y, -z, *back[3:])


def interpolated(before: Pose, after: Pose, share: float) -> Pose:
    """The pose at `share` of the way: along a line, and by the shorter turn at constant speed."""
    x, y, z = (a + (b - a) * share for a, b in zip(before[:3], after[:3], strict=True))
    p, q = before[3:], after[3:]
    dot = p[0] * q[0] + p[1] * q[1] + p[2] * q[2] + p[3] * q[3]
    sign = -1.0 if dot < 0 else 1.0
    angle = math.acos(min(1.0, abs(dot)))
    if angle < 1e-8:
        return (x, y, z, *p)
    first = math.sin((1 - share) * angle) / math.sin(angle)
    second = sign * math.sin(share * angle) / math.sin(angle)
    qx, qy, qz, qw = (first * a + second * b for a, b in zip(p, q, strict=True))
    return x, y, z, qx, qy, qz, qw


class ContinuousRotations:
    """Gives the quaternions of transforms the sign that is nearer to the row before.

    A rotation is two quaternions, q and -q, between which a network would see a jump. The first
    row has the one whose product with `FIRST_SIGN` is positive.
    """

    def __init__(self, vectors: Mapping[str, VectorSpec], names: Iterable[str]) -> None:
        self._places = {
            name: slice(first, first + len(ROTATION))
            for name in names
            if vectors[name].transform is not None and ROTATION[0] in vectors[name].fields
            for first in [vectors[name].fields.index(ROTATION[0])]
        }
        self._before: dict[str, npt.NDArray[Any]] = {}

    def reset(self) -> None:
        """Begin with a first row again."""
        self._before = {}

    def of(self, vectors: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The vectors (n,) of the next row."""
        continuous = dict(vectors)
        for name, places in self._places.items():
            rotation = vectors[name][places]
            if float(rotation @ self._before.get(name, FIRST_SIGN)) < 0:
                continuous[name] = vectors[name].copy()
                continuous[name][places] = -rotation
            self._before[name] = continuous[name][places]
        return continuous


def _turned(pose: Pose, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A vector turned by the quaternion of a pose."""
    qx, qy, qz, qw = pose[3:]
    tx, ty, tz = 2 * (qy * z - qz * y), 2 * (qz * x - qx * z), 2 * (qx * y - qy * x)
    return (
        x + qw * tx + qy * tz - qz * ty,
        y + qw * ty + qz * tx - qx * tz,
        z + qw * tz + qx * ty - qy * tx,
    )
