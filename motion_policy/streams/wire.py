# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Raw images inside serialised messages, viewed without a copy, and how CDR lies in bytes.

Only plain CDR, in which every ROS 2 middleware sends them, is read here; the caller deserialises
anything else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from motion_policy.robot.spec import NANOSECONDS_PER_S

PLAIN_CDR = (0, 1)  # the encapsulations CDR_BE and CDR_LE (OMG DDSI-RTPS 2.5, 10.5)
START = 4  # of the content, from which alignment counts too


@dataclass(frozen=True)
class WireImage:
    """The fields of a sensor_msgs/msg/Image that its pixels need; `data` is a view of bytes."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def stamp_on_wire(data: bytes) -> int:
    """`header.stamp` [ns] of a serialised message that begins with a header."""
    seconds, nanoseconds = struct.unpack_from(byte_order(data) + 'iI', data, START)
    return int(seconds) * NANOSECONDS_PER_S + int(nanoseconds)


def image_on_wire(data: bytes) -> WireImage | None:
    """The image in a serialised sensor_msgs/msg/Image; None for what is not plain CDR, or is cut.

    Layout (OMG CDR, version 1): seconds, nanoseconds, frame_id, height, width, encoding,
    is_bigendian, step, data; numbers at multiples of their size, each text and sequence behind
    its length.
    """
    if len(data) < START or data[0] or data[1] not in PLAIN_CDR:
        return None
    number = struct.Struct(byte_order(data) + 'I')
    try:
        place = _skip_text(data, START + 8, number)
        (height,), (width,) = (number.unpack_from(data, place + shift) for shift in (0, 4))
        begin = place + 12
        (length,) = number.unpack_from(data, place + 8)
        encoding = data[begin : begin + length - 1].decode('ascii')
        is_bigendian = data[begin + length]
        place = aligned(begin + length + 1)
        (step,), (size,) = (number.unpack_from(data, place + shift) for shift in (0, 4))
    except (struct.error, UnicodeDecodeError, IndexError):
        return None
    pixels = memoryview(data)[place + 8 : place + 8 + size]
    if len(pixels) < size:
        return None
    return WireImage(height, width, encoding, is_bigendian, step, pixels)


def byte_order(data: bytes) -> str:
    """The order of a plain CDR message's numbers, as `struct` calls it."""
    return '<' if data[1] & 1 else '>'


def _skip_text(data: bytes, place: int, number: struct.Struct) -> int:
    (length,) = number.unpack_from(data, place)
    return aligned(place + 4 + int(length))


def aligned(place: int, size: int = 4) -> int:
    """The next place for a number of so many bytes."""
    return START + -(-(place - START) // size) * size
