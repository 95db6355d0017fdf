# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Make an episode of what a crash left: all rows up to the last one that is whole."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.images import decode_jpeg
from motion_policy.episodes.reader import open_episode
from motion_policy.episodes.writer import settle

ROWS_PER_COPY = 256


def repair_episode(part_path: str | Path) -> Path:
    """Finish an episode that was left as `*.hdf5.part`, and return its path.

    The rows are copied to a new file, which takes the final name; then the part is removed.

    Raises:
        EpisodeError: not a `.part`, still being written, its final name is taken, or no row whole.
    """
    part = Path(part_path)
    path = part.with_name(part.name.removesuffix(layout.PART_SUFFIX))
    if path == part:
        raise EpisodeError(f'{part}: is not unfinished, expected *{layout.PART_SUFFIX}')
    if path.exists():
        raise EpisodeError(f'{part}: cannot be finished, {path} exists already')
    _check_nobody_writes(part)
    copy = part.with_name(f'.{path.name}.repair{layout.PART_SUFFIX}')
    copy.unlink(missing_ok=True)
    try:
        with open_episode(part, unfinished=True) as source:
            length = whole_rows(source)
            if length == 0:
                raise EpisodeError(f'{part}: holds no whole row, nothing can be saved from it')
            with h5py.File(copy, 'x', libver=layout.LIBRARY_VERSIONS) as target:
                _copy_rows(source, target, length)
        settle(copy, path)
    except OSError as error:
        raise EpisodeError(f'{part}: cannot be finished: {error}') from error
    finally:
        copy.unlink(missing_ok=True)
    part.unlink()
    return path


def whole_rows(file: h5py.File) -> int:
    """Return how many rows of an open file are whole, from the first one on."""
    if layout.TIME_NS not in file:
        return 0
    lengths = [file[name].shape[layout.row_axis(name)] for name in layout.dataset_names(file)]
    length = int(min(lengths))
    while length and not _row_is_whole(file, length - 1):
        length -= 1
    return length


def _row_is_whole(file: h5py.File, row: int) -> bool:
    if file[layout.TIME_NS][row] == 0:
        return False
    images = file.get(layout.IMAGES, {})
    return all(
        dataset.ndim != 2 or decode_jpeg(dataset[row]) is not None for dataset in images.values()
    )


def _copy_rows(source: h5py.File, target: h5py.File, length: int) -> None:
    target.attrs.update(source.attrs)
    target.attrs['ended'] = 'the recording process died; the file was repaired'
    for name in layout.dataset_names(source):
        axis = layout.row_axis(name)
        old = source[name]
        shape = (*old.shape[:axis], length, *old.shape[axis + 1 :])
        new = target.create_dataset(
            name, shape=shape, maxshape=old.maxshape, chunks=old.chunks, dtype=old.dtype
        )
        new.attrs.update(old.attrs)
        for start in range(0, length, ROWS_PER_COPY):
            rows: Any = slice(start, min(start + ROWS_PER_COPY, length))
            place = (*(slice(None) for _ in range(axis)), rows)
            new[place] = old[place]
    if layout.STAMPS in source:
        for stream, group in source[layout.STAMPS].items():
            target[f'{layout.STAMPS}/{stream}'].attrs.update(group.attrs)
            _count_what_is_there(target[f'{layout.STAMPS}/{stream}'])


def _count_what_is_there(group: h5py.Group) -> None:
    """The counters died with the process: count the samples that the rows used."""
    stamps = np.unique(group['header_ns'][()])
    if len(stamps) == 1 and stamps[0] == 0:
        stamps = np.unique(group['receive_ns'][()])
    group.attrs['received'] = np.int64(len(stamps))
    group.attrs['max_gap_ns'] = np.int64(np.diff(stamps).max(initial=0))


def _check_nobody_writes(part: Path) -> None:
    try:
        with part.open('rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        raise EpisodeError(f'{part}: is still being written, expected what a crash left') from None
    except OSError as error:
        raise EpisodeError(f'{part}: cannot be read: {error}') from None
