# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Copies of HDF5 files of which only some rows are taken, also of datasets that nobody knows.

Rule: what is copied is the same to the bit, with its type, chunks, filters and attributes; links
stay links and are not followed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError

RowNumbers = npt.NDArray[np.int64]

BYTES_AT_ONCE = 2**25

# (name, shape) of a dataset -> the axis along which its rows lie, and which of them to take; None:
# all of it is copied as it is.
RowsOf = Callable[[str, tuple[int, ...]], tuple[int, RowNumbers] | None]


class TreeCopy:
    """Copies what is in a file to a new one.

    Args:
        rows_of: which rows of each dataset to take.
        left_out: whether a group or dataset of this name stays behind.
        checked: a dataset of this name, after it was found fit to be read.
        on_write: called after each dataset and block of rows.
    """

    def __init__(
        self,
        rows_of: RowsOf,
        left_out: Callable[[str], bool],
        checked: Callable[[str], Any],
        on_write: Callable[[], None],
    ) -> None:
        self._rows_of = rows_of
        self._left_out = left_out
        self._checked = checked
        self._on_write = on_write
        self._copied: dict[Any, str] = {}  # by address, for what has several names

    def copy(self, source: Any, target: Any, before: str = '') -> None:
        """Copy all members and attributes of a group (h5py.Group)."""
        _copy_attributes(source, target, before)
        for member in source:
            name = f'{before}{member}'
            if self._left_out(name):
                continue
            link = source.get(member, getlink=True)
            if not isinstance(link, h5py.HardLink):
                target[member] = link
                continue
            item = source[member]
            address = h5py.h5o.get_info(item.id).addr
            if address in self._copied:
                target[member] = target.file[self._copied[address]]
                continue
            self._copied[address] = name
            if isinstance(item, h5py.Group):
                self.copy(item, target.create_group(member), f'{name}/')
            elif isinstance(item, h5py.Dataset):
                self._copy_dataset(item, target, member, name)
            else:  # a named type
                source.copy(item, target, name=member)
            self._on_write()

    def _copy_dataset(self, item: Any, target: Any, member: str, name: str) -> None:
        if h5py.check_ref_dtype(item.dtype) is not None:
            raise EpisodeError(f"'/{name}' holds references, expected numbers or text")
        chosen = None if item.shape is None else self._rows_of(name, item.shape)
        if item.shape is not None:
            self._checked(name)
        if chosen is None:
            item.parent.copy(item, target, name=member)
            return
        axis, rows = chosen
        shape = (*item.shape[:axis], len(rows), *item.shape[axis + 1 :])
        most = [
            None if most is None else max(length, most if place != axis else 0)
            for place, (length, most) in enumerate(zip(shape, item.maxshape, strict=True))
        ]
        space = h5py.h5s.create_simple(
            shape, tuple(h5py.h5s.UNLIMITED if one is None else one for one in most)
        )
        kind, plan = item.id.get_type().copy(), item.id.get_create_plist()
        made = h5py.h5d.create(target.id, member.encode(), kind, space, plan)
        new = h5py.Dataset(made)
        _copy_attributes(item, new, name)
        if axis == 0 and item.chunks is not None and item.chunks[0] == 1:
            self._copy_chunks(item, new, rows)
            return
        for start, stop in _blocks(item, axis, len(rows)):
            place = (slice(None),) * axis
            taken = rows[start:stop]
            first, last = int(taken.min()), int(taken.max())
            read = item[(*place, slice(first, last + 1))]
            new[(*place, slice(start, stop))] = read.take(taken - first, axis=axis)
            self._on_write()

    def _copy_chunks(self, item: Any, new: Any, rows: RowNumbers) -> None:
        """Copy rows that have chunks of their own as these stand, with their checksums."""
        inner = [
            range(0, length, step)
            for length, step in zip(item.shape[1:], item.chunks[1:], strict=True)
        ]
        for number, row in enumerate(rows.tolist()):
            for place in itertools.product(*inner):
                try:
                    mask, data = item.id.read_direct_chunk((row, *place))
                except (OSError, RuntimeError, ValueError):
                    # Not written: it is read as zeros; or damaged: reading says so.
                    new[number] = item[row]
                    break
                new.id.write_direct_chunk((number, *place), data, mask)
            self._on_write()


def _blocks(item: Any, axis: int, count: int) -> Iterator[tuple[int, int]]:
    row_bytes = max(1, item.dtype.itemsize * item.size // max(1, item.shape[axis]))
    step = max(1, BYTES_AT_ONCE // row_bytes)
    for start in range(0, count, step):
        yield start, min(start + step, count)


def _copy_attributes(source: Any, target: Any, name: str) -> None:
    for attribute in source.attrs:
        found = source.attrs.get_id(attribute)
        if h5py.check_ref_dtype(found.dtype) is not None:
            raise EpisodeError(
                f"attribute '{attribute}' of '/{name}' holds references, expected numbers or text"
            )
        value = source.attrs[attribute]
        if isinstance(value, h5py.Empty):
            target.attrs[attribute] = value
        else:
            target.attrs.create(attribute, value, shape=found.shape, dtype=found.dtype)
