# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Judges commands in true time: what was sent when, and nothing else.

It shares no code with the guard chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SLACK = 1e-6  # of every limit: rounding
CAPPED = 3e-6  # of the longest step: so near to it counts as that


@dataclass(frozen=True)
class Limits:
    """Of J joints: position (J, 2), velocity (J,), acceleration (J,), and the control period."""

    position: Float64Array
    velocity: Float64Array
    acceleration: Float64Array
    period_ns: int


@dataclass
class Drive:
    """Everything that was sent from one enable to the silence after it.

    `start` (J,) is where the arm rested; the times are those on a clock that nobody sets.
    """

    start: Float64Array
    times_ns: list[int] = field(default_factory=list)
    positions: list[Float64Array] = field(default_factory=list)

    def add(self, time_ns: int, position: Float64Array) -> None:
        """Note a command."""
        self.times_ns.append(time_ns)
        self.positions.append(np.array(position))


def send_time_known_to_ns(period_ns: int) -> int:
    """How well a node need know when a command left, as `docs/reference/nodes.md` promises it."""
    tolerance_ns = max(period_ns // 20, min(500_000, period_ns // 4))
    return tolerance_ns + period_ns // 50  # and what it knows of its usual latency


def breaches(drive: Drive, limits: Limits, jitter_ns: int = 0) -> dict[str, int]:
    """How many commands break each promise, as `broken` has them."""
    found = {name: int(mask.sum()) for name, mask in broken(drive, limits, jitter_ns).items()}
    return {name: number for name, number in found.items() if number}


def broken(
    drive: Drive, limits: Limits, jitter_ns: int | npt.NDArray[np.int64] = 0
) -> dict[str, BoolArray]:
    """Which commands (N,) break each promise, as `judge_steps` has them of a drive from rest.

    `jitter_ns` is how well the times are known, all or each (N,).
    """
    if not drive.positions:
        return {}
    times = np.array([drive.times_ns[0] - limits.period_ns, *drive.times_ns], dtype=np.int64)
    positions = np.array([drive.start, *drive.positions])
    jitter = np.broadcast_to(jitter_ns, len(drive.positions))
    found = judge_steps(times, positions, limits, jitter, Before.rest(drive.start)).broken
    return {name: np.asarray(mask.any(axis=1)) for name, mask in found.items()}


@dataclass(frozen=True)
class Before:
    """What came before the first of some steps: where the drive began, and the velocity (J,).

    `inexact` is by how much that velocity may be wrong, (J,).
    """

    start: Float64Array
    velocity: Float64Array
    inexact: Float64Array

    @classmethod
    def rest(cls, start: Float64Array) -> Before:
        """A drive that begins."""
        return cls(start, np.zeros(len(start)), np.zeros(len(start)))


@dataclass(frozen=True)
class Judged:
    """N steps of J joints: velocity and acceleration (N, J), and what each of them breaks.

    `least_velocity` and `acceleration` are the least that they can have been, as well as times
    are known; an acceleration is 0 where it is excused. `inexact` (N, J) is by how much a
    velocity may be wrong.
    """

    velocity: Float64Array
    least_velocity: Float64Array
    acceleration: Float64Array
    inexact: Float64Array
    broken: dict[str, BoolArray]


def judge_steps(
    times: npt.NDArray[np.int64],
    positions: Float64Array,
    limits: Limits,
    jitter_ns: npt.NDArray[np.int64],
    of_before: Before,
) -> Judged:
    """Judge the N steps between N + 1 `positions` (N + 1, J) at `times` [ns], joint by joint.

    `jitter_ns` (N,) is how well each interval is known: what is a breach only beyond that is none.

    finite; `too soon`: within half a period of the last; position (widened to where the arm
    began); `step`: longer than one period at full speed; velocity; acceleration: the velocities
    of two intervals, over the later one. A late command may slow down more than the limit says
    where only a longer step would not (the arm has stood there already), as may any whose time is
    not exact: it can have been held up after it was made. `speeding late`: an arm that had
    nothing to follow is sped up more than in one period.
    """
    period = limits.period_ns * 1e-9
    dt = np.diff(times)[:, None] * 1e-9
    jitter = jitter_ns[:, None] * 1e-9
    late = dt > period * (1 + SLACK) + jitter
    step = np.diff(positions, axis=0)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        velocity = step / dt
        before = np.concatenate((of_before.velocity[None], velocity[:-1]))
        change = np.abs(velocity - before)
        # Of each velocity by the jitter of its own interval.
        inexact = np.abs(velocity) * jitter / dt
        unsure = inexact + np.concatenate((of_before.inexact[None], inexact[:-1]))
        longest = limits.velocity * np.minimum(dt + jitter, period)
        # A command that was held up on its way slows down, whatever it was made for.
        capped = (late & (np.abs(step) >= longest * (1 - CAPPED))) | (jitter > 0)
        slowed = (np.abs(velocity) < np.abs(before)) & (velocity * before >= 0)
        same_way = velocity * before > 0
        had = np.where(same_way, np.abs(before), 0.0)
        fastest = np.maximum(had, (had + limits.acceleration * period) * period / dt)
        room = limits.acceleration * (dt + jitter)  # it was made for another interval
        low = np.minimum(limits.position[:, 0], of_before.start)
        high = np.maximum(limits.position[:, 1], of_before.start)
        broken = {
            'finite': ~np.isfinite(positions[1:]),
            'too soon': np.broadcast_to(2 * (dt + jitter) < period * (1 - SLACK), step.shape),
            'position': (positions[1:] < low - SLACK) | (positions[1:] > high + SLACK),
            'step': np.abs(step) > longest * (1 + SLACK) + 1e-12,
            'velocity': np.abs(velocity) - unsure > limits.velocity * (1 + SLACK) + 1e-9,
            'acceleration': (change - unsure > room * (1 + SLACK) + 1e-6) & ~(capped & slowed),
            'speeding late': late & (np.abs(velocity) - unsure > fastest * (1 + SLACK) + 1e-9),
        }
        least = np.where(capped & slowed, 0.0, np.maximum(change - unsure, 0.0) / dt)
        slowest = np.sign(velocity) * np.maximum(np.abs(velocity) - inexact, 0.0)
    return Judged(velocity, slowest, least, inexact, broken)


def ends_at_rest(drive: Drive) -> bool:
    """Whether the last two commands are the same position: the arm was told to stand."""
    if len(drive.positions) < 2:
        return not drive.positions
    return bool((drive.positions[-1] == drive.positions[-2]).all())
