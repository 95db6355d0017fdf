# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`bench damaged`: a seeded sample of damaged inputs is read right or refused in one line."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from motion_policy.share import share_dir

sys.path.insert(0, str(share_dir() / 'benchmarks'))

from damage_campaign import trials
from damage_campaign.mutations import Mutation
from damage_campaign.reader import Reader
from damage_campaign.readers import READERS

pytestmark = pytest.mark.slow


def test_no_damaged_input_of_the_sample_does_harm(tmp_path: Path) -> None:
    # A process of its own: forks of one that holds a whole test run would weigh too much.
    done = subprocess.run(
        [
            sys.executable, str(share_dir() / 'benchmarks' / 'damaged.py'),
            '--seconds', '3.2', '--json', str(tmp_path / 'found.json'),
        ],
        capture_output=True, text=True, check=False, env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'found.json').read_text())['results']
    assert sum(line['reference'] for line in found) >= 300
    assert {line['what'] for line in found} == {reader.name for reader in READERS}
    # What makes the sources of other tools is found without pytest.
    assert 'bag of mcap, import' in {line['what'] for line in found}
    assert sum(line['ours'] for line in found) == 0, done.stdout
    assert all(line['outcomes'][trials.REFUSED] for line in found)


MUCH = 3 * 10**8  # bytes; more than the 200 MB that a test allows


def crash() -> int:
    os.abort()


def wait() -> int:
    time.sleep(60)
    return 0


def wait_a_little() -> int:
    time.sleep(0.5)
    return 0


def raise_an_error() -> int:
    raise KeyError('x')


def take_memory() -> int:
    return len(b'x' * MUCH) & 1


@pytest.mark.parametrize(
    ('call', 'outcome'),
    [
        (crash, trials.CRASH),
        (wait, trials.HANG),
        (raise_an_error, trials.TRACEBACK),
        (take_memory, trials.MEMORY),
        (lambda: 0, ''),
    ],
)
def test_what_a_process_does_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: object, outcome: str
) -> None:
    monkeypatch.setattr(trials, 'TIME_LIMIT_S', 2.0)
    monkeypatch.setattr(trials, 'MOST_KIB', trials.START_KIB + 200_000)
    # What this process once had, or has of a file, says nothing of what another one takes.
    once = b'x' * MUCH
    del once
    with (tmp_path / 'large').open('w+b') as file:
        file.truncate(MUCH)
        with mmap.mmap(file.fileno(), MUCH) as mapped:
            assert mapped.find(b'x') == -1
            assert trials._in_a_fork(call, tmp_path)[1] == outcome  # type: ignore[arg-type]


def test_a_process_that_waits_for_a_processor_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, 'TIME_LIMIT_S', 0.1)
    monkeypatch.setattr(trials, '_queued_s', lambda process: 1000.0)
    assert trials._in_a_fork(wait_a_little, tmp_path)[1] == ''


@pytest.mark.parametrize(
    ('text', 'outcome'),
    [
        ('whole', trials.RIGHT),
        ('changed', trials.WRONG),
        ('refuse', trials.REFUSED),
        ('silent', trials.UNCLEAR),
        ('half', trials.HALF),
    ],
)
def test_what_a_reader_makes_of_its_input_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, outcome: str
) -> None:
    def main(arguments: list[str]) -> int:
        source, out = Path(arguments[0]), Path(arguments[1])
        if arguments[0] == 'export':
            return 0
        if source.read_text() == 'refuse':
            os.write(1, b'error: refused')
        if source.read_text() == 'half':
            out.mkdir()
            (out / 'a.hdf5').touch()
        return int(source.read_text() in ('refuse', 'half', 'silent'))

    def make(folder: Path, episodes: Path, robot: Path) -> Path:
        (folder / 'input').write_text('whole')
        return folder / 'input'

    monkeypatch.setattr(trials, 'main', main)
    reader = Reader('r', make, lambda s, o, r: [str(s), str(o)], lambda s, o: s.read_text())
    change = Mutation('m', lambda path, random: path.write_text(text) and None)
    (trial,) = trials.Campaign(tmp_path, [reader], [change]).run(1)
    assert trial.outcome == outcome
