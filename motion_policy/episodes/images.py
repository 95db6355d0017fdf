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

Bytes = npt.NDArray[np.uint8]

JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'

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
    """Return the RGB image (H, W, 3) of JPEG bytes, padded or not; None for anything else."""
    image = cv2.imdecode(np.ascontiguousarray(data), cv2.IMREAD_COLOR) if len(data) else None
    return None if image is None else np.asarray(image, dtype=np.uint8)


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
