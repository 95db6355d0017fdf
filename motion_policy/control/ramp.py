# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The ramp to a first target or home: when it is over, and when it comes no further."""

from __future__ import annotations

import numpy as np

from motion_policy.control.guard import GuardChain, GuardResult
from motion_policy.control.motion_limiter import Float64Array

ARRIVED = 0.1  # of one control period's travel: the ramp is over when every joint is this near
STUCK_NS = 1_000_000_000  # an arm that comes no nearer for so long will not be there
STUCK_S = 1e-7  # of full speed: no nearer


class RampMonitor:
    """Compares what `guard` sent with the target of the ramp, after each of its steps."""

    def __init__(self, guard: GuardChain, period_ns: int) -> None:
        self._guard = guard
        self._near = guard.limiter.max_velocity * period_ns * 1e-9 * ARRIVED
        self._reach = guard.limiter.max_velocity * STUCK_S
        self._nearest: tuple[int, Float64Array] | None = None  # since when it is no further

    def forget(self) -> None:
        """Another ramp begins, or none."""
        self._nearest = None

    def target(self, first: Float64Array) -> Float64Array:
        """Where to ramp to before a plan that begins at `first` (J,).

        A base stands meanwhile: it would drive on its own while the arm takes its time.
        """
        limiter = self._guard.limiter
        target: Float64Array = np.where(
            limiter.are_velocities, 0.0, np.clip(first, limiter.lower, limiter.upper)
        )
        return target

    def arrived(self, target: Float64Array) -> bool:
        """Whether every joint is near its target (J,)."""
        return bool((np.abs(target - self._guard.sent) <= self._near).all())

    def stuck(self, steady_ns: int) -> bool:
        """Whether the ramp came no further for some time."""
        sent = self._guard.sent
        if self._nearest is None or (np.abs(sent - self._nearest[1]) > self._reach).any():
            self._nearest = steady_ns, sent
        return steady_ns - self._nearest[0] > STUCK_NS

    def why_stuck(self, target: Float64Array, result: GuardResult, what: str) -> str:
        """Say what keeps the arm, after a step with this result, from its target (J,)."""
        guard = self._guard
        why = guard.forbids(target) or result.obstacle or ', '.join(result.violations)
        sent = guard.sent
        joint = int((np.abs(target - sent) / guard.limiter.max_velocity).argmax())
        return (
            f"{what} out of reach: {why}; joint '{guard.joint_names[joint]}' stands at "
            f'{sent[joint]:.3f} and was to go to {target[joint]:.3f}'
        )
