# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images of cameras as JPEGs for a page: no larger than wanted, and each made only once."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from motion_policy.errors import UserError
from motion_policy.robot import CameraSpec
from motion_policy.streams.images import decode_frame, own_jpeg

WIDTHS = (160, 320, 480, 640)  # to which images are made smaller
QUALITY = 70
LARGEST_AS_IT_CAME = 100_000  # bytes of a JPEG that is passed on


def width_for(wanted: object) -> int:
    """The width of `WIDTHS` that is the least for what a page asks."""
    number = wanted if isinstance(wanted, (int, float)) else 0
    return next((width for width in WIDTHS if width >= number), WIDTHS[-1])


def jpeg_of(message: Any, camera: CameraSpec, width: int) -> bytes | None:
    """The image of a camera's message as a JPEG of at most that width; None if there is none."""
    try:
        jpeg = own_jpeg(message)
        if jpeg is not None and camera.width <= width and len(jpeg) <= LARGEST_AS_IT_CAME:
            return jpeg.tobytes()
        image = decode_frame(message, camera)
        height = max(1, round(camera.height * width / camera.width))
        if camera.width > width:
            size = (width, height)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    except (UserError, cv2.error):
        return None
    return data.tobytes() if done else None
