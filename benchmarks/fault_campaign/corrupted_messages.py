# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Corrupted messages of cameras and joints: each function returns what becomes of a message.

A camera's fault may look at the harness first, a joint state's gets a random generator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import Image, JointState

from fault_campaign.harness import Harness
from fault_campaign.scene import ImageFault, JointFault, image_message, time_message
from motion_policy.streams import stamp_ns

LATE_NS = 350_000_000
JUMP_NS = 10_000_000_000
RARE_NS = 500_000_000
REORDERED = 3  # joint states at a time


def same_image(harness: Harness) -> ImageFault:
    """The last image, with new stamps."""
    frozen = harness.scene.last_image
    assert frozen is not None

    def repeat(message: Image) -> list[Image]:
        frozen.header.stamp = message.header.stamp
        return [frozen]

    return repeat


def silent(_harness: Harness) -> ImageFault:
    """Nothing."""
    return lambda message: []


def same_again(harness: Harness) -> ImageFault:
    """The last message, again and again."""
    frozen = harness.scene.last_image
    assert frozen is not None
    return lambda message: [frozen]


def rare(_harness: Harness) -> ImageFault:
    """Two images a second: each of them is there for a moment, and then too old."""
    last_ns = 0

    def thin_out(message: Image) -> list[Image]:
        nonlocal last_ns
        if stamp_ns(message) - last_ns < RARE_NS:
            return []
        last_ns = stamp_ns(message)
        return [message]

    return thin_out


def black(_harness: Harness) -> ImageFault:
    """Images of a covered camera."""

    def blacken(message: Image) -> list[Image]:
        image = np.zeros((message.height, message.width, 3), np.uint8)
        return [image_message(image, message.header.stamp)]

    return blacken


def small(_harness: Harness) -> ImageFault:
    """Images of half the size."""

    def shrink(message: Image) -> list[Image]:
        image = np.full((message.height // 2, message.width // 2, 3), 90, np.uint8)
        return [image_message(image, message.header.stamp)]

    return shrink


def late(harness: Harness) -> ImageFault:
    """Every image, but too late."""
    waiting: list[Image] = []

    def delay(message: Image) -> list[Image]:
        waiting.append(message)
        due = [m for m in waiting if stamp_ns(m) + LATE_NS <= harness.scene.now_ns]
        del waiting[: len(due)]
        return due

    return delay


def stamped(by_ns: int) -> Callable[[Harness], ImageFault]:
    """Images from another time."""

    def make(_harness: Harness) -> ImageFault:
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
        for values in (message.name, message.position, message.velocity, message.effort):
            del values[lost]
        return [message]

    return drop


def not_a_number(rng: np.random.Generator) -> JointFault:
    """Joint states with NaN or infinity."""
    joint, value = int(rng.integers(5)), float(rng.choice((np.nan, np.inf, -np.inf)))

    def corrupt(message: JointState) -> list[JointState]:
        message.position[joint] = value
        return [message]

    return corrupt


def joints_stamped(by_ns: int) -> Callable[[np.random.Generator], JointFault]:
    """Joint states from another time."""

    def make(_rng: np.random.Generator) -> JointFault:
        def shift(message: JointState) -> list[JointState]:
            message.header.stamp = time_message(stamp_ns(message) + by_ns)
            return [message]

        return shift

    return make


def without_names(_rng: np.random.Generator) -> JointFault:
    """Joint states that name no joint."""

    def drop(message: JointState) -> list[JointState]:
        message.name = []
        return [message]

    return drop


def with_a_joint_twice(rng: np.random.Generator) -> JointFault:
    """Joint states that name a joint twice, with two positions."""
    joint = int(rng.integers(5))

    def double(message: JointState) -> list[JointState]:
        message.name.append(message.name[joint])
        for values in (message.position, message.velocity, message.effort):
            values.append(values[joint] + 1.0)
        return [message]

    return double


def in_two_parts(rng: np.random.Generator) -> JointFault:
    """Joint states in two messages, as two drivers send them."""
    first = int(rng.integers(1, 5))

    def divide(message: JointState) -> list[JointState]:
        parts = []
        for part in (slice(0, first), slice(first, None)):
            half = JointState(header=message.header, name=message.name[part])
            half.position, half.velocity = message.position[part], message.velocity[part]
            half.effort = message.effort[part]
            parts.append(half)
        return parts

    return divide


def few_bytes(_rng: np.random.Generator) -> bytes:
    """A message of six bytes."""
    return bytes(6)


def random_bytes(rng: np.random.Generator) -> bytes:
    """A message of any bytes, of any length."""
    return b'\x00\x01\x00\x00' + rng.bytes(int(rng.integers(0, 300)))


def with_joints(make: Callable[[np.random.Generator], bytes]) -> Callable[..., JointFault]:
    """Damaged messages beside joint states that are in order."""
    return lambda rng: lambda message: [make(rng), message]


def no_joints(make: Callable[[np.random.Generator], bytes]) -> Callable[..., JointFault]:
    """Damaged messages in place of joint states."""
    return lambda rng: lambda message: [make(rng)]


def with_images(make: Callable[[np.random.Generator], bytes]) -> Callable[[Harness], ImageFault]:
    """Damaged messages beside images that are in order."""
    return lambda harness: (
        lambda message: [make(np.random.default_rng(harness.scene.steps)), message]
    )
