# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""When each stream of a driver is due, at absolute times; what was missed is not made up for."""

from __future__ import annotations

from collections.abc import Mapping

from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S

CAMERA_HZ, JOINTS_HZ, VECTOR_HZ = 30.0, 100.0, 100.0
USUAL_HZ = {
    'camera': CAMERA_HZ, 'depth': CAMERA_HZ, 'state': JOINTS_HZ, 'leader': JOINTS_HZ,
    'vector': VECTOR_HZ,
}  # fmt: skip


def stream_rates(robot: RobotSpec) -> dict[str, float]:
    """How often each stream is sent [Hz]: as the spec says, else as is usual.

    Joints and vectors are sent at least as often as there are rows.
    """
    rates = {}
    for stream in robot.streams():
        usual = USUAL_HZ[stream.role]
        if stream.role not in ('camera', 'depth'):
            usual = max(usual, robot.rate)
        rates[stream.name] = stream.rate or usual
    return rates


class Schedule:
    """Gives the names that are due, each at its own rate [Hz]."""

    def __init__(self, rates: Mapping[str, float], start_ns: int) -> None:
        self._period_ns = {name: NANOSECONDS_PER_S / rate for name, rate in rates.items()}
        self._start_ns = start_ns
        self._counts = dict.fromkeys(rates, 0)
        self.missed = dict.fromkeys(rates, 0)

    def _due_ns(self, name: str) -> float:
        return self._start_ns + self._counts[name] * self._period_ns[name]

    def wait_ns(self, now_ns: int) -> int:
        """How long until something is due, 0 when it is."""
        return max(0, round(min(map(self._due_ns, self._counts)) - now_ns))

    def due(self, now_ns: int) -> list[str]:
        """Names that are due, and count as done."""
        names = [name for name in self._counts if self._due_ns(name) <= now_ns]
        for name in names:
            behind = int((now_ns - self._due_ns(name)) / self._period_ns[name])
            self.missed[name] += behind
            self._counts[name] += 1 + behind
        return names
