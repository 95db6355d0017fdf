# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`bench crashes`: recordings end in real processes, and its judge finds what is wrong."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from crash_campaign.feeding import SECOND_NS, Feeding
from crash_campaign.judge import Ended, judge

from motion_policy.share import share_dir

pytestmark = pytest.mark.slow

FIRST, SECOND = 'episode_000000.hdf5', 'episode_000001.hdf5'
# As a process of its own, which has no threads when it forks.
SMALL = """
import sys
from pathlib import Path
from crash_campaign.campaign import Job, run_jobs
kinds = ('killed', 'full', 'cut')
for found in run_jobs([Job(kind, 5) for kind in kinds], Path(sys.argv[1]), 2):
    # A busy machine may take longer.
    faults = [each for each in found.faults if not each.endswith((' late', ' s'))]
    print(found.kind, found.recovered + found.empty + found.finished > 0, faults)
"""


def test_ends_of_real_processes_leave_what_was_recorded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, '-c', SMALL, str(tmp_path)],
        cwd=share_dir() / 'benchmarks', capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 12 and all(line.endswith(' []') for line in lines), done.stdout
    assert sum(' True ' in line for line in lines) > 3
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope='module')
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """What a process leaves that is killed in its second recording."""
    folder, told = tmp_path_factory.mktemp('recorded'), []
    fed = [0]

    def feed_up_to(now_ns: int) -> None:
        fed[0] = now_ns

    random = np.random.default_rng(4)
    feeding = Feeding(folder, random, lambda *what: told.append(what), feed_up_to)
    feeding.run(time.time_ns() + 3 * SECOND_NS)
    left = tmp_path_factory.mktemp('left') / 'data'
    left.mkdir()
    for name in (FIRST, f'{SECOND}.part', f'{SECOND}.part.wal'):  # a log is newer than its file
        shutil.copy(folder / name, left / name)
    feeding.recorder.close()
    assert [what[0] for what in told] == ['started', 'stopping', 'finished', 'started']
    return Ended('SIGKILL', left, fed[0], told)


def copied(ended: Ended, folder: Path) -> Ended:
    shutil.copytree(ended.folder, folder / 'data')
    return replace(ended, folder=folder / 'data')


def test_what_is_right_is_found_right(ended: Ended, tmp_path: Path) -> None:
    found = judge(copied(ended, tmp_path))
    assert found.faults == []
    assert (found.finished, found.recovered, found.empty) == (1, 1, 0)
    assert 0.0 < found.lost_s[0] <= 1.0


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def change_a_value(folder: Path) -> None:
    with h5py.File(folder / FIRST, 'r+') as file:
        file['observations/qpos'][3, 1] += np.float32(1e-6)


def change_a_stamp(folder: Path) -> None:
    with h5py.File(folder / FIRST, 'r+') as file:
        file['stamps/side/header_ns'][7] -= 40_000_000
        file['stamps/side/age_ns'][7] += 40_000_000


DEFECTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    'one bit': (lambda folder: flip(folder / FIRST, 5000), 'finished, and another one now'),
    'gone': (lambda folder: (folder / FIRST).unlink(), 'finished, and gone'),
    'a value': (change_a_value, 'qpos is wrong'),
    'an image': (change_a_stamp, 'side is wrong in row 7'),
    'no superblock': (lambda folder: blank(folder / f'{SECOND}.part.wal'), 'lost'),
    'a bit of a part': (lambda folder: flip(folder / f'{SECOND}.part', 60), 'cannot be repaired'),
    'a name': (lambda folder: (folder / 'episode_000001.hdf5.tmp').touch(), 'nobody knows'),
    'no part': (lambda folder: (folder / f'{SECOND}.part').unlink(), 'a log of nothing'),
}


@pytest.mark.parametrize('defect', DEFECTS)
def test_a_defect_that_was_put_in_is_found(ended: Ended, tmp_path: Path, defect: str) -> None:
    change, expected = DEFECTS[defect]
    one = copied(ended, tmp_path)
    if defect == 'no superblock':  # without its log the file is as it was before the change
        blank(one.folder / f'{SECOND}.part')
    change(one.folder)
    if defect in ('a value', 'an image'):
        digest = hashlib.sha256((one.folder / FIRST).read_bytes()).hexdigest()
        told = [(*what[:2], digest) if what[0] == 'finished' else what for what in one.told]
        one = replace(one, told=told)
    assert any(expected in fault for fault in judge(one).faults)


def test_what_comes_too_late_and_lines_that_are_none_are_found(
    ended: Ended, tmp_path: Path
) -> None:
    told = [*ended.told, ('refused', 'Traceback (most recent call last):\n ...')]
    late = replace(copied(ended, tmp_path), end_ns=ended.end_ns + 2 * SECOND_NS, told=told)
    faults = judge(late).faults
    assert any(f'{SECOND}: lost 2.' in fault for fault in faults)
    assert any('no clear line' in fault for fault in faults)
