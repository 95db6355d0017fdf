# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Image and CompressedImage messages as RGB arrays.

The rows of a raw image are found by its `step`, its numbers by its byte order. cv_bridge does the
same work if it is asked for and was seen to give the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import CameraSpec, ImageTopic
from motion_policy.streams.bridge import bridge_for
from motion_policy.streams.errors import StreamError
from motion_policy.streams.jpeg import (
    JPEG_START,
    ImageHeader,
    check_colours,
    decode_whole,
    image_header,
    thumbnail,
)

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

# What stands in a compressed image's format where its numbers are distances.
_DEPTH_FORMATS = ('compressedDepth', '16UC1', '32FC1', '16SC1', '64FC1')
_DEPTH_ENCODINGS = ('16UC1', '16SC1', '32FC1', '64FC1')
_UNDER_DEPTH = 'expected it under `depth:` of the robot spec, or colours'

# Encoding: (bytes per number, channels, OpenCV conversion to RGB or None).
ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    'rgb8': (1, 3, None),
    'bgr8': (1, 3, cv2.COLOR_BGR2RGB),
    'rgba8': (1, 4, cv2.COLOR_RGBA2RGB),
    'bgra8': (1, 4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, 1, cv2.COLOR_GRAY2RGB),
    'rgb16': (2, 3, None),
    'bgr16': (2, 3, cv2.COLOR_BGR2RGB),
    'rgba16': (2, 4, cv2.COLOR_RGBA2RGB),
    'bgra16': (2, 4, cv2.COLOR_BGRA2RGB),
    'mono16': (2, 1, cv2.COLOR_GRAY2RGB),
    'yuv422': (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (1, 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (1, 2, cv2.COLOR_YUV2RGB_YUY2),
    # OpenCV names a Bayer pattern after its second row, ROS after its first.
    'bayer_rggb8': (1, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, 1, cv2.COLOR_BayerGB2RGB),
}


def image_to_rgb(message: Any) -> RgbImage:
    """Return the image of an Image or CompressedImage message as (H, W, 3) uint8 RGB.

    The array may share memory with the message. 16-bit colours are scaled to 8 bits.

    Raises:
        StreamError: an encoding without colours, too few bytes, or bytes that are no whole image.
    """
    if hasattr(message, 'format'):
        _check_compressed(message)
        return np.asarray(cv2.cvtColor(_decode(message), cv2.COLOR_BGR2RGB), dtype=np.uint8)
    _check_encoding(message.encoding)
    pixels = _pixels(message)
    bridge = bridge_for(message.encoding)
    if bridge is not None:
        return bridge(message)
    conversion = ENCODINGS[message.encoding][2]
    if conversion is not None:
        pixels = _converted(pixels, conversion, message)
    if pixels.dtype != np.uint8:
        pixels = cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0)
    return np.asarray(pixels, dtype=np.uint8)


def _converted(pixels: npt.NDArray[Any], conversion: int, message: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), conversion))
    except cv2.error:
        raise StreamError(
            f'{message.encoding} image of {message.width}x{message.height} cannot be converted, '
            'expected even sizes'
        ) from None


def decode_frame(message: Any, camera: CameraSpec) -> RgbImage:
    """Return the image of a camera's message, (H, W, 3) uint8 RGB, as large as the spec says.

    Raises:
        StreamError: it cannot be decoded whole, or has another size.
    """
    if isinstance(message, np.ndarray):
        return message
    check_frame(message, camera)
    return image_to_rgb(message)


def own_jpeg(message: Any) -> npt.NDArray[np.uint8] | None:
    """Return the bytes (n,) uint8 of a CompressedImage that is a JPEG; None for anything else.

    They share memory with the message, of which `decode_frame` makes what a policy sees.
    """
    if not hasattr(message, 'format'):
        return None
    data = np.frombuffer(message.data, dtype=np.uint8)
    return data if data[:2].tobytes() == JPEG_START else None


def check_frame(message: Any, camera: CameraSpec) -> None:
    """Look at what needs no decoding: kind, size, and how many bytes there are.

    Raises:
        StreamError: this can be no image of the camera.
    """
    if hasattr(message, 'format'):
        header = _check_compressed(message)
        check_size(header.width, header.height, camera)
        return
    _check_encoding(message.encoding)
    check_size(int(message.width), int(message.height), camera)
    _pixels(message)


def pixels_in_place(message: Any) -> RgbImage | None:
    """View a raw image whose bytes are RGB already, (H, W, 3) uint8; None for any other.

    Of depth in millimetres, low byte first, it is (H, W, 2).
    """
    encoding = getattr(message, 'encoding', '')
    if encoding != 'rgb8' and (encoding != '16UC1' or message.is_bigendian):
        return None
    channels = 3 if encoding == 'rgb8' else 2
    try:
        rows = image_rows(message, channels)
        return rows.reshape(len(rows), -1, channels)
    except StreamError:
        return None


def _check_encoding(encoding: str) -> None:
    if encoding in _DEPTH_ENCODINGS:
        raise StreamError(
            f"image encoding '{encoding}' holds depth, {_UNDER_DEPTH}: {', '.join(ENCODINGS)}"
        )
    if encoding not in ENCODINGS:
        raise StreamError(
            f"image encoding '{encoding}' is not supported, "
            f'expected one of: {", ".join(ENCODINGS)}'
        )


def _check_compressed(message: Any) -> ImageHeader:
    """Look at the header of a compressed image; depth is never taken for colours."""
    words = f"compressed image of format '{message.format}' and {len(message.data)} bytes"
    for kind in _DEPTH_FORMATS:
        if kind in message.format:
            raise StreamError(f'{words} holds depth ({kind}), {_UNDER_DEPTH}')
    try:
        # An image's header is where it begins, unless a camera's notes are long.
        header = image_header(bytes(message.data))
    except StreamError as error:
        raise StreamError(f'{words} cannot be decoded: {error}') from None
    try:
        check_colours(header)
    except StreamError as error:
        raise StreamError(
            f'{words} cannot be taken: {error}; depth stands under `depth:` of the robot spec'
        ) from None
    return header


def check_size(width: int, height: int, camera: ImageTopic) -> None:
    """Raise StreamError where an image is not as large as the robot spec says."""
    if (width, height) != (camera.width, camera.height):
        raise StreamError(
            f'image is {width}x{height} (width x height), expected {camera.width}x{camera.height} '
            'of the robot spec'
        )


def _pixels(message: Any) -> npt.NDArray[Any]:
    """View the bytes of a raw image as (H, W) or (H, W, channels) without copying."""
    size, channels, _ = ENCODINGS[message.encoding]
    rows = image_rows(message, size * channels)
    if size == 2:
        order = '>u2' if message.is_bigendian else '<u2'
        rows = np.ascontiguousarray(rows).view(order).astype(np.uint16)
    return rows if channels == 1 else rows.reshape(len(rows), -1, channels)


def image_rows(message: Any, pixel_bytes: int) -> npt.NDArray[Any]:
    """View the rows of a raw image (H, W * pixel_bytes) uint8, without what pads them.

    Raises:
        StreamError: it has no pixels, or fewer bytes than they need.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * pixel_bytes
    # A step of 0 stands for rows without padding in some drivers.
    step = step or row_bytes
    data = np.frombuffer(message.data, dtype=np.uint8)
    if height == 0 or width == 0 or step < row_bytes or len(data) < step * height:
        raise StreamError(
            f'{message.encoding} image of {width}x{height} has step {step} and {len(data)} bytes, '
            f'expected step >= {row_bytes} and step * height bytes'
        )
    return data[: step * height].reshape(height, step)[:, :row_bytes]


def jpeg_thumbnail(message: Any) -> RgbImage:
    """Look at all of a CompressedImage that is a JPEG, as `decode_frame` does.

    Returns it an eighth as large, (ceil(H / 8), ceil(W / 8), 3) uint8, blue first.

    Raises:
        StreamError: where `decode_frame` raises it, sizes aside.
    """
    _check_compressed(message)
    return _decode(message, thumbnail)


def _decode(message: Any, decode: Callable[[bytes], RgbImage] = decode_whole) -> RgbImage:
    try:
        return decode(bytes(message.data))
    except StreamError as error:
        raise StreamError(
            f"compressed image of format '{message.format}' and {len(message.data)} bytes cannot "
            f'be decoded: {error}'
        ) from None
