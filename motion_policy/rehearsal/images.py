# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Moving test images: which camera, which image, when, and where each joint stands.

Everything but the background changes from image to image, so that a frozen one is seen.
"""

from __future__ import annotations

from datetime import datetime, timezone

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.robot.spec import NANOSECONDS_PER_S

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)
DepthImage = npt.NDArray[np.uint16]  # (H, W) [mm]
Float64Array = npt.NDArray[np.float64]

FONT = cv2.FONT_HERSHEY_SIMPLEX
TEXT_HEIGHT_PX = 22  # of a line at scale 1
COLUMNS = 20  # letters that fit into the width
WHITE, DARK = (255, 255, 255), (20, 20, 20)
BAR = (255, 190, 60)
NEAREST_MM, FARTHER_MM, SLANT_MM = 400.0, 200.0, 300.0
PLANE_PERIOD_S = 4.0
DEPTH_HEADER_BYTES = 12  # a number and two of the quantisation of metres
IMAGES_ACROSS = 100  # in which the square goes from left to right


class TestImages:
    """Makes the images of one camera.

    `number` of `count` cameras gives it a colour of its own.
    """

    __test__ = False  # no test, for pytest

    def __init__(self, name: str, width: int, height: int, number: int = 0) -> None:
        self._name = name
        self._width, self._height = width, height
        across = np.linspace(60, 160, width)[None, :]
        down = np.linspace(0, 60, height)[:, None]
        hue = np.full((height, width), (37 * number) % 180)
        levels = np.stack([hue, np.full((height, width), 110), across + down], axis=-1)
        self._background: RgbImage = np.asarray(
            cv2.cvtColor(levels.astype(np.uint8), cv2.COLOR_HSV2RGB), dtype=np.uint8
        )
        self._image = self._background.copy()
        self._scale = max(width / (COLUMNS * 18), 0.25)

    def draw(self, count: int, time_ns: int, joints: Float64Array) -> RgbImage:
        """Return image number `count`, (H, W, 3) uint8, with `joints` (J,) as shares of ranges.

        The next one is drawn in the same memory.
        """
        image = self._image
        np.copyto(image, self._background)
        self._draw_joints(image, joints)
        side = max(2, min(self._width, self._height) // 8)
        left = (count % IMAGES_ACROSS) * (self._width - side) // (IMAGES_ACROSS - 1)
        top = (self._height - side) // 2
        image[top : top + side, left : left + side] = WHITE if count % 2 else BAR
        moment = datetime.fromtimestamp(time_ns // NANOSECONDS_PER_S, timezone.utc)
        thousandths = time_ns // 1_000_000 % 1000
        for line, text in enumerate(
            (self._name, f'{moment:%H:%M:%S}.{thousandths:03d}', f'{count}')
        ):
            left, base = 2, round((line + 1) * 1.5 * TEXT_HEIGHT_PX * self._scale)
            for place, colour in (((left + 1, base + 1), DARK), ((left, base), WHITE)):
                cv2.putText(image, text, place, FONT, self._scale, colour, 1)
        return image

    def _draw_joints(self, image: RgbImage, joints: Float64Array) -> None:
        """A bar for each joint along the lower edge, as high as it stands in its range."""
        highest = max(1, self._height // 4)
        step = self._width / max(1, len(joints))
        for place, share in enumerate(np.clip(joints, 0, 1).tolist()):
            left, right = round(place * step), round((place + 0.8) * step)
            bar = max(1, round(share * highest))
            image[self._height - bar :, left : max(right, left + 1)] = BAR


def black(width: int, height: int) -> RgbImage:
    """What a covered camera shows, (H, W, 3) uint8."""
    return np.zeros((height, width, 3), dtype=np.uint8)


def slanted_plane(width: int, height: int, time_s: float) -> DepthImage:
    """Depth of a plane that goes to and fro, (H, W) uint16 [mm], nearer at its left edge."""
    across = np.linspace(0.0, SLANT_MM, width)
    middle_mm = NEAREST_MM + FARTHER_MM * (1 - np.cos(2 * np.pi * time_s / PLANE_PERIOD_S)) / 2
    row = np.asarray(middle_mm + across, dtype=np.uint16)
    return np.repeat(row[None], height, axis=0)


def compressed_depth(depth: DepthImage) -> bytes:
    """The data of a compressedDepth message of depth (H, W): its header, and a PNG of 16UC1."""
    encoded = cv2.imencode('.png', depth)[1]
    return bytes(DEPTH_HEADER_BYTES) + bytes(encoded.tobytes())


def jpeg(image: RgbImage) -> bytes:
    """The image (H, W, 3) as a JPEG."""
    encoded = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    return bytes(encoded.tobytes())
