# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile inputs: each command that reads files against each way to damage one.

A process reads one input after the other until one does harm, which counts if it does so to a
process of its own too. Each may be read right or refused in one line; a line's figure is how many
inputs led to anything else (a traceback, a crash, a hang, too much memory, wrong numbers, half an
output): 0. `--seconds 50` tries 5,000 inputs, others in proportion, as many at once as there are
processors.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from damage_campaign.reader import Reader
from damage_campaign.readers import READERS
from damage_campaign.trials import CHANGED, FAILURES, OUTCOMES, Trial, all_readers, table
from rich.console import Console
from rich.table import Table

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement

SUMMARY = 'damaged and hostile inputs: read right or refused in one line'
TRIALS_PER_S = 100  # of all readers
SEED = 7
TABLE_WIDTH = 180


def lines(seconds: float, device: str) -> list[Line]:
    """One part: all readers, each with its share of the inputs."""
    return [lambda: _campaign(max(1, round(TRIALS_PER_S * seconds / len(READERS))))]


def _campaign(count: int) -> Iterator[Measurement]:
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        found = all_readers(Path(folder), count, SEED)
        for reader, of_reader in zip(READERS, found, strict=True):
            trials += of_reader
            yield _measured(reader, of_reader)
    for by in ('reader', 'mutation'):
        console.print(_table(by, trials))
    for trial in trials:
        if trial.outcome in FAILURES:
            line = ' '.join(trial.words.split())[-200:]
            named = f'{trial.outcome}: {trial.reader}; {trial.mutation}; seed {trial.seed}; {line}'
            console.print(named, markup=False)


def _measured(reader: Reader, trials: Sequence[Trial]) -> Measurement:
    counts = Counter(trial.outcome for trial in trials)
    return Measurement(
        what=reader.name,
        ours=float(sum(counts[one] for one in FAILURES)),
        reference=float(len(trials)),
        reference_name='inputs tried',
        unit='inputs that ended otherwise than right or refused in one line',
        target=0.0,
        details={
            'outcomes': {one: counts[one] for one in OUTCOMES},
            'failed': _named(trials, FAILURES),
            'changed': _named(trials, (CHANGED,)),
        },
    )


def _named(trials: Sequence[Trial], outcomes: Sequence[str]) -> list[list[Any]]:
    found = [trial for trial in trials if trial.outcome in outcomes]
    return [[trial.mutation, trial.seed, trial.outcome] for trial in found]


def _table(by: str, trials: Sequence[Trial]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style='bold')
    drawn.add_column(by)
    for outcome in OUTCOMES:
        drawn.add_column(outcome, justify='right')
    for name, counts in [*table(trials, by), ('all', Counter(t.outcome for t in trials))]:
        drawn.add_row(name, *(str(counts.get(outcome, 0) or '-') for outcome in OUTCOMES))
    return drawn


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
