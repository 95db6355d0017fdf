# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy attends to (points or a map) on the camera image, as the camera sends it.

How that is drawn is in `attention_drawing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from motion_policy.control.attention_drawing import (
    MIN_HEIGHT,
    Points,
    RgbImage,
    draw_attention,
    draw_frame,
    draw_heat,
)
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.depth_bytes import unit_depth
from motion_policy.policies.depth_view import DepthView
from motion_policy.policies.normalisation import to_byte_images


@dataclass(frozen=True)
class Attended:
    """An image (H, W, 3) with heat and frame, and the points (K, 2) that belong onto it."""

    image: RgbImage
    encoder_points: Points | None
    decoder_points: Points | None

    def drawn(self, min_height: int = MIN_HEIGHT) -> RgbImage:
        """The image with the points, see `draw_attention`."""
        return draw_attention(self.image, self.encoder_points, self.decoder_points, min_height)


def attended(view: CameraView, image: RgbImage, extras: Mapping[str, Any]) -> Attended:
    """What a policy attends to in the image (H, W, 3) of a camera.

    Args:
        view: how the policy sees the camera.
        image: as the camera sends it, (H, W, 2) uint8 of depth, which is shown grey as the policy
            sees it; where the extras hold the image that the policy saw, as they
            do if it was mixed, that one is taken.
        extras: of the step, as of `PolicyRunner.infer`.
    """
    camera = view.camera
    weights = extras.get(f'attention/{camera}')
    points = [extras.get(f'{name}_points/{camera}') for name in ('encoder', 'decoder')]
    seen = extras.get(f'seen/{camera}')
    if seen is None and isinstance(view, DepthView):
        seen = view(torch.from_numpy(np.array(image))[None])[0].numpy()
    if seen is not None and seen.shape[-1] == 2:
        seen = to_byte_images(unit_depth(torch.from_numpy(seen)[None]))[0].numpy()
    if seen is not None:
        return Attended(seen if weights is None else draw_heat(seen, weights), *points)
    placement = view.placement(*image.shape[:2])
    if weights is not None:
        image = draw_heat(image, weights, placement)
    if not placement.is_whole:
        image = draw_frame(image, placement.part)
    # A point outside stands at the edge of what is seen.
    inside = [None if p is None else placement.in_camera(np.clip(p, 0, 1)) for p in points]
    return Attended(image, *inside)
