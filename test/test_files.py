# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A file has its name only when it is whole and on the disk; whatever fails is one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import eipl_models
import numpy as np
import pytest
import torch
from recordings import write_episode

from motion_policy.cli.main import main
from motion_policy.episodes.formats.eipl.read import read_eipl
from motion_policy.episodes.formats.lerobot.meta import read_tasks
from motion_policy.episodes.formats.rosbag.read import bag_duration_ns
from motion_policy.errors import UserError
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.files import (
    FileError,
    check_output,
    new_file,
    new_folder,
    shown,
    unnamed,
    write_bytes,
    write_json,
    write_text,
)
from motion_policy.policies.convert.eipl_weights import read_eipl_weights
from motion_policy.policies.convert.lerobot_processors import INPUT_STEP, read_pipeline
from motion_policy.share import share_dir

SMALL_DISK_BYTES = 64 * 1024
ROOT = os.geteuid() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a real file system with room for 64 KiB."""
    place = tmp_path / 'disk'
    place.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', f'size={SMALL_DISK_BYTES}', 'tmpfs', place]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip('mounting a small disk needs root')
    try:
        yield place
    finally:
        subprocess.run(['umount', '--lazy', place], check=True)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_full_disk_leaves_the_older_file_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / 'numbers.json'
    write_text(path, 'older')
    with pytest.raises(FileError, match=r'numbers\.json: cannot be written: No space left'):
        write_bytes(path, bytes(4 * SMALL_DISK_BYTES))
    assert path.read_text() == 'older'
    assert names_in(small_disk) == ['numbers.json']


def test_a_full_disk_leaves_the_older_folder_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / 'model'
    with new_folder(path, may_hold=['a'], what='a model') as folder:
        write_text(folder / 'a', 'older')
    with (
        pytest.raises(FileError, match='model: cannot be written: No space left'),
        new_folder(path, may_hold=['a'], what='a model') as folder,
    ):
        (folder / 'a').write_bytes(bytes(4 * SMALL_DISK_BYTES))
    assert (path / 'a').read_text() == 'older'
    assert names_in(small_disk) == ['model']


@pytest.mark.slow
@pytest.mark.parametrize('name', ['video.mp4', 'video.gif'])
def test_a_video_on_a_full_disk_is_one_line_and_leaves_no_file(
    small_disk: Path, name: str
) -> None:
    generator = np.random.default_rng(0)
    with (
        pytest.raises(FileError, match=f'{name}: cannot be written: No space left'),
        VideoFile(small_disk / name, 10) as video,
    ):
        for _ in range(40):  # noise, which no codec makes small, of few colours for the palette
            video.write(85 * generator.integers(0, 4, (120, 160, 3), dtype=np.uint8))
    assert names_in(small_disk) == []


def test_an_error_while_writing_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    write_text(path, 'older')
    with pytest.raises(RuntimeError), new_file(path) as part:
        part.write_text('half')
        raise RuntimeError
    assert path.read_text() == 'older'
    assert names_in(tmp_path) == ['a.txt']


def test_an_error_of_reading_is_not_told_as_one_of_writing(tmp_path: Path) -> None:
    missing = tmp_path / 'missing' / 'source'
    with pytest.raises(FileNotFoundError, match='source'), new_file(tmp_path / 'a.txt'):
        missing.read_bytes()


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        done.append(f'sync {os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))}')
        sync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append(f'{source.name} -> {target.name}')
        replace(source, target)

    monkeypatch.setattr(os, 'fsync', noted_sync)
    monkeypatch.setattr(os, 'replace', noted_replace)
    write_text(tmp_path / 'a.txt', 'new')
    part = done[0].removeprefix('sync ')
    assert done == [f'sync {part}', f'{part} -> a.txt', f'sync {tmp_path.name}']
    done.clear()
    with new_folder(tmp_path / 'model') as folder:
        (folder / 'b').write_text('')
    assert done == [
        'sync b',
        f'sync {folder.name}',
        f'{folder.name} -> model',
        f'sync {tmp_path.name}',
    ]
    done.clear()
    (tmp_path / 'e').write_text('')
    with pytest.raises(RuntimeError), unnamed(tmp_path / 'e', tmp_path / 'e.part'):
        assert not (tmp_path / 'e').exists()
        raise RuntimeError
    assert done == [
        'sync e',
        'e -> e.part',
        f'sync {tmp_path.name}',
        'sync e.part',
        'e.part -> e',
        f'sync {tmp_path.name}',
    ]


def long_name(folder: Path) -> Path:
    return folder / ('a' * 300)


def below_a_file(folder: Path) -> Path:
    (folder / 'file').touch()
    return folder / 'file' / 'x.json'


def folder_itself(folder: Path) -> Path:
    return folder


def missing_folder(folder: Path) -> Path:
    return folder / 'missing' / 'x.json'


def link_to_itself(folder: Path) -> Path:
    (folder / 'loop').symlink_to('loop')
    return folder / 'loop' / 'x.json'


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / 'pipe')
    return folder / 'pipe'


def kernel_file(folder: Path) -> Path:
    return Path('/proc/x.json')


UNWRITABLE = [
    (long_name, 'File name too long'),
    (below_a_file, 'is a file'),
    (folder_itself, 'is a folder, expected a file or nothing'),
    (missing_folder, 'no such folder'),
    (link_to_itself, 'no such folder'),
    (kernel_file, 'cannot be written'),
]


@pytest.mark.parametrize(('place', 'words'), UNWRITABLE)
def test_what_cannot_be_written_is_one_line_that_names_it(
    tmp_path: Path, place: Callable[[Path], Path], words: str
) -> None:
    path = place(tmp_path)
    for act in (check_output, lambda path: write_json(path, {})):
        with pytest.raises(FileError) as caught:
            act(path)
        assert str(caught.value).startswith(str(path))
        assert words in str(caught.value)
        assert '\n' not in str(caught.value)


@pytest.mark.skipif(ROOT, reason='root may write everywhere')
def test_a_folder_that_forbids_writing_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    for act in (check_output, lambda path: write_json(path, {})):
        with pytest.raises(FileError, match=r'x\.json: cannot be written: Permission denied'):
            act(tmp_path / 'x.json')


def test_a_pipe_that_nobody_reads_is_one_line_and_no_waiting(tmp_path: Path) -> None:
    with pytest.raises(FileError, match='pipe: is a pipe that nobody reads'):
        write_json(fifo(tmp_path), {})


def test_pipes_and_devices_are_written_to_as_they_are(tmp_path: Path) -> None:
    path = fifo(tmp_path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_text(path, 'through')
    assert os.read(reader, 100) == b'through'
    os.close(reader)
    write_text(Path('/dev/null'), 'away')
    assert Path('/dev/null').is_char_device()
    with pytest.raises(FileError, match='/dev/full: cannot be written: No space left'):
        write_text(Path('/dev/full'), 'x')


@pytest.mark.parametrize('name', ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'])
def test_standard_output_gets_what_is_written_after_what_was_printed(
    tmp_path: Path, name: str
) -> None:
    code = (
        'from pathlib import Path; from motion_policy.files import write_text\n'
        f'print("before"); write_text(Path({name!r}), "written"); print(" after")'
    )
    out = tmp_path / 'out'
    with out.open('w') as file:
        subprocess.run([sys.executable, '-c', code], stdout=file, check=True)
    assert out.read_text() == 'before\nwritten after\n'
    piped = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b'before\nwritten after\n'


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / 'there').mkdir()
    link = tmp_path / 'link'
    link.symlink_to('there/x.json')
    write_text(link, 'one')
    write_text(link, 'two')
    assert link.is_symlink()
    assert (tmp_path / 'there' / 'x.json').read_text() == 'two'


def test_the_longest_name_that_a_file_may_have_works(tmp_path: Path) -> None:
    path = tmp_path / ('ä' * 127)
    write_text(path, 'x')
    with new_folder(tmp_path / ('b' * 255)):
        pass
    assert names_in(tmp_path) == ['b' * 255, 'ä' * 127]


def test_a_folder_with_anything_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(FileError, match='exists already, expected a new or an empty'):
        new_folder(tmp_path).__enter__()
    with pytest.raises(FileError, match=r"holds 'notes\.txt', which is no part of a model"):
        new_folder(tmp_path, may_hold=['a'], what='a model').__enter__()
    with pytest.raises(FileError, match='expected a name below it'):
        new_folder(Path('/')).__enter__()


def test_names_from_outside_are_one_line() -> None:
    assert shown('a\nb\x1b[31m\u202e.hdf5 ä') == 'a\\nb\\x1b[31m\\u202e.hdf5 ä'


def test_numbers_that_json_does_not_know_are_null(tmp_path: Path) -> None:
    write_json(tmp_path / 'x.json', {'a': [1.5, float('nan')], 'b': {'c': float('inf')}})
    assert json.loads((tmp_path / 'x.json').read_text()) == {'a': [1.5, None], 'b': {'c': None}}


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    folder = tmp_path / 'episodes'
    folder.mkdir()
    return write_episode(folder / 'episode_000000.hdf5', length=4)


@pytest.mark.parametrize('command', ['inspect', 'check'])
@pytest.mark.parametrize(('place', 'words'), UNWRITABLE)
def test_a_command_says_at_once_that_its_output_cannot_be_written(
    tmp_path: Path,
    episode: Path,
    command: str,
    place: Callable[[Path], Path],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = place(tmp_path)
    assert main([command, str(episode), '--json', str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == '' and told.err.startswith(f'error: {path}') and words in told.err
    assert told.err.count('\n') == 1


@pytest.mark.parametrize('source', ['file', 'folder'])
def test_what_is_read_is_not_replaced_by_numbers(
    episode: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = episode.read_bytes()
    given = episode if source == 'file' else episode.parent
    assert main(['inspect', str(given), '--json', str(episode)]) == 2
    assert 'is read from, expected another file to write to' in capsys.readouterr().err
    assert episode.read_bytes() == before


@pytest.mark.parametrize(
    'command',
    [
        ['import', '--from', 'aloha', '{source}', '--out', '{out}', '--robot', 'tabletop_sim'],
        ['convert-checkpoint', '{source}', '{out}', '--half'],
        ['export', '{source}', '--out', '{out}', '--to', 'eipl'],
    ],
)
def test_what_is_made_from_a_folder_does_not_go_into_it(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / 'source'
    shutil.copytree(share_dir() / 'models' / 'sarnn_tabletop', source)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    same = tmp_path / 'link'
    same.symlink_to(source)
    assert main([word.format(source=source, out=same) for word in command]) == 2
    told = capsys.readouterr().err
    assert told == f'error: {same}: is read from, expected another folder to write to\n'
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


@pytest.mark.slow
def test_a_full_disk_keeps_the_numbers_of_the_last_inspection(
    small_disk: Path, episode: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_disk / 'x.json'
    assert main(['inspect', str(episode), '--json', str(path)]) == 0
    before = path.read_bytes()
    (small_disk / 'rest').write_bytes(bytes(SMALL_DISK_BYTES - 2 * 4096))
    assert main(['inspect', *[str(episode)] * 40, '--json', str(path)]) == 2
    assert 'x.json: cannot be written: No space left' in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_name_with_a_line_break_is_shown_in_one_line(
    episode: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = episode.rename(episode.with_name('episode\n\x1b[31m_0.hdf5'))
    main(['check', str(odd)])
    odd.write_bytes(b'no episode')
    assert main(['check', str(odd)]) == 1
    told = capsys.readouterr().out
    assert 'unsound' in told and 'episode\\n\\x1b[31m_0.hdf5' in told
    assert '\x1b[31m_0' not in told and '\n\x1b' not in told


FULL = 16 * 1024


@pytest.mark.parametrize(
    ('kind', 'arguments'),
    [('eipl', ['--camera', 'top']), ('lerobot', []), ('aloha', [])],
)
def test_an_export_to_a_full_disk_is_one_line_and_leaves_nothing(
    small_disk: Path,
    episode: Path,
    kind: str,
    arguments: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    if kind == 'lerobot':
        pytest.importorskip('pyarrow')
    (small_disk / 'rest').write_bytes(bytes(SMALL_DISK_BYTES - FULL))
    out = small_disk / 'set'
    assert main(['export', str(episode), '--to', kind, '--out', str(out), *arguments]) == 2
    error = capfd.readouterr().err
    assert error.startswith(f'error: {out}: ') and error.count('\n') == 1
    assert names_in(small_disk) == ['rest']


@pytest.mark.parametrize('kind', ['folder', 'pipe', 'link to nothing'])
@pytest.mark.parametrize(
    ('name', 'read'),
    [
        ('args.json', lambda folder: read_eipl_weights(folder / 'SARNN.pth')),
        ('joint_bounds.npy', read_eipl),
        ('meta/tasks.jsonl', read_tasks),
        ('meta/tasks.parquet', read_tasks),
        ('metadata.yaml', bag_duration_ns),
        ('policy_preprocessor.json', lambda folder: read_pipeline(folder, INPUT_STEP)),
    ],
)
def test_what_cannot_be_read_is_not_taken_for_missing(
    tmp_path: Path, name: str, read: Callable[[Path], object], kind: str
) -> None:
    torch.save(eipl_models.sarnn_weights(32, 32), tmp_path / 'SARNN.pth')
    (tmp_path / 'bag.mcap').touch()
    np.save(tmp_path / 'images.npy', np.zeros((1, 4, 16, 16, 3), np.uint8))
    np.save(tmp_path / 'joints.npy', np.zeros((1, 4, 3), np.float32))
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    if kind == 'folder':
        file.mkdir()
    elif kind == 'pipe':
        os.mkfifo(file)
    else:
        file.symlink_to('nowhere')
    words = {'folder': 'is a folder', 'pipe': 'is a pipe', 'link to nothing': 'no such file'}
    with pytest.raises(UserError, match=f'{name}: {words[kind]}'):
        read(tmp_path)
