# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A raw image is found in its serialised message, whatever its texts' lengths; or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from motion_policy.streams import image_to_rgb
from motion_policy.streams.wire import image_on_wire, stamp_on_wire

PIXELS = bytes(range(51))


def message(frame: str = 'top', encoding: str = 'rgb8') -> Image:
    """Return an image of 5x3 with rows of 17 bytes."""
    made = Image(height=3, width=5, encoding=encoding, step=17, is_bigendian=1)
    made.header.frame_id = frame
    made.header.stamp.sec, made.header.stamp.nanosec = 1_700_000_000, 987_654_321
    made.data.frombytes(PIXELS)
    return made


def big_endian(encoding: bytes) -> bytes:
    """Return the same message as a computer with the other byte order would send it."""

    def number(value: int) -> bytes:
        return value.to_bytes(4, 'big')

    def text(value: bytes) -> bytes:
        content = number(len(value) + 1) + value + b'\0'
        return content + b'\0' * (-len(content) % 4)

    told = number(len(encoding) + 1) + encoding + b'\0' + b'\1'
    told += b'\0' * (-len(told) % 4)
    header = b'\0\0\0\0' + number(1_700_000_000) + number(987_654_321) + text(b'top')
    return header + number(3) + number(5) + told + number(17) + number(len(PIXELS)) + PIXELS


@pytest.mark.parametrize('encoding', ['rgb8', 'mono8', 'bayer_rggb8', ''])
@pytest.mark.parametrize('frame', ['', 'a', 'to', 'top', 'side', 'camera_link'])
def test_every_field_of_an_image_is_found_where_it_lies(frame: str, encoding: str) -> None:
    sent = message(frame, encoding)
    data = bytes(serialize_message(sent))
    found = image_on_wire(data)
    assert found is not None
    assert (found.height, found.width, found.encoding) == (3, 5, encoding)
    assert (found.is_bigendian, found.step, bytes(found.data)) == (1, 17, PIXELS)
    assert stamp_on_wire(data) == 1_700_000_000_987_654_321


def test_the_other_byte_order_is_read_too() -> None:
    data = big_endian(b'mono8')
    found = image_on_wire(data)
    assert found is not None
    assert (found.height, found.width, found.encoding, found.step) == (3, 5, 'mono8', 17)
    assert bytes(found.data) == PIXELS
    assert stamp_on_wire(data) == 1_700_000_000_987_654_321


def test_pixels_are_looked_at_where_they_are() -> None:
    data = bytes(serialize_message(message()))
    found = image_on_wire(data)
    assert found is not None
    assert found.data.obj is data
    np.testing.assert_array_equal(image_to_rgb(found), image_to_rgb(message()))


def test_a_message_that_is_cut_anywhere_is_no_image() -> None:
    data = bytes(serialize_message(message()))
    end = data.index(PIXELS) + len(PIXELS)
    assert image_on_wire(data[:end]) is not None
    assert all(image_on_wire(data[:length]) is None for length in range(end))


def test_another_encapsulation_is_left_to_the_middleware() -> None:
    data = bytearray(serialize_message(message()))
    data[1] = 7  # XCDR2
    assert image_on_wire(bytes(data)) is None
