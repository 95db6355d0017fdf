# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Monitors of the offset between the clocks that stamp joint states and the node's clock.

A trajectory is played by the clock of its controller. The least time from stamp to reception is
the offset of the two clocks and the quickest way of a message, which takes next to nothing. A
clock there that falls behind looks like messages that take longer, until no other is known any
more; how far ours went ahead meanwhile is known at once, from a clock that nobody sets. Joints
that come together are of one driver, and so of one clock; each such set is compared by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Sample
from motion_policy.streams.buffers import named_joints

SAMPLES = 100
SAMPLES_NEEDED = 10
SHARE, LEAST_NS = 0.25, 2_000_000  # of a control period: so far apart the clocks may be
SET_NS = 2_000_000  # from tick to tick a clock that nobody set goes less far


class SkewMonitors:
    """Compares the clock of every driver of joints that are sent trajectories with ours.

    A driver is known by the joints that come together in its messages. One that was silent for
    longer than `max_age` may be another one since, on another machine: it is waited for anew.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._period_ns = robot.period_ns
        self._names = robot.joints.names
        played = [topic.joints for topic in robot.joints.command if topic.send == 'chunk']
        self._played = {joint for joints in played for joint in joints}
        self._max_age_ns = {
            stream.name: stream.max_age_ns for stream in robot.streams() if stream.role == 'state'
        }
        # By joints; with the stream and the reception of the newest.
        self._monitors: dict[tuple[str, ...], tuple[SkewMonitor, str, int]] = {}

    def add(
        self, stream: str, parts: Iterable[tuple[tuple[str, ...], Sample]], ours_ns: int = 0
    ) -> None:
        """Take the messages that a joint state is put together of, each with its joints."""
        newest_ns = 0
        for joints, sample in parts:
            newest_ns = max(newest_ns, sample.receive_ns)
            if self._played.isdisjoint(joints):
                continue
            monitor, _, last_ns = self._monitors.get(joints, (None, '', 0))
            if monitor is None or sample.receive_ns - last_ns > self._max_age_ns[stream]:
                monitor = SkewMonitor(self._period_ns)
            monitor.add(sample.header_ns, sample.receive_ns, ours_ns)
            self._monitors[joints] = monitor, stream, sample.receive_ns
        for joints, (_, of, last_ns) in self._monitors.copy().items():
            if of == stream and newest_ns - last_ns > self._max_age_ns[stream]:
                self._monitors.pop(joints, None)

    def forget(self) -> None:
        """Begin anew: a clock was set."""
        self._monitors.clear()

    def unknown(self) -> str:
        """Why nothing is known of the clock of some joint; '' if all are known."""
        unknown: dict[str, str] = {}
        known: set[str] = set()
        for joints, (monitor, _, _) in self._monitors.copy().items():  # in one step, as below
            if monitor.unknown():
                unknown |= dict.fromkeys(joints, monitor.unknown(self._whose(joints)))
            else:
                known |= set(joints)
        missing = self._played - known
        waiting = SkewMonitor(self._period_ns).unknown(self._whose(missing - set(unknown)))
        lines = [unknown.get(name, waiting) for name in self._names if name in missing]
        return '; '.join(dict.fromkeys(lines))

    def problem(self, ours_ns: int = 0) -> str:
        """Why no trajectory may be sent; '' if all clocks agree."""
        monitors = self._monitors.copy().items()
        told = [m.problem(ours_ns, self._whose(joints)) for joints, (m, _, _) in monitors]
        return '; '.join(filter(None, told))

    def _whose(self, joints: Iterable[str]) -> str:
        """The joints that a line is about, where not all that are sent trajectories are."""
        these = set(joints)
        if these.issuperset(self._played):
            return ''
        return f' of {named_joints(tuple(name for name in self._names if name in these))}'


class SkewMonitor:
    """Estimates the skew from the newest joint states; `period_ns` is the control period.

    `ours_ns` is how far our clock is now ahead of one that nobody sets.
    """

    def __init__(self, period_ns: int) -> None:
        self._limit_ns = max(LEAST_NS, round(SHARE * period_ns))
        # From stamp to reception, and `ours_ns` then.
        self._delays_ns: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        self._ours_ns = 0
        self._last_ns = 0
        self._has_stamps = True  # as of the newest joint state

    def add(self, header_ns: int, receive_ns: int, ours_ns: int = 0) -> None:
        """Take the two times of a joint state; one without a stamp says nothing."""
        self._has_stamps = bool(header_ns)
        if header_ns and header_ns != self._last_ns:
            # Where ours was set since the last one, nobody knows on which side of that it came.
            if abs(ours_ns - self._ours_ns) <= SET_NS:
                self._delays_ns.append((receive_ns - header_ns, ours_ns))
            self._last_ns = header_ns
        self._ours_ns = ours_ns

    def forget(self) -> None:
        """Begin anew: a clock was set."""
        self._delays_ns.clear()

    def unknown(self, whose: str = '') -> str:
        """Why nothing is known of the other clock; '' if it is. `whose` names it in the line."""
        if not self._has_stamps:
            return (
                f'the joint states{whose} have no stamps, so that nobody knows how far the clock '
                'of the controller is from ours: let the driver stamp them, or use send: tick'
            )
        if len(self._delays_ns) < SAMPLES_NEEDED:
            return (
                f'waiting for {SAMPLES_NEEDED} joint states{whose}, to compare the clock of the '
                'controller with ours; ask again'
            )
        return ''

    def skew_ns(self, ours_ns: int = 0) -> int:
        """How far our clock is ahead of the other, negative behind; 0 while it is unknown."""
        delays_ns = self._delays_ns.copy()  # in one step: the tick may add or forget meanwhile
        if len(delays_ns) < SAMPLES_NEEDED:
            return 0
        # If ours went back, the other may be the same one: then only what came since counts.
        return min(delay + max(0, ours_ns - then) for delay, then in delays_ns)

    def problem(self, ours_ns: int = 0, whose: str = '') -> str:
        """Why no trajectory may be sent; '' if the clocks agree. `whose` names the other one."""
        skew_ns = self.skew_ns(ours_ns)
        if abs(skew_ns) <= self._limit_ns:
            return ''
        skew_s, limit_s = skew_ns / NANOSECONDS_PER_S, self._limit_ns / NANOSECONDS_PER_S
        side = 'behind' if skew_ns > 0 else 'ahead of'
        return (
            f'the clock of the joint states{whose} is {abs(skew_s):.3f} s {side} ours, limit '
            f'{limit_s:.3f} s for trajectories: chrony or PTP'
        )
