# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`ControllerMachine` with a base that is led by velocities, and a judge for these.

A velocity is judged as a position is: its velocity is an acceleration. But when nothing was sent
for a while the base has slowed down by itself, and goes on from there.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from guard_campaign.machine import ControllerMachine, random_values
from motion_policy.rehearsal.judge import (
    SLACK,
    Before,
    Drive,
    Float64Array,
    Limits,
    breaches,
    judge_steps,
)

LATE_PERIODS, LATE_NS = 5, 100_000_000  # later than both: the base slows down by itself
NEW_SHARE = 0.1  # of the actions: other velocities, or those that are measured
SILENCES_S = (0.0, 0.08, 0.12, 0.3, 0.45, 0.6, 3.0)
STANDS_NS = 500_000_000  # without a command a base stands


class MobileMachine(ControllerMachine):
    """A base of two or three velocities, before or after the joints of the arm."""

    def random_values(self, seed: int, rng: np.random.Generator) -> dict[str, Any]:
        """The robot of the seed, on a base."""
        values, apart = random_values(rng), np.random.default_rng((seed, 2))
        joints, limits = values['joints'], values['joints']['limits']
        axes = int(apart.integers(2, 4))
        base, arm = [f'base{axis}' for axis in range(axes)], joints['names']
        first = bool(apart.integers(2))

        def among(of_arm: list[Any], of_base: list[Any]) -> list[Any]:
            return of_base + of_arm if first else of_arm + of_base

        high = apart.uniform(0.05, 2.0, axes)
        low = -high * apart.choice((0.0, 0.3, 1.0), axes)  # some cannot go back
        most = apart.uniform(0.2, 5.0, axes)
        joints['names'] = among(arm, base)
        joints['velocities'] = base
        joints['state'] = [
            joints['state'] | {'joints': arm},
            {'topic': 'odom', 'type': 'nav_msgs/msg/Odometry', 'joints': base},
        ]
        joints['command'] = [
            joints['command'] | {'joints': arm},
            {'topic': 'cmd_vel', 'type': 'geometry_msgs/msg/Twist', 'joints': base},
        ]
        of_base = np.stack((low, high), axis=1).tolist()
        limits['position'] = among(limits['position'], of_base)
        limits['velocity'] = among(limits['velocity'], most.tolist())
        limits['acceleration'] = among(
            limits['acceleration'], (most * apart.uniform(1.0, 40.0, axes)).tolist()
        )
        values['home'] = among(values['home'], [0.0] * axes)
        if 'tracking_error' in values:
            values['tracking_error'] = among(values['tracking_error'], high.tolist())
        return values

    def near(self, rows: Float64Array) -> Float64Array:
        """Actions as of the arm; the base goes somewhere, to and fro or on as it goes."""
        kind = self.rng.random()
        if kind < NEW_SHARE:
            self.driven = self.rng.uniform(*self.limits.position.T)
        going_on = kind > 1 - NEW_SHARE and np.isfinite(self.measured).all()
        return np.where(self.base, self.measured if going_on else self.driven, rows)

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        """A new robot that stands."""
        super().begin(seed)
        self.driven = np.zeros(len(self.base))

    @rule(
        count=st.integers(20, 80), silent_s=st.sampled_from(SILENCES_S),
        then=st.sampled_from(('nothing', 'disable', 'stop', 'fault', 'speed', 'home', 'reset')),
        after=st.integers(1, 40),
    )  # fmt: skip
    def drive_and_then(self, count: int, silent_s: float, then: str, after: int) -> None:
        """A base that drives, most of the time; then something comes, maybe after a silence."""
        self.faults = {}
        self.driven = self.rng.uniform(*self.limits.position.T)
        self.tick(count, 'on time', answers=True, enables=True)
        self._pass(*[silent_s / (self.robot.period_ns * 1e-9)] * 2)
        if then == 'disable':
            self.disable()
        elif then == 'stop':
            self.stop()
        elif then == 'fault':
            self.faults = {'policy': 'gone'}
        elif then == 'speed':
            self.controller.speed = float(self.rng.choice((0.0, self.rng.random())))
        elif then == 'home':
            self.home()
        elif then == 'reset':
            self.reset()
        self.tick(after, str(self.rng.choice(('on time', 'jitter'))), answers=True, enables=False)
        self.faults = {}

    def breaches(self, drive: Drive, unsure_ns: int) -> dict[str, int]:
        """Those of the arm, and those of the base with their own names."""
        if not drive.positions:
            return {}
        arm, base = (
            Drive(
                drive.start[mine], drive.times_ns, [each[mine] for each in drive.positions]
            )
            for mine in (~self.base, self.base)
        )  # fmt: skip
        found = breaches(arm, _of(self.limits, ~self.base), unsure_ns)
        own = base_breaches(base, _of(self.limits, self.base), unsure_ns)
        return found | {f'base {name}': count for name, count in own.items()}


def _of(limits: Limits, mine: np.ndarray) -> Limits:
    return Limits(
        limits.position[mine], limits.velocity[mine], limits.acceleration[mine], limits.period_ns
    )


def base_breaches(drive: Drive, limits: Limits, unsure_ns: int) -> dict[str, int]:
    """How many commands with velocities (B,) of a base break each promise."""
    times = np.array([drive.times_ns[0] - limits.period_ns, *drive.times_ns], dtype=np.int64)
    velocities = np.array([drive.start, *drive.positions])
    late_ns = max(LATE_NS, LATE_PERIODS * limits.period_ns)
    found: Counter[str] = Counter()
    # Each part begins after a silence.
    gaps = [0, *(np.flatnonzero(np.diff(times) > late_ns - unsure_ns) + 1).tolist(), len(times)]
    before = Before.rest(drive.start)
    for number, (begin, end) in enumerate(pairwise(gaps)):
        if number:
            gap_ns = int(times[begin] - times[begin - 1])
            old, new = velocities[begin - 1], velocities[begin]
            slowed = np.maximum(
                np.abs(old) - limits.velocity * (gap_ns - unsure_ns) * 1e-9 * (1 - SLACK), 0.0
            )
            if gap_ns > STANDS_NS + unsure_ns:
                slowed = np.zeros(len(old))
            elif gap_ns <= late_ns + unsure_ns:  # it may not count as a silence
                slowed = np.abs(old)
            # And one period of speeding up from there.
            room = limits.acceleration * (limits.period_ns * 1e-9) ** 2
            over = (np.abs(new) > slowed + SLACK) & (np.abs(new) > room + SLACK)
            found['old velocity after a silence'] += int(over.any())
            most = room / (limits.period_ns * 1e-9)
            inexact = np.maximum(np.abs(new - old) / (gap_ns * 1e-9), most)
            before = Before(new, np.zeros(len(new)), inexact)
        steps = slice(begin, end)
        if end - begin < 2:
            continue
        jitter = np.full(end - begin - 1, unsure_ns)
        judged = judge_steps(times[steps], velocities[steps], limits, jitter, before)
        for name, mask in judged.broken.items():
            found[name] += int(mask.any(axis=1).sum())
    return {name: count for name, count in found.items() if count}
