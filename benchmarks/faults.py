# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of arm, sensors, gripper, policy, node, switches, clocks and people in motion.

The policy node is a process of its own; the arm is simulated in this one. Every command on the
wire is judged in true time, and of trajectories the whole way between their points. Most faults
meet a policy of single rows in a thread of the node; others one of chunks in a process of its
own, and an arm that is sent whole chunks. A line's figure is how many injected faults broke a
promise: 0.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from fault_campaign.campaign import injections_in_full, run_section, sections_of
from fault_campaign.catalogue import FAULTS
from fault_campaign.setups import Where
from fault_campaign.verdicts import measurements, show

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement

SUMMARY = 'commands of the policy node while faults are injected: within limits, held, named'
ROUNDS = 10  # more than 1000 faults in all


def lines(seconds: float, device: str) -> list[Line]:
    """One part for each harness: its kinds of faults in turn, `seconds` for each."""
    return [lambda where=where: _section(where, seconds) for where in sections_of(FAULTS)]


def _section(where: Where, seconds: float) -> Iterator[Measurement]:
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # by nohup; the node would inherit that
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    section = run_section(where, FAULTS, ROUNDS, seconds)
    kinds = [fault for fault in FAULTS if fault.where == where]
    show([section], injections_in_full(kinds, ROUNDS))
    yield from measurements([section])
    if section.interrupted is not None:
        raise section.interrupted


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
