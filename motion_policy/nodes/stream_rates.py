# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Rates of a node's streams, and which of them are far too low for its policy.

A stream is named once when it is found slow, with what is to be done where that is known.
"""

from __future__ import annotations

from collections import deque

from rclpy.utilities import get_rmw_implementation_identifier

from motion_policy.inference.environment import middleware_profile, profile_setting
from motion_policy.nodes.subscriptions import StreamSubscriptions
from motion_policy.robot import DepthSpec, RobotSpec
from motion_policy.robot.spec import IMAGE, NANOSECONDS_PER_S

FAR_BELOW = 0.6  # of what is expected
WINDOW_NS = 5 * NANOSECONDS_PER_S
JUDGED_AFTER_NS = 3 * NANOSECONDS_PER_S  # of a stream's first message
MOST_BYTES_CARRIED = 460_800  # of one message, by Fast DDS's default shared memory


class StreamRates:
    """Measures the rate of each stream in the node's time, over the last seconds.

    `expected_hz` holds for streams of which the robot spec says no rate; `reliable` says how they
    are subscribed.
    """

    def __init__(
        self,
        robot: RobotSpec,
        subscriptions: StreamSubscriptions,
        expected_hz: float,
        *,
        reliable: bool = False,
    ) -> None:
        self._robot = robot
        self._reliable = reliable
        self._subscriptions = subscriptions
        self.expected_hz = {
            name: stream.rate or expected_hz for name, stream in subscriptions.streams.items()
        }
        self.measured_hz: dict[str, float] = {}
        self.slow: set[str] = set()
        self._counts: dict[str, deque[tuple[int, int]]] = {}

    def forget(self) -> None:
        """Begin to measure anew: the clock has jumped."""
        self._counts = {}

    def look(self, now_ns: int) -> list[str]:
        """Measure now; return a line on every stream that is newly found slow."""
        for name, count in self._subscriptions.own.items():
            if count:
                self._measure(name, now_ns, count)
        slow = {
            name
            for name, rate_hz in self.measured_hz.items()
            if 0 < rate_hz < FAR_BELOW * self.expected_hz[name]
        }
        lines = [self._line(name) for name in sorted(slow - self.slow)]
        self.slow = slow
        return lines

    def values(self) -> dict[str, object]:
        """Return what diagnostics say of the rates."""
        told: dict[str, object] = {}
        for name, rate_hz in self.measured_hz.items():
            told[f'{name} rate [Hz]'] = rate_hz
            told[f'{name} expected rate [Hz]'] = self.expected_hz[name]
        return told

    def advice(self, name: str) -> str:
        """Say what may be lost on the way, and the cure; '' where nothing is known to be."""
        camera = self._robot.image_topics.get(name)
        if camera is None or camera.type != IMAGE or self._reliable:
            return ''
        size = (2 if isinstance(camera, DepthSpec) else 3) * camera.width * camera.height
        if size <= MOST_BYTES_CARRIED or 'fastrtps' not in get_rmw_implementation_identifier():
            return ''
        variable, path = profile_setting()
        where = 'here and for the camera' if middleware_profile() else 'for the camera too'
        return (
            f"; Fast DDS's usual shared memory loses raw images of {size} bytes: set "
            f'{variable}={path} {where}, or reliable:=true'
        )

    def _measure(self, name: str, now_ns: int, count: int) -> None:
        counts = self._counts.setdefault(name, deque())
        if counts and now_ns <= counts[-1][0]:
            return
        counts.append((now_ns, count))
        while now_ns - counts[0][0] > WINDOW_NS:
            counts.popleft()
        elapsed_ns = now_ns - counts[0][0]
        if elapsed_ns >= JUDGED_AFTER_NS:
            self.measured_hz[name] = (count - counts[0][1]) * NANOSECONDS_PER_S / elapsed_ns

    def _line(self, name: str) -> str:
        return (
            f'{self._subscriptions.describe(name)}: {self.measured_hz[name]:.1f} Hz, expected '
            f'{self.expected_hz[name]:g} Hz{self.advice(name)}'
        )
