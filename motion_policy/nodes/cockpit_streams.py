# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the cockpit hears of a robot's streams, and the velocity that it sends.

Cameras are subscribed while somebody looks at them; joints and commands always.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from functools import partial
from typing import Any

from rclpy.node import Node

from motion_policy.cockpit.arm_link import CameraFrame
from motion_policy.cockpit.held_motion import WantedMotion
from motion_policy.control.observing import MeasuredJoints, robot_as_seen
from motion_policy.errors import UserError
from motion_policy.nodes.subscriptions import (
    StreamSubscriptions,
    deserialized,
    message_class,
    sensor_qos,
)
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import COMPRESSED_IMAGE, IMAGE, NANOSECONDS_PER_S
from motion_policy.robot.twist import FIELDS, TWIST_STAMPED
from motion_policy.streams import Row, Sampler
from motion_policy.streams.joints import read_joint_part

RATE_WINDOW_NS = 2 * NANOSECONDS_PER_S
COMMAND_S = 0.5  # for which a command counts as the newest
SEND_PERIOD_S = 0.04
ZEROS = 5  # messages that say that nothing is wanted any more; silence says so too


class MessageRates:
    """How often messages come, by stream, over the last two seconds."""

    def __init__(self) -> None:
        self._counts: dict[str, deque[tuple[int, int]]] = {}

    def of(self, name: str, now_ns: int, count: int) -> float | None:
        """The rate [Hz] now that `count` came; None before there are enough looks."""
        counts = self._counts.setdefault(name, deque())
        if counts and not counts[-1][0] <= now_ns < counts[-1][0] + 10 * NANOSECONDS_PER_S:
            counts.clear()  # the clock has jumped, or nobody looked
        counts.append((now_ns, count))
        while now_ns - counts[0][0] > RATE_WINDOW_NS:
            counts.popleft()
        elapsed_ns = now_ns - counts[0][0]
        if elapsed_ns < RATE_WINDOW_NS / 4:
            return None
        return (count - counts[0][1]) * NANOSECONDS_PER_S / elapsed_ns

    def forget(self, name: str) -> None:
        """Begin anew."""
        self._counts.pop(name, None)


class JointWatch:
    """Positions as they are measured, and as they are commanded."""

    def __init__(self, node: Node, robot: RobotSpec) -> None:
        self._robot = robot
        seen = robot_as_seen(robot, ())
        self._sampler = Sampler(seen.streams())
        self._measured = MeasuredJoints(seen)
        self._subscriptions = StreamSubscriptions(node, seen, self._sampler)
        self._rates = MessageRates()
        self._position: list[float | None] = [None] * len(robot.joints.names)
        self._row: Row | None = None
        self._commands: dict[int, tuple[bytes, float]] = {}
        # A whole chunk is no command of now; the joints of a pose are not known.
        self._topics = {
            place: topic
            for place, topic in enumerate(robot.joints.command)
            if topic.send == 'tick' and not topic.of_tool
        }
        for place, topic in self._topics.items():
            node.create_subscription(
                message_class(topic.type), topic.topic, partial(self._hear_command, place),
                sensor_qos(1), raw=True,
            )  # fmt: skip

    def look(self, now_ns: int) -> dict[str, dict[str, Any]]:
        """Read what is there now; return what is to be said of each stream."""
        with self._subscriptions.lock:
            self._row = row = self._sampler.observe(now_ns)
        position, faults = self._measured.read(row)
        self._position = [None] * len(self._robot.joints.names)
        if position is not None:
            self._position = [x if math.isfinite(x) else None for x in position.tolist()]
        return _told(self._subscriptions, self._rates, row, faults)

    def check(self) -> None:
        """Match what publishers offer; about once per second."""
        self._subscriptions.check(self._row)

    def values(self) -> dict[str, list[float | None]]:
        """Positions of now, None where they are not known or too old."""
        commanded: list[float | None] = [None] * len(self._robot.joints.names)
        names = self._robot.joints.names
        for place, (data, heard_s) in self._commands.items():
            topic = self._topics[place]
            if time.monotonic() - heard_s > COMMAND_S:
                continue
            try:
                part = read_joint_part(deserialized(data, message_class(topic.type)), topic)
            except UserError:  # what is wrong with it the arm's driver says
                continue
            if part.reading is None:
                continue
            for column, value in zip(part.columns, part.reading.position, strict=True):
                commanded[names.index(topic.joints[column])] = float(value)
        return {'position': self._position, 'commanded': commanded}

    def _hear_command(self, place: int, data: bytes) -> None:
        self._commands[place] = data, time.monotonic()


class CameraWatch:
    """The newest image of each camera that is `wanted`; others are not subscribed."""

    def __init__(self, node: Node, robot: RobotSpec, *, compressed: bool) -> None:
        self.wanted: frozenset[str] = frozenset()
        self._node, self._robot, self._compressed = node, robot, compressed
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._frames: dict[str, CameraFrame] = {}
        self._there: dict[str, tuple[Sampler, StreamSubscriptions]] = {}
        self._rates = MessageRates()

    def frame(self, camera: str) -> CameraFrame | None:
        """The newest image; in any thread."""
        with self._lock:
            return self._frames.get(camera)

    def follow(self) -> None:
        """Subscribe to what is wanted, and to nothing else."""
        wanted = self.wanted & self._robot.cameras.keys()
        for camera in self._there.keys() - wanted:
            self._there.pop(camera)[1].destroy()
            self._rates.forget(camera)
            with self._lock:
                self._frames.pop(camera, None)
        for camera in wanted - self._there.keys():
            self._there[camera] = self._subscribe(camera)

    def look(self, now_ns: int) -> dict[str, dict[str, Any]]:
        """What is to be said of each camera that is looked at."""
        told: dict[str, dict[str, Any]] = {}
        for sampler, subscriptions in self._there.values():
            with subscriptions.lock:
                row = sampler.observe(now_ns)
            told |= _told(subscriptions, self._rates, row, row.faults)
        return told

    def _subscribe(self, camera: str) -> tuple[Sampler, StreamSubscriptions]:
        seen = robot_as_seen(self._robot, (camera,))
        if self._compressed and self._is_compressed(camera):
            spec = seen.cameras[camera]
            changed = {'topic': f'{spec.topic}/compressed', 'type': COMPRESSED_IMAGE}
            seen = seen.model_copy(update={'cameras': {camera: spec.model_copy(update=changed)}})
        streams = [stream for stream in seen.streams() if stream.role == 'camera']
        sampler = Sampler(streams)
        return sampler, StreamSubscriptions(
            self._node, seen, sampler, roles=('camera',), depth=1, image_depth=1,
            serialized_images=True, on_image=self._take,
        )  # fmt: skip

    def _is_compressed(self, camera: str) -> bool:
        spec = self._robot.cameras[camera]
        topic = self._node.resolve_topic_name(f'{spec.topic}/compressed')
        return spec.type == IMAGE and bool(self._node.count_publishers(topic))

    def _take(self, camera: str, message: Any) -> None:
        with self._lock:
            self._frames[camera] = CameraFrame(next(self._numbers), message)


class TwistOutput:
    """Sends the velocity that is wanted to where teleop_node hears it, and nothing while none is.

    The last messages after that say zero; then there is silence, which says zero too.
    """

    def __init__(self, node: Node, robot: RobotSpec) -> None:
        self._node = node
        self._twist = None if robot.teleop is None else robot.teleop.twist
        self._publisher: Any = None
        self._zeros = 0
        self._next_s = 0.0
        if self._twist is not None:
            self._type = message_class(self._twist.type)
            self._publisher = node.create_publisher(
                self._type, self._twist.topic, sensor_qos(1, reliable=True)
            )

    def follow(self, wanted: WantedMotion | None, now_s: float) -> None:
        """Send what is wanted, if it is time; the end of it at once."""
        if self._publisher is None:
            return
        if wanted is not None:
            ends = self._zeros == 0
            self._zeros = ZEROS
            if ends or now_s >= self._next_s:
                self._send(wanted.shares, now_s)
        elif self._zeros and (self._zeros == ZEROS or now_s >= self._next_s):
            self._zeros -= 1
            self._send((0.0,) * len(FIELDS), now_s)

    def _send(self, shares: tuple[float, ...], now_s: float) -> None:
        assert self._twist is not None
        self._next_s = now_s + SEND_PERIOD_S
        message = self._type()
        twist = message
        if self._twist.type == TWIST_STAMPED:
            message.header.stamp = self._node.get_clock().now().to_msg()
            twist = message.twist
        for field, share in zip(FIELDS, shares, strict=True):
            part, _, axis = field.partition('.')
            greatest = self._twist.linear if part == 'linear' else self._twist.angular
            setattr(getattr(twist, part), axis, greatest * share)
        self._publisher.publish(message)


def _told(
    subscriptions: StreamSubscriptions, rates: MessageRates, row: Row, faults: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """What is to be said of each stream that is subscribed."""
    return {
        name: {
            'age': row.ages_ns[name] * 1e-6 if name in row.ages_ns else None,
            'limit': stream.max_age * 1000,
            'rate': rates.of(name, row.time_ns, subscriptions.own[name]),
            'expected': stream.rate,
            'fault': faults.get(name, ''),
        }
        for name, stream in subscriptions.streams.items()
    }
