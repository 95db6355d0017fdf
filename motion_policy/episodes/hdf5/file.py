# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Validated reading of HDF5 datasets and attributes.

Rule: nothing is reached through a link and nothing outside the file is opened, no type, rank,
length or size is believed before it was compared with what was declared and with the file itself.
What is in a file besides is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes.columns import IMAGE_ROWS_PER_RESIZE
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.bytes import HdfInput, closed_at_exit
from motion_policy.episodes.hdf5.copying import RowsOf, TreeCopy
from motion_policy.episodes.hdf5.output import HdfOutput
from motion_policy.episodes.hdf5.recovery import UnfinishedInput
from motion_policy.files import FileError, regular_file, shown

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

# What h5py raises where bytes are missing or wrong.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError)

MOST_BYTES_AT_ONCE = 2**28  # of what is read in one piece: a column, an image, a chunk
MOST_BYTES_OF_AN_ATTRIBUTE = 2**22
MOST_MEMBERS = 10_000

# HDF5's own filters, with the most that they shrink; others are code from elsewhere.
_FILTERS = {
    h5py.h5z.FILTER_DEFLATE: 1100.0,
    h5py.h5z.FILTER_SHUFFLE: 1.0,
    h5py.h5z.FILTER_FLETCHER32: 1.0,
    h5py.h5z.FILTER_SZIP: 1100.0,
    h5py.h5z.FILTER_NBIT: 64.0,
    h5py.h5z.FILTER_SCALEOFFSET: 1100.0,
    h5py.h5z.FILTER_LZF: 300.0,
}
# Rows that were never written take no room; HDF5 reads them as zeros.
_UNWRITTEN_BYTES = 2**26

_REQUIRED: Any = object()


class MisfitError(EpisodeError):
    """What is there is no dataset, or one of another type or shape; `found` says which."""

    found = ''


@dataclass(frozen=True)
class Field:
    """What a dataset must be.

    Args:
        types: as numpy writes them, `f4`, or by kind, `f`.
        shape: lengths of the axes; None: any.
        by_row: read row by row, so that only one row must fit into memory.
        words: what is expected, for the message; default: from the others.
        most_bytes: that may be read in one piece.
    """

    types: tuple[str, ...]
    shape: tuple[int | None, ...]
    by_row: bool = False
    words: str = ''
    most_bytes: int = MOST_BYTES_AT_ONCE

    def __str__(self) -> str:
        if self.words:
            return self.words
        shape = ', '.join('any' if length is None else str(length) for length in self.shape)
        end = ',' if len(self.shape) == 1 else ''
        return f'({shape}{end}) {" or ".join(_TYPE_NAMES.get(one, one) for one in self.types)}'

    def fits(self, item: h5py.Dataset) -> bool:
        """Whether a dataset is of these types and this shape."""
        dtype = item.dtype
        known = any(one in (dtype.kind, f'{dtype.kind}{dtype.itemsize}') for one in self.types)
        if not known and not (VLEN_BYTES in self.types and _is_vlen_bytes(dtype)):
            return False
        return len(item.shape) == len(self.shape) and all(
            one is None or one == length
            for length, one in zip(item.shape, self.shape, strict=True)
        )


_TYPE_NAMES = {
    'f4': 'float32', 'f8': 'float64', 'b1': 'bool', 'i8': 'int64', 'u1': 'uint8', 'u2': 'uint16',
    'f': 'float', 'i': 'integer', 'u': 'unsigned', 'S': 'bytes',
}  # fmt: skip

VLEN_BYTES = 'vlen'  # a row of bytes or text of its own length, as a type of a Field


class HdfFile:
    """An HDF5 file that is read, as a context manager.

    Args:
        path: file.
        what: what was expected there, in words: 'an episode'.
        unfinished: whether its writer may have been killed.

    Raises:
        EpisodeError: no such file, no HDF5, or damaged.
    """

    def __init__(self, path: Path, what: str, *, unfinished: bool = False) -> None:
        self.path = path
        self._what = what
        self._checked: dict[str, Any] = {}
        self._groups: dict[str, h5py.Group] = {}  # on the way to what was asked for
        try:
            regular_file(path, what)
            self._bytes = UnfinishedInput(path) if unfinished else HdfInput(path)
            try:
                self._file = closed_at_exit(h5py.File(self._bytes, 'r'))
            except BaseException:
                self._bytes.close()
                raise
        except FileError as error:
            raise EpisodeError(str(error)) from None
        except DAMAGE as error:
            raise EpisodeError(
                f'{shown(path)}: is damaged or not HDF5 ({reason_of(error)}), expected {what}'
            ) from None

    def close(self) -> None:
        """Close the file; nothing can be read after it."""
        self._checked.clear()
        self._groups.clear()
        self._file.close()
        self._bytes.close()

    def has(self, name: str) -> bool:
        """Whether there is something of this name, whatever it is."""
        group: Any = self._file
        try:
            for part in name.split('/'):
                if not isinstance(group, h5py.Group) or part not in group:
                    # A link that leads nowhere is there, and refused when it is read.
                    return isinstance(group, h5py.Group) and bool(group.get(part, getlink=True))
                if not _is_hard(group, part):
                    return True
                group = group[part]
        except DAMAGE:
            return False
        return True

    def members(self, group: str) -> list[str]:
        """Names in a group, sorted; none where there is no such group.

        Raises:
            EpisodeError: it is a dataset or a link, or damaged.
        """
        if not self.has(group):
            return []
        with self._damage_named(f"'/{group}'"):
            item = self._item(group)
            if not isinstance(item, h5py.Group):
                raise self._wrong(group, 'is a dataset', 'a group')
            if len(item) > MOST_MEMBERS:
                raise self._wrong(group, f'has {len(item)} members', f'at most {MOST_MEMBERS}')
            return sorted(item)

    def all_datasets(self) -> list[str]:
        """Names of all datasets that no link leads to, for a word on what is not read."""
        names: list[str] = []

        def note(name: str, item: Any) -> bool | None:
            if isinstance(item, h5py.Dataset):
                names.append(name)
            return len(names) >= MOST_MEMBERS or None

        with suppress(*DAMAGE):  # what is read is checked by itself
            self._file.visititems(note)
        return sorted(names)

    def dataset(self, name: str, *fields: Field) -> Any:
        """Return a dataset that is as declared in one of `fields`.

        Raises:
            MisfitError: it is no dataset, or its type or shape is another.
            EpisodeError: it is missing, leads out of the file, or claims too much.
        """
        if name not in self._checked:
            with self._damage_named(f"'/{shown(name)}'"):
                self._checked[name] = self._check(name, fields)
        return self._checked[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a dataset that was checked."""
        return tuple(self._checked[name].shape)

    def chunks(self, name: str) -> tuple[int, ...]:
        """Shape of the chunks of a dataset that was checked; its own where it has none."""
        found = self._checked[name]
        return tuple(found.chunks or found.shape)

    def read(self, name: str, place: Any = ()) -> Any:
        """Return what stands in a dataset that was checked.

        Raises:
            EpisodeError: its bytes are damaged.
        """
        row = f' row {place}' if isinstance(place, int) else ''
        with self._damage_named(f"'/{shown(name)}'{row}"):
            return self._checked[name][place]

    def chunk(self, name: str, place: tuple[int, ...]) -> bytes:
        """Return a chunk of a dataset that was checked as its filters left it.

        Raises:
            EpisodeError: it is not there.
        """
        with self._damage_named(f"'/{shown(name)}' row {place[0]}"):
            mask, data = self._checked[name].id.read_direct_chunk(place)
            if mask:
                raise ValueError('some of its filters were left out')
            return bytes(data)

    def floats(self, name: str, columns: Sequence[str] = (), *, nan: bool = False) -> Float32Array:
        """Return a dataset of numbers (T, n), or (T, k, n), as float32.

        `columns` are what the n are, in words. `nan`: NaN is taken, too.

        Raises:
            EpisodeError: damaged, or a number is not finite in float32.
        """
        found = self.read(name)
        with np.errstate(over='ignore'):
            values = np.asarray(found, dtype=np.float32)
        wrong = ~np.isfinite(values)
        if nan:
            wrong &= ~np.isnan(values)
        if wrong.any():
            rows = np.unique(np.argwhere(wrong)[:, 0])
            row, *places = place = tuple(np.argwhere(wrong)[0])
            column, before = places[-1], places[:-1]
            where = columns[column] if columns else f'column {column}'
            where = f'message {before[0]}, {where}' if before else where
            raise self._wrong(
                name,
                f'is not finite in {len(rows)} rows, the first is row {row}, {where}: '
                f'{found[place]}',
                'finite numbers in the range of float32',
            )
        return values

    def attribute(self, name: str, kind: str, default: Any = _REQUIRED, of: str = '/') -> Any:
        """Return an attribute of the file, or of a group or dataset that was checked.

        Args:
            name: attribute.
            kind: text, texts, number, integer, flag (true or false) or judgement (or empty).
            default: its value where it is missing.
            of: group or dataset that has it.

        Raises:
            EpisodeError: it is missing, or of another kind.
        """
        where = '' if of == '/' else f" of '/{of}'"
        with self._damage_named(f"attribute '{name}'{where}"):
            attributes = self._item(of).attrs
            if name not in attributes:
                if default is not _REQUIRED:
                    return default
                raise EpisodeError(
                    f"{shown(self.path)}: has no attribute '{name}'{where}, expected it in "
                    f'{self._what}'
                )
            one = attributes.get_id(name)
            size = one.get_space().get_simple_extent_npoints() * one.get_type().get_size()
            if size > MOST_BYTES_OF_AN_ATTRIBUTE:
                raise ValueError(f'it has {size} bytes')
            found = attributes[name]
        try:
            return _KINDS[kind][0](found)
        except (TypeError, ValueError, OverflowError):
            raise EpisodeError(
                f"{shown(self.path)}: attribute '{name}'{where} is {_briefly(found)}, expected "
                f'{_KINDS[kind][1]}'
            ) from None

    def attribute_names(self) -> list[str]:
        """Names of the file's attributes, sorted; none where they cannot be listed."""
        try:
            return sorted(self._file.attrs)[:MOST_MEMBERS]
        except DAMAGE:
            return []

    def copy_attribute(self, name: str, target: h5py.File) -> None:
        """Give another file an attribute that was read from this one, to the bit."""
        if name in self._file.attrs:
            target.attrs[name] = self._file.attrs[name]

    def copy_to(
        self,
        output: HdfOutput,
        rows_of: RowsOf,
        left_out: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Copy everything in the file, known or not, to a new one; of rows (N,) only some.

        Raises:
            EpisodeError: damaged, or something that cannot be copied.
            OSError: the new file cannot be written.
        """
        try:
            TreeCopy(rows_of, left_out, self._any_dataset, output.check).copy(
                self._file, output.file
            )
        except EpisodeError as error:
            if str(error).startswith(shown(self.path)):
                raise
            raise EpisodeError(f'{shown(self.path)}: {error}') from None
        except DAMAGE as error:
            output.check()  # what went wrong there was told as an OSError of h5py's
            raise EpisodeError(
                f'{shown(self.path)}: cannot be copied: {reason_of(error)}'
            ) from None

    def _any_dataset(self, name: str) -> Any:
        """A dataset of any type and shape, with the bounds of all others."""
        item = self._item(name)
        if item.shape == ():
            return item
        return self.dataset(name, Field((item.dtype.kind,), item.shape, by_row=True))

    def _check(self, name: str, fields: tuple[Field, ...]) -> Any:
        expected = ' or '.join(dict.fromkeys(map(str, fields)))
        item = self._item(name)
        if not isinstance(item, h5py.Dataset):
            raise self._misfit(name, 'is a group', expected)
        if item.is_virtual or item.external:
            kind = 'virtual' if item.is_virtual else 'external'
            raise self._wrong(name, f'is {kind}: its numbers are in another file', 'them here')
        if item.shape is None:
            raise self._misfit(name, 'is empty', expected)
        plan = item.id.get_create_plist()
        filters = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
        for one in filters:
            if one not in _FILTERS:
                raise self._wrong(name, f'has the filter {one}', "one of HDF5's own")
        fitting = [field for field in fields if field.fits(item)]
        if not fitting:
            found = f'is {item.shape} {_type_words(item.dtype)}'
            raise self._misfit(name, found, expected)
        self._check_size(name, item, math.prod(_FILTERS[one] for one in filters), fitting[0])
        return item

    def _check_size(self, name: str, item: Any, shrinks: float, field: Field) -> None:
        size = math.prod(item.shape) * item.dtype.itemsize
        stored = min(item.id.get_storage_size(), self._bytes.size)
        row = size // max(1, item.shape[0])
        unwritten = _UNWRITTEN_BYTES + (IMAGE_ROWS_PER_RESIZE * row if field.by_row else 0)
        if size > stored * shrinks + unwritten:
            raise self._wrong(
                name, f'claims {size} bytes', f'no more than its {stored} bytes in the file hold'
            )
        at_once = row if field.by_row else size
        chunk = math.prod(item.chunks) * item.dtype.itemsize if item.chunks else 0
        for piece, most in ((at_once, field.most_bytes), (chunk, MOST_BYTES_AT_ONCE)):
            if piece > most:
                raise self._wrong(name, f'has {piece} bytes in one piece', f'at most {most}')

    def _item(self, name: str) -> Any:
        item: Any = self._file
        place = ''
        for part in name.strip('/').split('/') if name.strip('/') else ():
            place += f'/{part}'
            if place in self._groups:
                item = self._groups[place]
                continue
            link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
            if link is None:
                raise self._missing(name)
            if not isinstance(link, h5py.HardLink):
                raise self._wrong(name, 'is reached through a link', 'it in its place')
            item = item[part]
            if isinstance(item, h5py.Group):
                self._groups[place] = item
        return item

    @contextmanager
    def _damage_named(self, what: str) -> Iterator[None]:
        try:
            yield
        except EpisodeError:
            raise
        except DAMAGE as error:
            raise EpisodeError(
                f'{shown(self.path)}: {what} cannot be read: {reason_of(error)}'
            ) from None

    def _missing(self, name: str) -> EpisodeError:
        return EpisodeError(f"{shown(self.path)}: has no '/{shown(name)}', expected {self._what}")

    def _misfit(self, name: str, found: str, expected: str) -> MisfitError:
        error = MisfitError(str(self._wrong(name, found, expected)))
        error.found = f'{found}, expected {expected}'
        return error

    def _wrong(self, name: str, found: str, expected: str = '') -> EpisodeError:
        end = f', expected {expected}' if expected else ''
        return EpisodeError(f"{shown(self.path)}: '/{shown(name)}' {found}{end}")


def reason_of(error: BaseException) -> str:
    """What HDF5 says in brackets, in one line."""
    text = ' '.join(str(error).split())
    inner = text.partition('(')[2].rstrip(')\'"')
    return shown(inner or text or type(error).__name__)


def _is_hard(group: h5py.Group, name: str) -> bool:
    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def _is_vlen_bytes(dtype: Any) -> bool:
    text = h5py.check_string_dtype(dtype)
    return (text is not None and text.length is None) or h5py.check_vlen_dtype(dtype) == np.uint8


def _type_words(dtype: Any) -> str:
    return 'compound' if dtype.names else str(dtype)


def _one(found: Any) -> Any:
    """The value of an attribute; other tools write an array of one."""
    if isinstance(found, np.ndarray):
        if found.size != 1:
            raise ValueError
        found = found.reshape(-1)[0]
    return found


def _text(found: Any) -> str:
    found = _one(found)
    if isinstance(found, bytes):
        return found.decode()
    if not isinstance(found, str):
        raise TypeError
    found.encode()  # bytes that are no UTF-8 came as surrogates
    return found


def _texts(found: Any) -> tuple[str, ...]:
    if isinstance(found, h5py.Empty) or not isinstance(found, np.ndarray) or found.ndim != 1:
        raise TypeError
    return tuple(_text(one) for one in found)


def _number(found: Any) -> float:
    found = _one(found)
    if not isinstance(found, (int, float, np.integer, np.floating)) or isinstance(found, bool):
        raise TypeError
    if not math.isfinite(found):
        raise ValueError
    return float(found)


def _integer(found: Any) -> int:
    found = _one(found)
    if not isinstance(found, (int, np.integer)) or isinstance(found, bool):
        raise TypeError
    return int(found)


def _flag(found: Any) -> bool:
    found = _one(found)
    if isinstance(found, (bool, np.bool_)):
        return bool(found)
    if isinstance(found, (int, np.integer)) and found in (0, 1):
        return bool(found)
    raise TypeError


def _judgement(found: Any) -> bool | None:
    return None if isinstance(found, h5py.Empty) else _flag(found)


_KINDS: Mapping[str, tuple[Any, str]] = {
    'text': (_text, 'text in UTF-8'),
    'texts': (_texts, 'a list of texts in UTF-8'),
    'number': (_number, 'a finite number'),
    'integer': (_integer, 'a whole number'),
    'flag': (_flag, 'true or false'),
    'judgement': (_judgement, 'true, false or empty'),
}


def _briefly(found: Any) -> str:
    if isinstance(found, h5py.Empty):
        return 'empty'
    text = shown(' '.join(repr(found).split()))
    return text if len(text) <= 60 else f'{text[:57]}...'
