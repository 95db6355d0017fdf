# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Camera monitor: frozen, dark or uniform images in messages that are otherwise valid.

A camera that has died, or wears its cap, may go on sending its last image or a black one with
new stamps. One rule: only what no working camera does is called a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot import RobotSpec, depth_stream
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation, Row, Sample, StreamError
from motion_policy.streams.images import RgbImage
from motion_policy.streams.messages import Float32Array

AnyImage = npt.NDArray[Any]  # (H, W, 3) uint8, or depth (H, W) uint16 [mm]

FROZEN_S = 1.0
FROZEN_AT_REST_S = 3.0
# Of a joint's range: a camera without noise, as in simulation, rightly shows the same image
# while nothing moves.
MOVED_SHARE = 0.02
STILL_SHARE = 0.001  # the jitter of an encoder is less
REPEATS = 3  # messages, so that a slow camera is not taken for a frozen one
# A sensor's noise is everywhere in the image; what moves in front of it is not.
NOISY_SHARE = 0.05  # of the pixels
NOISY_LOOKS = 10  # in a row
MIN_BRIGHTNESS = 8  # of 255; below is what a covered or dead sensor gives
BRIGHT_SHARE = 0.001  # of the pixels; fewer may be hot ones, which the dark does not dim
STRIDE = 4  # pixels; enough to tell dark from bright, and noise from none
ROWS = 16  # of which one is compared before all are


@dataclass
class _Shown:
    """An image, how many later messages repeat it, and when and where the arm was at first."""

    sample: Sample
    image: AnyImage
    since_ns: int
    qpos: Float32Array
    repeats: int = 0


@dataclass
class _Noise:
    """How many images in a row differed all over while the arm stood here; enough once is."""

    qpos: Float32Array
    looks: int = 0

    @property
    def proven(self) -> bool:
        return self.looks >= NOISY_LOOKS


class CameraMonitor:
    """Looks at the images that the policy uses; not for use by two threads at once.

    Args:
        robot: whose joints and cameras they are.
        frozen_s: so long may an image stay the same, pixel by pixel, while a joint moves by 2 %
            of its range; 0: for ever.
        min_brightness: one pixel in a thousand, 0 to 255, is at least as bright; 0: any is.
        frozen_at_rest_s: so long may an image stay the same while the arm stands, if the camera
            was seen to have noise; 0: for ever.
    """

    def __init__(
        self,
        robot: RobotSpec,
        frozen_s: float = FROZEN_S,
        min_brightness: int = MIN_BRIGHTNESS,
        frozen_at_rest_s: float = FROZEN_AT_REST_S,
    ) -> None:
        limits = robot.joints.limits.position_array()
        self._range = limits[:, 1] - limits[:, 0]
        self._velocities, self._creeping = robot.joints.are_velocities, robot.joints.creeping
        self._topics = {name: camera.topic for name, camera in robot.image_topics.items()}
        self._frozen_ns = round(frozen_s * NANOSECONDS_PER_S)
        self._at_rest_ns = round(frozen_at_rest_s * NANOSECONDS_PER_S)
        self._min_brightness = min_brightness
        self._shown: dict[str, _Shown] = {}
        self._noise: dict[str, _Noise] = {}

    def check(self, observation: Observation, row: Row) -> None:
        """Look at the images of the observation made of `row`.

        Raises:
            StreamError: a camera is black, or measures nothing, or shows the same as a while ago
                although the arm moved or although its images have noise.
        """
        self.check_light(observation)
        depth = {depth_stream(name): image for name, image in observation.depth.items()}
        shown: dict[str, AnyImage] = {**observation.images, **depth}
        for camera, image in shown.items():
            problem = self._standstill(camera, image, observation, row)
            if problem:
                raise self._error(camera, problem)

    def check_light(self, observation: Observation) -> None:
        """StreamError for a camera that is black, or measures nothing; any thread may ask."""
        for name, depth in observation.depth.items():
            if self._min_brightness and not depth[::STRIDE, ::STRIDE].any():
                raise self._error(
                    depth_stream(name),
                    'nothing is measured: is it covered? min_brightness 0 allows it',
                )
        for camera, image in observation.images.items():
            brightest = _brightness(image, self._min_brightness)
            if brightest < self._min_brightness:
                raise self._error(
                    camera,
                    f'black (brightest pixel {brightest} of 255, expected {self._min_brightness}):'
                    ' is it covered? min_brightness 0 allows it',
                )

    def _error(self, camera: str, problem: str) -> StreamError:
        return StreamError(f"camera '{camera}' ({self._topics[camera]}): {problem}")

    def _standstill(self, camera: str, image: AnyImage, observation: Observation, row: Row) -> str:
        sample, shown = row.samples[camera], self._shown.get(camera)
        if shown is None or row.time_ns < shown.since_ns:
            self._shown[camera] = _Shown(sample, image, row.time_ns, observation.qpos)
            self._noise[camera] = _Noise(observation.qpos)
            return ''
        if sample is not shown.sample:
            if not _same(image, shown.image):
                self._look_for_noise(camera, image, shown.image, observation.qpos)
                self._shown[camera] = _Shown(sample, image, row.time_ns, observation.qpos)
                return ''
            shown.sample, shown.repeats = sample, shown.repeats + 1
        return self._verdict(camera, shown, row.time_ns - shown.since_ns, observation.qpos)

    def _verdict(self, camera: str, shown: _Shown, same_ns: int, qpos: Float32Array) -> str:
        if shown.repeats < REPEATS:
            return ''
        same = f'the same image for {same_ns / NANOSECONDS_PER_S:.1f} s'
        if 0 < self._frozen_ns < same_ns and self._moved(qpos, shown.qpos) > MOVED_SHARE:
            return f'{same} while the arm moved'
        if 0 < self._at_rest_ns < same_ns and self._noise[camera].proven:
            return f'{same}, but its images had noise'
        return ''

    def _look_for_noise(
        self, camera: str, image: AnyImage, before: AnyImage, qpos: Float32Array
    ) -> None:
        noise = self._noise[camera]
        if noise.proven:
            return
        if image.shape != before.shape or self._moved(qpos, noise.qpos) > STILL_SHARE:
            self._noise[camera] = _Noise(qpos)
            return
        differ = image[::STRIDE, ::STRIDE] != before[::STRIDE, ::STRIDE]
        differ = differ if differ.ndim == 2 else differ.any(axis=-1)
        noise.looks = noise.looks + 1 if differ.mean() >= NOISY_SHARE else 0

    def _moved(self, qpos: Float32Array, since: Float32Array) -> float:
        """Greatest way of a joint, as a share of its range; a base that drives goes all of it."""
        moved = np.abs(qpos - since) / self._range
        if self._velocities.any():
            drives = np.maximum(np.abs(qpos), np.abs(since)) > self._creeping
            moved = np.where(self._velocities, drives, moved)
        return float(moved.max())


def _brightness(image: RgbImage, enough: int) -> int:
    """How bright the image is, its hot pixels aside, 0 to 255; or less, if that is enough."""
    looked_at = image[::STRIDE, ::STRIDE]
    hot = int(looked_at.shape[0] * looked_at.shape[1] * BRIGHT_SHARE)
    # Most images show by few of their pixels that they are bright.
    if np.count_nonzero(looked_at[::STRIDE, ::STRIDE].max(axis=-1) >= enough) > hot:
        return enough
    brightest = looked_at.max(axis=-1).ravel()
    return int(np.partition(brightest, -1 - hot)[-1 - hot])


def _same(image: AnyImage, other: AnyImage) -> bool:
    """Whether two images are equal, pixel by pixel; some of their rows mostly tell."""
    if image.shape != other.shape or not np.array_equal(image[::ROWS], other[::ROWS]):
        return False
    return np.array_equal(image, other)
