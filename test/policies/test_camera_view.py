# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy sees the part of an image that is asked for, where it is asked for, and back again."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from motion_policy.control.attention_drawing import ENCODER_COLOUR, FRAME_COLOUR, HEAT_COLOUR
from motion_policy.control.attention_image import attended
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.normalisation import resize_images
from motion_policy.robot import ImageFit

torch.set_num_threads(1)

SENT = (48, 64)
CROP = (10, 6, 40, 30)
OPTIONS = [
    {'crop': crop, 'rotate': rotate, 'fit': fit}
    for crop, rotate, fit in product(
        (None, CROP), (0, 90, 180, 270), ('stretch', 'crop', 'pad')
    )
]  # fmt: skip


def view(size: tuple[int, int], sent: tuple[int, int] = SENT, **options: Any) -> CameraView:
    return CameraView('top', sent, size, ImageFit(**options))


def frame(seed: int = 0) -> np.ndarray:
    """A smooth image (48, 64, 3) with no symmetry."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 5, 7)).astype(np.float32))
    fine = F.interpolate(coarse, SENT, mode='bicubic').clamp(0, 255)[0]
    return fine.permute(1, 2, 0).round().byte().numpy()


def seen(view: CameraView, image: np.ndarray) -> np.ndarray:
    return view(torch.from_numpy(image)[None])[0].numpy()


def test_without_options_an_image_is_resized_as_ever() -> None:
    image = torch.from_numpy(frame())[None]
    for size in ((16, 20), (32, 64), SENT):
        assert torch.equal(view(size)(image), resize_images(image, size))
    assert view(SENT)(image) is image


@pytest.mark.parametrize('rotate', [0, 90, 180, 270])
def test_pixels_are_cut_turned_clockwise_and_laid_where_they_belong(rotate: int) -> None:
    """With sizes at which nothing is resized every pixel is that of the camera."""
    image, (x, y, width, height) = frame(), CROP
    part = image[y : y + height, x : x + width]
    turned = np.rot90(part, -rotate // 90)
    size = turned.shape[:2]
    for fit in ('stretch', 'crop', 'pad'):
        one = view(size, crop=CROP, rotate=rotate, fit=fit)
        assert np.array_equal(seen(one, image), turned)
    # Black above and below of what is wider than the policy's image, else left and right.
    wide = seen(view((size[0] + 10, size[1]), crop=CROP, rotate=rotate, fit='pad'), image)
    assert np.array_equal(wide[5:-5], turned) and not wide[:5].any() and not wide[-5:].any()
    high = seen(view((size[0], size[1] + 7), crop=CROP, rotate=rotate, fit='pad'), image)
    assert np.array_equal(high[:, 3:-4], turned)
    assert not high[:, :3].any() and not high[:, -4:].any()
    # About the middle, of what is wider and of what is higher.
    cut = seen(view((size[0], size[1] - 8), crop=CROP, rotate=rotate, fit='crop'), image)
    assert np.array_equal(cut, turned[:, 4:-4])
    cut = seen(view((size[0] - 6, size[1]), crop=CROP, rotate=rotate, fit='crop'), image)
    assert np.array_equal(cut, turned[3:-3])


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_a_resized_image_is_the_low_passed_part(options: dict[str, Any]) -> None:
    """Against cutting and turning first, then resizing in floats."""
    one, image = view((20, 20), **options), frame()
    placement = one.placement(*SENT)
    left, top, width, height = placement.part
    part = np.rot90(image[top : top + height, left : left + width], -one.options.rotate // 90)
    across, down = placement.place.width, placement.place.height
    planes = torch.from_numpy(part.copy()).permute(2, 0, 1)[None].float()
    laid = F.interpolate(planes, (down, across), mode='bilinear', antialias=True)[0]
    expected = np.zeros((20, 20, 3), np.float32)
    rows = slice(placement.place.top, placement.place.top + down)
    columns = slice(placement.place.left, placement.place.left + across)
    expected[rows, columns] = laid.permute(1, 2, 0).numpy()
    assert np.abs(seen(one, image).astype(np.float32) - expected).max() <= 1.01
    shape = part.shape[0] / part.shape[1]
    if one.options.fit != 'stretch':  # undistorted, to the rounding of a pixel
        assert abs(shape - down / across) < 1.0 / min(down, across, *part.shape[:2])


@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('size', [(24, 24), (30, 16), (48, 64), (96, 200)])
def test_a_point_that_is_seen_is_found_in_the_cameras_image(
    options: dict[str, Any], size: tuple[int, int]
) -> None:
    """A spot near the middle, where every option shows it, but not in it."""
    one, spot = view(size, **options), (24, 33)  # row, column
    image = np.zeros((*SENT, 3), np.uint8)
    image[spot] = 255
    weights = seen(one, image)[..., 0].astype(np.float64)
    rows, columns = np.indices(size)
    centre = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
    placement = one.placement(*SENT)
    in_view = centre / (np.array(size[::-1]) - 1)
    found = placement.in_camera(in_view) * (np.array(SENT[::-1]) - 1)
    # Few pixels know no better than to a part of the coarser grid.
    coarse = max(1.0, *(np.array(placement.part[2:]) / placement.upright[0][2:]))
    assert np.abs(found - spot[::-1]).max() <= 0.6 * coarse
    assert np.allclose(placement.in_view(placement.in_camera(in_view)), in_view)


def test_corners_of_what_is_seen_are_corners_of_the_part() -> None:
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    (x, y, width, height), last = CROP, np.array(SENT[::-1]) - 1
    pixels = [[x, y], [x + width - 1, y], [x + width - 1, y + height - 1], [x, y + height - 1]]
    for turns in range(4):
        size = (height, width) if turns % 2 == 0 else (width, height)
        placement = view(size, crop=CROP, rotate=90 * turns).placement(*SENT)
        found = placement.in_camera(corners) * last
        # Turned clockwise, the corner below on the left comes to stand above.
        assert np.allclose(found, np.roll(pixels, turns, axis=0)), turns


@pytest.mark.parametrize('rotate', [0, 90, 180, 270])
@pytest.mark.parametrize('fit', ['stretch', 'crop', 'pad'])
def test_attention_is_drawn_where_it_belongs(fit: str, rotate: int) -> None:
    """A point and a warm place that the policy sees at a spot are drawn at that spot."""
    one = view((32, 24), crop=CROP, rotate=rotate, fit=fit)
    placement, spot = one.placement(*SENT), np.array([26, 17])  # x, y, off the middle of the part
    point = placement.in_view(spot / (np.array(SENT[::-1]) - 1))
    image = np.full((*SENT, 3), 90, np.uint8)
    shown = attended(one, image, {'encoder_points/top': point[None].astype(np.float32)})
    assert np.abs(shown.encoder_points[0] * (np.array(SENT[::-1]) - 1) - spot).max() < 1e-3
    drawn = shown.drawn(min_height=480)
    assert tuple(drawn[17 * 10 + 5, 26 * 10 + 5]) == ENCODER_COLOUR
    # The frame stands around the part that is seen, and on nothing of it.
    left, top, width, height = placement.part
    assert tuple(shown.image[top - 1, left]) == tuple(shown.image[top, left - 1]) == FRAME_COLOUR
    assert tuple(shown.image[top + height, left + width - 1]) == FRAME_COLOUR
    assert (shown.image[top : top + height, left : left + width] == 90).all()

    weights = np.zeros((16, 12), np.float32)
    row, column = (int(share * n) for share, n in zip(point[::-1], (16, 12), strict=True))
    weights[row, column] = 1
    heat = attended(one, image, {'attention/top': weights}).image.astype(int)
    inside = heat[top : top + height, left : left + width, 0]  # the frame is bright, too
    warm = np.argwhere(inside == inside.max()).mean(0)[::-1] + (left, top)
    assert HEAT_COLOUR[0] > 90 and np.abs(warm - spot).max() <= 2.5


def test_a_mixed_image_has_its_points_as_the_policy_does() -> None:
    one = view((20, 20), crop=CROP, rotate=90)
    mixed = np.full((20, 20, 3), 7, np.uint8)
    extras = {'seen/top': mixed, 'decoder_points/top': np.array([[0.25, 0.5]])}
    shown = attended(one, frame(), extras)
    assert np.array_equal(shown.image, mixed)
    assert np.array_equal(shown.decoder_points, extras['decoder_points/top'])


@pytest.mark.parametrize('kind', [np.uint16, np.float32])
def test_values_that_may_not_be_mixed_are_those_of_single_pixels(kind: type) -> None:
    depth = np.random.default_rng(0).permutation(48 * 64).reshape(1, *SENT).astype(kind) + kind(1)
    depth[0, 20:30, 20:40] = 0 if kind is np.uint16 else np.nan
    for options in OPTIONS:
        one = view((30, 20), **options)
        found = one.nearest(torch.from_numpy(depth), missing=0)[0].numpy()
        assert found.shape == (30, 20) and found.dtype == kind
        # The value tells which pixel it was; that is the one below the middle of the pixel.
        placement = one.placement(*SENT)
        rows, columns = np.indices(found.shape)
        points = np.stack([columns / 19, rows / 29], axis=-1)
        places = placement.in_camera(points) * (np.array(SENT[::-1]) - 1)
        inside = np.zeros(found.shape, bool)
        left, top, width, height = placement.place
        inside[top : top + height, left : left + width] = True
        assert not found[~inside].any()
        for row, column in np.argwhere(inside):
            x, y = places[row, column]
            near = {
                depth[0, j, i]
                for j in {int(np.floor(y + 0.499)), int(np.floor(y + 0.501))}
                for i in {int(np.floor(x + 0.499)), int(np.floor(x + 0.501))}
            }
            value = found[row, column]
            assert value in near or (np.isnan(value) and any(map(np.isnan, near)))


def test_a_crop_is_one_of_images_of_its_size_and_other_options_of_any() -> None:
    small = torch.zeros(1, 24, 32, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"'top' gives 32x24 pixels, but crop .* of 64x48"):
        view((8, 8), crop=CROP)(small)
    assert view((8, 8), rotate=90, fit='pad')(small).shape == (1, 8, 8, 3)


def test_no_part_is_ever_without_a_pixel() -> None:
    for fit, rotate in product(('stretch', 'crop', 'pad'), (0, 90)):
        for size in ((1, 200), (200, 1), (1, 1)):
            one = view(size, crop=(3, 4, 60, 2), rotate=rotate, fit=fit)
            assert seen(one, frame()).shape == (*size, 3)
            assert one.nearest(torch.zeros(1, *SENT)).shape == (1, *size)
