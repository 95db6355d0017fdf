# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Measurements of the policy node driving the arm at one rate, from inside and from outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from control_path import figures
from control_path.harness import NAMESPACE, SETTLING_S, Harness, Int64Array, Usage
from motion_policy.robot import RobotSpec

PLAYED_ROWS = 1  # of each chunk before the next is asked for: inference without pause


@dataclass(frozen=True)
class Run:
    """What was measured of one node at one rate."""

    period_ns: int
    commands_ns: Int64Array
    resting: Usage | None
    driving: Usage
    notes: dict[str, Any]

    @property
    def span_ns(self) -> tuple[int, int]:
        """From when to when it counts."""
        return int(self.commands_ns[0]) + round(SETTLING_S * 1e9), int(self.commands_ns[-1])

    @property
    def late_ms(self) -> figures.Float64Array:
        """Lateness of the ticks."""
        return figures.tick_lateness_ms(self.notes, self.period_ns, *self.span_ns)

    @property
    def gaps_ms(self) -> figures.Float64Array:
        """Times between commands, as the arm heard them."""
        return np.diff(self.commands_ns) / 1e6


def measure_ours(
    checkpoint: Path,
    robot: RobotSpec,
    seconds: float,
    isolation: str = 'process',
    idle: bool = True,
) -> Run:
    """The policy node, idle (if that is wanted) and driving, `seconds` each."""
    values = (
        f'checkpoint:={checkpoint}',
        'autostart:=true',
        'backend:=eager',
        f'chunk.execute:={PLAYED_ROWS}',
        f'inference.isolation:={isolation}',
    )
    arguments = ['--ros-args', '-r', f'__ns:=/{NAMESPACE}']
    arguments += [word for value in values for word in ('-p', value)]
    with Harness('control_path.instrumented_node', arguments, 'policy_node', robot) as harness:
        harness.wait_for_log('drives')
        resting = harness.usage(seconds) if idle else None
        commands_ns, driving = harness.drive(seconds)
        return Run(robot.period_ns, commands_ns, resting, driving, dict(harness.notes()))
