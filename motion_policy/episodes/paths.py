# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Episode file names and numbering in a folder.

A number is never given twice, also not that of an unfinished recording or a discarded episode.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.layout import SUFFIX
from motion_policy.files import PART_SUFFIX, FileError, is_there, move_folder, regular_file

# Beside an episode: the messages it was recorded from, where these are kept.
BAG_SUFFIX = '_bag'
_BAG_PART = f'{BAG_SUFFIX}{PART_SUFFIX}'

_NUMBERED = re.compile(rf'episode_(\d+)(?:\{SUFFIX}|{BAG_SUFFIX}).*')

# Beside the episodes of a folder: those that were discarded, and the originals of those that were
# edited, in a folder for each edit.
DISCARDED = 'discarded'
EDITS = '.edits'


def regular_input(path: Path, what: str) -> Path:
    """Return the path of a regular file that is no pointer to one.

    Raises:
        EpisodeError: as `regular_file`.
    """
    try:
        return regular_file(path, what)
    except FileError as error:
        raise EpisodeError(str(error)) from None


def next_episode_path(directory: str | Path) -> Path:
    """Return the path of the next episode in `directory`, which need not exist yet."""
    folder = Path(directory)
    return folder / f'episode_{next_number(folder):06d}{SUFFIX}'


def bag_beside(episode: Path) -> Path:
    """Return where the bag of an episode is, if it has one."""
    return episode.with_name(f'{episode.name.partition(SUFFIX)[0]}{BAG_SUFFIX}')


def move_bag_along(episode: Path, moved: Path) -> None:
    """Let the bag of an episode, if it has one, follow where that was moved to.

    Raises:
        OSError: it cannot.
    """
    for suffix in ('', PART_SUFFIX):
        bag, target = (
            each.with_name(each.name + suffix) for each in map(bag_beside, (episode, moved))
        )
        if is_there(bag) and not is_there(target):
            move_folder(bag, target)


def next_number(folder: Path) -> int:
    """Return the number above all that episodes of a folder have or had."""
    places = [folder, folder / DISCARDED, *folder.glob(f'{EDITS}/*/*')]
    names = [name for place in places if place.is_dir() for name in os.listdir(place)]
    numbers = [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))]
    return max(numbers, default=-1) + 1


def discarded_path(path: Path) -> Path:
    """Where an episode goes that is discarded: a name in `discarded/` that nothing has yet."""
    stem, rest = path.name.partition(SUFFIX)[0], path.name.partition(SUFFIX)[1:]
    place, number = path.parent / DISCARDED / path.name, 1
    while is_there(place):
        number += 1
        place = place.with_name(f'{stem}.{number}{"".join(rest)}')
    return place


def list_episodes(
    paths: str | Path | Iterable[str | Path], *, unfinished: bool = False
) -> list[Path]:
    """Return the episodes among files and in folders, sorted within each folder.

    Args:
        paths: one path or several, each a file or a folder of `*.hdf5`.
        unfinished: also list what a crash left (`*.hdf5.part`).

    Raises:
        EpisodeError: no path at all, a path does not exist, or a folder holds no episode.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        raise EpisodeError('no path was given, expected episodes or folders of episodes')
    return [episode for path in given for episode in _episodes_at(Path(path), unfinished)]


def _episodes_at(path: Path, unfinished: bool) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise EpisodeError(f'{path}: no such file or folder, expected an episode or a folder')
    patterns = [f'*{SUFFIX}'] + ([f'*{SUFFIX}{PART_SUFFIX}'] if unfinished else [])
    episodes = sorted(
        episode
        for pattern in patterns
        for episode in path.glob(pattern)
        if not episode.name.startswith('.')  # other systems leave such beside the files
    )
    if not episodes:
        raise EpisodeError(f'{path}: holds no episode, expected files named {patterns[0]}')
    return episodes


def unfinished_bags(paths: Iterable[str | Path]) -> list[Path]:
    """Return the bags that a crash left in folders, or beside episodes."""
    given = [Path(path) for path in paths]
    beside = [part_of_bag(bag_beside(path)) for path in given if path.is_file()]
    inside = [each for path in given if path.is_dir() for each in path.glob(f'*{_BAG_PART}')]
    own = [path for path in given if path.is_dir() and path.name.endswith(_BAG_PART)]
    return sorted({each for each in (*beside, *inside, *own) if each.is_dir()})


def part_of_bag(path: Path) -> Path:
    """Return the name that a bag has while it is written."""
    return path.with_name(path.name + PART_SUFFIX)
