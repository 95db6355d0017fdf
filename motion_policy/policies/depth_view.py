# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From a depth image to the one that a policy sees: the share of its range, in 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.depth_bytes import depth_numbers, depth_shares
from motion_policy.robot.image_fit import Size


@dataclass(frozen=True)
class DepthView(CameraView):
    """What a policy sees of a depth camera.

    Attributes:
        near_m, far_m: the range; what is nearer is seen as 0, what is further as 1. What was not
            measured is 0 too: as near as can be.
    """

    channels: ClassVar[int] = 2

    near_m: float = 0.0
    far_m: float = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """Millimetres (N, H, W, 2) uint8 -> shares (N, h, w, 2) uint8, on their device.

        Each pixel is the nearest of the camera's: distances are not mixed. ValueError where a crop
        is meant for images of another size.
        """
        millimetres = depth_numbers(self.nearest(images))
        share = (millimetres / 1000 - self.near_m) / (self.far_m - self.near_m)
        return depth_shares(torch.where(millimetres > 0, share, 0))

    def leaves(self, size: Size) -> bool:
        """Never: distances become shares."""
        return False

    def __str__(self) -> str:
        return f'{super().__str__()}, {self.near_m:g} to {self.far_m:g} m'
