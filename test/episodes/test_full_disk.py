# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A full or failing disk is one line; the rows before stay, and the process goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import aloha_files
import bag_files
import numpy as np
import pytest
import recordings
from full_disks import largest_file, small_disk

from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    repair_episode,
)
from motion_policy.episodes.formats.aloha.from_episodes import export_aloha
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.judgement import judge_episode
from motion_policy.episodes.paths import next_episode_path
from motion_policy.files import FileError

pytestmark = pytest.mark.slow


def append(writer: EpisodeWriter, rows: range) -> None:
    robot = recordings.tabletop()
    for index in rows:
        row = recordings.row_at(index, robot)
        writer.append(row.time_ns, recordings.observation(index, robot), row)


@pytest.mark.parametrize('size', ['4k', '16k', '64k', '200k', '520k', '1m', '2m'])
def test_a_full_disk_is_one_line_and_keeps_the_rows_before(tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / 'disk', size) as disk:
        path = disk / 'episode_000000.hdf5'
        part = disk / 'episode_000000.hdf5.part'
        with pytest.raises(EpisodeError, match='No space left on device') as caught:
            writer = EpisodeWriter(path, recordings.tabletop())
            append(writer, range(400))
        assert '\n' not in str(caught.value)
        assert not path.exists()
        if part.exists():
            rows = writer.length
            assert f'the first {rows} rows stay' in str(caught.value)
            moved = tmp_path / part.name
            moved.write_bytes(part.read_bytes())
            part.unlink()
            with EpisodeReader(repair_episode(moved)) as episode:
                assert rows <= episode.length <= rows + 25
                expected = [recordings.joint_values(row) for row in range(episode.length)]
                np.testing.assert_array_equal(episode.qpos, expected)
            assert check_episode(tmp_path / path.name) == []
        # There is room again: the next one is written as if nothing had been.
        if size.endswith('m'):
            with EpisodeWriter(next_episode_path(disk), recordings.tabletop()) as writer:
                append(writer, range(3))
            assert check_episode(writer.path) == []


def test_a_file_that_may_not_grow_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    with largest_file(700_000), pytest.raises(EpisodeError, match='File too large'):
        append(EpisodeWriter(path, recordings.tabletop()), range(400))
    with EpisodeReader(repair_episode(tmp_path / 'episode_000000.hdf5.part')) as episode:
        assert episode.length >= 25


def test_no_room_to_finish_leaves_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is cut and named in one go: without room for that it stays as it was."""
    path = tmp_path / 'episode_000000.hdf5'
    writer = EpisodeWriter(path, recordings.tabletop())
    append(writer, range(60))

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(EpisodeError, match='No space left on device; the first 60 rows stay'):
        writer.close()
    monkeypatch.undo()
    with EpisodeReader(repair_episode(tmp_path / 'episode_000000.hdf5.part')) as episode:
        assert episode.length == 60


@pytest.mark.parametrize('good', [0, 5, 40, 90, 200, 203, 300])
def test_a_failing_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    done = 0
    write = os.pwrite

    def fail(*arguments: object) -> int:
        nonlocal done
        done += 1
        if done > good:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, 'pwrite', fail)
    with pytest.raises(EpisodeError, match='Input/output error'):
        append(EpisodeWriter(path, recordings.tabletop()), range(400))
    monkeypatch.undo()
    part = tmp_path / 'episode_000000.hdf5.part'
    if part.exists():
        assert check_episode(repair_episode(part)) == []


def test_a_judgement_without_room_leaves_the_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 5)
    before = path.read_bytes()

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(EpisodeError, match='success cannot be noted: No space left on device'):
        judge_episode(path, True)
    assert path.read_bytes() == before


def test_an_import_to_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', 60)
    with small_disk(tmp_path / 'disk', '32k') as disk:
        with pytest.raises(EpisodeError, match='No space left on device'):
            import_aloha(source, aloha_files.robot(), disk / 'out')
        assert not [path for path in disk.rglob('*') if path.is_file()]


@pytest.mark.parametrize('raw', [False, True])
def test_an_export_to_a_full_disk_leaves_nothing(tmp_path: Path, raw: bool) -> None:
    source = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 30)
    with small_disk(tmp_path / 'disk', '64k') as disk:
        with pytest.raises(FileError, match='No space left on device'):
            export_aloha(export_set(source), disk / 'out', raw=raw)
        assert list(disk.iterdir()) == []


def test_an_import_of_sqlite_to_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """Not that the database is busy, too, which closing it says while it is read."""
    robot = recordings.tabletop()
    bag = bag_files.write_bag(tmp_path / 'bag', bag_files.demonstration(5.0, robot), 'sqlite3')
    code = 'import sys; from motion_policy.cli.main import main; sys.exit(main())'
    given = ['--robot', 'tabletop_sim', '--out', str(tmp_path / 'disk' / 'out')]
    with small_disk(tmp_path / 'disk', '96k'):
        done = subprocess.run(
            [sys.executable, '-c', code, 'import', str(bag), *given],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert 'No space left on device' in done.stderr
    assert 'Traceback' not in done.stderr and 'Busy' not in done.stderr
