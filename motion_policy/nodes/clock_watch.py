# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Monitor of the node's clock: jumps, and sim time that stands still.

A clock that jumped is told once, with how far; it is never taken for time that was missed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.clock import ClockChange, JumpThreshold, ROSClock, TimeJump
from rclpy.duration import Duration

STEP_NS = 500_000_000  # one message of /clock brings the time forward by less
SLEW_NS = 100_000_000  # between two looks the system's clock is corrected by less
UNSURE_NS = 1_000_000  # two clocks that were read further apart say nothing of each other
LOOKS = 3


class ClockWatch:
    """Reads the clock of a node; `on_step()` is called when /clock has set it.

    On ROS time a jump is a message of /clock that goes back, or far ahead. On system time it is
    what the clock has moved otherwise than the monotonic one.
    """

    def __init__(self, clock: ROSClock, on_step: Callable[[], None]) -> None:
        self._clock = clock
        self._on_step = on_step
        self._lock = threading.Lock()
        self._ros_now_ns = 0  # 0: no step since the clock is one of ROS
        self._stepped_ns = 0
        self._offset_ns: int | None = None
        self._steps = clock.create_jump_callback(
            JumpThreshold(
                min_forward=Duration(nanoseconds=1), min_backward=Duration(nanoseconds=-1)
            ),
            post_callback=self._take_step,
        )

    def read(self) -> tuple[int, int]:
        """Return the time and how far the clock has jumped since the last call, both in ns."""
        if not self._clock.ros_time_is_active:
            return self._system_time()
        self._offset_ns = None
        with self._lock:
            now_ns = self._ros_now_ns or self._clock.now().nanoseconds
            stepped_ns, self._stepped_ns = self._stepped_ns, 0
        return now_ns, stepped_ns

    @property
    def ahead_ns(self) -> int:
        """How far the system's clock was ahead of the monotonic one; 0 on ROS time."""
        return self._offset_ns or 0

    def close(self) -> None:
        """Look no more."""
        self._steps.unregister()

    def _take_step(self, step: TimeJump) -> None:
        by_ns = step.delta.nanoseconds
        with self._lock:
            if step.clock_change != ClockChange.ROS_TIME_NO_CHANGE:
                self._ros_now_ns = self._stepped_ns = 0
            else:
                # The first step leads from zero to whatever time it is: nothing has jumped.
                if self._ros_now_ns and not 0 <= by_ns <= STEP_NS:
                    self._stepped_ns += by_ns
                self._ros_now_ns = self._clock.now().nanoseconds
        self._on_step()

    def _system_time(self) -> tuple[int, int]:
        for _ in range(LOOKS):
            before_ns = time.monotonic_ns()
            now_ns = time.time_ns()  # which the clock gives too, after many more calls
            after_ns = time.monotonic_ns()
            if after_ns - before_ns <= UNSURE_NS:
                return now_ns, self._moved(now_ns - after_ns)
        return now_ns, 0

    def _moved(self, offset_ns: int) -> int:
        known_ns, self._offset_ns = self._offset_ns, offset_ns
        moved_ns = 0 if known_ns is None else offset_ns - known_ns
        return moved_ns if abs(moved_ns) > SLEW_NS else 0
