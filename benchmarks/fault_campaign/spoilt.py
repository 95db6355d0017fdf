# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of cameras and joints, spoilt: each function returns what becomes of a message.

A camera's fault may look at the rig first, a joint state's gets a random generator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import Image, JointState

from fault_campaign.rig import Rig
from fault_campaign.scene import ImageFault, JointFault, image_message, time_message
from motion_policy.streams import stamp_ns

LATE_NS = 350_000_000
JUMP_NS = 10_000_000_000
REORDERED = 3  # joint states at a time


def same_picture(rig: Rig) -> ImageFault:
    """The last picture, with new stamps."""
    frozen = rig.scene.last_image
    assert frozen is not None

    def repeat(message: Image) -> list[Image]:
        frozen.header.stamp = message.header.stamp
        return [frozen]

    return repeat


def silent(_rig: Rig) -> ImageFault:
    """Nothing."""
    return lambda message: []


def same_again(rig: Rig) -> ImageFault:
    """The last message, again and again."""
    frozen = rig.scene.last_image
    assert frozen is not None
    return lambda message: [frozen]


def black(_rig: Rig) -> ImageFault:
    """Pictures of a covered camera."""

    def blacken(message: Image) -> list[Image]:
        picture = np.zeros((message.height, message.width, 3), np.uint8)
        return [image_message(picture, message.header.stamp)]

    return blacken


def small(_rig: Rig) -> ImageFault:
    """Pictures of half the size."""

    def shrink(message: Image) -> list[Image]:
        picture = np.full((message.height // 2, message.width // 2, 3), 90, np.uint8)
        return [image_message(picture, message.header.stamp)]

    return shrink


def late(rig: Rig) -> ImageFault:
    """Every picture, but too late."""
    waiting: list[Image] = []

    def delay(message: Image) -> list[Image]:
        waiting.append(message)
        due = [m for m in waiting if stamp_ns(m) + LATE_NS <= rig.scene.now_ns]
        del waiting[: len(due)]
        return due

    return delay


def stamped(by_ns: int) -> Callable[[Rig], ImageFault]:
    """Pictures from another time."""

    def make(_rig: Rig) -> ImageFault:
        def shift(message: Image) -> list[Image]:
            message.header.stamp = time_message(stamp_ns(message) + by_ns)
            return [message]

        return shift

    return make


def stalled(_rng: np.random.Generator) -> JointFault:
    """Nothing."""
    return lambda message: []


def reordered(rng: np.random.Generator) -> JointFault:
    """Joint states in any order."""
    waiting: list[JointState] = []

    def shuffle(message: JointState) -> list[JointState]:
        waiting.append(message)
        if len(waiting) < REORDERED:
            return []
        order = rng.permutation(REORDERED)
        shuffled = [waiting[place] for place in order]
        waiting.clear()
        return shuffled

    return shuffle


def without_a_joint(rng: np.random.Generator) -> JointFault:
    """Joint states that lack one joint."""
    lost = int(rng.integers(5))

    def drop(message: JointState) -> list[JointState]:
        for values in (message.name, message.position, message.velocity):
            del values[lost]
        return [message]

    return drop


def not_a_number(rng: np.random.Generator) -> JointFault:
    """Joint states with NaN or infinity."""
    joint, value = int(rng.integers(5)), float(rng.choice((np.nan, np.inf, -np.inf)))

    def spoil(message: JointState) -> list[JointState]:
        message.position[joint] = value
        return [message]

    return spoil


def from_another_time(_rng: np.random.Generator) -> JointFault:
    """Joint states from long ago."""

    def shift(message: JointState) -> list[JointState]:
        message.header.stamp = time_message(stamp_ns(message) - JUMP_NS)
        return [message]

    return shift
