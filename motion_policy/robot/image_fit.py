# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How a camera's image becomes the one that a policy sees: crop, rotate, fit, and the way back.

First the crop, in pixels of the image as it is sent, then the rotation, then the fit to the size
that the policy sees. Here are the places of pixels only; `policies.camera_view` moves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field

from motion_policy.declared import Declared

Size = tuple[int, int]  # height, width
Points = npt.NDArray[Any]

ROTATIONS = (0, 90, 180, 270)


def _checked_rotation(value: Any) -> Any:
    if isinstance(value, bool) or value not in ROTATIONS:
        raise ValueError(f'found {value!r}, expected 0, 90, 180 or 270 degrees clockwise')
    return int(value)


def _four_numbers(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise ValueError(f'found {value!r}, expected [x, y, width, height] in pixels')
    return value


Place = Annotated[int, Field(ge=0)]
Extent = Annotated[int, Field(ge=1)]
Crop = Annotated[tuple[Place, Place, Extent, Extent], BeforeValidator(_four_numbers)]
Rotation = Annotated[Literal[0, 90, 180, 270], BeforeValidator(_checked_rotation)]
Fit = Literal['stretch', 'crop', 'pad']


class ImageFit(Declared):
    """What a policy sees of a camera's image.

    Attributes:
        crop: x, y, width, height of the part that counts, in pixels of the image as it is sent;
            None: all of it.
        rotate: degrees clockwise by which that part is turned.
        fit: what is done where its shape is not that of the policy's image. `stretch`: it is
            stretched; `crop`: the greatest part of the right shape about its middle is taken;
            `pad`: it is laid into the middle of a black image.
    """

    crop: Crop | None = None
    rotate: Rotation = 0
    fit: Fit = 'stretch'

    @property
    def is_plain(self) -> bool:
        """Whether the whole image is stretched, as where nothing is said."""
        return self.crop is None and self.rotate == 0 and self.fit == 'stretch'

    def check_within(self, sent: Size) -> None:
        """ValueError for a crop that is not within images of this height and width."""
        if self.crop is None:
            return
        x, y, width, height = self.crop
        if x + width > sent[1] or y + height > sent[0]:
            raise ValueError(
                f'crop {list(self.crop)} ends at x {x + width}, y {y + height}, expected '
                f'[x, y, width, height] within {sent[1]}x{sent[0]} pixels'
            )

    def placement(self, sent: Size, seen: Size) -> Placement:
        """Where the pixels of an image `sent` lie in the one that is `seen`."""
        x, y, width, height = self.crop or (0, 0, sent[1], sent[0])
        part, place = PixelBox(x, y, width, height), PixelBox(0, 0, seen[1], seen[0])
        sideways = self.rotate in (90, 270)
        if self.fit == 'crop':
            across, down = seen if sideways else seen[::-1]
            kept_width = min(width, max(1, round(height * across / down)))
            kept_height = min(height, max(1, round(width * down / across)))
            left, top = x + (width - kept_width) // 2, y + (height - kept_height) // 2
            part = PixelBox(left, top, kept_width, kept_height)
        elif self.fit == 'pad':
            across, down = (height, width) if sideways else (width, height)
            scale = min(seen[1] / across, seen[0] / down)
            laid_width = min(seen[1], max(1, round(across * scale)))
            laid_height = min(seen[0], max(1, round(down * scale)))
            left, top = (seen[1] - laid_width) // 2, (seen[0] - laid_height) // 2
            place = PixelBox(left, top, laid_width, laid_height)
        return Placement(sent, seen, part, place, self.rotate)

    def options(self) -> dict[str, Any]:
        """The options that are not as where nothing is said, as YAML has them."""
        values: dict[str, Any] = self.model_dump(mode='json', exclude_defaults=True)
        return values

    def __str__(self) -> str:
        crop = '' if self.crop is None else f'crop {list(self.crop)}, '
        return f'{crop}rotate {self.rotate}, fit {self.fit}'


class PixelBox(NamedTuple):
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Placement:
    """Where an image of one size lies in one of another.

    Attributes:
        sent, seen: height and width of the camera's image, and of the policy's.
        part: the pixels of the former that are seen.
        place: where they lie in the latter; what is around is black.
        rotate: degrees clockwise between the two.
    """

    sent: Size
    seen: Size
    part: PixelBox
    place: PixelBox
    rotate: Rotation

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the camera's image is left out."""
        return self.part == PixelBox(0, 0, self.sent[1], self.sent[0])

    @property
    def upright(self) -> tuple[PixelBox, Size]:
        """Where the part lies in the policy's image turned back, and the size of that image."""
        left, top, width, height = self.place
        right, below = self.seen[1] - left - width, self.seen[0] - top - height
        if self.rotate == 90:
            return PixelBox(top, right, height, width), self.seen[::-1]
        if self.rotate == 180:
            return PixelBox(right, below, width, height), self.seen
        if self.rotate == 270:
            return PixelBox(below, left, height, width), self.seen[::-1]
        return self.place, self.seen

    @property
    def laid(self) -> Size:
        """Height and width of what is seen in the policy's image, before it is turned."""
        place, _ = self.upright
        return place.height, place.width

    def in_camera(self, points: Points) -> Points:
        """Points (..., 2) of the policy's image in the camera's: x and y, in both from 0 to 1
        between the centres of the first and the last pixel.
        """
        places = _pixels(np.asarray(points, np.float64), self.seen)
        shares = (places - self.place[:2]) / self.place[2:]
        places = _turned_back(shares, self.rotate) * self.part[2:] + self.part[:2]
        return _shares(places, self.sent)

    def in_view(self, points: Points) -> Points:
        """The inverse: points (..., 2) of the camera's image in the policy's."""
        places = _pixels(np.asarray(points, np.float64), self.sent)
        shares = (places - self.part[:2]) / self.part[2:]
        places = _turned_back(shares, -self.rotate % 360) * self.place[2:] + self.place[:2]
        return _shares(places, self.seen)


def _pixels(points: Points, size: Size) -> Points:
    """0 to 1 between the centres of the outer pixels -> pixels from the corner of the image."""
    return np.asarray(points * (np.array(size[::-1]) - 1) + 0.5)


def _shares(places: Points, size: Size) -> Points:
    return np.asarray((places - 0.5) / np.maximum(np.array(size[::-1]) - 1, 1))


def _turned_back(shares: Points, rotate: int) -> Points:
    """Shares (x, y) of a part's width and height that was turned clockwise -> before that."""
    x, y = shares[..., 0], shares[..., 1]
    before = {0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[rotate]
    return np.stack(before, axis=-1)
