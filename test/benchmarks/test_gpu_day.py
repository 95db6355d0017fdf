# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/on_gpu.sh in two calls: the second keeps what was found, and repeats no seed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from motion_policy.share import share_dir

FOLDER = share_dir() / 'benchmarks' / 'gpu_day'
Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls it with stages that find what they are told, or fail; returns the summary."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    import day

    monkeypatch.setenv('OUT', str(tmp_path / 'out'))

    def called(*more: str, **found: Any) -> dict[str, Any]:
        for name, told in found.items():

            def stage(_: Any, told: Any = told) -> dict[str, Any]:
                if isinstance(told, Exception):
                    raise told
                return {'told': told}

            monkeypatch.setitem(day.STAGES, name, stage)
        words = ['--stages', ','.join(found), '--work', str(tmp_path / 'work'), *more]
        monkeypatch.setattr(sys, 'argv', ['day.py', *words])
        day.main()
        files = {path.name for path in (tmp_path / 'out').iterdir()}
        assert files == {'summary.json', 'table.md', 'log.txt'}
        summary: dict[str, Any] = json.loads((tmp_path / 'out' / 'summary.json').read_text())
        return summary

    return called


def test_a_second_call_keeps_what_the_first_found(call: Call, tmp_path: Path) -> None:
    call(machine='one', tests='two')
    summary = call(tests='three', training=RuntimeError('no room'))
    stages = summary['stages']
    told = {name: (found['state'], found.get('told')) for name, found in stages.items()}
    assert told == {
        'machine': ('done', 'one'),
        'tests': ('done', 'three'),
        'training': ('failed: no room', None),
    }
    table = (tmp_path / 'out' / 'table.md').read_text()
    assert all(f'| {name} | ' in table for name in told)


def test_what_was_done_is_not_lost_to_a_failure(call: Call) -> None:
    call(trials='87 of 100')
    summary = call(trials=RuntimeError('no GPU'))
    assert summary['stages']['trials']['told'] == '87 of 100'
    assert summary['not_done_again']['trials']['state'] == 'failed: no GPU'


def test_a_dry_run_is_not_mixed_with_a_real_one(call: Call) -> None:
    call('--dry-run', machine='a CPU')
    assert set(call(tests='two')['stages']) == {'tests'}


def test_demonstrations_of_a_second_call_have_seeds_that_no_other_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import day
    from plan import Plan

    begun: list[int] = []

    class Teachers(day.Day):
        """Its processes write what fixes an episode: the seed, and its number there."""

        stopped: tuple[int, ...] = ()

        def start(self, name: str, call: list[str]) -> subprocess.Popen[bytes]:
            given = dict(pairwise(call))
            seed, folder = int(given['--seed']), Path(given['--out'])
            begun.append(seed)
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(0 if seed in self.stopped else int(given['--episodes'])):
                (folder / f'episode_{number:06d}.hdf5').write_text(f'{seed} {number}')
            return subprocess.Popen(['true'])

    plan = Plan(dry=True, work=tmp_path, episodes=6, seconds=0.1)
    monkeypatch.setattr(Plan, 'cores', 3)
    teachers = Teachers(plan, tmp_path, tmp_path, time.monotonic() + 60)
    teachers.stopped = (0, 2)  # so two episodes are there, of seed 1
    assert day.demonstrations(teachers)['episodes'] == 2
    teachers.stopped = ()
    assert day.demonstrations(teachers)['episodes'] >= 6
    texts = [path.read_text() for path in plan.demonstrations.glob('*.hdf5')]
    assert len(set(texts)) == len(texts)
    assert len(set(begun)) == len(begun)
