# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Edits are finished or taken back, whenever a process dies; undo and commit; nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import recordings
from full_disks import largest_file, small_disk

from motion_policy.episodes import EpisodeError, next_episode_path
from motion_policy.episodes.editing.changes import (
    Amount,
    EditPlan,
    EpisodeChange,
    cut,
    delete,
    relabel,
    split,
    trim,
)
from motion_policy.episodes.editing.journal import edit_journal
from motion_policy.episodes.editing.marks import file_digest
from motion_policy.episodes.editing.merging import merge
from motion_policy.episodes.editing.perform import perform
from motion_policy.episodes.editing.pieces import EditStamp
from motion_policy.episodes.judgement import judge_episode
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec

ROBOT = recordings.tabletop().model_copy(update={'cameras': {}})
STAMP = EditStamp('trim', '', '2026-01-01T00:00:00+00:00')
ROWS = 12

pytestmark = pytest.mark.slow

# What changes the names of files, or brings them to the disk: a process may die before each.
MOMENTS = ('link', 'rename', 'replace', 'unlink', 'fsync', 'rmdir')


def folder_of(path: Path, count: int = 2, robot: RobotSpec = ROBOT) -> Path:
    """A folder of episodes with so many rows and more, each."""
    for number in range(count):
        recordings.write_episode(path / f'episode_{number:06d}.hdf5', ROWS + number, robot=robot)
    return path


def rows(value: int) -> Amount:
    return Amount(value, in_rows=True)


def edit(folder: Path, plan: EditPlan, stamp: EditStamp = STAMP) -> None:
    with edit_journal(folder) as journal:
        perform(journal, plan.changes, stamp)


def trim_all(folder: Path) -> None:
    edit(folder, trim(sorted(folder.glob('*.hdf5')), rows(2), rows(3), idle=False, margin=rows(0)))


def split_first(folder: Path) -> None:
    edit(folder, split([folder / 'episode_000000.hdf5'], [rows(5)]))


def delete_first(folder: Path) -> None:
    edit(folder, delete([folder / 'episode_000000.hdf5']))


def merge_other(folder: Path) -> None:
    edit(folder, merge(sorted((folder.parent / 'other').glob('*.hdf5')), folder))


def undo(folder: Path) -> None:
    with edit_journal(folder) as journal:
        journal.undo()


def commit(folder: Path) -> None:
    with edit_journal(folder) as journal:
        journal.commit()


def recover(folder: Path) -> list[str]:
    with edit_journal(folder) as journal:
        return journal.recover()


def contents(folder: Path) -> dict[str, str]:
    """The digests of the episodes of a folder, and of those discarded, by name."""
    paths = [*folder.glob('*.hdf5'), *folder.glob('discarded/*.hdf5')]
    return {str(path.relative_to(folder)): file_digest(path) for path in paths}


def names_in(folder: Path) -> set[str]:
    """Every file of a folder and of its edits."""
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


def killed_at(moment: int, work: Callable[[Path], None], folder: Path) -> bool:
    """Do the work in a process that is killed before its n-th call of `MOMENTS`.

    Returns whether it was; else it had done all.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    try:
        left = moment
        real = {name: getattr(os, name) for name in MOMENTS}

        def counted(name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real[name](*arguments, **options)

            return call

        for name in MOMENTS:
            setattr(os, name, counted(name))
        work(folder)
        os._exit(0)
    except BaseException:
        os._exit(1)


@pytest.mark.parametrize(
    ('first', 'work'),
    [
        (None, trim_all),
        (None, split_first),
        (None, delete_first),
        (None, merge_other),
        (split_first, undo),
        (delete_first, undo),
        (merge_other, undo),
        (trim_all, commit),
    ],
)
def test_a_process_may_be_killed_at_every_moment(
    tmp_path: Path, first: Callable[[Path], None] | None, work: Callable[[Path], None]
) -> None:
    folder_of(tmp_path / 'other', 1)
    begin = folder_of(tmp_path / 'begin')
    if first is not None:
        first(begin)
    before = contents(begin)
    wanted = shutil.copytree(begin, tmp_path / 'wanted')
    work(wanted)
    after, left_over = contents(wanted), names_in(wanted)
    moment, killed, rolled_forward = 0, True, 0
    while killed:
        folder = shutil.copytree(begin, tmp_path / f'set_{moment}')
        killed = killed_at(moment, work, folder)
        now = contents(folder)
        # No name is missing that stands before and after, and each file is a whole one.
        assert set(before) & set(after) <= set(now), moment
        assert all(now[name] in (before.get(name), after.get(name)) for name in now), moment
        recover(folder)
        if contents(folder) == before and (work is not commit or names_in(folder) != left_over):
            assert names_in(folder) == names_in(begin), moment  # as if it had not begun
        else:
            rolled_forward += 1
            assert contents(folder) == after and names_in(folder) == left_over, moment
        shutil.rmtree(folder)
        moment += 1
    assert moment > 5 and rolled_forward > 3


def test_undo_brings_back_every_byte_and_commit_keeps_the_edits(tmp_path: Path) -> None:
    folder, other = folder_of(tmp_path / 'set'), folder_of(tmp_path / 'other', 1)
    states = [contents(folder)]
    for work in (trim_all, split_first, merge_other, delete_first):
        work(folder)
        states.append(contents(folder))
    for state in reversed(states[:-1]):
        undo(folder)
        assert contents(folder) == state
    assert sorted(folder.iterdir()) == sorted(folder.glob('*.hdf5'))
    with pytest.raises(EpisodeError, match='has no edit to undo'):
        undo(folder)
    trim_all(folder)
    delete_first(folder)
    edited = contents(folder)
    commit(folder)
    assert contents(folder) == edited and not (folder / '.edits').exists()
    assert contents(other)


def test_a_number_is_never_given_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set', 3)
    edit(folder, delete([folder / 'episode_000002.hdf5']))
    assert next_episode_path(folder).name == 'episode_000003.hdf5'
    recordings.write_episode(folder / 'discarded' / 'episode_000000.hdf5', 3, robot=ROBOT)
    delete_first(folder)
    assert sorted(path.name for path in (folder / 'discarded').iterdir()) == [
        'episode_000000.2.hdf5', 'episode_000000.hdf5', 'episode_000002.hdf5',
    ]  # fmt: skip
    commit(folder)
    assert next_episode_path(folder).name == 'episode_000003.hdf5'
    (folder / '.edits' / '000001' / 'new').mkdir(parents=True)
    (folder / '.edits' / '000001' / 'new' / 'episode_000007.hdf5.taken').touch()
    assert next_episode_path(folder).name == 'episode_000008.hdf5'


def test_undo_refuses_what_it_would_lose(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    path = folder / 'episode_000000.hdf5'
    trim_all(folder)
    judge_episode(path, True)
    with pytest.raises(EpisodeError, match='was changed since the edit'):
        undo(folder)
    delete_first(folder)
    recordings.write_episode(path, 3, robot=ROBOT)
    with pytest.raises(EpisodeError, match='expected a name that nobody took'):
        undo(folder)
    other = folder_of(tmp_path / 'other', 1)
    merge_other(folder)
    (other / 'episode_000000.hdf5').unlink()
    with pytest.raises(EpisodeError, match='is gone or was changed since it was merged'):
        undo(folder)


def test_undo_brings_back_an_episode_whose_edited_file_is_gone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    before = contents(folder)
    trim_all(folder)
    (folder / 'episode_000000.hdf5').unlink()
    undo(folder)
    assert contents(folder) == before


def test_an_episode_that_is_changed_meanwhile_stays(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    path = folder / 'episode_000000.hdf5'
    plan = relabel([path], {'task': 'other'})
    judge_episode(path, True)
    before = contents(folder)
    with pytest.raises(EpisodeError, match='was changed while it was edited'):
        edit(folder, plan)
    assert contents(folder) == before and not (folder / '.edits').exists()


@pytest.mark.parametrize('name', ['episode_000001.hdf5', 'episode_000001.hdf5.part'])
def test_a_name_that_is_taken_meanwhile_is_left_to_whoever_took_it(
    tmp_path: Path, name: str
) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    before = contents(folder)
    plan = split([folder / 'episode_000000.hdf5'], [rows(5)])

    def track(changes: Sequence[EpisodeChange]) -> Iterator[EpisodeChange]:
        yield from changes
        (folder / name).write_bytes(b'of a recorder that knows nothing of edits')

    with edit_journal(folder) as journal, pytest.raises(EpisodeError, match='nobody took'):
        perform(journal, plan.changes, STAMP, track)
    (folder / name).unlink()
    assert contents(folder) == before and not (folder / '.edits').exists()


def test_one_process_edits_a_folder_at_a_time(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    with edit_journal(folder), pytest.raises(EpisodeError, match='edited by another process'):
        undo(folder)


def test_a_full_disk_is_one_line_and_nothing_changes(tmp_path: Path) -> None:
    with small_disk(tmp_path / 'disk', '500k') as disk:
        folder = folder_of(disk / 'set')
        before = contents(folder)
        (disk / 'filler').write_bytes(bytes(os.statvfs(disk).f_bavail * 4096 - 40_000))
        for work in (trim_all, split_first):
            with pytest.raises(UserError, match='No space left on device') as caught:
                work(folder)
            assert '\n' not in str(caught.value)
            assert contents(folder) == before and not (folder / '.edits').exists()
        (disk / 'filler').unlink()
        trim_all(folder)


def test_a_limit_on_files_is_one_line_and_nothing_changes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set')
    before = contents(folder)
    with largest_file(20_000), pytest.raises(UserError, match='File too large'):
        edit(folder, relabel(sorted(folder.glob('*.hdf5')), {'task': 'x'}))
    assert contents(folder) == before and not (folder / '.edits').exists()


def test_what_is_no_episode_that_may_be_edited_is_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    path = folder / 'episode_000000.hdf5'
    link, part = folder / 'episode_000001.hdf5', folder / 'episode_000002.hdf5.part'
    link.symlink_to(path)
    part.write_bytes(path.read_bytes())
    foreign = folder / 'foreign.hdf5'
    foreign.write_bytes(b'no HDF5')
    read_only = tmp_path / 'episode_000000.hdf5'
    shutil.copy(path, read_only)
    read_only.chmod(0o444)
    for wrong, line in (
        (link, 'is a link to .*, expected the file itself'),
        (part, 'is unfinished, expected a finished episode'),
        (foreign, 'is damaged or not HDF5'),
        (read_only, 'is read-only'),
        (folder / 'none.hdf5', 'no such file'),
    ):
        with pytest.raises(UserError, match=line):
            cut([wrong], rows(1), rows(3))
    other = folder_of(tmp_path / 'other', 1)
    (other / '.edits').symlink_to(tmp_path)
    with pytest.raises(EpisodeError, match=r'\.edits: is a file or a link'):
        trim_all(other)


def test_a_journal_that_is_damaged_or_gone_loses_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    trim_all(folder)
    journal = folder / '.edits' / '000001' / 'edit.json'
    content = json.loads(journal.read_text())
    for wrong in ({}, {**content, 'steps': [{**content['steps'][0], 'source': '../x'}]}):
        journal.write_text(json.dumps(wrong))
        with pytest.raises(UserError, match='is no journal of an edit'):
            recover(folder)
    journal.unlink()
    with pytest.raises(EpisodeError, match=r'holds episodes, but there is no edit\.json'):
        recover(folder)
    assert list(folder.glob('.edits/*/originals/*.hdf5'))
