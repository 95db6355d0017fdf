# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A crash while recording loses at most the last second, and never leaves a final name behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import recordings

from motion_policy.episodes import EpisodeError, EpisodeReader, EpisodeWriter, repair_episode

# Writes rows for ever and says how many it has written; the test kills it in the middle.
ENDLESS = """
import sys
import recordings
from motion_policy.episodes import EpisodeWriter
robot = recordings.tabletop()
writer = EpisodeWriter(sys.argv[1], robot, compress=sys.argv[2] == 'jpeg', task='endless')
index = 0
while True:
    row = recordings.row_at(index, robot)
    writer.append(row.time_ns, recordings.observation(index, robot), row)
    index += 1
    print(index, flush=True)
"""


def kill_while_writing(path: Path, kind: str, rows: int) -> int:
    """Return how many rows a process had written when it was killed."""
    process = subprocess.Popen(
        [sys.executable, '-c', ENDLESS, str(path), kind],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert process.stdout is not None
    written = 0
    while written < rows:
        line = process.stdout.readline()
        assert line, 'the writing process ended by itself'
        written = int(line)
    process.send_signal(signal.SIGKILL)
    for line in process.stdout.read().splitlines():
        written = int(line)
    process.wait()
    return written


@pytest.mark.parametrize(('kind', 'rows'), [('jpeg', 130), ('jpeg', 214), ('raw', 101)])
def test_killed_recording_keeps_all_but_the_last_second(
    tmp_path: Path, kind: str, rows: int
) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    written = kill_while_writing(path, kind, rows)
    assert not path.exists()

    assert repair_episode(tmp_path / 'episode_000000.hdf5.part') == path

    robot = recordings.tabletop()
    with EpisodeReader(path) as episode:
        assert written - robot.rate <= episode.length <= written
        assert episode.task == 'endless'
        assert episode.success is None
        np.testing.assert_array_equal(
            episode.time_ns,
            recordings.START_NS + np.arange(episode.length) * robot.period_ns,
        )
        for index in (0, episode.length // 2, episode.length - 1):
            expected = recordings.observation(index, robot)
            np.testing.assert_array_equal(episode.qpos[index], expected.qpos)
            np.testing.assert_array_equal(episode.action[index], expected.action)
            for camera in robot.cameras:
                found = episode.image(camera, index).astype(int)
                assert np.abs(found - expected.images[camera]).max() <= (
                    0 if kind == 'raw' else 24
                )
    assert [entry.name for entry in tmp_path.iterdir()] == ['episode_000000.hdf5']


def test_killed_before_the_first_row_says_so(tmp_path: Path) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    code = (
        'import os, sys, recordings; from motion_policy.episodes import EpisodeWriter\n'
        'EpisodeWriter(sys.argv[1], recordings.tabletop()); os.kill(os.getpid(), 9)'
    )
    subprocess.run([sys.executable, '-c', code, str(path)], cwd=Path(__file__).parent, check=False)
    part = tmp_path / 'episode_000000.hdf5.part'
    with pytest.raises(EpisodeError, match=r'episode_000000\.hdf5\.part'):
        repair_episode(part)
    assert not path.exists()


def test_a_recording_in_progress_is_not_repaired(tmp_path: Path) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    robot = recordings.tabletop()
    writer = EpisodeWriter(path, robot)
    part = tmp_path / 'episode_000000.hdf5.part'
    for index in range(60):
        if index in (0, 50):
            with pytest.raises(EpisodeError, match='still being written'):
                repair_episode(part)
        row = recordings.row_at(index, robot)
        writer.append(row.time_ns, recordings.observation(index, robot), row)
    writer.close()
    with EpisodeReader(path) as episode:
        assert episode.length == 60


def test_repair_never_overwrites_an_episode(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 5)
    part = tmp_path / 'episode_000000.hdf5.part'
    part.write_bytes(path.read_bytes())
    with pytest.raises(EpisodeError, match='exists already'):
        repair_episode(part)


def test_rows_behind_a_torn_image_are_left_out(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 20)
    part = tmp_path / 'episode_000000.hdf5.part'
    path.rename(part)
    with h5py.File(part, 'r+') as file:
        file['observations/images/side'][18:] = 0
    with EpisodeReader(repair_episode(part)) as episode:
        assert episode.length == 18
        assert episode.qpos.shape == (18, 5)


def test_an_exception_leaves_the_part(tmp_path: Path) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    robot = recordings.tabletop()
    with pytest.raises(ZeroDivisionError), EpisodeWriter(path, robot) as writer:
        for index in range(10):
            row = recordings.row_at(index, robot)
            writer.append(row.time_ns, recordings.observation(index, robot), row)
        raise ZeroDivisionError
    assert not path.exists()
    with EpisodeReader(repair_episode(tmp_path / 'episode_000000.hdf5.part')) as episode:
        assert episode.length == 10
