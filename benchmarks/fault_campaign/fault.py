# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Types of a kind of fault and of a fault that was injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fault_campaign.harness import Harness
from fault_campaign.setups import Where

Must = Literal['hold', 'disable', 'go on', 'silence', 'limits']
Recovery = Literal['itself', 'operator', 'either']
HOLDS_S = 1.0  # the default of `auto_resume`
LASTING_S = (0.25, 0.5)  # of a fault that heals, from when it can be known


@dataclass(frozen=True)
class Evidence:
    """What was done, in system time; `known_ns` is None where nothing could be known.

    `known_ns` is when the node could know at the earliest: the last good sample got too old, the
    bad message was sent, the bad image was looked at. `problem` is what else went wrong. An arm
    that stopped for want of a core asks its policy for nothing: no fault `took_place` then.
    """

    injected_ns: int
    known_ns: int | None
    over_ns: int
    problem: str = ''
    took_place: bool = True


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: what is said of it in tables.
        where: which harness it needs.
        must: 'hold': brake in time, stand while it lasts. 'disable': the same, then silence until
            `~/enable`, although the fault is over. 'go on': stay within all limits, and run.
            'silence': no command while it lasts. 'limits': stay within all limits.
        named: regular expression that the log, or `key=value` of a diagnostic, must match; ''
            where nobody is left to name it.
        inject: brings it about and ends it.
        recovery: who lets the arm go on: 'itself', 'operator' by `~/enable`, or 'either'.
        every: it comes in each so many-th round, for it takes long.
        holds_s: how long the arm may hold before the commands end, if it must 'disable'.
        leads_away: whether the arm may be anywhere afterwards, and is put back.
    """

    name: str
    where: Where
    must: Must
    named: str
    inject: Callable[[Harness, np.random.Generator], Evidence]
    recovery: Recovery = 'itself'
    every: int = 1
    holds_s: float = 0.0
    leads_away: bool = False


Inject = Callable[[Harness, np.random.Generator], Evidence]


def disables(
    name: str, where: Where, named: str, inject: Inject, every: int = 1, holds_s: float = 0.0
) -> Fault:
    """A fault after which nothing moves until somebody asks for it."""
    return Fault(name, where, 'disable', named, inject, 'operator', every, holds_s)


def lasting_ns(rng: np.random.Generator) -> int:
    """How long a fault that heals lasts, from when it can be known."""
    return round(rng.uniform(*LASTING_S) * 1e9)
