# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Ends of recordings at random moments: what is intact after them, and what is recovered.

Processes that record in real time, with images, depth and a wrench, are killed, stopped and
killed, find their disk full or failing, or lose the power, after which a disk has what was brought
to it and any part of the rest. Then `check --repair` runs, and every row is compared with what was
fed. `--seconds 60` tries 300 ends.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from crash_campaign.campaign import jobs_of, run_jobs
from crash_campaign.judge import MOST_LOST_S, Found
from rich.console import Console
from rich.table import Table

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement

SUMMARY = 'ends of recordings at random moments: what is intact, what is recovered'
ENDS_PER_S = 5
SEED = 18


def lines(seconds: float, device: str) -> list[Line]:
    """One part: all kinds of ends."""
    return [lambda: run_campaign(max(20, round(ENDS_PER_S * seconds)))]


def run_campaign(ends: int) -> list[Measurement]:
    """Try so many ends, or a few more."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = list(run_jobs(jobs_of(ends, SEED), Path(folder), SEED))
    console = Console()
    rows = [_row(kind, found) for kind in dict.fromkeys(each.kind for each in found)]
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
    faults = [f'{each.kind}: {fault}' for each in found for fault in each.faults]
    for fault in faults:
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    lost = [one for each in found for one in each.lost_s]
    return [
        Measurement(
            what='ends after which something was wrong',
            ours=float(sum(bool(each.faults) for each in found)),
            reference=float(len(found)),
            reference_name='all ends',
            unit='ends',
            target=0.0,
            details={'kinds': rows, 'faults': faults, 'seconds': round(time.monotonic() - begin)},
        ),
        Measurement(
            what=f'recording lost before the end, the most of {len(lost)}',
            ours=max(lost, default=0.0),
            reference=MOST_LOST_S,
            reference_name='the most that may be lost',
            unit='s',
            target=1.0,
        ),
    ]


def _row(kind: str, found: Sequence[Found]) -> dict[str, object]:
    own = [each for each in found if each.kind == kind]
    lost = [one for each in own for one in each.lost_s] or [0.0]
    return {
        'end': kind,
        'ends': len(own),
        'finished': sum(each.finished for each in own),
        'recovered': sum(each.recovered for each in own),
        'without a row': sum(each.empty for each in own),
        'lost, median [s]': round(float(np.median(lost)), 2),
        '95 %': round(float(np.percentile(lost, 95)), 2),
        'most': round(max(lost), 2),
        'ends with a fault': sum(bool(each.faults) for each in own),
    }


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
