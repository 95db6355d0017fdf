# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images as they stand in an episode, encoded and decoded in one place.

Rule: JPEG that is encoded here has ALOHA's order of colours: the RGB array goes to OpenCV as it
is, so decoding with OpenCV gives RGB back. A camera's own JPEG has the order of all other JPEGs,
and is kept to the byte; decoded with OpenCV it is BGR. A camera has one of both in an episode, and
`storage` says which.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.streams import StreamError
from motion_policy.streams.jpeg import JPEG_END, JPEG_START, decode_strictly, decode_whole

Bytes = npt.NDArray[np.uint8]

# 4:4:4 keeps the colour of small objects; OpenCV before 4.7 cannot choose it.
_SAMPLING_444 = (
    [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    if hasattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR')
    else []
)


def encode_jpeg(image: npt.NDArray[Any], quality: int, storage: str = layout.JPEG) -> Bytes:
    """Return the JPEG bytes (n,) uint8 of an RGB image (H, W, 3) uint8."""
    pixels = image if storage == layout.JPEG else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, *_SAMPLING_444])
    return np.asarray(data, dtype=np.uint8).reshape(-1)


def encode_png(image: npt.NDArray[Any]) -> Bytes:
    """Return the PNG bytes (n,) uint8 of an RGB image (H, W, 3) uint8, as any decoder shows it.

    OpenCV's own setting (filter `sub`, run lengths) was twice as fast as what took a tenth less.
    """
    _, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return np.asarray(data, dtype=np.uint8).reshape(-1)


def decode_jpeg(data: npt.NDArray[Any], storage: str = layout.JPEG) -> Bytes | None:
    """Return the RGB image (H, W, 3) of JPEG bytes, padded or not; None if it is none, or cut.

    With another storage than 'jpeg' it may be a PNG.
    """
    try:
        return _in_rgb(decode_whole(data.tobytes(), quickly=True), storage)
    except StreamError:
        return None


def decode_whole_jpeg(data: npt.NDArray[Any], storage: str = layout.JPEG) -> Bytes:
    """Return the RGB image (H, W, 3) of JPEG bytes, padded or not, looking closer at them.

    What was encoded here must be without any fault. What a camera sent is held against what a
    policy takes from it.

    Raises:
        StreamError: it is none, or not whole.
    """
    decode = decode_strictly if storage == layout.JPEG else decode_whole
    return _in_rgb(decode(data.tobytes()), storage)


def _in_rgb(decoded: Bytes, storage: str) -> Bytes:
    """What OpenCV made of a JPEG, as RGB (H, W, 3)."""
    if storage == layout.JPEG:
        return decoded
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


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
