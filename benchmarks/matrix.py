# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every way in which joints come and commands leave, with and without more that is sensed.

Each cell is a robot of its own, whose driver a rehearsal stands in for, over DDS: an episode is
recorded while it is guided, imported from a bag of the same messages and compared bit for bit, a
policy with all that is sensed is trained for a step, and drives the arm, which feels every limit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from signal_matrix.cells import Cell, all_cells
from signal_matrix.trial import run_cell

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement

SUMMARY = 'joint states, commands and signals of every kind: recorded, imported, trained, driven'
LONGEST_S = 2.0  # that an arm is recorded and driven


def lines(seconds: float, device: str, cells: Sequence[Cell] = ()) -> list[Line]:
    """One part for each cell: 81, of 25 s each; `seconds` up to 2 of recording and driving."""
    return [partial(_try, cell, min(seconds, LONGEST_S)) for cell in cells or all_cells()]


def _try(cell: Cell, seconds: float) -> Iterator[Measurement]:
    found = run_cell(cell, seconds)
    yield Measurement(
        what=str(cell),
        # None has no ratio: one more is counted on both sides.
        ours=len(found.broken) + 1,
        reference=1,
        reference_name='nothing is wrong',
        unit='+ 1, what is wrong',
        target=1.0,
        details={
            'rows': found.rows,
            'values_compared': found.values,
            'commands': found.commands,
            'wrong': list(found.broken),
        },
    )


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
