# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The thread of the control tick: absolute deadlines, on the monotonic clock or on ROS time.

It waits for nothing but time. Under `use_sim_time` each step of /clock wakes it.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

from rclpy.node import Node

from motion_policy.control.timing import Deadlines, RecentDurations
from motion_policy.nodes.clock_watch import ClockWatch

LATENESS_WINDOW = 2000  # ticks: 10 s at 200 Hz
MAX_WAIT_S = 0.1  # how soon a change of mode or an end is noticed
ERROR_PERIOD_S = 1.0


class ControlLoop:
    """Calls `tick(now_ns)` with the node clock's time, once per period, until `stop`.

    An exception in a tick is logged and the next tick comes as planned. When the clock jumped,
    `on_jump(by_ns)` comes before the next tick; the deadlines have jumped with it.
    `prepare_thread()` is the first that the thread does.
    """

    def __init__(
        self,
        node: Node,
        period_ns: int,
        tick: Callable[[int], None],
        on_jump: Callable[[int], None] = lambda by_ns: None,
        prepare_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self._node = node
        self._clock = node.get_clock()
        self._tick = tick
        self._on_jump = on_jump
        self._prepare_thread = prepare_thread
        self._stopped = False
        self._settling = False
        self._clock_moved = threading.Condition()
        self.lateness = RecentDurations(LATENESS_WINDOW)
        self.deadlines = Deadlines(period_ns, 0)
        self._thread = threading.Thread(target=self._run, name='control_tick', daemon=True)
        self._watch = ClockWatch(self._clock, self._wake)

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def settle(self) -> None:
        """From now on tick by the monotonic clock: the arm must brake even if /clock stands."""
        self._settling = True
        self._wake()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopped = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        self._watch.close()

    def _wake(self) -> None:
        with self._clock_moved:
            self._clock_moved.notify_all()

    def _on_ros_time(self) -> bool:
        return self._clock.ros_time_is_active and not self._settling

    def _run(self) -> None:
        self._prepare_thread()
        was_on_ros_time: bool | None = None
        while not self._stopped:
            on_ros_time = self._on_ros_time()
            ros_ns, jumped_ns = self._watch.read() if on_ros_time else (0, 0)
            if on_ros_time and not ros_ns:  # /clock has not spoken yet
                was_on_ros_time = None
                self._wait(on_ros_time)
                continue
            now_ns = ros_ns if on_ros_time else time.monotonic_ns()
            if on_ros_time != was_on_ros_time:
                self.deadlines.restart(now_ns)
                was_on_ros_time = on_ros_time
            if jumped_ns:
                self.deadlines.shift(jumped_ns)
                self._on_jump(jumped_ns)
            late_ns = self.deadlines.arrive(now_ns)
            if late_ns is None:
                self._wait(on_ros_time)
                continue
            self.lateness.add(late_ns)
            if not on_ros_time:
                ros_ns, jumped_ns = self._watch.read()
                if jumped_ns:
                    self._on_jump(jumped_ns)
            try:
                self._tick(ros_ns)
            except Exception:
                if not self._node.context.ok():
                    return
                self._node.get_logger().error(
                    f'control tick failed: {traceback.format_exc()}',
                    throttle_duration_sec=ERROR_PERIOD_S,
                )

    def _wait(self, on_ros_time: bool) -> None:
        if on_ros_time:
            with self._clock_moved:
                if self._clock.now().nanoseconds < self.deadlines.next_ns:
                    self._clock_moved.wait(MAX_WAIT_S)
            return
        wait_s = (self.deadlines.next_ns - time.monotonic_ns()) * 1e-9
        time.sleep(min(max(wait_s, 0.0), MAX_WAIT_S))
