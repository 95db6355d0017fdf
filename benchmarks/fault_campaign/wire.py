# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Verdicts on what one arm was sent: limits in true time, braking, silence.

Times are those at which the sender handed a command to the middleware, so that what the way and
this process take changes no verdict. Limits are judged by `motion_policy.rehearsal.judge`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.rehearsal.judge import Drive, Limits, broken
from motion_policy.robot import RobotSpec

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]

# After so long a silence a stream may begin anew, at rest, where the arm stands: soon after two
# commands that told it to stand, later whatever came before.
PAUSE_NS, SILENCE_NS = 100_000_000, 500_000_000
START_TOLERANCE = 0.02  # of a joint's range, from the joint state of then
OUTSIDE_TOLERANCE = 0.011  # of a joint's range: so far outside its limits it may begin
ROUNDING = 1e-9
BRAKING_SHARE = 0.98  # of the full deceleration; the limiter keeps a margin for rounding
PROMISED_PERIODS = 2
# How well the time is known at which a command left: the node reads its clock beside that.
JITTER_NS = 2_000_000


class CommandLog:
    """Commands in the order in which they were sent, when, and where the arm stood then.

    Where time is simulated, `at_ns` is that time. `jitter_ns` is how well it is known.
    """

    def __init__(self, joints: int, jitter_ns: int = JITTER_NS) -> None:
        self.joints = joints
        self.jitter_ns = jitter_ns
        self.positions: list[Float64Array] = []
        self.times_ns: list[int] = []
        self.at_ns: list[int] = []
        self.measured: list[Float64Array] = []
        self.wrong_width: list[int] = []

    def __len__(self) -> int:
        return len(self.times_ns)

    def add(
        self,
        position: Float64Array,
        sent_ns: int,
        measured: Float64Array,
        at_ns: int | None = None,
    ) -> None:
        """Note a command; one of another width is kept as all NaN."""
        if position.shape != (self.joints,):
            self.wrong_width.append(len(self))
            position = np.full(self.joints, np.nan)
        self.positions.append(position)
        self.times_ns.append(sent_ns)
        self.at_ns.append(sent_ns if at_ns is None else at_ns)
        self.measured.append(measured)

    @property
    def last_ns(self) -> int:
        """When the last command was sent; 0 before the first."""
        return self.times_ns[-1] if self.times_ns else 0

    def since(self, time_ns: int) -> int:
        """How many commands were sent at or after a time."""
        return len(self) - bisect_left(self.times_ns, time_ns)

    def last_step(self, _now_ns: int, _period_ns: int) -> Float64Array:
        """What the last command changed, (J,)."""
        if len(self) < 2:
            return np.zeros(self.joints)
        step: Float64Array = self.positions[-1] - self.positions[-2]
        return step

    def wire(self, robot: RobotSpec, _ahead_ns: int) -> Wire:
        """The verdicts."""
        return Wire(self, robot)


@dataclass(frozen=True)
class Hold:
    """Whether the arm was held, and how soon.

    `periods` counts commands from the moment that the fault could be known to the first of those
    that brake with the whole deceleration and then stand, that one included; 0 if none did.
    `after_ms` is when that one was sent.
    """

    periods: int
    after_ms: float

    @property
    def in_time(self) -> bool:
        """Within two control periods."""
        return 1 <= self.periods <= PROMISED_PERIODS


class Wire:
    """The verdicts on a whole log of at least one command.

    Attributes:
        times_ns: when each command (N,) was sent.
        breaches: kind of breach -> which commands (N,) commit it.
    """

    _ignored: tuple[str, ...] = ()  # verdicts of the judge that say nothing here
    _braking_jitter = 0.5  # of the jitter: braking is seen in more than one command

    def __init__(
        self, log: CommandLog, robot: RobotSpec, jitter_ns: Int64Array | None = None
    ) -> None:
        self.times_ns: Int64Array = np.array(log.times_ns, dtype=np.int64)
        self._at_ns: Int64Array = np.array(log.at_ns, dtype=np.int64)
        self._positions = np.array(log.positions)
        self._measured = np.array(log.measured)
        self._period_ns = robot.period_ns
        limits = robot.joints.limits
        self._limits = Limits(
            limits.position_array(), limits.velocity_array(), limits.acceleration_array(),
            robot.period_ns,
        )  # fmt: skip
        known_to = log.jitter_ns if jitter_ns is None else jitter_ns
        self._jitter_ns = np.broadcast_to(np.asarray(known_to), self.times_ns.shape)
        self._counted = np.ones(len(self.times_ns), dtype=np.bool_)  # as periods of braking
        self._begins, astray = self._beginnings()
        self._velocity, self._dt = self._motion()
        width = np.zeros(len(self.times_ns), dtype=np.bool_)
        width[log.wrong_width] = True
        found = self._judged()
        self.breaches: dict[str, BoolArray] = {
            'non-finite': found.pop('finite') & ~width,
            'width': width,
            **{name: mask for name, mask in found.items() if name not in self._ignored},
            'start': astray,
        }
        self._brakes = self._braking()

    def broken(self, begin_ns: int, end_ns: int) -> dict[str, int]:
        """How many commands of a stretch of time commit each breach."""
        inside = (self.times_ns >= begin_ns) & (self.times_ns < end_ns)
        return {name: int((mask & inside).sum()) for name, mask in self.breaches.items()}

    def hold(self, known_ns: int, until_ns: int) -> Hold:
        """Judge the braking after the fault could be known, and the standing until a time.

        Of a fault that is over at once, only the first commands are looked at.
        """
        times_ns = self.times_ns[self._counted]
        first = int(np.searchsorted(times_ns, known_ns))
        over = int(np.searchsorted(times_ns, until_ns))
        if first == over and until_ns - known_ns > PROMISED_PERIODS * self._period_ns:
            # Silence: the last command stands, if it was one to stand still.
            last = self._velocity[self._counted][first - 1]
            stands = first > 0 and bool((last == 0).all())
            return Hold(1, 0.0) if stands else Hold(0, float('inf'))
        brakes = self._brakes[self._counted][first : max(over, first + PROMISED_PERIODS)]
        if over <= first + PROMISED_PERIODS and brakes.any():
            index = int(brakes.argmax())
        elif len(brakes) and brakes[-1]:
            wrong = np.flatnonzero(~brakes)
            index = int(wrong[-1]) + 1 if len(wrong) else 0
        else:
            return Hold(0, float('inf'))
        return Hold(index + 1, float(times_ns[first + index] - known_ns) / 1e6)

    def braking(self, begin_ns: int, end_ns: int) -> list[tuple[float, bool]]:
        """Commands of a stretch of time: how long after its begin [ms], and whether they brake."""
        inside = np.flatnonzero((self.times_ns >= begin_ns) & (self.times_ns < end_ns))
        after_ms = (self.times_ns[inside] - begin_ns) / 1e6
        return list(zip(after_ms.tolist(), self._brakes[inside].tolist(), strict=True))

    def told(self, breach: str, most: int) -> list[dict[str, Any]]:
        """Some of the commands that commit a breach: how they came about."""
        return [
            {
                'command': index,
                'sent_ns': int(self.times_ns[index]),
                'after_ms': (np.diff(self._at_ns[max(0, index - 2) : index + 1]) / 1e6).tolist(),
                'begins': bool(self._begins[index]),
                'positions': self._positions[max(0, index - 2) : index + 1].tolist(),
                'velocities': self._velocity[max(0, index - 1) : index + 1].tolist(),
                'measured': self._measured[index].tolist(),
            }
            for index in np.flatnonzero(self.breaches[breach])[:most].tolist()
        ]

    def sent(self, begin_ns: int, end_ns: int) -> int:
        """How many commands were sent in a stretch of time."""
        return int(((self.times_ns >= begin_ns) & (self.times_ns < end_ns)).sum())

    def lost_ticks(self) -> int:
        """Control periods without a command inside a stream: what the machine did not give."""
        periods = np.diff(self.times_ns) / self._period_ns
        inside = periods < SILENCE_NS / self._period_ns
        return int(np.maximum(np.rint(periods[inside]) - 1, 0).sum())

    def _judged(self) -> dict[str, BoolArray]:
        """The verdicts of the judge on each stream, put together."""
        firsts = np.flatnonzero(self._begins)
        found: list[dict[str, BoolArray]] = []
        for first, end in zip(firsts, [*firsts[1:], len(self.times_ns)], strict=True):
            drive = Drive(
                self._positions[first],
                self._at_ns[first:end].tolist(),
                list(self._positions[first:end]),
            )
            found.append(broken(drive, self._limits, self._jitter_ns[first:end]))
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def _motion(self) -> tuple[Float64Array, Float64Array]:
        """Velocity (N, J) that every command asks for, and the time (N, 1) it has for it [s]."""
        dt = np.diff(self._at_ns, prepend=self._at_ns[0])
        dt[self._begins] = self._period_ns
        seconds = np.maximum(dt, 1)[:, None] * 1e-9
        velocity = np.diff(self._positions, axis=0, prepend=self._positions[:1]) / seconds
        velocity[self._begins] = 0.0
        return velocity, seconds

    def _beginnings(self) -> tuple[BoolArray, BoolArray]:
        """Which commands (N,) begin a stream anew, and which of them elsewhere than the arm is.

        After a silence a stream goes on that is nearer to its last command than to where the arm
        stands, and no further away than one command at full speed: an arm is held at its last
        command, whatever it sags. Else it begins where the arm stands.
        """
        count, limits = len(self.times_ns), self._limits
        span = limits.position[:, 1] - limits.position[:, 0]
        gap = np.diff(self.times_ns, prepend=0)
        steps = np.abs(np.diff(self._positions, axis=0, prepend=self._positions[:1]))
        rested = np.concatenate((np.zeros(1, dtype=np.bool_), (steps[:-1] == 0).all(axis=1)))
        away = np.abs(self._positions - self._measured)
        reach = limits.velocity * limits.period_ns * 1e-9
        goes_on = (steps <= reach).all(axis=1) & (steps.max(axis=1) <= away.max(axis=1))
        goes_on[0] = False
        begins = ((gap > SILENCE_NS) | ((gap > PAUSE_NS) & rested)) & ~goes_on
        begins[0] = count > 0
        near = (away <= START_TOLERANCE * span).all(axis=1)
        slack = OUTSIDE_TOLERANCE * span
        near &= (self._positions >= limits.position[:, 0] - slack).all(axis=1)
        near &= (self._positions <= limits.position[:, 1] + slack).all(axis=1)
        return begins, begins & ~near

    def _braking(self) -> BoolArray:
        """Which commands (N,) brake every joint as hard as they may, or stand."""
        velocity, dt = np.abs(self._velocity), self._dt
        before = np.concatenate((np.zeros((1, velocity.shape[1])), self._velocity[:-1]))
        before[self._begins] = 0.0
        jitter = np.minimum(self._jitter_ns, JITTER_NS)[:, None] * self._braking_jitter * 1e-9
        unsure = (velocity + np.abs(before)) * jitter / dt
        slowed = np.abs(before) - self._limits.acceleration * dt * BRAKING_SHARE
        on_course = (np.sign(self._velocity) == np.sign(before)) | (velocity <= ROUNDING)
        braked = velocity <= np.maximum(slowed, 0.0) + unsure + ROUNDING
        return np.asarray((braked & on_course).all(axis=1))
