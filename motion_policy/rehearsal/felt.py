# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm feels of its commands, joint by joint, in the time in which they come.

A command was sent before it came: how much later than the quickest one it came is how well its
time is known, and what is a breach only beyond that is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.rehearsal.judge import (
    Before,
    Limits,
    judge_steps,
    send_time_known_to_ns,
)

Float64Array = npt.NDArray[np.float64]

SILENCE_NS = 500_000_000  # after which a drive is over
LATE_PERIODS, LATE_NS = 5, 100_000_000  # after which an arm is held: what comes then begins anew
GAP_PERIODS = 1.5
STAMPED_NS = 2_000_000  # a middleware stamps a message so long after it was made
RESTS = 1e-9  # rad or m: no step


@dataclass
class JointFelt:
    """Of one joint: the extremes, and how many commands were beyond a limit.

    `velocity` and `acceleration` are the greatest; `jump` is the longest step that is longer than
    a period at full speed.
    """

    lowest: float = np.inf
    highest: float = -np.inf
    velocity: float = 0.0
    acceleration: float = 0.0
    jump: float = 0.0
    beyond_position: int = 0
    beyond_velocity: int = 0
    beyond_acceleration: int = 0
    jumps: int = 0
    left_moving: int = 0

    @property
    def kept(self) -> bool:
        """Whether no limit was broken."""
        return not (
            self.beyond_position
            or self.beyond_velocity
            or self.beyond_acceleration
            or self.jumps
            or self.left_moving
        )


@dataclass
class Arrivals:
    """When commands of one topic came: how many, and the gaps between them while the arm moved."""

    received: int = 0
    gaps: int = 0
    longest_gap_s: float = 0.0
    latest_s: float = 0.0  # behind the quickest
    refused: dict[str, int] = field(default_factory=dict)
    intervals: int = 0
    intervals_s: float = 0.0

    @property
    def rate_hz(self) -> float:
        """How often commands came while they did; 0 where that is not known."""
        return self.intervals / self.intervals_s if self.intervals_s else 0.0

    def refuse(self, reason: str) -> bool:
        """Count a message that no arm would take; return whether it is the first of its kind."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
        return self.refused[reason] == 1


class FeltMotion:
    """Judges the commands of one topic, for its joints (n,), with their `limits`.

    They come every `commands_ns`, by default the period of the limits. `of_velocities`: they are
    those of a base, which stands only when the last of them was zero.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        limits: Limits,
        commands_ns: int | None = None,
        *,
        of_velocities: bool = False,
    ) -> None:
        self.names = names
        self._of_velocities = of_velocities
        self._commands_ns = commands_ns or limits.period_ns
        self.joints = {name: JointFelt() for name in names}
        self.arrivals = Arrivals()
        self._limits = limits
        period_ns = limits.period_ns
        self._known_ns = max(send_time_known_to_ns(period_ns), min(STAMPED_NS, period_ns // 10))
        self._late_ns = max(LATE_PERIODS * limits.period_ns, LATE_NS)
        self._quickest_ns: int | None = None
        self._last_ns: int | None = None
        self._last_jitter_ns = 0
        self._last: Float64Array = np.zeros(len(names))
        self._moved: Float64Array = np.zeros(len(names))
        self._before = Before.rest(self._last)

    def jitter_ns(self, received_ns: int, sent_ns: int | None) -> int:
        """How much later than the quickest a message came, and how well that is known."""
        if not sent_ns:
            return self._limits.period_ns // 4
        transit_ns = received_ns - sent_ns
        if self._quickest_ns is None or transit_ns < self._quickest_ns:
            self._quickest_ns = transit_ns
        late_ns = transit_ns - self._quickest_ns
        self.arrivals.latest_s = max(self.arrivals.latest_s, late_ns * 1e-9)
        return late_ns + self._known_ns

    def take(
        self,
        position: Float64Array,
        time_ns: int,
        jitter_ns: int,
        measured: Float64Array,
        velocity: Float64Array | None = None,
    ) -> list[str]:
        """Judge a finite command (n,); return a line for each limit that a joint breaks first.

        With a `velocity` (n,) the command is that one, of joints that are at `position`.
        """
        lines = self.look(time_ns)
        elapsed_ns = None if self._last_ns is None else time_ns - self._last_ns
        if elapsed_ns is None or elapsed_ns > self._late_ns:
            if elapsed_ns is not None:
                self._note_gap(elapsed_ns, position)
            self._begin(position, measured, elapsed_ns)
            last_ns = time_ns - self._limits.period_ns
        else:
            self._note_gap(elapsed_ns, position)
            self.arrivals.intervals += 1
            self.arrivals.intervals_s += elapsed_ns * 1e-9
            last_ns = min(self._last_ns or 0, time_ns - 1)
        if velocity is not None:
            self._last = position - velocity * (time_ns - last_ns) * 1e-9
        known_ns = np.array([max(jitter_ns, self._last_jitter_ns)])
        times, positions = np.array([last_ns, time_ns]), np.array([self._last, position])
        found = judge_steps(times, positions, self._limits, known_ns, self._before)
        self._before = Before(self._before.start, found.velocity[0], found.inexact[0])
        self._moved = position - self._last
        self._last, self._last_ns, self._last_jitter_ns = position, time_ns, jitter_ns
        broken = {name: mask[0] for name, mask in found.broken.items()}
        return lines + self._note(position, found.least_velocity[0], found.acceleration[0], broken)

    def look(self, now_ns: int) -> list[str]:
        """Note that commands have ended, where they have; return lines as `take` does."""
        if self._last_ns is None or now_ns - self._last_ns <= SILENCE_NS:
            return []
        moves = np.abs(self._moved) > RESTS
        if self._of_velocities:
            moves |= np.abs(self._last) > RESTS
        moving = [name for name, moved in zip(self.names, moves, strict=True) if moved]
        self._last_ns, self._moved = None, np.zeros(len(self.names))
        lines = []
        for name in moving:
            self.joints[name].left_moving += 1
            if self.joints[name].left_moving == 1:
                lines.append(f"joint '{name}': commands ended while it moved")
        return lines

    def forget(self) -> None:
        """Judge no end of what was sent: the arm itself has stopped to listen."""
        self._last_ns, self._moved = None, np.zeros(len(self.names))

    def _begin(
        self, position: Float64Array, measured: Float64Array, elapsed_ns: int | None
    ) -> None:
        """Begin at rest: where the arm is, or, soon after, where it was sent if that is nearer."""
        start = np.array(measured)
        if elapsed_ns is not None:
            nearer = np.abs(position - self._last) < np.abs(position - start)
            if self._of_velocities:  # a base may have slowed down meanwhile, and stand
                known = (start, self._last, np.zeros(len(start)))
                start = np.clip(position, np.min(known, axis=0), np.max(known, axis=0))
            else:
                start = np.where(nearer, self._last, start)
        self._last, self._last_jitter_ns = start, 0
        self._before = Before.rest(start)

    def _note_gap(self, elapsed_ns: int, position: Float64Array) -> None:
        at_rest = not (np.abs(position - self._last) > RESTS).any()
        if at_rest and not (np.abs(self._moved) > RESTS).any():
            return
        self.arrivals.longest_gap_s = max(self.arrivals.longest_gap_s, elapsed_ns * 1e-9)
        self.arrivals.gaps += elapsed_ns > GAP_PERIODS * self._commands_ns

    def _note(
        self,
        position: Float64Array,
        velocity: Float64Array,
        acceleration: Float64Array,
        broken: dict[str, npt.NDArray[np.bool_]],
    ) -> list[str]:
        lines = []
        faster = broken['acceleration'] | broken['speeding late']
        limits = self._limits
        for j, (name, joint) in enumerate(self.joints.items()):
            joint.lowest = min(joint.lowest, float(position[j]))
            joint.highest = max(joint.highest, float(position[j]))
            joint.velocity = max(joint.velocity, abs(float(velocity[j])))
            joint.acceleration = max(joint.acceleration, float(acceleration[j]))
            step = abs(float(self._moved[j]))
            for key, is_broken, line in (
                (
                    'beyond_position', broken['position'][j],
                    f'sent to {position[j]:.4g}, limits [{limits.position[j, 0]:g}, '
                    f'{limits.position[j, 1]:g}]',
                ),
                ('jumps', broken['step'][j], f'jumped by {step:.4g}'),
                (
                    'beyond_velocity', broken['velocity'][j],
                    f'at {abs(velocity[j]):.4g} per second, limit {limits.velocity[j]:g}',
                ),
                (
                    'beyond_acceleration', faster[j],
                    f'accelerated by {acceleration[j]:.4g} per second squared, limit '
                    f'{limits.acceleration[j]:g}',
                ),
            ):  # fmt: skip
                if not is_broken:
                    continue
                count = getattr(joint, key) + 1
                setattr(joint, key, count)
                if count == 1:
                    lines.append(f"joint '{name}' {line}")
            if broken['step'][j]:
                joint.jump = max(joint.jump, step)
        return lines

    def as_json(self) -> dict[str, Any]:
        """The figures of its joints."""
        limits, told = self._limits, {}
        for j, (name, felt) in enumerate(self.joints.items()):
            told[name] = {
                'position': {
                    'lowest': felt.lowest, 'highest': felt.highest,
                    'limits': limits.position[j].tolist(), 'beyond': felt.beyond_position,
                },
                'velocity': {
                    'greatest': felt.velocity, 'limit': float(limits.velocity[j]),
                    'beyond': felt.beyond_velocity,
                },
                'acceleration': {
                    'greatest': felt.acceleration, 'limit': float(limits.acceleration[j]),
                    'beyond': felt.beyond_acceleration,
                },
                'jumps': {'number': felt.jumps, 'greatest': felt.jump},
                'left_moving': felt.left_moving,
            }  # fmt: skip
        return told
