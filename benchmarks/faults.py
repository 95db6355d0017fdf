# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of cameras, joint states, policy, node and clock, injected while the arm moves.

The policy node is a process of its own; the arm is simulated in this one. Every command on the
wire is judged, and of trajectories the whole way between their points. Most faults meet a policy
of single rows in a thread of the node; others one of chunks in a process of its own, and an arm
that is sent whole chunks. A line's figure is how many injected faults broke a promise: 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# The parts of this benchmark lie in a folder beside it, which is no installed package.
sys.path.insert(0, str(Path(__file__).parent))

from fault_campaign.campaign import injections_in_full, run_campaign
from fault_campaign.catalogue import FAULTS
from fault_campaign.verdicts import Section, measurements, show

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Measurement

SUMMARY = 'commands of the policy node while faults are injected: within limits, held, named'
ROUNDS = 16  # more than 500 faults in all


def run(seconds: float) -> list[Measurement]:
    """Inject all kinds of faults in turn, `seconds` for each kind, in at most `ROUNDS` rounds."""
    sections: Sequence[Section] = run_campaign(FAULTS, ROUNDS, seconds)
    show(sections, injections_in_full(FAULTS, ROUNDS))
    return measurements(sections)


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
