# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Image and CompressedImage messages as RGB arrays.

The rows of a raw image are found by its `step`, its numbers by its byte order; cv_bridge does the
same work where it can be imported (it has no wheel).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.streams.errors import StreamError

try:
    from cv_bridge import CvBridge  # type: ignore[import-not-found, unused-ignore]

    CV_BRIDGE: Any = CvBridge()
except (ImportError, AttributeError):  # AttributeError: built for another numpy
    CV_BRIDGE = None

RgbImage = npt.NDArray[np.uint8]

# Encoding: (bytes per number, channels, OpenCV conversion to RGB or None).
_ENCODINGS: dict[str, tuple[int, int, int | None]] = {
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
        StreamError: an encoding without colours, too few bytes, or bytes that are no image.
    """
    if hasattr(message, 'format'):
        return _decode(message)
    if message.encoding not in _ENCODINGS:
        raise StreamError(
            f"image encoding '{message.encoding}' is not supported, "
            f'expected one of: {", ".join(_ENCODINGS)}'
        )
    pixels = _pixels(message)
    if CV_BRIDGE is not None:
        return _by_cv_bridge(message)
    conversion = _ENCODINGS[message.encoding][2]
    if conversion is not None:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), conversion)
    if pixels.dtype != np.uint8:
        pixels = cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0)
    return np.asarray(pixels, dtype=np.uint8)


def pixels_in_place(message: Any) -> RgbImage | None:
    """View a raw image whose bytes are RGB already, (H, W, 3) uint8; None for any other."""
    if getattr(message, 'encoding', '') != 'rgb8':
        return None
    try:
        return _pixels(message)
    except StreamError:
        return None


def _by_cv_bridge(message: Any) -> RgbImage:
    try:
        return np.asarray(CV_BRIDGE.imgmsg_to_cv2(message, 'rgb8'), dtype=np.uint8)
    except Exception as error:  # cv_bridge lets errors of OpenCV and C++ through
        raise StreamError(
            f"cv_bridge cannot make RGB of an image with encoding '{message.encoding}': {error}"
        ) from None


def _pixels(message: Any) -> npt.NDArray[Any]:
    """View the bytes of a raw image as (H, W) or (H, W, channels) without copying."""
    size, channels, _ = _ENCODINGS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * channels * size
    # A step of 0 stands for rows without padding in some drivers.
    step = step or row_bytes
    data = np.frombuffer(message.data, dtype=np.uint8)
    if height == 0 or width == 0 or step < row_bytes or len(data) < step * height:
        raise StreamError(
            f'{message.encoding} image of {width}x{height} has step {step} and {len(data)} bytes, '
            f'expected step >= {row_bytes} and step * height bytes'
        )
    rows = data[: step * height].reshape(height, step)[:, :row_bytes]
    if size == 2:
        order = '>u2' if message.is_bigendian else '<u2'
        rows = np.ascontiguousarray(rows).view(order).astype(np.uint16)
    return rows if channels == 1 else rows.reshape(height, width, channels)


def _decode(message: Any) -> RgbImage:
    data = np.frombuffer(message.data, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise StreamError(
            f"compressed image of format '{message.format}' and {len(data)} bytes cannot be "
            'decoded, expected JPEG or PNG'
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
