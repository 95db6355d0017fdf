# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Doing of planned changes: new files are made beside the set, then take their places at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from motion_policy.episodes.editing.changes import EpisodeChange
from motion_policy.episodes.editing.journal import Edit, EditJournal, EditStep
from motion_policy.episodes.editing.marks import FileMark, file_digest
from motion_policy.episodes.editing.pieces import EditStamp, write_piece
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.layout import SUFFIX, part_path
from motion_policy.episodes.paths import discarded_path, next_number
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import naming_errors, settle, shown

Track = Callable[[Sequence[EpisodeChange]], Iterable[EpisodeChange]]


def perform(
    journal: EditJournal, changes: Sequence[EpisodeChange], stamp: EditStamp, track: Track = iter
) -> Edit:
    """Do the changes of episodes, all or none.

    Those of other folders are copied to the journal's; the others become what was planned.

    Args:
        journal: of the folder that is edited.
        changes: what becomes of each episode.
        stamp: who edits, for the files and the journal.
        track: shows how far it is.

    Raises:
        EpisodeError: an episode is damaged or was changed meanwhile, or a name was taken.
        FileError: no room.
    """
    folder = journal.folder
    with naming_errors(folder):
        number = journal.begin()
        try:
            steps = []
            names = _new_names(journal, number, changes)
            for change in track(changes):
                steps.append(_made(journal, number, change, names[change.source], stamp))
            for change in changes:
                if not change.mark.fits(change.source):
                    raise EpisodeError(
                        f'{shown(change.source)}: was changed while it was edited, expected it '
                        'to stay; nothing was edited'
                    )
        except BaseException:
            journal.give_up(number)
            raise
        return journal.finish(number, stamp, tuple(steps))


def piece_names(
    folder: Path, changes: Sequence[EpisodeChange], first: int
) -> dict[Path, tuple[str, ...]]:
    """The names of what the changes make: the first piece has the old one, others new numbers."""
    names, number = {}, first
    for change in changes:
        own = [change.source.name] if change.pieces and change.source.parent == folder else []
        count = len(change.pieces) - len(own)
        new = [f'episode_{number + each:06d}{SUFFIX}' for each in range(count)]
        names[change.source] = (*own, *new)
        number += count
    return names


def _new_names(
    journal: EditJournal, number: int, changes: Sequence[EpisodeChange]
) -> dict[Path, tuple[str, ...]]:
    """The names of all pieces, taken at once, so that no recording takes them meanwhile."""
    folder = journal.folder
    names = piece_names(folder, changes, next_number(folder))
    for source, given in names.items():
        for name in given:
            if name != source.name or source.parent != folder:
                journal.new_path(number, f'{name}.taken').touch(exist_ok=False)
    return names


def _made(
    journal: EditJournal,
    number: int,
    change: EpisodeChange,
    names: Sequence[str],
    stamp: EditStamp,
) -> EditStep:
    source = change.source
    inside = source.parent == journal.folder
    if not change.pieces:
        return EditStep(source.name, discarded=discarded_path(source).name)
    digest = file_digest(source)
    results = []
    for piece, name in zip(change.pieces, names, strict=True):
        new = journal.new_path(number, name)
        part = part_path(new)
        write_piece(source, part, piece, stamp, digest)
        with EpisodeReader(_settled(part, new)):  # refuses what is not as an episode must be
            pass
        results.append((name, FileMark.of(new, digest=file_digest(new))))
    taken = None if inside else (str(source.absolute()), FileMark.of(source, digest=digest))
    return EditStep(source.name if inside else '', tuple(results), taken_from=taken)


def _settled(part: Path, path: Path) -> Path:
    settle(part, path)
    return path
