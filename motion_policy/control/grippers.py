# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Grippers that are either open or closed, whatever a policy predicts between the two.

Rule: what changes one must reach the threshold beyond; a prediction that wavers about one of the
two changes nothing, and until the first such prediction a gripper stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot import RobotSpec

# none: since the arm was enabled. cancel, release: by a stop of the arm, as `on_hold` says.
Decision: TypeAlias = Literal['none', 'open', 'closed', 'cancel', 'release']


@dataclass(frozen=True)
class Decided:
    """What was decided last for a gripper with an action or service; `number` counts decisions."""

    number: int = 0
    decision: Decision = 'none'


class Grippers:
    """Where the robot's `joints.grippers` are sent, `targets` (G,) in the order of the joints.

    `decided` says of each that an action or service moves what is to be done, by its joint. For
    those a decision counts only while the arm follows its plan: in a ramp they stay as they are.
    """

    def __init__(self, robot: RobotSpec) -> None:
        names, specs = robot.joints.names, robot.joints.grippers
        self.columns = [index for index, name in enumerate(names) if name in specs]
        mine = [specs[names[column]] for column in self.columns]
        self._open = np.array([gripper.open for gripper in mine])
        self._closed = np.array([gripper.closed for gripper in mine])
        self._open_at = np.array([gripper.open_at for gripper in mine])
        self._close_at = np.array([gripper.close_at for gripper in mine])
        self._direction = np.sign(self._open - self._closed)
        self.targets: Float64Array = np.zeros(len(mine))
        self._acting = np.array([gripper.interface is not None for gripper in mine], bool)
        self._acting_columns = np.array(self.columns, int)[self._acting]
        self._names = [names[column] for column in self.columns]
        self._on_hold = {name: act.on_hold for name, act in robot.joints.acting_grippers.items()}
        self.decided = {name: Decided() for name in self._on_hold}

    def start(self, position: Float64Array) -> None:
        """Let each stay where it is at `position` (J,) until a prediction reaches a threshold.

        One that holds an object stands between its two positions, and must not let go of it.
        """
        self.targets = position[self.columns]
        for name in self.decided:
            self._decide(name, 'none')

    def stop(self) -> None:
        """The arm stops: what moves apart from it is left, cancelled or opened, as the spec says.

        What was cancelled is decided anew when the arm goes on.
        """
        for name, on_hold in self._on_hold.items():
            if on_hold == 'open':
                self._decide(name, 'release')
                place = self._names.index(name)
                self.targets = np.where(
                    np.arange(len(self.targets)) == place, self._open, self.targets
                )
            elif on_hold == 'cancel':
                self._decide(name, 'cancel')

    def stay(self, target: Float64Array, position: Float64Array) -> Float64Array:
        """The target (J,) with those that an action or service moves at `position` (J,)."""
        kept = target.copy()
        kept[self._acting_columns] = position[self._acting_columns]
        return kept

    def as_predicted(self, position: Float64Array, predicted: Float64Array) -> Float64Array:
        """The position (J,) with grippers where they were `predicted` (J,).

        What lies between where one stands and a prediction is none: it would open a gripper that
        holds something wide.
        """
        if not self.columns:
            return position
        joined = position.copy()
        joined[self.columns] = predicted[self.columns]
        return joined

    def decide(
        self,
        target: Float64Array,
        lower: Float64Array,
        upper: Float64Array,
        ramping: bool = False,
    ) -> Float64Array:
        """Return the target (J,) with every gripper at one of its two positions.

        Margins may have left less room between `lower` and `upper` (J,): then it stays there.
        """
        if not self.columns:
            return target
        wanted = target[self.columns]
        free = ~self._acting if ramping else True
        opens = (self._direction * (wanted - self._open_at) >= 0) & free
        closes = (self._direction * (wanted - self._close_at) <= 0) & free
        for place in np.flatnonzero(self._acting & (opens | closes)).tolist():
            self._decide(self._names[place], 'open' if opens[place] else 'closed')
        self.targets = np.where(opens, self._open, np.where(closes, self._closed, self.targets))
        decided = target.copy()
        decided[self.columns] = np.clip(self.targets, lower[self.columns], upper[self.columns])
        return decided

    def _decide(self, name: str, decision: Decision) -> None:
        before = self.decided[name]
        opened = decision == 'open' and before.decision == 'release'
        if decision != before.decision and not opened:
            self.decided[name] = Decided(before.number + 1, decision)
