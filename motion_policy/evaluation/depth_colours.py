# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Depth images in colours: near is red, far is blue, black is what was not measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

DepthImage = npt.NDArray[np.uint16]  # (H, W) [mm]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

# Turbo backwards, without its darkest colours, which black would be taken for: (256, 3) RGB.
COLOURS: RgbImage = cv2.applyColorMap(
    np.linspace(255, 32, 256).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO
)[:, 0, ::-1]

SHOWN_PERCENT = (1.0, 99.0)  # of what was measured; what is beyond has the colour of the end
STEP_MM = 10  # to which the range is rounded


@dataclass(frozen=True)
class DepthColours:
    """A colour for every distance from `near_mm` to `far_mm`."""

    near_mm: int
    far_mm: int

    @classmethod
    def of(cls, images: Iterable[DepthImage]) -> DepthColours:
        """The colours that show all but the extremes of some images, (H, W) uint16 [mm] each."""
        measured = np.concatenate([image[image > 0] for image in images])
        if not len(measured):
            return cls(0, STEP_MM)
        near, far = np.percentile(measured, SHOWN_PERCENT) / STEP_MM
        begin = int(np.floor(near)) * STEP_MM
        return cls(begin, max(int(np.ceil(far)) * STEP_MM, begin + STEP_MM))

    def __str__(self) -> str:
        near, far = self.near_mm / 1000, self.far_mm / 1000
        return f'red {near:.2f} m or less, blue {far:.2f} m or more, black: no measurement'

    def paint(self, image: DepthImage) -> RgbImage:
        """Return a depth image (H, W) uint16 [mm] in colours."""
        span = self.far_mm - self.near_mm
        far = np.clip((image.astype(np.float32) - self.near_mm) * (255 / span), 0, 255)
        painted = COLOURS[np.rint(far).astype(np.uint8)]
        painted[image == 0] = 0
        return painted
