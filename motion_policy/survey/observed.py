# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What was heard on each topic for a while: how often, with which stamps, and what it held.

Whoever listens hands in every message with its reception; nothing here knows where it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from statistics import median
from typing import Any

from motion_policy.robot.joint_topic import (
    FLOAT32_MULTI_ARRAY,
    FLOAT64,
    FLOAT64_MULTI_ARRAY,
    JOINT_STATE,
    JOINT_TRAJECTORY,
)
from motion_policy.robot.spec import (
    COMPRESSED_IMAGE,
    IMAGE,
    NANOSECONDS_PER_S,
)
from motion_policy.robot.twist import FIELDS, TWIST_IN, VELOCITY_TYPES
from motion_policy.streams.errors import StreamError
from motion_policy.streams.jpeg import image_header
from motion_policy.streams.messages import stamp_ns

# The numbers of message types that are likely to be worth recording.
VECTOR_FIELDS: dict[str, tuple[str, ...]] = {
    'geometry_msgs/msg/WrenchStamped': ('wrench',),
    'geometry_msgs/msg/Wrench': ('force', 'torque'),
    'geometry_msgs/msg/PoseStamped': ('pose.position', 'pose.orientation'),
    'geometry_msgs/msg/Pose': ('position', 'orientation'),
    'geometry_msgs/msg/TwistStamped': ('twist',),
    'geometry_msgs/msg/Twist': ('linear', 'angular'),
    'geometry_msgs/msg/AccelStamped': ('accel',),
    'geometry_msgs/msg/PointStamped': ('point',),
    'geometry_msgs/msg/Vector3Stamped': ('vector',),
    'sensor_msgs/msg/Imu': ('orientation', 'angular_velocity', 'linear_acceleration'),
    'sensor_msgs/msg/Range': ('range',),
    'nav_msgs/msg/Odometry': ('pose.pose', 'twist.twist'),
}
ARRAYS = (FLOAT64_MULTI_ARRAY, FLOAT32_MULTI_ARRAY)
IMAGES = (IMAGE, COMPRESSED_IMAGE)
READ_TYPES = (JOINT_STATE, JOINT_TRAJECTORY, FLOAT64, *ARRAYS, *IMAGES, *VECTOR_FIELDS)
STRING = 'std_msgs/msg/String'
DESCRIPTION = 'robot_description'  # last part of the topic of a URDF
DEPTH_WORDS = ('16UC1', '32FC1', 'compressedDepth')

SHORTEST_STEP_S = 0.02  # in which a joint's speed is known though stamps are not exact


@dataclass
class JointSeen:
    """Of one joint: where it was [rad or m], and how fast."""

    low: float
    high: float
    speed: float = 0.0

    @property
    def moved(self) -> bool:
        """Whether it did."""
        return self.high > self.low


@dataclass
class Endpoint:
    """Who publishes or listens: a node, and the QoS that it offers or asks for."""

    node: str
    reliable: bool = True
    latched: bool = False


@dataclass
class Observed:
    """One topic, by its full name; `count` messages of it were heard, the last is `last`."""

    topic: str
    type: str
    publishers: list[Endpoint] = field(default_factory=list)
    listeners: list[Endpoint] = field(default_factory=list)
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    without_stamp: int = 0
    behind_s: list[float] = field(default_factory=list)  # of stamps, behind their reception
    last: Any = None
    joints: dict[str, JointSeen] = field(default_factory=dict)
    twist: dict[str, tuple[float, float]] = field(default_factory=dict)  # least and greatest
    _before: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def rate_hz(self) -> float:
        """Messages per second; 0 where fewer than three came."""
        elapsed_ns = self.last_ns - self.first_ns
        if self.count < 3 or elapsed_ns <= 0:
            return 0.0
        return (self.count - 1) * NANOSECONDS_PER_S / elapsed_ns

    @property
    def stamp_behind_s(self) -> float | None:
        """By how much stamps are behind their reception, in the middle; None without any."""
        return median(self.behind_s) if self.behind_s else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of its images; None where the last message is none."""
        if self.last is None or self.type not in IMAGES:
            return None
        if self.type == IMAGE:
            return int(self.last.width), int(self.last.height)
        try:
            header = image_header(bytes(self.last.data))
        except StreamError:
            return None
        return header.width, header.height

    @property
    def encoding(self) -> str:
        """How its images are encoded; '' where it has none."""
        if self.last is None or self.type not in IMAGES:
            return ''
        return str(self.last.encoding if self.type == IMAGE else self.last.format)

    @property
    def is_depth(self) -> bool:
        """Whether its images hold distances."""
        return any(word in self.encoding for word in DEPTH_WORDS)

    @property
    def length(self) -> int:
        """How many numbers its array holds; 0 where it is none."""
        return len(self.last.data) if self.last is not None and self.type in ARRAYS else 0

    def take(self, message: Any, receive_ns: int) -> None:
        """Hear a message."""
        self.count += 1
        self.first_ns = self.first_ns or receive_ns
        self.last_ns, self.last = receive_ns, message
        header_ns = stamp_ns(message)
        if header_ns:
            self.behind_s.append((receive_ns - header_ns) / NANOSECONDS_PER_S)
        else:
            self.without_stamp += 1
        if self.type == JOINT_STATE:
            self._take_joints(message, header_ns or receive_ns)
        elif self.type == JOINT_TRAJECTORY:
            for name in message.joint_names:
                self.joints.setdefault(name, JointSeen(0.0, 0.0))
        elif self.type in VELOCITY_TYPES:
            self._take_twist(message)

    def _take_twist(self, message: Any) -> None:
        for name in FIELDS:
            value = float(attrgetter(TWIST_IN[self.type] + name)(message))
            if math.isfinite(value):
                low, high = self.twist.get(name, (value, value))
                self.twist[name] = min(low, value), max(high, value)

    def _take_joints(self, message: Any, time_ns: int) -> None:
        told = len(message.velocity) == len(message.name)
        for place, (name, value) in enumerate(zip(message.name, message.position, strict=False)):
            position = float(value)
            if not math.isfinite(position):
                continue
            seen = self.joints.setdefault(name, JointSeen(position, position))
            seen.low, seen.high = min(seen.low, position), max(seen.high, position)
            before, before_ns = self._before.setdefault(name, (position, time_ns))
            elapsed_s = (time_ns - before_ns) / NANOSECONDS_PER_S
            speed = abs(float(message.velocity[place])) if told else math.nan
            if elapsed_s >= SHORTEST_STEP_S:
                if math.isnan(speed) or speed == 0:  # some drivers fill velocities with zeros
                    speed = abs(position - before) / elapsed_s
                self._before[name] = position, time_ns
            if math.isfinite(speed):
                seen.speed = max(seen.speed, speed)


@dataclass
class Survey:
    """All topics by their full names.

    `live` says whether who listens is known; `urdfs` are what came on topics that end in
    robot_description, by full names; by command topic `controllers` are the joints that the
    controller there says it has; `actions` and `services` are types by full names.
    """

    topics: dict[str, Observed] = field(default_factory=dict)
    live: bool = False
    seconds: float = 0.0
    urdfs: dict[str, str] = field(default_factory=dict)
    controllers: dict[str, list[str]] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)

    def of_type(self, *types: str) -> list[Observed]:
        """Topics of these types, sorted by name."""
        found = (each for each in self.topics.values() if each.type in types)
        return sorted(found, key=lambda each: each.topic)

    def description(self, namespace: str = '') -> str:
        """The topic of the URDF: in the namespace, else /robot_description, else the only one.

        '' where there is none, or several in other namespaces.
        """
        for topic in (full_topic(DESCRIPTION, namespace), f'/{DESCRIPTION}'):
            if topic in self.urdfs:
                return topic
        return next(iter(self.urdfs)) if len(self.urdfs) == 1 else ''


def is_description(topic: str, types: Iterable[str]) -> bool:
    """Whether a topic of these types may be that of a URDF."""
    return topic.rpartition('/')[2] == DESCRIPTION and STRING in types


def full_topic(topic: str, namespace: str = '') -> str:
    """The full name of a topic as a spec names it."""
    if topic.startswith('/'):
        return topic
    return '/' + '/'.join(part for part in (namespace.strip('/'), topic) if part)


def relative_topic(topic: str, namespace: str = '') -> str:
    """A full name as a spec names it, relative to a namespace where it lies in it."""
    inside = f'/{namespace.strip("/")}/' if namespace.strip('/') else '/'
    return topic.removeprefix(inside) if topic.startswith(inside) else topic
