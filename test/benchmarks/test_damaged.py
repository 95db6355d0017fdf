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
from collections.abc import Callable
from pathlib import Path

import pytest

from motion_policy.share import share_dir

sys.path.insert(0, str(share_dir() / 'benchmarks'))

from damage_campaign import process, trials
from damage_campaign.mutations import Mutation
from damage_campaign.process import ReadingProcess
from damage_campaign.reader import Reader
from damage_campaign.readers import READERS

pytestmark = pytest.mark.slow


def test_no_damaged_input_of_the_sample_does_harm(tmp_path: Path) -> None:
    # A process of its own: forks of one that holds a whole test run would weigh too much.
    done = subprocess.run(
        [
            sys.executable, str(share_dir() / 'benchmarks' / 'damaged.py'),
            '--seconds', '1.5', '--json', str(tmp_path / 'found.json'),
        ],
        capture_output=True, text=True, check=False, env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'found.json').read_text())['results']
    assert sum(line['reference'] for line in found) >= 140
    assert {line['what'] for line in found} == {reader.name for reader in READERS}
    # What makes the sources of other tools is found without pytest.
    assert 'bag of mcap, import' in {line['what'] for line in found}
    assert sum(line['ours'] for line in found) == 0, done.stdout
    assert all(line['outcomes'][trials.REFUSED] for line in found)


MUCH = 10**8  # bytes; more than the 60 MB that a test allows


def take_memory() -> None:
    # From the kernel: malloc may have kept what an earlier test gave back.
    with mmap.mmap(-1, MUCH, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        taken[:: mmap.PAGESIZE] = b'x' * -(-MUCH // mmap.PAGESIZE)


def raise_an_error() -> None:
    raise KeyError('x')


@pytest.mark.parametrize(
    ('call', 'outcome'),
    [
        (os.abort, trials.CRASH),
        (lambda: time.sleep(60), trials.HANG),
        (raise_an_error, trials.TRACEBACK),
        (take_memory, trials.MEMORY),
        (sys.exit, ''),
        (lambda: None, ''),
    ],
)
def test_what_a_call_does_to_its_process_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object], outcome: str
) -> None:
    monkeypatch.setattr(process, 'TIME_LIMIT_S', 2.0)
    monkeypatch.setattr(process, 'MOST_KIB', process.START_KIB + 60_000)
    # What this process once had, or has of a file, says nothing of what another one takes.
    take_memory()
    with (tmp_path / 'large').open('w+b') as file:
        file.truncate(MUCH)
        with mmap.mmap(file.fileno(), MUCH) as mapped:
            assert mapped.find(b'x') == -1
            reading = ReadingProcess(lambda number: (take_memory, call)[number]())
            # Nor does what an earlier call took.
            found = [reading.run(one, tmp_path / 'printed')[1] for one in (0, 1)]
            reading.end()
            assert found == [trials.MEMORY, outcome]


def test_a_process_that_waits_for_a_processor_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, 'TIME_LIMIT_S', 0.1)
    monkeypatch.setattr(process, '_queued_s', lambda number: time.monotonic())
    reading = ReadingProcess(time.sleep)
    assert reading.run(0.5, tmp_path / 'printed')[1] == ''
    reading.end()


def text_file(folder: Path, episodes: Path, robot: Path) -> Path:
    (folder / 'input').write_text('whole')
    return folder / 'input'


TEXT_READER = Reader(
    'text', text_file, lambda s, o, r: [str(s), str(o)], lambda s, o: s.read_text()
)


def changed_to(text: str, detectable: bool = True) -> Mutation:
    return Mutation(
        text, lambda path, random: path.write_text(text) and None, detectable=detectable
    )


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
        if source.read_text() == 'refuse':
            os.write(1, b'error: refused')
        if source.read_text() == 'half':
            out.mkdir()
            (out / 'a.hdf5').touch()
        return int(source.read_text() in ('refuse', 'half', 'silent'))

    monkeypatch.setattr(trials, 'main', main)
    (trial,) = trials.Campaign(tmp_path, TEXT_READER, [changed_to(text)]).run(1)
    assert trial.outcome == outcome


def test_harm_counts_against_the_input_that_does_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []  # by one process

    def main(arguments: list[str]) -> int:
        read.append(Path(arguments[0]).read_text())
        if read[-1] == 'abort' or (read[-1] == 'abort after another' and read[:-1]):
            os.abort()
        return 0

    outcomes = {
        'abort': trials.CRASH,
        'other': trials.CHANGED,
        'abort after another': trials.CHANGED,
    }
    monkeypatch.setattr(trials, 'main', main)
    changes = [changed_to(text, detectable=False) for text in outcomes]
    found = [*trials.Campaign(tmp_path, TEXT_READER, changes).run(12)]
    assert [trial.outcome for trial in found] == [outcomes[trial.mutation] for trial in found]
    assert [trial.seed for trial in found] == [*range(12)]
