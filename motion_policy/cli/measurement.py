# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Result of a benchmark: ours against a named reference, measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

GPU = 'cuda'


@dataclass(frozen=True)
class Measurement:
    """One line of a benchmark; for every quantity here, less is better.

    Attributes:
        what: what was measured, of what size.
        ours, reference: the two values in `unit`.
        reference_name: what the reference is.
        unit: unit of both, and how they were taken.
        target: the greatest ratio ours / reference that meets the goal.
        details: figures beside it.
    """

    what: str
    ours: float
    reference: float
    reference_name: str
    unit: str
    target: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Ours / reference."""
        return self.ours / self.reference

    @property
    def met(self) -> bool:
        """Whether the ratio keeps the target."""
        return self.ratio <= self.target

    def to_json(self) -> dict[str, Any]:
        """The measurement as plain values."""
        return {
            'what': self.what,
            'ours': self.ours,
            'reference': self.reference,
            'unit': self.unit,
            'ratio': self.ratio,
            'target': self.target,
            'met': self.met,
            'reference_name': self.reference_name,
            **self.details,
        }


# One part of a benchmark: measures when it is called.
Line = Callable[[], Iterable[Measurement]]
