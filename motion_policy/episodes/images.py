# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""JPEG images as they stand in an episode, encoded and decoded in one place.

As in ALOHA, the RGB array goes to OpenCV as it is, so decoding with OpenCV gives RGB back.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.streams import StreamError
from motion_policy.streams.jpeg import JPEG_END, JPEG_START, decode_strictly, decode_whole

Bytes = npt.NDArray[np.uint8]

# 4:4:4 keeps the colour of small objects; OpenCV before 4.7 cannot choose it.
_SAMPLING_444 = (
    [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    if hasattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR')
    else []
)


def encode_jpeg(image: npt.NDArray[Any], quality: int) -> Bytes:
    """Return the JPEG bytes (n,) uint8 of an RGB image (H, W, 3) uint8."""
    _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality, *_SAMPLING_444])
    return np.asarray(data, dtype=np.uint8).reshape(-1)


def decode_jpeg(data: npt.NDArray[Any]) -> Bytes | None:
    """Return the RGB image (H, W, 3) of JPEG bytes, padded or not; None if it is none, or cut."""
    try:
        return decode_whole(data.tobytes(), quickly=True)
    except StreamError:
        return None


def decode_whole_jpeg(data: npt.NDArray[Any]) -> Bytes:
    """Return the RGB image (H, W, 3) of JPEG bytes, padded or not, looking closer at them.

    Raises:
        StreamError: it is none, or not whole.
    """
    return decode_strictly(data.tobytes())


def is_jpeg(data: npt.NDArray[Any]) -> bool:
    """Return whether these are the bytes (n,) uint8 of a whole JPEG without padding."""
    return (
        data.ndim == 1
        and data.dtype == np.uint8
        and data[:2].tobytes() == JPEG_START
        and data[-2:].tobytes() == JPEG_END
    )


def without_padding(data: npt.NDArray[Any]) -> Bytes:
    """Return the bytes (n,) up to the last one that is not zero, of a row padded with zeros."""
    return np.asarray(data[: len(data.tobytes().rstrip(b'\0'))], dtype=np.uint8)
