# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras whose messages are in order while their pictures cannot be of what is in front of them.

A camera that has died may go on sending its last picture, or a black one, with new stamps. One
rule: a camera must have worked before it can be said to have failed, so that a test pattern may
stay what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation, Row, Sample, StreamError
from motion_policy.streams.images import RgbImage
from motion_policy.streams.messages import Float32Array

FROZEN_S = 1.0
# Of a joint's range: a camera without noise, as in simulation, rightly shows the same picture
# while nothing moves.
MOVED_SHARE = 0.02
REPEATS = 3  # messages, so that a slow camera is not taken for a frozen one
MIN_BRIGHTNESS = 8  # of 255; below is what a covered or dead sensor gives
DARK_STRIDE = 4  # pixels


@dataclass
class _Shown:
    """A picture, how many later messages repeat it, and when and where the arm was at first."""

    sample: Sample
    image: RgbImage
    since_ns: int
    qpos: Float32Array
    repeats: int = 0


class PictureWatch:
    """Looks at the pictures that the policy uses; not for use by two threads at once.

    Args:
        robot: whose joints and cameras they are.
        frozen_s: so long may a picture stay the same, pixel by pixel, while a joint moves by 2 %
            of its range; 0: for ever.
        min_brightness: the brightest pixel of a picture, 0 to 255, is at least this; 0: any is.
    """

    def __init__(
        self,
        robot: RobotSpec,
        frozen_s: float = FROZEN_S,
        min_brightness: int = MIN_BRIGHTNESS,
    ) -> None:
        limits = robot.joints.limits.position_array()
        self._range = limits[:, 1] - limits[:, 0]
        self._topics = {name: camera.topic for name, camera in robot.cameras.items()}
        self._frozen_ns = round(frozen_s * NANOSECONDS_PER_S)
        self._min_brightness = min_brightness
        self._shown: dict[str, _Shown] = {}
        self._bright: set[str] = set()
        self._changing: set[str] = set()

    def check(self, observation: Observation, row: Row) -> None:
        """Look at the pictures of the observation made of `row`.

        Raises:
            StreamError: a camera that was not black is black, or one whose pictures changed shows
                the same as a while ago although the arm moved.
        """
        for camera, image in observation.images.items():
            problem = self._darkness(camera, image)
            problem = problem or self._standstill(camera, image, observation, row)
            if problem:
                raise StreamError(f"camera '{camera}' ({self._topics[camera]}): {problem}")

    def _darkness(self, camera: str, image: RgbImage) -> str:
        brightest = int(image[::DARK_STRIDE, ::DARK_STRIDE].max())
        if brightest >= self._min_brightness:
            self._bright.add(camera)
        elif camera in self._bright:
            return f'black (brightest pixel {brightest} of 255, expected {self._min_brightness})'
        return ''

    def _standstill(self, camera: str, image: RgbImage, observation: Observation, row: Row) -> str:
        if not self._frozen_ns:
            return ''
        sample, shown = row.samples[camera], self._shown.get(camera)
        if shown is None or row.time_ns < shown.since_ns:
            self._shown[camera] = _Shown(sample, image, row.time_ns, observation.qpos)
            return ''
        if sample is not shown.sample:
            if not np.array_equal(image, shown.image):
                self._changing.add(camera)
                self._shown[camera] = _Shown(sample, image, row.time_ns, observation.qpos)
                return ''
            shown.sample, shown.repeats = sample, shown.repeats + 1
        same_ns = row.time_ns - shown.since_ns
        moved = float((np.abs(observation.qpos - shown.qpos) / self._range).max())
        long = same_ns > self._frozen_ns and shown.repeats >= REPEATS
        if not (long and moved > MOVED_SHARE and camera in self._changing):
            return ''
        return f'the same picture for {same_ns / NANOSECONDS_PER_S:.1f} s while the arm moved'
