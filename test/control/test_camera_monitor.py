# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a camera that repeats its last image, or shows none, is named; a living one never."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control.camera_monitor import CameraMonitor
from motion_policy.streams import Observation, Row, Sample, StreamError

ROBOT = formula_arm()
PERIOD_NS = 100_000_000
START_NS = 9_000_000_000
MOVING = 0.05  # rad per look, of joint 1, whose range is 2 rad
GREY = np.full((24, 32, 3), 90, np.uint8)


class Camera:
    """Shows images to a watch, ten times a second, to an arm that moves as it is told."""

    def __init__(self, watch: CameraMonitor) -> None:
        self.watch = watch
        self.now_ns = START_NS
        self.joint = 0.0
        self.sample: Sample | None = None

    def show(self, image: np.ndarray, *, moving: float = MOVING, again: bool = False) -> None:
        """One look; `again`: no new message has come."""
        self.now_ns += PERIOD_NS
        self.joint += moving
        if self.sample is None or not again:
            self.sample = Sample(self.now_ns, self.now_ns, None)
        qpos = np.array([self.joint, 0.0, 0.0], np.float32)
        observation = Observation(qpos, qpos * 0, None, {'top': image}, None)
        self.watch.check(observation, Row(self.now_ns, {'top': self.sample}, {}))


def living_camera(**options: float) -> Camera:
    """A camera that has shown two different images."""
    camera = Camera(CameraMonitor(ROBOT, **options))  # type: ignore[arg-type]
    camera.show(noise(1))
    camera.show(noise(2))
    return camera


def noise(seed: int) -> np.ndarray:
    """A grey image in which one pixel differs."""
    image = GREY.copy()
    image[seed % 24, seed % 32, seed % 3] += 1
    return image


def looks_until_named(camera: Camera, image: np.ndarray, **how: float) -> int:
    """How many looks pass before the camera is named; 50 if it never is."""
    for look in range(50):
        try:
            camera.show(image.copy(), **how)
        except StreamError as error:
            assert "camera 'top' (top/image_raw)" in str(error)
            assert 'the same image' in str(error)
            return look
    return 50


def test_the_same_image_while_the_arm_moves_is_named_after_a_second() -> None:
    assert looks_until_named(living_camera(), GREY) == 11
    assert looks_until_named(living_camera(frozen_s=2.0), GREY) == 21


def test_an_image_that_may_well_be_the_same_is_not() -> None:
    still = living_camera()
    assert looks_until_named(still, GREY, moving=0.0) == 50
    off = living_camera(frozen_s=0.0)
    assert looks_until_named(off, GREY) == 50
    slow = living_camera()
    for _ in range(50):
        slow.show(GREY, again=True)


def test_one_pixel_of_noise_shows_that_the_camera_lives() -> None:
    camera = Camera(CameraMonitor(ROBOT))
    for look in range(100):
        camera.show(noise(look))


def test_a_frozen_camera_stays_named_while_the_arm_holds_and_is_back_with_a_new_image() -> None:
    camera = living_camera()
    looks_until_named(camera, GREY)
    for _ in range(5):
        with pytest.raises(StreamError, match='the same image'):
            camera.show(GREY, moving=0.0)
    camera.show(noise(1), moving=0.0)
    camera.show(noise(1))


def test_time_that_went_back_begins_anew() -> None:
    camera = living_camera()
    looks_until_named(camera, GREY)
    camera.now_ns = 0
    camera.show(GREY)


def test_a_black_image_is_named_at_once_unless_that_is_allowed() -> None:
    dark = np.full((24, 32, 3), 5, np.uint8)
    with pytest.raises(StreamError, match=r"camera 'top' \(top/image_raw\): black .*5 of 255"):
        living_camera().show(dark)
    living_camera(min_brightness=5).show(dark)
    living_camera(min_brightness=0).show(dark * 0)


def test_a_lens_cap_from_the_start_is_named_and_hot_pixels_do_not_hide_it() -> None:
    capped = np.full((120, 160, 3), 3, np.uint8)
    capped[60, 80] = 255
    with pytest.raises(StreamError, match=r"camera 'top' \(top/image_raw\): black .*3 of 255"):
        Camera(CameraMonitor(ROBOT)).show(capped)
    Camera(CameraMonitor(ROBOT, min_brightness=0)).show(capped)


def test_an_image_that_was_frozen_from_the_start_is_named_once_the_arm_moves() -> None:
    assert looks_until_named(Camera(CameraMonitor(ROBOT)), GREY) == 11
    assert looks_until_named(Camera(CameraMonitor(ROBOT, frozen_s=0.0)), GREY) == 50


def sensor_noise(seed: int) -> np.ndarray:
    """A grey image, every pixel one lighter or not."""
    image: np.ndarray = GREY + np.random.default_rng(seed).integers(0, 2, GREY.shape, np.uint8)
    return image


def test_a_camera_with_noise_is_named_when_it_freezes_while_the_arm_stands() -> None:
    camera = Camera(CameraMonitor(ROBOT))
    for look in range(12):
        camera.show(sensor_noise(look), moving=0.0)
    camera.show(sensor_noise(99), moving=0.3)
    assert looks_until_named(camera, GREY, moving=0.0) == 31
    camera.show(sensor_noise(100), moving=0.0)
    for_ever = Camera(CameraMonitor(ROBOT, frozen_at_rest_s=0.0))
    for look in range(12):
        for_ever.show(sensor_noise(look), moving=0.0)
    assert looks_until_named(for_ever, GREY, moving=0.0) == 50


def test_what_moves_in_front_of_a_camera_without_noise_is_not_taken_for_noise() -> None:
    cube = Camera(CameraMonitor(ROBOT))
    for look in range(40):
        image = GREY.copy()
        image[:4, look % 28 : look % 28 + 4] = 200  # a cube goes by
        cube.show(image, moving=0.0)
    assert looks_until_named(cube, GREY, moving=0.0) == 50
    creeping = Camera(CameraMonitor(ROBOT))
    for look in range(40):
        creeping.show(sensor_noise(look), moving=0.001)  # a camera on the hand
    assert looks_until_named(creeping, GREY, moving=0.0) == 50
