# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Who drove in each row of a rollout: messages of a policy node beside the commands of the rows.

Rule: of each command it says, in messages of the same moment, whether a person made it and what
the policy wanted. So a row has what was said with its own action, whenever the row is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.rollouts import RolloutRow
from motion_policy.robot import RobotSpec
from motion_policy.streams import Row

KEPT_NS = 30_000_000_000  # longer than rows may be behind
LATE_PERIODS, LATE_NS = 5, 100_000_000  # both, after a command: longer its node is not held up
NOBODY = RolloutRow(False)


class _Said:
    """What was said of late, and when that was received."""

    def __init__(self) -> None:
        self._said: deque[tuple[int, Any]] = deque()

    def add(self, receive_ns: int, what: Any) -> None:
        said = self._said
        while said and not 0 <= receive_ns - said[0][0] <= KEPT_NS:
            said.popleft()
        said.append((receive_ns, what))

    def of(self, sent_ns: int, near_ns: int, latest_ns: int) -> Any:
        """What was said of a command that was received at `sent_ns`; None.

        It is sent right after the command, before the next one, and comes later if its node is
        held up. Where the times are those of a busy receiver it may seem to come sooner, but not
        by `near_ns`.
        """
        after = before = None
        for receive_ns, what in reversed(self._said):
            if receive_ns < sent_ns:
                before = what if sent_ns - receive_ns <= near_ns else None
                break
            after = receive_ns, what
        if after is not None and after[0] - sent_ns <= near_ns:
            return after[1]
        if before is not None:
            return before
        return after[1] if after is not None and after[0] - sent_ns <= latest_ns else None


class RolloutMessages:
    """Pairs them with rows, each in turn.

    Attributes:
        unsaid: rows so far with a command of which nobody said who made it.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._names = robot.joints.names
        self._streams = [name for name, _ in robot.joint_streams('leader')]
        self._near_ns = robot.period_ns // 2
        self._latest_ns = max(LATE_PERIODS * robot.period_ns, LATE_NS)
        self._persons, self._actions = _Said(), _Said()
        self._last: tuple[int, RolloutRow] | None = None
        self.unsaid = 0

    def add_intervention(self, by_a_person: bool, receive_ns: int) -> None:
        """Take that a command of this moment was a person's, or not."""
        self._persons.add(receive_ns, by_a_person)

    def add_policy_action(
        self, names: Sequence[str], positions: Sequence[float], receive_ns: int
    ) -> None:
        """Take what the policy wanted then, by joint; ValueError if a joint is not among them."""
        by_name = dict(zip(names, positions, strict=True))
        lacking = [name for name in self._names if name not in by_name]
        if lacking:
            raise ValueError(f"lacks joint '{lacking[0]}'")
        action = np.array([by_name[name] for name in self._names], dtype=np.float64)
        self._actions.add(receive_ns, action)

    @property
    def odd_lines(self) -> list[str]:
        """A line where it is not known who made the commands of some rows."""
        if not self.unsaid:
            return []
        return [f'{self.unsaid} rows have commands of which the policy did not say who made them']

    def begin(self) -> None:
        """A recording begins: count anew."""
        self.unsaid = 0

    def of(self, row: Row) -> RolloutRow:
        """Who drove in a row: with the newest of its commands, or, where none is recorded, then.

        Rows come one after the other; what a command was does not change any more.
        """
        times = [row.samples[name].receive_ns for name in self._streams if name in row.samples]
        sent_ns = max(times, default=row.time_ns - self._near_ns)
        if self._last is not None and self._last[0] == sent_ns:
            driven = self._last[1]
        else:
            driven = self._said_at(sent_ns)
            self._last = sent_ns, driven
        self.unsaid += bool(times) and driven is NOBODY
        return driven

    def _said_at(self, time_ns: int) -> RolloutRow:
        by_a_person = self._persons.of(time_ns, self._near_ns, self._latest_ns)
        action: npt.NDArray[np.float64] | None = self._actions.of(
            time_ns, self._near_ns, self._latest_ns
        )
        if by_a_person is None and action is None:
            return NOBODY
        return RolloutRow(bool(by_a_person), action)
