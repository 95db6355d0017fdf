# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How many defects of demonstrations are told, and how many clean demonstrations are doubted.

Scripted teachers record three sets in simulation; copies of their files get every kind of defect
in five strengths. Everything is judged as `motion-policy check` judges it.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from quality_campaign.campaign import defect_rows, false_alarms, judge_clean, judge_defects
from quality_campaign.defects import DEFECTS
from quality_campaign.demonstrations import PATTERNED, SCENES, teach
from rich.console import Console
from rich.table import Table

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement

SUMMARY = 'verdicts on demonstrations: defects that are missed, clean ones that are doubted'
IN_FULL, FEWEST = 20, 9  # episodes of each of the three sets
S_PER_EPISODE = 3.0
SEED = 11
MISSED, DOUBTED = 0.1, 0.1  # shares that are borne


def lines(seconds: float, device: str) -> list[Line]:
    """One part; 20 episodes of each set from 60 s on, fewer below."""
    return [lambda: run_campaign(max(FEWEST, min(IN_FULL, round(seconds / S_PER_EPISODE))))]


def run_campaign(episodes: int, defects: int = len(DEFECTS)) -> list[Measurement]:
    """Teach so many episodes of each set, judge them and so many kinds of defects."""
    begin = time.monotonic()
    with TemporaryDirectory() as folder:
        sets = {name: teach(Path(folder), name, episodes, SEED) for name in SCENES}
        clean = {}
        for each in sets.values():
            clean |= judge_clean(each)
        work = Path(folder) / 'damaged'
        told = judge_defects(sets[PATTERNED], work, SEED, DEFECTS[:defects])
    rows, alarms = defect_rows(told), false_alarms(clean)
    _show(rows, alarms, len(clean))
    missed = [each for each in told if each.level == 'pass']
    levels = Counter(verdicts[0].level if verdicts else 'pass' for verdicts in clean.values())
    return [
        Measurement(
            what=f'defects missed, {len(rows)} kinds in 5 strengths',
            ours=float(len(missed)),
            reference=float(len(told)),
            reference_name='all defects',
            unit='defects',
            target=MISSED,
            details={
                'by_kind': [
                    {'defect': name, 'check': kind, 'strengths': words, 'told': n, 'failed': f}
                    for name, kind, words, n, f in rows
                ],
                'missed': [f'{each.defect} {each.strength:g}: {each.sentence}' for each in missed],
                'told_by_others_too': dict(Counter(k for each in told for k in each.others)),
            },
        ),
        Measurement(
            what='clean demonstrations doubted',
            ours=float(levels['warn'] + levels['fail']),
            reference=float(len(clean)),
            reference_name='all clean demonstrations',
            unit='episodes with a warn or a fail',
            target=DOUBTED,
            details={
                'failed': levels['fail'],
                'by_check': alarms,
                'sentences': {
                    path: [each.line() for each in verdicts]
                    for path, verdicts in clean.items()
                    if verdicts
                },
                'seconds': round(time.monotonic() - begin),
            },
        ),
    ]


def _show(
    rows: list[tuple[str, str, str, int, int]], alarms: dict[str, dict[str, int]], clean: int
) -> None:
    console = Console()
    table = Table('defect', 'check', 'strengths', 'told', 'fail', 'clean doubted', box=None)
    for name, kind, words, told, failed in rows:
        doubted = sum(alarms.get(kind, {}).values())
        table.add_row(name, kind, words, f'{told} of 5', f'{failed}', f'{doubted} of {clean}')
    console.print(table)


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
