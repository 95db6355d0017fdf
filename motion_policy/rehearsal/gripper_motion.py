# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a goal of a gripper: it is reached, or the gripper stalls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from motion_policy.rehearsal.arm import StandInArm

Outcome = Literal['under way', 'reached', 'stalled']

REACHED = 0.02  # of the range
STALLED_AFTER_S = 1.5
NANOSECONDS_PER_S = 1_000_000_000


@dataclass
class GripperMotion:
    """The motion of joint `column` of an arm to `position` [rad or m], since `start_ns`."""

    arm: StandInArm
    column: int
    position: float
    span: float
    start_ns: int
    _begun: bool = False

    def look(self, now_ns: int) -> Outcome:
        """How far it is."""
        if not self._begun:
            self._begun = True
            self.arm.command([self.position], [self.column])
        away = abs(float(self.arm.position[self.column]) - self.position)
        if away <= REACHED * self.span:
            return 'reached'
        if (
            now_ns - self.start_ns > STALLED_AFTER_S * NANOSECONDS_PER_S
            and not (self.arm.velocity[self.column])
        ):
            return 'stalled'
        return 'under way'

    def stop(self) -> None:
        """Stay where it is."""
        self.arm.command([float(self.arm.position[self.column])], [self.column])
