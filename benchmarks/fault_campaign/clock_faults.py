# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of /clock."""

from __future__ import annotations

import time

import numpy as np

from fault_campaign.fault import Evidence, Fault, Inject, disables
from fault_campaign.harness import Harness

DIAGNOSED_S = 6.0
TICKS_CEASED = r'tick rate \[Hz\]=[0-5]\.'


def _jumps(by_s: float) -> Inject:
    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        known_ns = harness.scene.jump(round(by_s * 1e9))
        harness.spin(0.05)
        return Evidence(begin_ns, known_ns, known_ns)

    return inject


def _stands(harness: Harness, _rng: np.random.Generator) -> Evidence:
    # The last halt of the clock may be told still.
    harness.spin_until(lambda: not harness.journal.shows_now(TICKS_CEASED), DIAGNOSED_S)
    begin_ns = time.time_ns()
    harness.scene.clock_stands = True
    harness.spin(0.05)
    known_ns = time.time_ns()
    # Diagnostics come once a second, and tell the mean over that second.
    harness.spin_until(lambda: harness.journal.shows(TICKS_CEASED, begin_ns), DIAGNOSED_S)
    over_ns = time.time_ns()
    harness.scene.clock_stands = False
    return Evidence(begin_ns, known_ns, over_ns)


def _jump(name: str, by_s: float) -> Fault:
    way = 'ahead' if by_s > 0 else 'back'
    named = rf'(brake|disabled): .*clock: jumped \d+\.\d+ s {way}'
    return disables(f'clock: {name}', 'clock', named, _jumps(by_s))


CLOCK_FAULTS = (
    _jump('5 s ahead', 5.0),
    _jump('0.7 s ahead', 0.7),
    _jump('5 s back', -5.0),
    _jump('0.05 s back', -0.05),
    Fault('clock: 0.3 s at once', 'clock', 'limits', '', _jumps(0.3), 'either'),
    Fault('clock: stands still', 'clock', 'silence', TICKS_CEASED, _stands, 'either', every=2),
)
