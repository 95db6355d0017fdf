# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Journal of the edits of a folder, with the originals, and the switch from old files to new.

An edit is made beside the set, in `.edits/NUMBER/new`. Then its journal is written, and from then
on it is finished, also by the next process; before that it is taken back. At every moment each
episode has its name, as it was or as it becomes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from motion_policy import __version__
from motion_policy.documents import read_json
from motion_policy.episodes.editing.marks import FileMark
from motion_policy.episodes.editing.pieces import EditStamp
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.layout import part_path
from motion_policy.episodes.paths import DISCARDED, EDITS, move_bag_along
from motion_policy.files import (
    PART_SUFFIX,
    is_there,
    keep_also,
    make_folders,
    move_new,
    naming_errors,
    remove_empty,
    settle,
    shown,
    write_json,
)

JOURNAL, NEW, ORIGINALS = 'edit.json', 'new', 'originals'

# What is on its way: each is finished by whoever comes next.
PLACING, DONE, UNDOING, COMMITTING = 'placing', 'done', 'undoing', 'committing'


@dataclass(frozen=True)
class EditStep:
    """What becomes of one episode.

    Args:
        source: its name in the folder; empty where it is taken from another one.
        results: the names and marks of what comes in its place.
        discarded: the name that it gets in `discarded/`; empty where it is not discarded.
        taken_from: the file in another folder, and its mark.
    """

    source: str
    results: tuple[tuple[str, FileMark], ...] = ()
    discarded: str = ''
    taken_from: tuple[str, FileMark] | None = None


@dataclass(frozen=True)
class Edit:
    """One edit of a folder, as its journal says."""

    number: int
    stamp: EditStamp
    state: str
    steps: tuple[EditStep, ...]

    def __str__(self) -> str:
        words = f'{self.stamp.action} {self.stamp.options}'.strip()
        return f'{words} of {len(self.steps)} episodes, {self.stamp.when}'


class EditJournal:
    """The edits of a folder, which nobody else edits meanwhile; made by `edit_journal`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._edits = folder / EDITS

    def is_empty(self) -> bool:
        """Whether there is no edit, finished or not."""
        return not self._numbers()

    def is_interrupted(self) -> bool:
        """Whether a process was killed, so that some episodes are edited and others are not."""
        edits = [self._read(number) for number in self._numbers()]
        return any(edit is not None and edit.state != DONE for edit in edits)

    def done(self) -> list[Edit]:
        """The edits that can be undone, the last one last."""
        return [edit for number in self._numbers() if (edit := self._read(number)) is not None]

    def recover(self) -> list[str]:
        """Finish or take back what a process left that was killed; return lines on it."""
        lines = []
        for number in self._numbers():
            for unwritten in self._of(number).glob(f'.{JOURNAL}.*{PART_SUFFIX}'):
                unwritten.unlink()
            edit = self._read(number)
            if edit is None:
                self._take_back(number)
                continue
            if edit.state == PLACING:
                self._place(edit)
                lines.append(f'finished what was interrupted: {edit}')
            elif edit.state == UNDOING:
                self._undo(edit)
                lines.append(f'finished undoing what was interrupted: {edit}')
            elif edit.state == COMMITTING:
                self._remove(edit.number)
            else:
                self._clear_new(edit.number)
        return lines

    def begin(self) -> int:
        """Make room for a new edit; return its number."""
        number = max(self._numbers(), default=0) + 1
        for name in (NEW, ORIGINALS):
            make_folders(self._of(number) / name)
        return number

    def new_path(self, number: int, name: str) -> Path:
        """Where the new file that will be called `name` is made."""
        return self._of(number) / NEW / name

    def give_up(self, number: int) -> None:
        """Take back an edit of which nothing was placed."""
        self._take_back(number)

    def finish(self, number: int, stamp: EditStamp, steps: tuple[EditStep, ...]) -> Edit:
        """Let the set become what was made. Raises EpisodeError: a name was taken meanwhile."""
        edit = Edit(number, stamp, PLACING, steps)
        try:
            self._check_names(edit)
            self._write(edit)
        except BaseException:
            if not is_there(self._of(number) / JOURNAL):
                self._take_back(number)
            raise
        return self._place(edit)

    def undo(self) -> Edit:
        """Bring back what was before the last edit.

        Raises:
            EpisodeError: there is none, or something would be lost.
        """
        done = self.done()
        if not done:
            raise EpisodeError(f'{shown(self.folder)}: has no edit to undo')
        self._check_undo(done[-1])
        self._write(replace(done[-1], state=UNDOING))
        self._undo(done[-1])
        return done[-1]

    def commit(self) -> list[Edit]:
        """Remove the originals of all edits, which cannot be undone then."""
        done = self.done()
        for edit in done:
            self._write(replace(edit, state=COMMITTING))
        for edit in done:
            self._remove(edit.number)
        return done

    def original_bytes(self) -> int:
        """How much room the originals take that are no longer in the set."""
        files = self._edits.glob(f'*/{ORIGINALS}/*')
        return sum(path.stat().st_size for path in files)

    def _place(self, edit: Edit) -> Edit:
        new, originals = (self._of(edit.number) / name for name in (NEW, ORIGINALS))
        for step in edit.steps:
            # Pieces with names of their own come first, so that no row is ever missing.
            for name in (name for name, _ in step.results if name != step.source):
                if is_there(new / name):
                    self._move(new / name, name)
            if step.discarded and is_there(self.folder / step.source):
                make_folders(self.folder / DISCARDED)
                move_new(self.folder / step.source, self.folder / DISCARDED / step.discarded)
            if step.discarded:
                move_bag_along(self.folder / step.source, self.folder / DISCARDED / step.discarded)
            if step.source and step.results and is_there(new / step.source):
                if not is_there(originals / step.source):
                    keep_also(self.folder / step.source, originals / step.source)
                settle(new / step.source, self.folder / step.source)
        done = replace(edit, state=DONE)
        self._write(done)
        self._clear_new(edit.number)
        return done

    def _clear_new(self, number: int) -> None:
        """Remove what kept names free while new files were made."""
        if is_there(self._of(number) / NEW):
            shutil.rmtree(self._of(number) / NEW)

    def _check_names(self, edit: Edit) -> None:
        for step in edit.steps:
            for path in (self.folder / name for name, _ in step.results if name != step.source):
                if is_there(path) or is_there(part_path(path)):
                    raise self._taken(path.name)

    def _check_undo(self, edit: Edit) -> None:
        for step in edit.steps:
            for name, mark in step.results:
                if is_there(self.folder / name) and not mark.fits(self.folder / name):
                    raise EpisodeError(
                        f'{shown(self.folder / name)}: was changed since the edit ({edit}), '
                        'which undoing it would lose; `motion-policy edit commit` keeps it'
                    )
            if step.results and step.source:
                self._check_original(edit, step.source)
            if step.discarded and is_there(self.folder / step.source):
                raise self._taken(step.source)
            if step.discarded and not is_there(self.folder / DISCARDED / step.discarded):
                raise EpisodeError(
                    f'{shown(self.folder / DISCARDED / step.discarded)}: is gone, expected the '
                    'discarded episode'
                )
            if step.taken_from is not None and not step.taken_from[1].fits(
                Path(step.taken_from[0])
            ):
                raise EpisodeError(
                    f'{shown(step.taken_from[0])}: is gone or was changed since it was merged '
                    f'into {shown(self.folder)}, which undoing it would lose'
                )

    def _check_original(self, edit: Edit, name: str) -> None:
        path = self._of(edit.number) / ORIGINALS / name
        if not is_there(path):
            raise EpisodeError(f'{shown(path)}: is gone, expected the original')

    def _undo(self, edit: Edit) -> None:
        originals = self._of(edit.number) / ORIGINALS
        for step in reversed(edit.steps):
            if step.source and is_there(originals / step.source):
                settle(originals / step.source, self.folder / step.source)
            for name, mark in step.results:
                # Whoever was killed here may have left the name to another recording.
                if name != step.source and mark.fits(self.folder / name):
                    (self.folder / name).unlink()
            discarded = self.folder / DISCARDED / step.discarded
            if step.discarded:
                if is_there(discarded):
                    self._move(discarded, step.source)
                move_bag_along(discarded, self.folder / step.source)
                remove_empty([discarded.parent])
        self._remove(edit.number)

    def _move(self, path: Path, name: str) -> None:
        try:
            move_new(path, self.folder / name)
        except FileExistsError:
            raise self._taken(name) from None

    def _taken(self, name: str) -> EpisodeError:
        return EpisodeError(
            f'{shown(self.folder / name)}: is there, expected a name that nobody took meanwhile'
        )

    def _of(self, number: int) -> Path:
        return self._edits / f'{number:06d}'

    def _numbers(self) -> list[int]:
        if not self._edits.is_dir():
            return []
        names = [entry.name for entry in self._edits.iterdir() if entry.is_dir()]
        return sorted(int(name) for name in names if name.isdecimal())

    def _read(self, number: int) -> Edit | None:
        path = self._of(number) / JOURNAL
        if not is_there(path):
            return None
        content = read_json(path, 'the journal of an edit')
        try:
            stamp = EditStamp(**content['stamp'])
            state, steps = str(content['state']), tuple(map(_step, content['steps']))
        except (TypeError, KeyError, ValueError, AttributeError):
            raise EpisodeError(f'{shown(path)}: is no journal of an edit') from None
        return Edit(number, stamp, state, steps)

    def _write(self, edit: Edit) -> None:
        content = {
            'stamp': asdict(edit.stamp), 'state': edit.state,
            'software': f'motion_policy {__version__}',
            'steps': [asdict(step) for step in edit.steps],
        }  # fmt: skip
        write_json(self._of(edit.number) / JOURNAL, content)

    def _take_back(self, number: int) -> None:
        """Remove what was made for an edit that has no journal yet."""
        held = self._of(number) / ORIGINALS
        if held.is_dir() and any(held.iterdir()):
            raise EpisodeError(
                f'{shown(held)}: holds episodes, but there is no {JOURNAL} that says of what; '
                'expected them to be moved to where they belong'
            )
        self._remove(number)

    def _remove(self, number: int) -> None:
        """Remove the files of an edit, the journal last, and the folders that are empty then."""
        place = self._of(number)
        for name in (NEW, ORIGINALS):
            if is_there(place / name):
                shutil.rmtree(place / name)
        (place / JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        remove_empty([self._edits])


@contextlib.contextmanager
def edit_journal(folder: Path) -> Iterator[EditJournal]:
    """The edits of a folder, for this process alone.

    Raises:
        EpisodeError: somebody else edits it, or `.edits` or `discarded` is no folder.
    """
    for name in (EDITS, DISCARDED):
        place = folder / name
        if is_there(place) and (place.is_symlink() or not place.is_dir()):
            raise EpisodeError(
                f'{shown(place)}: is a file or a link, expected a folder or nothing'
            )
    with naming_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(descriptor, folder)
            yield EditJournal(folder)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EpisodeError(
            f'{shown(folder)}: is being edited by another process, expected to be alone'
        ) from None
    except OSError:
        pass  # some network file systems have no locks


def _step(content: dict[str, Any]) -> EditStep:
    results = tuple((_plain(name), FileMark(**mark)) for name, mark in content['results'])
    source, discarded = _plain(content['source']), _plain(content['discarded'])
    taken = content['taken_from']
    return EditStep(
        source, results, discarded, None if taken is None else (taken[0], FileMark(**taken[1]))
    )


def _plain(name: str) -> str:
    """A name that leads nowhere else. Raises ValueError."""
    if Path(name).name != name or name.startswith('.'):
        raise ValueError(name)
    return name
