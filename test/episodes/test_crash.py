# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A crash while recording loses at most the last second, and never leaves a final name behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import recordings
from repository import SUPPORT

from motion_policy.cli.main import main
from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    repair,
    repair_episode,
)
from motion_policy.episodes.layout import row_axis

pytestmark = pytest.mark.slow

SIGNATURE = b'\x89HDF\r\n\x1a\n'

# Writes rows for ever and says how many it has written; the test kills it in the middle.
ENDLESS = """
import sys
import recordings
from motion_policy.episodes import EpisodeWriter
robot = recordings.with_depth(recordings.tabletop())
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
        cwd=SUPPORT,
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

    assert check_episode(path) == []
    robot = recordings.with_depth(recordings.tabletop())
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
            np.testing.assert_array_equal(episode.depth('top', index), expected.depth['top'])
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
    subprocess.run([sys.executable, '-c', code, str(path)], cwd=SUPPORT, check=False)
    part = tmp_path / 'episode_000000.hdf5.part'
    with pytest.raises(EpisodeError, match=r'\.part: holds no whole row .*: remove it'):
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


@pytest.mark.parametrize(('wrong_from', 'told'), [(18, '18 rows are kept, 2 that are not whole'),
                                                  (20, '20 rows are kept, 0')])  # fmt: skip
def test_repair_says_how_many_rows_it_kept_and_left_out(
    tmp_path: Path, wrong_from: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 20)
    part = tmp_path / 'episode_000000.hdf5.part'
    path.rename(part)
    with h5py.File(part, 'r+') as file:
        file['observations/images/side'][wrong_from:] = 0
    assert main(['check', '--repair', str(part)]) == 0
    assert f'repaired {path}: {told} left out' in ' '.join(capsys.readouterr().out.split())


def test_repair_leaves_out_efforts_and_velocities_that_some_rows_have_not(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    writer = EpisodeWriter(tmp_path / 'episode_000000.hdf5', robot)
    for index in range(60):
        row, observation = recordings.row_at(index, robot), recordings.observation(index, robot)
        if 10 <= index < 15:
            observation = replace(observation, effort=None, has_qvel=False)
        writer.append(row.time_ns, observation, row)
    part = tmp_path / 'episode_000000.hdf5.part'
    recordings.leave_as_a_crash(writer, part)
    repaired = repair(part)
    missing = 'not reported in 5 of 51 rows, the first is row 10'
    assert (repaired.rows, repaired.notes) == (
        51,
        (
            f"'/observations/qvel' is zero: {missing}",
            f"'/observations/effort' is left out: {missing}",
        ),
    )
    assert check_episode(repaired.path) == []
    with EpisodeReader(repaired.path) as episode:
        assert episode.effort is None and not episode.qvel.any()


def flip_in_chunk(path: Path, name: str, row: int) -> None:
    with h5py.File(path) as file:
        dataset = file[name]
        place = [0] * dataset.ndim
        place[row_axis(name)] = row // dataset.chunks[row_axis(name)]
        size = [one * length for one, length in zip(place, dataset.chunks, strict=True)]
        offset = dataset.id.get_chunk_info_by_coord(tuple(size)).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 9] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize('name', ['observations/qpos', 'time_ns', 'compress_len'])
def test_numbers_that_were_torn_are_told_from_those_before(tmp_path: Path, name: str) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 300)
    whole = path.read_bytes()
    part = tmp_path / 'episode_000000.hdf5.part'
    path.rename(part)
    flip_in_chunk(part, name, 299)
    with EpisodeReader(repair_episode(part)) as episode:
        assert episode.length == 256
    path.unlink()
    part.write_bytes(whole[:500])
    with pytest.raises(EpisodeError, match=r'HDF5 \(its root group cannot be read\)'):
        repair_episode(part)
    part.write_bytes(whole)
    flip_in_chunk(part, name, 0)
    with pytest.raises(EpisodeError, match=f"'/{name}' cannot be read"):
        repair_episode(part)
    assert [entry.name for entry in tmp_path.iterdir()] == [part.name]


def test_one_damaged_image_costs_one_image(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 20)
    part = tmp_path / 'episode_000000.hdf5.part'
    path.rename(part)
    flip_in_chunk(part, 'observations/images/side', 7)
    repair_episode(part)
    (problem,) = check_episode(path)
    assert problem.startswith("'/observations/images/side' row 7: ")
    assert '1 of 20 rows' in problem
    with EpisodeReader(path) as episode, pytest.raises(EpisodeError, match='row 7: is no JPEG'):
        assert episode.length == 20 and episode.image('side', 6).any() and episode.image('side', 7)


@pytest.mark.parametrize(
    'name',
    ['action', 'observations/qvel', 'time_ns', 'compress_len', 'stamps/side/header_ns',
     'observations/images/side'],
)  # fmt: skip
def test_one_wrong_bit_of_an_episode_is_noticed(tmp_path: Path, name: str) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 20)
    assert check_episode(path) == []
    flip_in_chunk(path, name, 0)
    assert any(f"'/{name}'" in problem for problem in check_episode(path))


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


@pytest.fixture(scope='module')
def killed_part(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give what a process that was killed left of an episode."""
    path = tmp_path_factory.mktemp('killed') / 'episode_000000.hdf5'
    kill_while_writing(path, 'jpeg', 60)
    return path.with_name('episode_000000.hdf5.part').read_bytes()


@pytest.mark.parametrize('damage', ['cut', 'flip', 'zero'])
def test_damage_in_a_part_is_told_at_once(tmp_path: Path, killed_part: bytes, damage: str) -> None:
    """HDF5 waits and reads again where it takes a file for one that is being written."""
    content = killed_part
    saved = 0
    random = np.random.default_rng(15)
    for number in range(20):
        changed = bytearray(content)
        place = int(random.integers(12, len(content)))
        if damage == 'cut':
            del changed[place:]
        elif damage == 'flip':
            changed[place] ^= 1 << int(random.integers(8))
        else:
            changed[place : place + 512] = bytes(len(changed[place : place + 512]))
        part = tmp_path / f'episode_{number + 1:06d}.hdf5.part'
        part.write_bytes(changed)
        try:
            path = repair_episode(part)
        except EpisodeError as error:
            assert str(error).startswith(str(part))
            assert '\n' not in str(error)
        else:
            saved += 1
            with EpisodeReader(path) as episode:
                assert episode.length > 0
    assert damage == 'cut' or saved > 5  # most of a file is images, of which one is lost at most


@pytest.mark.parametrize('content', [b'', SIGNATURE, SIGNATURE + bytes(90), b'x' * 99])
def test_what_only_begins_like_a_part_is_one_line(tmp_path: Path, content: bytes) -> None:
    part = tmp_path / 'episode_000000.hdf5.part'
    part.write_bytes(content)
    told = 'is damaged or not HDF5' if content else 'nothing can be saved from it: remove it'
    with pytest.raises(EpisodeError, match=told):
        repair_episode(part)
    assert part.read_bytes() == content
