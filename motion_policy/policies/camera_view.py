# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From a camera's image to the one that a policy sees: the only place where that is done.

Training, evaluation, the policy node and the frame predictor all look through a `CameraView`; so
what a policy sees is, bit for bit, what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from motion_policy.policies.normalisation import resize_images
from motion_policy.robot.image_fit import ImageFit, Placement, Size

WHOLE = ImageFit()


@dataclass(frozen=True)
class CameraView:
    """What a policy sees of one camera.

    Attributes:
        camera: its name.
        sent: height and width of its images as they are sent, in whose pixels a crop is.
        size: height and width that the policy sees.
        options: crop, rotate and fit.
    """

    channels: ClassVar[int] = 3  # bytes of a pixel

    camera: str
    sent: Size
    size: Size
    options: ImageFit = WHOLE

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, H, W, 3) uint8 RGB as they are sent -> (N, h, w, 3) uint8, on their device.

        They are low-pass filtered when they shrink; padding is black. ValueError where a crop is
        meant for images of another size.
        """
        if self.options.is_plain:
            return resize_images(images, self.size)
        placement = self.placement(images.shape[1], images.shape[2])
        laid = resize_images(_part(images, placement).contiguous(), placement.laid)
        return _placed(laid, placement, 0)

    def leaves(self, size: Size) -> bool:
        """Whether images of this height and width are seen as they are."""
        return self.options.is_plain and tuple(size) == tuple(self.size)

    def nearest(self, images: Tensor, missing: float = 0) -> Tensor:
        """The same for images (N, H, W, ...) of values that may not be mixed, such as depths.

        Each pixel of (N, h, w, ...) is the one pixel of the camera's that lies nearest to its
        centre, of the same type; padding is `missing`.
        """
        placement = self.placement(images.shape[1], images.shape[2])
        part = _part(images, placement)
        for axis, count in zip((1, 2), placement.laid, strict=True):
            extent = part.shape[axis]
            if extent != count:
                # In integers: the middle of pixel i of `count` lies in (2 i + 1) / (2 count).
                chosen = (2 * torch.arange(count, device=part.device) + 1) * extent // (2 * count)
                part = part[:, chosen] if axis == 1 else part[:, :, chosen]
        return _placed(part, placement, missing)

    def placement(self, height: int, width: int) -> Placement:
        """Where the pixels of an image of the camera lie in the one that is seen.

        ValueError where a crop is meant for images of another size.
        """
        if self.options.crop is not None and (height, width) != self.sent:
            raise ValueError(
                f"camera '{self.camera}' gives {width}x{height} pixels, but crop "
                f'{list(self.options.crop)} is one of {self.sent[1]}x{self.sent[0]}'
            )
        return self.options.placement((height, width), self.size)

    def __str__(self) -> str:
        size = f'{self.size[1]}x{self.size[0]}'
        return size if self.options.is_plain else f'{size} ({self.options})'


def _part(images: Tensor, placement: Placement) -> Tensor:
    if placement.is_whole:
        return images
    left, top, width, height = placement.part
    return images[:, top : top + height, left : left + width]


def _placed(laid: Tensor, placement: Placement, around: float) -> Tensor:
    """Turn what was brought to its size, and lay it into the policy's image."""
    turned = laid
    if placement.rotate:
        turned = torch.rot90(laid, -placement.rotate // 90, (1, 2)).contiguous()
    if tuple(turned.shape[1:3]) == placement.seen:
        return turned
    left, top, width, height = placement.place
    whole = turned.new_full((len(turned), *placement.seen, *turned.shape[3:]), around)
    whole[:, top : top + height, left : left + width] = turned
    return whole
