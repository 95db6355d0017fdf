# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Judges the commands of one drive in true time: what was sent when, and nothing else.

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
    """Which commands (N,) break each promise.

    `jitter_ns` is how well the times are known, all or each (N,): what is a breach only beyond
    that is none.

    finite; `too soon`: within half a period of the last; position (widened to where the arm
    began); `step`: longer than one period at full speed; velocity; acceleration: the velocities
    of two intervals, over the later one. A late command may slow down more than the limit says
    where only a longer step would not (the arm has stood there already), as may any whose time is
    not exact: it can have been held up after it was made. `speeding late`: an arm that had
    nothing to follow is sped up more than in one period.
    """
    if not drive.positions:
        return {}
    times = np.array([drive.times_ns[0] - limits.period_ns, *drive.times_ns], dtype=np.int64)
    positions = np.array([drive.start, *drive.positions])
    period = limits.period_ns * 1e-9
    dt = np.diff(times)[:, None] * 1e-9
    jitter = np.broadcast_to(jitter_ns, len(drive.positions))[:, None] * 1e-9
    late = dt > period * (1 + SLACK) + jitter
    step = np.diff(positions, axis=0)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        velocity = step / dt
        before = np.concatenate((np.zeros((1, step.shape[1])), velocity[:-1]))
        change = np.abs(velocity - before)
        # Of each velocity by the jitter of its own interval.
        inexact = np.abs(velocity) * jitter / dt
        unsure = inexact + np.concatenate((np.zeros((1, step.shape[1])), inexact[:-1]))
        longest = limits.velocity * np.minimum(dt + jitter, period)
        # A command that was held up on its way slows down, whatever it was made for.
        capped = (late & (np.abs(step) >= longest * (1 - CAPPED))) | (jitter > 0)
        slowed = (np.abs(velocity) < np.abs(before)) & (velocity * before >= 0)
        same_way = velocity * before > 0
        had = np.where(same_way, np.abs(before), 0.0)
        fastest = np.maximum(had, (had + limits.acceleration * period) * period / dt)
        room = limits.acceleration * dt
        low = np.minimum(limits.position[:, 0], drive.start)
        high = np.maximum(limits.position[:, 1], drive.start)
        found = {
            'finite': ~np.isfinite(positions[1:]),
            'too soon': np.broadcast_to(2 * (dt + jitter) < period * (1 - SLACK), step.shape),
            'position': (positions[1:] < low - SLACK) | (positions[1:] > high + SLACK),
            'step': np.abs(step) > longest * (1 + SLACK) + 1e-12,
            'velocity': np.abs(velocity) - unsure > limits.velocity * (1 + SLACK) + 1e-9,
            'acceleration': (change - unsure > room * (1 + SLACK) + 1e-6) & ~(capped & slowed),
            'speeding late': late & (np.abs(velocity) - unsure > fastest * (1 + SLACK) + 1e-9),
        }
    return {name: mask.any(axis=1) for name, mask in found.items()}


@dataclass(frozen=True)
class Box:
    """Where the tip of a planar chain of `links` [m] (J,) stays: x and y, `middle` +- `half`."""

    links: Float64Array
    middle: complex
    half: complex

    def outside(self, positions: Float64Array) -> BoolArray:
        """Which of the joint positions (N, J) have the tip outside."""
        angles = np.cumsum(positions, axis=1)
        away = (self.links * np.exp(1j * angles)).sum(axis=1) - self.middle
        far = (np.abs(away.real) > self.half.real + SLACK) | (
            np.abs(away.imag) > self.half.imag + SLACK
        )
        return np.asarray(far)


def ends_at_rest(drive: Drive) -> bool:
    """Whether the last two commands are the same position: the arm was told to stand."""
    if len(drive.positions) < 2:
        return not drive.positions
    return bool((drive.positions[-1] == drive.positions[-2]).all())
