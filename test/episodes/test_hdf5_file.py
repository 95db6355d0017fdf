# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""HDF5 is read through one door: nothing in a file is believed, and no other file is opened."""

from __future__ import annotations

import faulthandler
import gc
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aloha_files
import h5py
import numpy as np
import pytest
import recordings

from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode, list_episodes
from motion_policy.episodes.formats.aloha.read import AlohaFile
from motion_policy.episodes.formats.aloha.read import aloha_files as files_of
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha
from motion_policy.episodes.hdf5.bytes import HdfInput
from motion_policy.episodes.hdf5.output import HdfOutput
from motion_policy.episodes.hdf5.recovery import UnfinishedInput

ROWS = 12
Change = Callable[[h5py.File, str], None]


def leaf(change: Change) -> Change:
    """Put something else in the place of a dataset."""

    def changed(file: h5py.File, name: str) -> None:
        del file[name]
        change(file, name)

    return changed


def to_external_file(file: h5py.File, name: str) -> None:
    file.create_dataset(name, (1, 24), 'f4', external=[('/etc/passwd', 0, 96)])


def to_virtual(file: h5py.File, name: str) -> None:
    layout = h5py.VirtualLayout((ROWS, 5), 'f4')
    layout[:] = h5py.VirtualSource('other.hdf5', 'action', (ROWS, 5))
    file.create_virtual_dataset(name, layout)


def to_foreign_filter(file: h5py.File, name: str) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((ROWS, 5))
    plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((ROWS, 5))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, plan)


def behind_a_linked_group(file: h5py.File, name: str) -> None:
    parent = name.rpartition('/')[0]
    if not parent:
        file.move(name, 'elsewhere')
        file[name] = h5py.SoftLink('/elsewhere')
        return
    file.move(parent, 'elsewhere')
    file[parent] = h5py.SoftLink('/elsewhere')


def put(value: Any) -> Change:
    return leaf(lambda file, name: file.__setitem__(name, value))


def claim(*shape: int, **options: Any) -> Change:
    return leaf(lambda file, name: file.create_dataset(name, shape, 'f4', **options))


WRONG: dict[str, tuple[Change, str]] = {
    'missing': (leaf(lambda file, name: None), 'has no'),
    'external': (leaf(to_external_file), 'is external'),
    'virtual': (leaf(to_virtual), 'is virtual'),
    'soft link': (put(h5py.SoftLink('/observations/qpos')), 'through a link'),
    'broken link': (put(h5py.SoftLink('/nowhere')), 'through a link'),
    'external link': (put(h5py.ExternalLink('other.hdf5', 'action')), 'through a link'),
    'linked group': (behind_a_linked_group, 'through a link'),
    'foreign filter': (leaf(to_foreign_filter), 'filter 32015'),
    'group': (leaf(lambda file, name: file.create_group(name)), 'is a group'),
    'scalar': (put(1.0), 'expected'),
    'empty': (put(h5py.Empty('f4')), 'is empty'),
    'text': (put('words'), 'expected'),
    'compound': (put(np.zeros((ROWS, 5), [('a', 'f4'), ('b', 'i4')])), 'compound, expected'),
    'complex': (put(np.zeros((ROWS, 5), 'c8')), 'expected'),
    'references': (leaf(lambda f, n: f.create_dataset(n, (ROWS, 5), h5py.ref_dtype)), 'expected'),
    'one row less': (put(np.zeros((ROWS - 1, 5), 'f4')), 'expected'),
    'another rank': (put(np.zeros((ROWS, 5, 1), 'f4')), 'expected'),
    'huge': (claim(10**12, 5), 'expected|claims'),
    'huge in chunks': (claim(2 * 10**9, 5, chunks=(1000, 5)), 'expected|claims'),
    'not a number': (put(np.full((ROWS, 5), np.nan, 'f4')), 'is not finite'),
}  # fmt: skip


@pytest.mark.parametrize('name', ['action', 'observations/qpos'])
@pytest.mark.parametrize(('change', 'words'), WRONG.values(), ids=WRONG)
def test_what_is_no_episode_is_one_line(
    tmp_path: Path, name: str, change: Change, words: str
) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', ROWS, compress=False)
    with h5py.File(path, 'r+') as file:
        change(file, name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EpisodeError, match=words) as caught, EpisodeReader(path) as episode:
        assert episode.action is not episode.qpos
    assert '\n' not in str(caught.value)
    assert check_episode(path) != []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.parametrize(('change', 'words'), WRONG.values(), ids=WRONG)
def test_what_is_no_file_of_aloha_is_one_line(tmp_path: Path, change: Change, words: str) -> None:
    path = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with h5py.File(path, 'r+') as file:
        change(file, 'action')
    with pytest.raises(EpisodeError, match=f'{words}|expected'):
        import_aloha(path, aloha_files.robot(), tmp_path / 'out')
    assert not list(tmp_path.glob('out/*'))


@pytest.mark.parametrize('value', ['no', 'False', 0.0, 1.0, 2, [True, False], b'yes', np.nan])
def test_only_true_and_false_are_a_judgement(tmp_path: Path, value: Any) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', ROWS, success=True)
    with h5py.File(path, 'r+') as file:
        file.attrs['success'] = value
    with pytest.raises(EpisodeError, match=r"attribute 'success' is .*, expected true, false or"):
        EpisodeReader(path)
    assert len(check_episode(path)) == 1


@pytest.mark.parametrize(
    ('value', 'expected'), [(1, True), (np.uint8(0), False), (np.array([True]), True)]
)
def test_other_ways_to_write_true_and_false_are_read(
    tmp_path: Path, value: Any, expected: bool
) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', ROWS)
    with h5py.File(path, 'r+') as file:
        file.attrs['success'] = value
    with EpisodeReader(path) as episode:
        assert episode.success is expected


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('rate', 'fast'), ('rate', np.inf), ('rate', [50.0, 50.0]), ('robot', 5),
        ('joint_names', 'joint1'), ('joint_names', 7), ('cameras', [1, 2]), ('compress', 'yes'),
        ('sim', 2), ('task', np.zeros(3)), ('format', 3.0), ('operator', h5py.Empty('f4')),
        ('created', b'\xff\xfe'),
    ],
)  # fmt: skip
def test_an_attribute_of_another_kind_is_named(tmp_path: Path, name: str, value: Any) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', ROWS)
    with h5py.File(path, 'r+') as file:
        file.attrs[name] = value
    (problem,) = check_episode(path)
    assert f"attribute '{name}'" in problem
    assert '\n' not in problem


def test_numbers_beyond_float32_are_refused(tmp_path: Path) -> None:
    path = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS, dtype='f8')
    with h5py.File(path, 'r+') as file:
        file['action'][3, 1] = 1e39
    with AlohaFile(path) as file, pytest.raises(EpisodeError, match=r'row 3, column 1: 1e\+39'):
        assert file.action is None


def test_a_file_with_more_in_it_is_read(tmp_path: Path) -> None:
    """Links, depth, groups and types of other tools are theirs, as long as nobody asks."""
    path = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with h5py.File(path, 'r+') as file:
        file['observations/images/depth'] = np.zeros((ROWS, 24, 32), np.uint16)
        file['notes/self'] = file['/']
        file['notes/elsewhere'] = h5py.SoftLink('/observations')
        file['notes/table'] = np.zeros(3, [('a', 'f4')])
        values = file['action'][()]
        del file['action']
        file.create_dataset(
            'action', data=values, chunks=True, compression='gzip', shuffle=True, fletcher32=True
        )
    cameras = {name: name for name in aloha_files.CAMERAS}
    ((episode, _),) = import_aloha(path, aloha_files.robot(), tmp_path / 'out', cameras=cameras)
    with EpisodeReader(episode) as read:
        np.testing.assert_array_equal(read.action, values)
    with pytest.raises(EpisodeError, match=r"camera 'depth'.*--cameras to choose"):
        import_aloha(path, aloha_files.robot(), tmp_path / 'out')


@pytest.fixture
def ends_the_run_when_it_hangs() -> Iterator[None]:
    """HDF5 hears nothing of signals while it loops."""
    faulthandler.dump_traceback_later(60.0, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.usefixtures('ends_the_run_when_it_hangs')
def test_a_heap_that_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    """HDF5 goes through the objects of a heap by their sizes, and takes a size of nothing."""
    path = recordings.write_episode(tmp_path / 'e.hdf5', ROWS)
    whole = path.read_bytes()
    heaps = [match.start() for match in re.finditer(b'GCOL', whole)]
    assert heaps
    for heap in heaps:
        path.write_bytes(whole[: heap + 16] + bytes(2000) + whole[heap + 2016 :])
        with pytest.raises(EpisodeError, match='bad global heap'):
            EpisodeReader(path)
    path.write_bytes(whole)
    assert check_episode(path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    'opened',
    [
        'from motion_policy.episodes import EpisodeReader; file = EpisodeReader(path)',
        'from motion_policy.episodes.hdf5.output import HdfOutput; '
        'file = HdfOutput(path.with_name("new.hdf5"))',
    ],
)
def test_a_program_may_end_with_a_file_open(tmp_path: Path, opened: str) -> None:
    """HDF5 ends after Python, closes what is open and calls what read for it."""
    path = recordings.write_episode(tmp_path / 'e.hdf5', ROWS)
    kept = 'import ctypes; ctypes.pythonapi.Py_IncRef(ctypes.py_object(file))'
    program = f'from pathlib import Path; path = Path({str(path)!r}); {opened}; {kept}'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


def test_a_file_that_cannot_be_closed_keeps_no_other_from_it(tmp_path: Path) -> None:
    program = """
import io, sys
import h5py
from motion_policy.episodes.hdf5.bytes import closed_at_exit

class Disk(io.BytesIO):
    full = False

    def write(self, data):
        if self.full:
            raise OSError(28, 'No space left on device')
        return super().write(data)

    def truncate(self, size):
        if self.full:
            raise OSError(28, 'No space left on device')
        return super().truncate(size)

disks = [Disk(), Disk()]
places = [disks[0], open(sys.argv[1], 'w+b'), disks[1], open(sys.argv[2], 'w+b')]
files = [closed_at_exit(h5py.File(place, 'w')) for place in places]
for file in files:
    file['x'] = 1
Disk.full = True
"""
    paths = [tmp_path / 'a.hdf5', tmp_path / 'b.hdf5']
    done = subprocess.run(
        [sys.executable, '-c', program, *map(str, paths)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count('in _close_all')) == (0, 2)  # both are told
    for path in paths:
        with h5py.File(path) as file:
            assert file['x'][()] == 1


@pytest.mark.parametrize('opened', [HdfInput, UnfinishedInput, HdfOutput])
def test_what_cannot_be_opened_leaves_nothing_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Path], object]
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, 'unraisablehook', unraisable.append)
    with pytest.raises(OSError, match='No such file'):
        opened(tmp_path / 'none' / 'e.hdf5')
    gc.collect()
    assert not unraisable


def test_a_file_that_comes_in_pieces_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems may give less than they have and were asked for."""
    path = recordings.write_episode(tmp_path / 'e.hdf5', ROWS)
    with EpisodeReader(path) as episode:
        expected = episode.images('side', range(ROWS))
    read = os.preadv
    monkeypatch.setattr(os, 'preadv', lambda file, to, place: read(file, [to[0][:7]], place))
    with EpisodeReader(path) as episode:
        np.testing.assert_array_equal(episode.images('side', range(ROWS)), expected)
    assert check_episode(path) == []


def test_hidden_files_are_passed_by(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 3)
    for name in ('._episode_000000.hdf5', '.DS_Store', '._episode_0.hdf5.part'):
        (tmp_path / name).write_bytes(b'no HDF5')
    assert list_episodes(tmp_path, unfinished=True) == [path]
    assert files_of(tmp_path) == [path]
