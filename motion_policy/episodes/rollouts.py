# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts: episodes that a policy drove, in which a person may have taken over.

Such an episode has `/intervention` and `/policy_action`; one without is a demonstration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RolloutRow:
    """Who drove in a row of a rollout.

    `intervention`: a person, whose command is the action of the row. `policy_action` (J,) is what
    the policy had for it; None: nothing.
    """

    intervention: bool
    policy_action: Float64Array | None = None


@dataclass(frozen=True)
class Interventions:
    """How often people took over in rollouts, and for how long."""

    rollouts: int
    rows: int
    human_rows: int
    count: int
    minutes: float

    @property
    def per_minute(self) -> float:
        """How often a person took over per minute."""
        return self.count / self.minutes

    @property
    def share(self) -> float:
        """The share of rows in which a person drove."""
        return self.human_rows / self.rows

    def to_json(self) -> dict[str, Any]:
        """Every number as a plain value."""
        return {
            'rollouts': self.rollouts,
            'rows': self.rows,
            'human_rows': self.human_rows,
            'human_share': self.share,
            'minutes': self.minutes,
            'interventions': self.count,
            'interventions_per_minute': self.per_minute,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Interventions:
        """Those that `to_json` told."""
        return cls(
            rollouts=told['rollouts'],
            rows=told['rows'],
            human_rows=told['human_rows'],
            count=told['interventions'],
            minutes=told['minutes'],
        )

    def __str__(self) -> str:
        times = f'{self.count} intervention' + 's' * (self.count != 1)
        return (
            f'{times}, {self.per_minute:.1f} per minute; a person drove in '
            f'{100 * self.share:.0f} % of the rows'
        )


def starts_of(intervention: BoolArray) -> npt.NDArray[np.intp]:
    """The rows (n,) at which a person took over, of (T,)."""
    return np.flatnonzero(intervention & ~np.concatenate(([False], intervention[:-1])))


def interventions_of(intervention: BoolArray, rate_hz: float) -> Interventions:
    """Those of one rollout, of where a person drove (T,)."""
    rows = len(intervention)
    human, count = int(intervention.sum()), len(starts_of(intervention))
    return Interventions(1, rows, human, count, rows / rate_hz / 60)


def all_interventions(each: Iterable[Interventions | None]) -> Interventions | None:
    """Those of all rollouts among episodes; None where there are none."""
    known = [one for one in each if one is not None]
    if not known:
        return None
    return Interventions(
        rollouts=sum(one.rollouts for one in known),
        rows=sum(one.rows for one in known),
        human_rows=sum(one.human_rows for one in known),
        count=sum(one.count for one in known),
        minutes=sum(one.minutes for one in known),
    )
