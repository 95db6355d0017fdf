# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A power cut takes at most the last second of a recording, whatever becomes of late writes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import recordings
from crash_campaign.power_cut import DiskTrace

from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    repair,
)
from motion_policy.episodes.hdf5.write_ahead import WriteAheadLog, log_path, read_log
from motion_policy.robot import RobotSpec

pytestmark = pytest.mark.slow

ROWS = 110
CUTS = 12
NAME = 'episode_000000.hdf5'


def robot() -> RobotSpec:
    return recordings.robot_with_leader('small', ['a', 'b', 'c'], ['top'], 32, 64, 50.0)


def record(folder: Path, trace: DiskTrace, compress: bool) -> None:
    """Write an episode; how many rows it has is noted after each."""
    of = robot()
    with trace.watching(), EpisodeWriter(folder / NAME, of, compress=compress) as writer:
        for index in range(ROWS):
            row = recordings.row_at(index, of)
            writer.append(row.time_ns, recordings.observation(index, of), row)
            trace.note(index + 1)


def rows_left(folder: Path, compress: bool) -> int:
    """How many rows can be recovered, all of which are right."""
    part, path, of = folder / f'{NAME}.part', folder / NAME, robot()
    if not path.exists():
        if not part.exists():
            return 0
        try:
            assert repair(part).path == path
        except EpisodeError as error:
            assert 'holds no whole row' in str(error), error
            return 0
    assert not part.exists()
    with EpisodeReader(path) as episode:
        for index in range(episode.length):
            expected = recordings.observation(index, of)
            np.testing.assert_array_equal(episode.qpos[index], expected.qpos)
            np.testing.assert_array_equal(episode.action[index], expected.action)
            for camera in of.cameras:
                found = episode.image(camera, index).astype(int)
                assert np.abs(found - expected.images[camera]).max() <= (24 if compress else 0)
        return episode.length


@pytest.mark.parametrize('compress', [True, False])
def test_a_power_cut_takes_no_more_than_the_last_second(tmp_path: Path, compress: bool) -> None:
    folder = tmp_path / 'disk'
    folder.mkdir()
    trace = DiskTrace(folder)
    record(folder, trace, compress)
    random = np.random.default_rng(3)
    rate = robot().rate
    for number, moment in enumerate(random.integers(0, len(trace.events) + 1, CUTS)):
        left = tmp_path / f'left_{number}'
        trace.left_at(int(moment), random, left)
        written = trace.noted(int(moment)) or 0
        assert rows_left(left, compress) >= written - rate


def test_without_syncs_the_power_cut_takes_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of these tests is one that forgets: else they would hold of any recorder."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    monkeypatch.setattr(os, 'fdatasync', lambda _descriptor: None)
    trace = DiskTrace(folder)
    monkeypatch.setattr(trace, '_sync', lambda _do, _descriptor: None)
    record(folder, trace, True)
    random = np.random.default_rng(3)
    lost = 0
    for number in range(6):
        left = tmp_path / f'left_{number}'
        trace.left_at(len(trace.events) - 20, random, left)
        part = left / f'{NAME}.part'
        try:
            lost += not part.exists() or repair(part).rows < ROWS - 50
        except EpisodeError:
            lost += 1
    assert lost > 3


def test_a_disk_that_takes_its_time_holds_up_no_row_of_a_live_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, released = os.fdatasync, threading.Event()

    def slow(descriptor: int) -> None:
        released.wait()
        sync(descriptor)

    monkeypatch.setattr(os, 'fdatasync', slow)
    of = robot()
    writer = EpisodeWriter(tmp_path / NAME, of, live=True)
    for index in range(ROWS):  # it would wait for ever at the second checkpoint
        row = recordings.row_at(index, of)
        writer.append(row.time_ns, recordings.observation(index, of), row)
    assert (writer.length, writer.rows_on_disk) == (ROWS, 0)
    released.set()
    writer.wait()
    assert writer.rows_on_disk == 26
    writer.close()
    assert check_episode(tmp_path / NAME) == []
    with EpisodeReader(tmp_path / NAME) as episode:
        assert episode.length == ROWS


@pytest.mark.parametrize('kind', ['folder', 'pipe', 'far', 'empty'])
def test_what_is_no_log_of_ours_harms_no_part(tmp_path: Path, kind: str) -> None:
    path = recordings.write_episode(tmp_path / NAME, 5, robot=robot())
    part = path.rename(tmp_path / f'{NAME}.part')
    log = log_path(part)
    if kind == 'folder':
        log.mkdir()
    elif kind == 'pipe':
        os.mkfifo(log)
    else:
        WriteAheadLog(part).write([(2**63, b'abc')] if kind == 'far' else [(200, b'')] * 9)
    assert repair(part).rows == 5
    assert log.exists() == (kind in ('folder', 'pipe'))


@pytest.mark.parametrize('damage', ['cut', 'flip', 'other'])
def test_a_log_that_is_torn_is_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(b'before')
    log = WriteAheadLog(path)
    changes = [(2, b'abc'), (4000, bytes(5000)), (3, b'')]
    log.write(changes)
    assert read_log(path) == changes
    content = log_path(path).read_bytes()
    damaged = {
        'cut': content[:-1],
        'flip': content[:44] + b'\1' + content[45:],
        'other': b'x' * 99,
    }
    log_path(path).write_bytes(damaged[damage])
    assert read_log(path) == []
    log.write([(0, b'new')])
    assert read_log(path) == [(0, b'new')]
    log.remove()
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]
