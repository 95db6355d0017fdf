# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Drawing of points, heat and frames on a camera image; it needs no torch, which loads slowly.

Encoder points (blue) are where a policy looks now, decoder points (red) where it expects to look
next. Heat (orange) is how much it looks at each part of the image. A frame (yellow) is around what
it sees, where that is not all of the image.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.robot.image_fit import PixelBox, Placement

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)
Points = npt.NDArray[Any]

ENCODER_COLOUR = (30, 110, 255)
DECODER_COLOUR = (235, 50, 40)
RIM_COLOUR = (255, 255, 255)
HEAT_COLOUR = (255, 140, 0)
FRAME_COLOUR = (255, 214, 10)
FRAME_HEIGHT = 80  # pixels of the image for each of the frame, which is seen in small copies too
HEAT_OPACITY = 0.75  # where it looks most
MIN_HEIGHT = 480  # pixels; smaller images are magnified to at least this
RADIUS = 7


def draw_frame(image: RgbImage, part: PixelBox) -> RgbImage:
    """Return a copy of `image` (H, W, 3) RGB with a frame around a part of it."""
    frame = image.copy()
    thick = max(1, image.shape[0] // FRAME_HEIGHT)
    left, top, width, height = part
    below, right = top + height, left + width
    for rows, columns in (
        (slice(max(0, top - thick), top), slice(max(0, left - thick), right + thick)),
        (slice(below, below + thick), slice(max(0, left - thick), right + thick)),
        (slice(max(0, top - thick), below + thick), slice(max(0, left - thick), left)),
        (slice(max(0, top - thick), below + thick), slice(right, right + thick)),
    ):
        frame[rows, columns] = FRAME_COLOUR
    return frame


def draw_attention(
    image: RgbImage,
    encoder_points: Points | None,
    decoder_points: Points | None,
    min_height: int = MIN_HEIGHT,
) -> RgbImage:
    """Return a copy of `image` (H, W, 3) RGB, magnified by a whole number, with the points.

    Points are (K, 2), x and y in [0, 1] between the centres of the first and the last pixel;
    those outside stand at the edge, those not finite are left out.
    """
    height, width = image.shape[:2]
    scale = max(1, -(-min_height // height))
    size = (width * scale, height * scale)
    frame = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    for points, colour in ((encoder_points, ENCODER_COLOUR), (decoder_points, DECODER_COLOUR)):
        for x, y in np.empty((0, 2)) if points is None else points:
            if np.isfinite((x, y)).all():
                centre = (_pixel(x, width, scale), _pixel(y, height, scale))
                cv2.circle(frame, centre, RADIUS, RIM_COLOUR, -1, cv2.LINE_AA)
                cv2.circle(frame, centre, RADIUS - 2, colour, -1, cv2.LINE_AA)
    return np.asarray(frame, dtype=np.uint8)


def draw_heat(
    image: RgbImage, weights: npt.NDArray[Any], placement: Placement | None = None
) -> RgbImage:
    """Return a copy of `image` (H, W, 3) RGB, coloured where `weights` (h, w) >= 0 are great.

    Coloured is what is above the mean; all alike stays as it is. Weights that are not
    finite count as 0.

    Args:
        image: to draw on.
        weights: of the parts of what the policy sees, from edge to edge.
        placement: where that lies in the image; None: it is all of it.
    """
    finite = np.nan_to_num(np.asarray(weights, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    heat = _on_camera(finite, image.shape[:2], placement)[..., None]
    mean = float(finite.mean())
    span = max(float(finite.max()) - mean, mean, 1e-12)
    opacity = HEAT_OPACITY * (heat - mean).clip(0) / span
    mixed = (1 - opacity) * image + opacity * np.array(HEAT_COLOUR, np.float32)
    return np.asarray(mixed.round().clip(0, 255), dtype=np.uint8)


def _on_camera(
    weights: npt.NDArray[np.float32], size: tuple[int, ...], placement: Placement | None
) -> npt.NDArray[np.float32]:
    """Weights (h, w) of what is seen -> weights of the camera's pixels (H, W), 0 around it."""
    height, width = size
    if placement is None:
        return _enlarged(weights, width, height)
    part, (place, whole) = placement.part, placement.upright
    upright = np.rot90(weights, placement.rotate // 90)
    # All that is seen, with what is around it, in pixels of the camera.
    wide, high = part.width / place.width, part.height / place.height
    first_column, first_row = round(place.left * wide), round(place.top * high)
    columns = max(round(whole[1] * wide), first_column + part.width)
    rows = max(round(whole[0] * high), first_row + part.height)
    enlarged = _enlarged(np.ascontiguousarray(upright), columns, rows)
    found = np.zeros((height, width), np.float32)
    found[part.top : part.top + part.height, part.left : part.left + part.width] = enlarged[
        first_row : first_row + part.height, first_column : first_column + part.width
    ]
    return found


def _enlarged(
    weights: npt.NDArray[np.float32], width: int, height: int
) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(weights, (width, height), interpolation=cv2.INTER_LINEAR))


def _pixel(share: float, extent: int, scale: int) -> int:
    return round((float(np.clip(share, 0, 1)) * (extent - 1) + 0.5) * scale - 0.5)
