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
STOP_TIMEOUT_S = 5.0  # of a tick that is under way
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
        self.rounds = 0  # another one at least every MAX_WAIT_S, but while a tick hangs
        self._thread = threading.Thread(target=self._run, name='control_tick', daemon=True)
        self._watch = ClockWatch(self._clock, self._wake)
        self._steady = SteadyClock()
        self._simulated_ns: int | None = None  # at this tick, without jumps
        self._jumped_ns = 0

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def settle(self) -> None:
        """From now on tick by the monotonic clock: the arm must brake even if /clock stands."""
        self._settling = True
        self._wake()

    def steady_ns(self) -> int:
        """The time on a clock that nobody sets: simulated at this tick, or ours of now."""
        return self._steady.read(self._simulated_ns)

    def clock_ahead_ns(self) -> int:
        """How far the system's clock is ahead of the steady one; 0 on simulated time."""
        return self._watch.ahead_ns

    @property
    def alive(self) -> bool:
        """Whether the thread still ticks."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread and wait for it, but not for one that is blocked."""
        self._stopped = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
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
            self.rounds += 1
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
                self._jumped_ns += jumped_ns
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
            self._simulated_ns = ros_ns - self._jumped_ns if on_ros_time else None
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


class SteadyClock:
    """Simulated time without its jumps, or our monotonic one; a change of the two is no jump."""

    def __init__(self) -> None:
        self._simulated = False
        self._offset_ns = 0
        self._last_ns, self._at_ns = 0, time.monotonic_ns()

    def read(self, simulated_ns: int | None) -> int:
        """Return the time in ns; None: monotonic time."""
        at_ns = time.monotonic_ns()
        source_ns = at_ns if simulated_ns is None else simulated_ns
        if self._simulated != (simulated_ns is not None):
            self._simulated = not self._simulated
            self._offset_ns = self._last_ns + (at_ns - self._at_ns) - source_ns
        self._last_ns, self._at_ns = source_ns + self._offset_ns, at_ns
        return self._last_ns
