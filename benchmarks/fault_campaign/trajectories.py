# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Verdicts on trajectories as sent, and on the motion of an arm that plays them.

Between two points the arm goes straight here; the velocities at the points are judged as such. One
without a stamp is played from when it was sent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from fault_campaign.wire import (
    JITTER_NS,
    OUTSIDE_TOLERANCE,
    ROUNDING,
    BoolArray,
    CommandLog,
    Float64Array,
    Wire,
)
from motion_policy.robot import RobotSpec
from motion_policy.streams import stamp_ns

STRAIGHT = 1e-9  # rad or m: a point lies on a line
NANOSECONDS_PER_S = 1_000_000_000
ROUNDING_NS = 1_000
RELATIVE_ROUNDING = 1e-5
# Of a message without a stamp: from where the arm is by then to its second point.
UNSURE_POINTS = 2


@dataclass(frozen=True)
class Sent:
    """One message: when it was sent, when its points (n, J) are to be reached (n,), at what
    speeds (n, J); `at_once` without a stamp.
    """

    sent_ns: int
    times_ns: list[int]
    points: Float64Array
    velocities: Float64Array
    at_once: bool = False


@dataclass
class Path:
    """What was played: points, when each was reached, and when the way to it began.

    An arm that stands takes a period, `period_ns`, for its way to the first point of a message.
    `jitter_ns` is how well the times are known: those of messages without a stamp are not exact.
    `turns` says which points are none of a message, but where the next one has taken over.
    """

    period_ns: int
    times_ns: list[int] = field(default_factory=list)
    begins_ns: list[int] = field(default_factory=list)
    points: list[Float64Array] = field(default_factory=list)
    measured: list[Float64Array] = field(default_factory=list)
    jitter_ns: list[int] = field(default_factory=list)
    turns: list[bool] = field(default_factory=list)

    def at(self, time_ns: int) -> Float64Array:
        """Where it leads at a time; before its first point there, after its last one there."""
        after = bisect_left(self.times_ns, time_ns)
        if after == len(self.times_ns):
            return self.points[-1]
        begin_ns, end_ns = self.begins_ns[after], self.times_ns[after]
        if after == 0 or time_ns <= begin_ns:
            return self.points[max(0, after - 1)]
        share = (time_ns - begin_ns) / (end_ns - begin_ns)
        before: Float64Array = self.points[after - 1]
        return before + share * (self.points[after] - before)

    def replace(self, since_ns: int, message: Sent, measured: Float64Array) -> None:
        """Go on with a message from a time on, as the controller does that it comes to."""
        kept = bisect_right(self.times_ns, since_ns)
        begin_ns = min(since_ns, message.times_ns[0] - self.period_ns)
        begin_ns = max([begin_ns, *self.times_ns[kept - 1 : kept]])
        if 0 < kept < len(self.times_ns):  # on the way
            here, before_ns = self.at(since_ns), self.times_ns[kept - 1]
            straight = Path(
                self.period_ns, [before_ns, message.times_ns[0]], [before_ns, before_ns],
                [self.points[kept - 1], message.points[0]],
            )  # fmt: skip
            goes_on = bool((np.abs(straight.at(since_ns) - here) <= STRAIGHT).all())
            self._cut(kept)
            if goes_on:
                begin_ns = before_ns
            else:  # it turns off between two points
                self._add(since_ns, before_ns, here, measured, ROUNDING_NS, turns=True)
                begin_ns = since_ns
        else:
            self._cut(kept)
        for place, time_ns in enumerate(message.times_ns):
            unsure = message.at_once and place < UNSURE_POINTS
            jitter_ns = JITTER_NS if unsure else ROUNDING_NS
            self._add(time_ns, begin_ns, message.points[place], measured, jitter_ns)
            begin_ns = time_ns

    def _cut(self, kept: int) -> None:
        for values in (
            self.times_ns, self.begins_ns, self.points, self.measured, self.jitter_ns, self.turns
        ):  # fmt: skip
            del values[kept:]  # type: ignore[attr-defined]

    def _add(
        self,
        time_ns: int,
        begin_ns: int,
        point: Float64Array,
        measured: Float64Array,
        jitter_ns: int,
        turns: bool = False,
    ) -> None:
        self.times_ns.append(time_ns)
        self.begins_ns.append(begin_ns)
        self.points.append(point)
        self.measured.append(measured)
        self.jitter_ns.append(jitter_ns)
        self.turns.append(turns)


class TrajectoryLog:
    """Messages in the order in which they were sent; where an arm is that obeys them."""

    def __init__(self, joints: int, period_ns: int) -> None:
        self.joints = joints
        self.messages: list[Sent] = []
        self.path = Path(period_ns)
        self.unsound: list[int] = []  # messages that nobody could play
        self._obeyed = False

    def __len__(self) -> int:
        return len(self.messages)

    def add(self, message: JointTrajectory, sent_ns: int, measured: Float64Array) -> None:
        """Take a message; one without points, of another width or with times that are no times
        is noted as unsound and not played.
        """
        stamp = stamp_ns(message) or sent_ns
        after = [point.time_from_start for point in message.points]
        times = [stamp + t.sec * NANOSECONDS_PER_S + t.nanosec for t in after]
        sound = bool(times) and times[0] > stamp and bool((np.diff(times) > 0).all())
        widths = {
            len(values)
            for point in message.points
            for values in (point.positions, point.velocities)
        }
        if not sound or widths != {self.joints}:
            self.unsound.append(sent_ns)
            return
        points = np.array([point.positions for point in message.points])
        velocities = np.array([point.velocities for point in message.points])
        sent = Sent(sent_ns, times, points, velocities, at_once=not stamp_ns(message))
        self.messages.append(sent)
        self.path.replace(stamp, sent, measured.copy())
        self._obeyed = True

    def target(self, now_ns: int) -> Float64Array | None:
        """Where the arm is to be now; None before the first message, and once it was let go."""
        return self.path.at(now_ns) if self._obeyed and self.messages else None

    def let_go(self) -> None:
        """The arm was put elsewhere: it stands there until the next message."""
        self._obeyed = False

    @property
    def last_ns(self) -> int:
        """When the last message was sent; 0 before the first."""
        return self.messages[-1].sent_ns if self.messages else 0

    def since(self, time_ns: int) -> int:
        """How many messages were sent at or after a time."""
        return sum(message.sent_ns >= time_ns for message in self.messages[-1000:])

    def last_step(self, now_ns: int, period_ns: int) -> Float64Array:
        """How far the arm was led in the last control period, (J,)."""
        if not self.messages:
            return np.zeros(self.joints)
        step: Float64Array = self.path.at(now_ns) - self.path.at(now_ns - period_ns)
        return step

    def wire(self, robot: RobotSpec, ahead_ns: int) -> Wire:
        """The verdicts."""
        return PlayedWire(self, robot, ahead_ns)


class PlayedWire(Wire):
    """The way to each point that was played counts as one command, given when it begins.

    What was sent counts as well where it was not played to its end: a node that is killed leaves
    the arm with it. It has to be sound, to reach no further than `ahead_ns`, and to end at rest.
    """

    _ignored = ('too soon', 'speeding late')  # nothing is sent in most periods
    _braking_jitter = 1.0

    def __init__(self, log: TrajectoryLog, robot: RobotSpec, ahead_ns: int) -> None:
        path = log.path
        played, jitter_ns, counted, turns = CommandLog(log.joints), [], [], []
        last_ns, last = 0, None
        for place, (begin_ns, end_ns) in enumerate(
            zip(path.begins_ns, path.times_ns, strict=True)
        ):
            if last is not None and begin_ns > last_ns:  # the arm stood meanwhile
                played.add(last, last_ns, path.measured[place], begin_ns)
                jitter_ns.append(path.jitter_ns[place])
                counted.append(False)
                turns.append(False)
            last_ns, last = end_ns, path.points[place]
            played.add(last, begin_ns, path.measured[place], end_ns)
            jitter_ns.append(path.jitter_ns[place])
            turns.append(path.turns[place])
            counted.append(not (path.turns[place] or path.turns[max(0, place - 1)]))
        super().__init__(played, robot, np.array(jitter_ns, dtype=np.int64))
        # The way on which a message without a stamp came is no period of braking. What was gone of
        # it had the speed of the whole way, which its own message is judged by.
        self._counted = np.array(counted, dtype=np.bool_)
        self.breaches['acceleration'] &= ~np.array(turns, dtype=np.bool_)
        self._messages_ns = np.array([message.sent_ns for message in log.messages])
        self.breaches['width'] |= self._at(log.unsound)
        self.breaches['unlike'] = self._at([])
        self.breaches['ahead'] = self._at(
            [m.sent_ns for m in log.messages if m.times_ns[-1] - m.sent_ns > ahead_ns]
        )
        for message in log.messages:
            for name in self._unplayed(message):
                self.breaches[name] |= self._at([message.sent_ns])

    def sent(self, begin_ns: int, end_ns: int) -> int:
        """How many messages were sent in a stretch of time."""
        inside = (self._messages_ns >= begin_ns) & (self._messages_ns < end_ns)
        return int(inside.sum())

    def lost_ticks(self) -> int:
        """Nothing is sent in most control periods."""
        return 0

    def _at(self, times_ns: list[int]) -> BoolArray:
        """The commands (N,) that were under way at these times."""
        mask = np.zeros(len(self.times_ns), dtype=np.bool_)
        places = np.searchsorted(self.times_ns, times_ns, side='right') - 1
        mask[np.clip(places, 0, len(mask) - 1)] = True
        return mask

    def _unplayed(self, message: Sent) -> list[str]:
        """What a whole message does against the limits, with a stop at once behind its end.

        The velocities at its points are those of the way to them, and the last is rest: else its
        controller would refuse it, or leave the straight way.
        """
        points, dt, limits = (
            message.points,
            np.diff(message.times_ns)[:, None] * 1e-9,
            self._limits,
        )
        velocity = np.diff(points, axis=0) / dt
        after = np.concatenate((velocity[1:], np.zeros_like(velocity[:1])))
        spacing = (dt + np.concatenate((dt[1:], dt[-1:]))) / 2
        slack = 1 + RELATIVE_ROUNDING
        low, high = _widened(limits.position, points[0])
        unlike = np.abs(message.velocities[1:] - velocity) > limits.acceleration * dt * slack
        found = {
            'non-finite': not (
                np.isfinite(points).all() and np.isfinite(message.velocities).all()
            ),
            'position': ((points < low - ROUNDING) | (points > high + ROUNDING)).any(),
            'velocity': (np.abs(velocity) > limits.velocity * slack).any()
            or (np.abs(message.velocities) > limits.velocity * slack).any(),
            'acceleration': (
                np.abs(after - velocity) / spacing > limits.acceleration * slack
            ).any(),
            'unlike': unlike.any() or message.velocities[-1].any(),
        }
        return [name for name, broken in found.items() if broken]


def _widened(limits: Float64Array, start: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Limits (J, 2) that hold where an arm stands a little outside them when it is enabled."""
    low, high = limits.T
    slack = OUTSIDE_TOLERANCE * (high - low)
    return np.minimum(low, np.maximum(start, low - slack)), np.maximum(
        high, np.minimum(start, high + slack)
    )
