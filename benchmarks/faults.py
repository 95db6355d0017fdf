# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of cameras, joint states, policy, node and clock, injected while the arm moves.

The policy node is a process of its own; the arm is simulated in this one. Every command on the
wire is judged. A line's figure is the share of injected faults with any broken promise: 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# The parts of this benchmark lie in a folder beside it, which is no installed package.
sys.path.insert(0, str(Path(__file__).parent))

from fault_campaign.campaign import run_campaign
from fault_campaign.catalogue import FAULTS
from fault_campaign.verdicts import Section, measurements, show

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Measurement

SUMMARY = 'commands of the policy node while faults are injected: within limits, held, named'
ROUNDS = 20  # of every kind of fault, in full: more than 500 in all


def run(seconds: float) -> list[Measurement]:
    """Inject every kind of fault in turn, `seconds` for each kind, at most `ROUNDS` times."""
    sections: Sequence[Section] = run_campaign(FAULTS, ROUNDS, seconds)
    show(sections, ROUNDS * len(FAULTS))
    return measurements(sections)


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
