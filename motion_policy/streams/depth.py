# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Image and CompressedImage messages as depth in millimetres.

Only 16UC1 [mm] and 32FC1 [m] say that they are distances (REP 118). mono16 is brightness, as an
infrared camera beside the depth camera sends it, and is refused.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import FARTHEST_MM, DepthSpec
from motion_policy.streams.errors import StreamError
from motion_policy.streams.images import check_size, image_rows
from motion_policy.streams.jpeg import PNG_START, check_png, image_header

DepthImage = npt.NDArray[np.uint16]  # (H, W) [mm]; 0: no measurement

ENCODINGS = {'16UC1': 2, '32FC1': 4}  # and bytes per number
EXPECTED = 'expected depth: 16UC1 or 32FC1'

# What image_transport puts before a depth image: a number, then A and B of its quantisation.
_CONFIG = struct.Struct('<iff')
_PNG_HEADER_BYTES = 64


def decode_depth(message: Any, camera: DepthSpec) -> DepthImage:
    """Return the depth of a message, (H, W) uint16 [mm], as large as the spec says.

    The array may share memory with the message.

    Raises:
        StreamError: it holds no depth, cannot be decoded whole, or has another size.
    """
    if isinstance(message, np.ndarray):
        return message
    check_depth(message, camera)
    if hasattr(message, 'format'):
        return _decode_compressed(message)
    rows = np.ascontiguousarray(image_rows(message, ENCODINGS[message.encoding]))
    order = '>' if message.is_bigendian else '<'
    if message.encoding == '16UC1':
        return rows.view(f'{order}u2').astype(np.uint16, copy=False)
    return millimetres(rows.view(f'{order}f4'))


def check_depth(message: Any, camera: DepthSpec) -> None:
    """Look at what needs no decoding: kind, size, and how many bytes there are.

    Raises:
        StreamError: this can be no depth of the camera.
    """
    if hasattr(message, 'format'):
        try:
            _check_compressed(message, camera)
        except StreamError as error:
            raise _not_taken(message, error) from None
        return
    if message.encoding not in ENCODINGS:
        is_grey = message.encoding == 'mono16'
        holds = 'holds brightness, not distances' if is_grey else 'is no depth'
        raise StreamError(f"image encoding '{message.encoding}' {holds}, {EXPECTED}")
    check_size(int(message.width), int(message.height), camera)
    image_rows(message, ENCODINGS[message.encoding])


def millimetres(metres: npt.NDArray[Any]) -> DepthImage:
    """Return distances (H, W) [m] as uint16 [mm]; 0 for what is none, or beyond 65.534 m."""
    with np.errstate(over='ignore', invalid='ignore'):
        rounded = np.rint(metres.astype(np.float32) * np.float32(1000))
        measured = (rounded > 0) & (rounded <= FARTHEST_MM)  # which NaN is not
    return np.where(measured, rounded, np.float32(0)).astype(np.uint16)


def _check_compressed(message: Any, camera: DepthSpec) -> None:
    encoding, begin = _content(message)
    png = bytes(message.data[begin : begin + _PNG_HEADER_BYTES])
    if png[: len(PNG_START)] != PNG_START:
        raise StreamError('is no PNG')
    header = image_header(png)
    if (header.channels, header.bits) != (1, 16):
        raise StreamError(
            f'has {header.bits} bits and {header.channels} channels, expected 16 bits of grey'
        )
    check_size(header.width, header.height, camera)
    if encoding == '32FC1':
        _table(*_quantisation(message))


def _content(message: Any) -> tuple[str, int]:
    """The encoding of what was compressed, and where in the data its PNG begins."""
    encoding, _, how = message.format.partition(';')
    encoding = encoding.strip()
    if 'compressedDepth' in how:
        if 'rvl' in how.lower():
            raise StreamError("holds RVL, which is not read, expected 'compressedDepth png'")
        if encoding in ENCODINGS:
            return encoding, _CONFIG.size
    elif encoding == '16UC1' or encoding.lower() == 'png':
        return '16UC1', 0
    elif encoding == '32FC1':
        raise StreamError('does not say what its numbers are in metres, expected compressedDepth')
    elif encoding == 'mono16':
        raise StreamError(f'holds brightness, not distances, {EXPECTED}')
    raise StreamError(f'is no depth, {EXPECTED}')


def _decode_compressed(message: Any) -> DepthImage:
    encoding, begin = _content(message)
    try:
        stored = decode_depth_png(bytes(message.data[begin:]))
        return stored if encoding == '16UC1' else _table(*_quantisation(message))[stored]
    except StreamError as error:
        raise _not_taken(message, error) from None


def decode_depth_png(data: bytes) -> DepthImage:
    """Return the numbers (H, W) uint16 of a PNG.

    Raises:
        StreamError: it is not whole, or not of 16 bits of grey.
    """
    check_png(data)
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # sizes that no image has
        stored = None
    if stored is None:
        raise StreamError('PNG is damaged: its bytes end before its pixels do')
    if stored.ndim != 2 or stored.dtype != np.uint16:
        raise StreamError(f'PNG holds {stored.shape} {stored.dtype}, expected 16 bits of grey')
    return np.asarray(stored, dtype=np.uint16)


def _quantisation(message: Any) -> tuple[float, float]:
    _, a, b = _CONFIG.unpack(bytes(message.data[: _CONFIG.size]))
    return a, b


@lru_cache(maxsize=8)
def _table(a: float, b: float) -> DepthImage:
    """What each number of a quantised image is [mm], (65536,): a / (number - b) [m]; 0 is none."""
    if not (np.isfinite(a) and np.isfinite(b) and a > 0):
        raise StreamError(
            f'has depthParam {a:g} and {b:g}, expected finite numbers, the first above 0'
        )
    numbers = np.arange(2**16, dtype=np.float64)
    with np.errstate(divide='ignore'):
        metres = a / (numbers - b)
    metres[0] = 0
    return millimetres(metres)


def _not_taken(message: Any, error: StreamError) -> StreamError:
    return StreamError(
        f"compressed image of format '{message.format}' and {len(message.data)} bytes {error}"
    )
