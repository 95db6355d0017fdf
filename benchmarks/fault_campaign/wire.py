# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every command that went over the wire, and the verdicts on them.

Speeds are differences of consecutive commands over one nominal control period, so that a busy
machine, which sends them late, changes no verdict; times are those of the sender.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot import RobotSpec

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# After so long a silence a stream may begin anew, at rest, where the arm stands.
SILENCE_NS = 500_000_000
START_TOLERANCE = 0.02  # of a joint's range, from the joint state of then
ROUNDING = 1e-9
BRAKING_SHARE = 1 - 1e-5  # of the full deceleration; the limiter keeps a margin for rounding
PROMISED_PERIODS = 2


class CommandLog:
    """Commands in the order in which they were sent, when, and where the arm stood then."""

    def __init__(self, joints: int) -> None:
        self.joints = joints
        self.positions: list[Float64Array] = []
        self.times_ns: list[int] = []
        self.measured: list[Float64Array] = []
        self.wrong_width: list[int] = []

    def __len__(self) -> int:
        return len(self.times_ns)

    def add(self, position: Float64Array, sent_ns: int, measured: Float64Array) -> None:
        """Note a command; one of another width is kept as all NaN."""
        if position.shape != (self.joints,):
            self.wrong_width.append(len(self))
            position = np.full(self.joints, np.nan)
        self.positions.append(position)
        self.times_ns.append(sent_ns)
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

    `spans_ns` (N,) is how long each command takes to be carried out; usually a control period.

    Attributes:
        breaches: kind of breach -> which commands (N,) commit it.
    """

    def __init__(
        self, log: CommandLog, robot: RobotSpec, spans_ns: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.times_ns: npt.NDArray[np.int64] = np.array(log.times_ns, dtype=np.int64)
        self._positions = np.array(log.positions)
        self._measured = np.array(log.measured)
        self._period_ns = robot.period_ns
        spans = np.full(len(self.times_ns), robot.period_ns) if spans_ns is None else spans_ns
        self._dt: Float64Array = spans[:, None] * 1e-9
        limits = robot.joints.limits
        self._low, self._high = limits.position_array().T
        self._max_velocity = limits.velocity_array() + ROUNDING
        self._max_acceleration = limits.acceleration_array() + ROUNDING
        self._begins, astray = self._beginnings()
        self._velocity, acceleration = self._motion(self._begins)
        width = np.zeros(len(self.times_ns), dtype=np.bool_)
        width[log.wrong_width] = True
        outside = (self._positions < self._low) | (self._positions > self._high)
        self.breaches: dict[str, BoolArray] = {
            'non-finite': ~np.isfinite(self._positions).all(axis=1) & ~width,
            'width': width,
            'position': outside.any(axis=1),
            'velocity': (np.abs(self._velocity) > self._max_velocity).any(axis=1),
            'acceleration': (np.abs(acceleration) > self._max_acceleration).any(axis=1),
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
        first = int(np.searchsorted(self.times_ns, known_ns))
        over = int(np.searchsorted(self.times_ns, until_ns))
        if first == over and until_ns - known_ns > PROMISED_PERIODS * self._period_ns:
            # Silence: the last command stands, if it was one to stand still.
            stands = first > 0 and bool((self._velocity[first - 1] == 0).all())
            return Hold(1, 0.0) if stands else Hold(0, float('inf'))
        brakes = self._brakes[first : max(over, first + PROMISED_PERIODS)]
        if over <= first + PROMISED_PERIODS and brakes.any():
            index = int(brakes.argmax())
        elif len(brakes) and brakes[-1]:
            wrong = np.flatnonzero(~brakes)
            index = int(wrong[-1]) + 1 if len(wrong) else 0
        else:
            return Hold(0, float('inf'))
        return Hold(index + 1, float(self.times_ns[first + index] - known_ns) / 1e6)

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
                'after_ms': float(self.times_ns[index] - self.times_ns[index - 1]) / 1e6,
                'begins': bool(self._begins[index]),
                'from': self._positions[index - 1].tolist(),
                'to': self._positions[index].tolist(),
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

    def _motion(self, begins: BoolArray) -> tuple[Float64Array, Float64Array]:
        """Velocity and acceleration (N, J) that every command asks for."""
        steps = np.diff(self._positions, axis=0, prepend=self._positions[:1])
        velocity = steps / self._dt
        velocity[begins] = 0.0
        spacing = (self._dt + np.concatenate((self._dt[:1], self._dt[:-1]))) / 2
        return velocity, (velocity - self._before(velocity, begins)) / spacing

    def _before(self, velocity: Float64Array, begins: BoolArray) -> Float64Array:
        before = np.concatenate((np.zeros((1, velocity.shape[1])), velocity[:-1]))
        before[begins] = 0.0
        return before

    def _beginnings(self) -> tuple[BoolArray, BoolArray]:
        """Which commands (N,) begin a stream anew, and which of them elsewhere than the arm is.

        A stream that merely stood still for a while, as when /clock does, goes on; one that is
        nearer to where the arm stands than to its last command does not.
        """
        silent = np.diff(self.times_ns, prepend=0) > SILENCE_NS
        silent[0] = True
        away = np.abs(self._positions - np.clip(self._measured, self._low, self._high))
        near = (away <= START_TOLERANCE * (self._high - self._low)).all(axis=1)
        velocity, acceleration = self._motion(np.zeros(len(silent), dtype=np.bool_))
        goes_on = (np.abs(velocity) <= self._max_velocity).all(axis=1)
        goes_on &= (np.abs(acceleration) <= self._max_acceleration).all(axis=1)
        last = np.concatenate((self._positions[:1], self._positions[:-1]))
        goes_on &= np.abs(self._positions - last).max(axis=1) <= away.max(axis=1)
        goes_on[0] = False
        begins = silent & ~goes_on
        return begins, begins & ~near

    def _braking(self) -> BoolArray:
        """Which commands (N,) brake every joint as hard as they may, or stand."""
        velocity, before = self._velocity, self._before(self._velocity, self._begins)
        slowed = np.abs(before) - self._max_acceleration * (self._dt * BRAKING_SHARE)
        on_course = (np.sign(velocity) == np.sign(before)) | (np.abs(velocity) <= ROUNDING)
        braked = np.abs(velocity) <= np.maximum(slowed, 0.0) + ROUNDING
        return np.asarray((braked & on_course).all(axis=1))
