# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What an edit makes of each episode: rows to keep, labels, streams, new names.

Nothing is written here: a change is a plan, which can be shown before it is done.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from motion_policy.episodes.editing.idle import idle_ends
from motion_policy.episodes.editing.marks import FileMark
from motion_policy.episodes.editing.pieces import Piece, without_streams
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.layout import SUFFIX
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import FileError, regular_file, shown
from motion_policy.robot import depth_stream

# A row has a next one, which policies learn from.
LEAST_ROWS = 2


@dataclass(frozen=True)
class EpisodeChange:
    """What becomes of one episode.

    Args:
        source: its file.
        pieces: what is made of it, the first under its own name; none: it is discarded.
        words: what is done, for people.
        rows: how many rows it has; None where it was not looked at.
        rate: rows per second.
        mark: what the file was when this was planned.
    """

    source: Path
    pieces: tuple[Piece, ...]
    words: str
    rows: int | None
    rate: float
    mark: FileMark

    @classmethod
    def of(cls, episode: EpisodeReader, pieces: tuple[Piece, ...], words: str) -> EpisodeChange:
        """What becomes of an open episode."""
        mark = FileMark.of(episode.path)
        return cls(episode.path, pieces, words, episode.length, episode.rate, mark)

    @property
    def lengths(self) -> tuple[int | None, ...]:
        """How many rows each piece has."""
        return tuple(self.rows if piece.rows is None else len(piece.rows) for piece in self.pieces)


@dataclass(frozen=True)
class EditPlan:
    """The changes of an edit, and a line for each episode that stays as it is."""

    changes: tuple[EpisodeChange, ...]
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Amount:
    """A number of rows, or a time in seconds that is rounded to rows."""

    value: float
    in_rows: bool = False

    def rows(self, episode: EpisodeReader, option: str) -> int:
        """How many rows of an episode. Raises EpisodeError: negative, more, or no whole number."""
        if self.value < 0 or (self.in_rows and self.value != int(self.value)):
            expected = 'a whole number of rows' if self.in_rows else 'seconds from 0 on'
            raise EpisodeError(f'{option} is {self.value:g}, expected {expected}')
        rows = self.value if self.in_rows else self.value * episode.rate
        if rows > episode.length:
            unit = 'rows' if self.in_rows else 's'
            raise EpisodeError(
                f'{shown(episode.path)}: {option} is {self.value:g} {unit}, expected no more than '
                f'its {episode.length} rows ({episode.length / episode.rate:g} s)'
            )
        return round(rows)


def trim(
    paths: Iterable[Path], head: Amount, tail: Amount, *, idle: bool, margin: Amount
) -> EditPlan:
    """Take away rows at the head and the tail; with `idle`, those in which the arm stands.

    Of idle rows those within `margin` of the motion stay.

    Raises:
        EpisodeError: an episode cannot be read, or nothing would be left of it.
    """
    changes, left = [], []
    for path in paths:
        with opened(path) as episode:
            first, last = head.rows(episode, '--head'), tail.rows(episode, '--tail')
            if idle:
                ends = idle_ends(episode)
                if ends is None:
                    left.append(f'{shown(path)}: the arm never moves: it stays as it is')
                    continue
                kept = margin.rows(episode, '--margin')
                first, last = (
                    max(given, found - kept)
                    for given, found in zip((first, last), ends, strict=True)
                )
            if first + last + LEAST_ROWS > episode.length:
                raise EpisodeError(
                    f'{shown(path)}: {first} rows at the head and {last} at the tail of '
                    f'{episode.length}: expected at least {LEAST_ROWS} rows to be left'
                )
            if not first and not last:
                left.append(f'{shown(path)}: nothing to trim')
                continue
            rows = np.arange(first, episode.length - last)
            words = f'{first} rows at the head, {last} at the tail'
            changes.append(EpisodeChange.of(episode, (Piece(rows),), words))
    return EditPlan(tuple(changes), tuple(left))


def cut(paths: Iterable[Path], begin: Amount, end: Amount) -> EditPlan:
    """Take a piece out of the middle: what is before and after it become two episodes.

    They are not joined: the arm did not jump from the one to the other.

    Raises:
        EpisodeError: an episode cannot be read, or the piece is not within it.
    """
    changes = []
    for path in paths:
        with opened(path) as episode:
            first, last = begin.rows(episode, '--begin'), end.rows(episode, '--end')
            if not 0 <= first < last <= episode.length:
                raise EpisodeError(
                    f'{shown(path)}: rows {first} to {last}, expected a piece of its '
                    f'{episode.length} rows'
                )
            parts = [(0, first), (last, episode.length)]
            parts = [(a, b) for a, b in parts if b > a]
            words = f'rows {first} to {last - 1} are cut out'
            changes.append(_split_into(path, episode, parts, words))
    return EditPlan(tuple(changes))


def split(paths: Iterable[Path], places: Sequence[Amount]) -> EditPlan:
    """Make several episodes of one, each beginning where the one before ends.

    Raises:
        EpisodeError: an episode cannot be read, or a place is not within it.
    """
    changes = []
    for path in paths:
        with opened(path) as episode:
            at = [place.rows(episode, '--at') for place in places]
            bounds = [0, *at, episode.length]
            if sorted(set(bounds)) != bounds:
                raise EpisodeError(
                    f'{shown(path)}: split at rows {", ".join(map(str, at))}, expected rising '
                    f'places within its {episode.length} rows'
                )
            parts = list(itertools.pairwise(bounds))
            words = f'split at row {", ".join(map(str, at))}'
            changes.append(_split_into(path, episode, parts, words))
    return EditPlan(tuple(changes))


def relabel(paths: Iterable[Path], labels: Mapping[str, Any]) -> EditPlan:
    """Note another task, judgement or operator; `success` of None: not judged.

    Raises:
        EpisodeError: an episode cannot be read, or a label is no text.
    """
    for name, value in labels.items():
        if isinstance(value, str) and ('\0' in value or _no_unicode(value)):
            raise EpisodeError(f"--{name} is '{shown(value)}', expected text in UTF-8")
    changes, left = [], []
    for path in paths:
        with opened(path) as episode:
            other = {n: value for n, value in labels.items() if getattr(episode, n) != value}
            if not other:
                left.append(f'{shown(path)}: says so already')
                continue
            words = ', '.join(
                f'{name}: {_label(getattr(episode, name))} -> {_label(value)}'
                for name, value in other.items()
            )
            stored = {n: h5py.Empty('?') if v is None else v for n, v in other.items()}
            piece = Piece(labels=stored)
            changes.append(EpisodeChange.of(episode, (piece,), words))
    return EditPlan(tuple(changes), tuple(left))


def drop(paths: Iterable[Path], streams: Sequence[str]) -> EditPlan:
    """Leave out cameras, vectors or depth cameras (`depth_NAME`).

    Raises:
        EpisodeError: an episode cannot be read, or has no such stream.
    """
    changes = []
    for path in paths:
        with opened(path) as episode:
            robot = episode.robot
            known = [*robot.cameras, *robot.vectors, *map(depth_stream, robot.depth)]
            for stream in streams:
                if stream not in known:
                    raise EpisodeError(
                        f"{shown(path)}: has no stream '{shown(stream)}' that can be dropped, "
                        f'expected one of: {", ".join(known) or "none"}'
                    )
            piece = Piece(dropped=tuple(streams), robot=without_streams(robot, streams))
            words = f'without {", ".join(streams)}'
            changes.append(EpisodeChange.of(episode, (piece,), words))
    return EditPlan(tuple(changes))


def delete(paths: Iterable[Path]) -> EditPlan:
    """Move episodes to `discarded/`, also those that cannot be read.

    Raises:
        EpisodeError: no regular file called `*.hdf5`.
    """
    changes = []
    for path in paths:
        _check_file(path)
        try:
            with EpisodeReader(path) as episode:
                change = EpisodeChange.of(episode, (), 'discarded')
        except EpisodeError:
            change = EpisodeChange(path, (), 'discarded', None, 0.0, FileMark.of(path))
        changes.append(change)
    return EditPlan(tuple(changes))


def opened(path: Path) -> EpisodeReader:
    """Open an episode that is to be edited.

    Raises:
        EpisodeError: it is a link, is not to be changed, or cannot be read.
    """
    _check_file(path)
    return EpisodeReader(path)


def _check_file(path: Path) -> None:
    if path.is_symlink():
        raise EpisodeError(
            f'{shown(path)}: is a link to {shown(path.resolve())}, expected the file itself'
        )
    try:
        regular_file(path, 'an episode')
    except FileError as error:
        raise EpisodeError(str(error)) from None
    if path.suffix != SUFFIX:
        # The reader knows what a crash left, and says what to do with it.
        with EpisodeReader(path):
            raise EpisodeError(f'{shown(path)}: expected a name that ends with {SUFFIX}')
    if not path.stat().st_mode & 0o222:
        raise EpisodeError(
            f'{shown(path)}: is read-only, expected an episode that may be changed (chmod u+w)'
        )


def _split_into(
    path: Path, episode: EpisodeReader, parts: Sequence[tuple[int, int]], words: str
) -> EpisodeChange:
    for first, last in parts:
        if last - first < LEAST_ROWS:
            raise EpisodeError(
                f'{shown(path)}: a piece of {last - first} rows would be left, expected at least '
                f'{LEAST_ROWS}'
            )
    if not parts:
        raise EpisodeError(f'{shown(path)}: nothing would be left, expected `edit delete`')
    pieces = []
    for first, last in parts:
        # What was judged is the whole; why it ended early belongs to its end.
        labels: dict[str, Any] = {}
        if len(parts) > 1 and episode.success is not None:
            labels['success'] = h5py.Empty('?')
        if last < episode.length and episode.ended:
            labels['ended'] = ''
        pieces.append(Piece(np.arange(first, last), labels=labels))
    return EpisodeChange.of(episode, tuple(pieces), words)


def _no_unicode(text: str) -> bool:
    """Whether bytes that are no UTF-8 stand in a text, as they come from a command line."""
    return any('\ud800' <= letter <= '\udfff' for letter in text)


def _label(value: Any) -> str:
    if value is None:
        return 'not judged'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return f"'{shown(value)}'"
