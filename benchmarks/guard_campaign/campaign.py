# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs `ControllerMachine` in batches, each with a seed of its own: any can be repeated."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from guard_campaign import machine
from guard_campaign.machine import ControllerMachine

RUNS_PER_BATCH, STEPS_PER_RUN = 100, 40


@dataclass
class Campaign:
    """What was tried, and which batches found a broken promise, with the shortest way to it."""

    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    broken: dict[int, str] = field(default_factory=dict)


def run_batch(
    number: int,
    runs: int = RUNS_PER_BATCH,
    shortest: bool = True,
    kind: type[ControllerMachine] = ControllerMachine,
) -> None:
    """Run one batch of a `kind`; AssertionError with the `shortest` way to a broken promise."""
    phases = [Phase.generate, *([Phase.shrink] if shortest else [])]
    options = settings(
        max_examples=runs,
        stateful_step_count=STEPS_PER_RUN,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(kind), settings=options)


def run_campaign(
    ticks: int, seconds: float, kind: type[ControllerMachine] = ControllerMachine
) -> Campaign:
    """Run batches of a `kind` until so many ticks were judged, or for so long."""
    campaign, begin, number = Campaign(), time.monotonic(), 0
    machine.COUNTS.clear()
    while machine.COUNTS['ticks'] < ticks and time.monotonic() - begin < seconds:
        try:
            run_batch(number, kind=kind)
        except AssertionError as error:
            campaign.broken[number] = '\n'.join([str(error), *getattr(error, '__notes__', [])])
        number += 1
    campaign.seconds = time.monotonic() - begin
    campaign.counts = Counter(machine.COUNTS)
    return campaign
