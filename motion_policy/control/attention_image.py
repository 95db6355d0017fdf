# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Overlay of a policy's attention (points or a map) on the camera image.

Encoder points (blue) are where it looks now, decoder points (red) where it expects to look next.
Heat (orange) is how much it looks at each part of the image.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)
Points = npt.NDArray[Any]

ENCODER_COLOUR = (30, 110, 255)
DECODER_COLOUR = (235, 50, 40)
RIM_COLOUR = (255, 255, 255)
HEAT_COLOUR = (255, 140, 0)
HEAT_OPACITY = 0.75  # where it looks most
MIN_HEIGHT = 480  # pixels; smaller images are magnified to at least this
RADIUS = 7


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


def draw_heat(image: RgbImage, weights: npt.NDArray[Any]) -> RgbImage:
    """Return a copy of `image` (H, W, 3) RGB, coloured where `weights` (h, w) >= 0 are great.

    Coloured is what is above the mean; all alike stays as it is. Weights that are not
    finite count as 0.
    """
    finite = np.nan_to_num(np.asarray(weights, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    height, width = image.shape[:2]
    heat = cv2.resize(finite, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    mean = float(finite.mean())
    span = max(float(finite.max()) - mean, mean, 1e-12)
    opacity = HEAT_OPACITY * (heat - mean).clip(0) / span
    mixed = (1 - opacity) * image + opacity * np.array(HEAT_COLOUR, np.float32)
    return np.asarray(mixed.round().clip(0, 255), dtype=np.uint8)


def _pixel(share: float, extent: int, scale: int) -> int:
    return round((float(np.clip(share, 0, 1)) * (extent - 1) + 0.5) * scale - 0.5)
