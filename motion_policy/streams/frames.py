# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images that were looked at before they come to a sampler, by threads that decode ahead of it.

A sampler takes and rejects them as it would the message: what it is counts, not when it was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import CameraSpec, DepthSpec
from motion_policy.streams.depth import check_depth, decode_depth
from motion_policy.streams.errors import StreamError
from motion_policy.streams.images import check_frame, decode_frame


@dataclass(frozen=True, eq=False)
class ImageReading:
    """What became of an image message.

    `image` is what an observation has of it: (H, W, 3) uint8, (H, W) uint16 of depth, or (n,)
    uint8, the bytes of a JPEG; `jpeg` (n,) uint8 is the camera's own, where it came as that.
    Without an image `unfit` says why it is none of its camera, or `damaged` why it cannot be
    decoded.
    """

    image: npt.NDArray[Any] | None = None
    jpeg: npt.NDArray[np.uint8] | None = None
    unfit: str = ''
    damaged: str = ''


def check_image(message: Any, camera: CameraSpec | DepthSpec) -> None:
    """Look at what needs no decoding of an image message, or at what was found of it.

    Raises:
        StreamError: this can be no image of the camera.
    """
    if isinstance(message, ImageReading):
        if message.unfit:
            raise StreamError(message.unfit)
    elif isinstance(camera, DepthSpec):
        check_depth(message, camera)
    else:
        check_frame(message, camera)


def decode_image(message: Any, camera: CameraSpec | DepthSpec) -> npt.NDArray[Any]:
    """The image of a message, or what was made of it before.

    (H, W, 3) uint8, (H, W) uint16 of depth, or (n,) uint8, as of `ImageReading`.

    Raises:
        StreamError: it cannot be decoded whole, or is none of the camera.
    """
    if isinstance(message, np.ndarray):
        return message
    if isinstance(message, ImageReading):
        if message.image is None:
            raise StreamError(message.unfit or message.damaged)
        return message.image
    if isinstance(camera, DepthSpec):
        return decode_depth(message, camera)
    return decode_frame(message, camera)
