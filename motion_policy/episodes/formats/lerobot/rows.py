# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of a LeRobot data set: the numbers of an episode from a Parquet file.

Every column has as many values in every row as the set says, and the rows of an episode are
numbered as they stand: otherwise values would move from one row or joint to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.lerobot.meta import (
    open_parquet,
    parquet_errors,
)
from motion_policy.episodes.formats.lerobot.parquet_claims import Claims

Array = npt.NDArray[Any]

EPISODE, FRAME, INDEX, TASK, TIME = (
    'episode_index', 'frame_index', 'index', 'task_index', 'timestamp',
)  # fmt: skip
COUNTS = (EPISODE, FRAME, INDEX, TASK)
IMAGES_AT_ONCE = 16
MOST_IMAGE_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Rows:
    """Where the rows of an episode are, and what their counters say.

    `places` (T,) are row numbers of the file; `frames_checked` are counters that were there.
    """

    file: Path
    number: int
    places: Array
    counters: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)


class RowFile:
    """One Parquet file; its vectors stay in memory, since many episodes share it.

    Args:
        file: its path.
        widths: number of values of every vector to read.
        most_rows: rows that its episodes have together.

    Raises:
        EpisodeError: it cannot be read, lacks a column, or has more rows.
    """

    def __init__(self, file: Path, widths: Mapping[str, int], most_rows: int) -> None:
        self.file = file
        self._widths = dict(widths)
        with parquet_errors(file), open_parquet(file) as (table, claims):
            names = table.schema_arrow.names
            if claims.rows > most_rows:
                raise EpisodeError(f'{file}: has {claims.rows} rows, expected {most_rows}')
            for name in [name for name in names if names.count(name) > 1]:
                raise EpisodeError(f"{file}: has the column '{name}' twice, expected it once")
            wanted = [name for name in (*widths, *COUNTS, TIME) if name in names]
            self._check_size(claims, wanted, most_rows)
            self._columns: dict[str, pa.ChunkedArray] = {
                name: table.read(columns=[name]).column(0) for name in wanted
            }
        self._episodes = self._scalars(EPISODE, None)

    def episode(self, number: int, length: int) -> Rows:
        """Return where the rows of an episode are.

        Raises:
            EpisodeError: they are not as many as announced, or not numbered in order.
        """
        places = np.flatnonzero(self._episodes == number)
        if len(places) != length:
            raise EpisodeError(
                f'{self.file}: has {len(places)} rows of episode {number}, expected {length}'
            )
        counters = {
            name: self._scalars(name, places) for name in (FRAME, INDEX, TASK) if self.has(name)
        }
        if self.has(TIME):
            counters[TIME] = self._scalars(TIME, places)
        rows = Rows(self.file, number, places, counters)
        for name in (FRAME, INDEX):
            self._check_counter(rows, name)
        return rows

    def has(self, name: str) -> bool:
        """Whether there is such a column of numbers."""
        return name in self._columns

    def vector(self, rows: Rows, name: str, *, nan: bool = False) -> Array:
        """Return a column (T, width) in float32; `nan`: NaN is taken, too.

        Raises:
            EpisodeError: it is missing, of another type, of unequal length or not finite.
        """
        where = f"{self.file}: episode {rows.number}, '{name}'"
        if not self.has(name):
            raise EpisodeError(f'{where} cannot be read: no such column')
        width = self._widths[name]
        with parquet_errors(self.file):
            column = self._columns[name].take(pa.array(rows.places)).combine_chunks()
            if _is_list(column.type) and _is_list(column.type.value_type):
                first = column[0].as_py() or [[]]
                count = len(first)
                if width % count:
                    raise EpisodeError(
                        f'{where} holds {count} lists in a row, expected {width} numbers in them'
                    )
                self._check_lengths(column, count, where)
                column = column.flatten()
                self._check_lengths(column, width // count, where)
                column = column.flatten()
            elif _is_list(column.type):
                self._check_lengths(column, width, where)
                column = column.flatten()
            elif width != 1:
                raise EpisodeError(f'{where} holds {column.type}, expected {width} numbers a row')
            values = _numbers(column, where).reshape(len(rows), width)
        with np.errstate(over='ignore'):
            stored = values.astype(np.float32)
        wrong = np.argwhere(~np.isfinite(stored) & ~(nan & np.isnan(values)))
        if len(wrong):
            row, joint = wrong[0]
            raise EpisodeError(
                f'{where}, row {row}, column {joint} is {values[row, joint]}, expected a finite '
                'number'
            )
        return stored

    def images(self, rows: Rows, key: str) -> Iterator[Any]:
        """Yield what a column of images holds in every row, a few at a time.

        Raises:
            EpisodeError: it cannot be read, or there are too few.
        """
        first, last = int(rows.places[0]), int(rows.places[-1])
        wanted = set(rows.places.tolist())
        with parquet_errors(self.file), open_parquet(self.file) as (table, _):
            if key not in table.schema_arrow.names:
                raise EpisodeError(f"{self.file}: has no column '{key}', expected images in it")
            groups: list[int] = []
            begin = place = 0
            for group in range(table.num_row_groups):
                end = begin + table.metadata.row_group(group).num_rows
                if end > first and begin <= last:
                    place = begin if not groups else place
                    groups.append(group)
                begin = end
            for batch in table.iter_batches(IMAGES_AT_ONCE, row_groups=groups, columns=[key]):
                for image in batch.column(0):
                    if place in wanted:
                        yield image.as_py()
                    place += 1

    def _check_size(self, claims: Claims, wanted: list[str], most_rows: int) -> None:
        """Refuse columns that unpack to more than their rows can hold."""
        for name in wanted:
            width = self._widths.get(name, 1)
            values, size = claims.of(name)
            most = (width * 16 + 64) * most_rows + 1024**2
            if values > width * most_rows or size > most:
                raise EpisodeError(
                    f"{self.file}: column '{name}' unpacks to {values} numbers, expected "
                    f'{width} in each of {most_rows} rows'
                )

    def _check_lengths(self, column: Any, width: int, where: str) -> None:
        if column.null_count:
            raise EpisodeError(f'{where} is empty in {column.null_count} rows, expected numbers')
        if pa.types.is_fixed_size_list(column.type):
            lengths = np.full(len(column), column.type.list_size)
        else:
            lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != width)
        if len(wrong):
            raise EpisodeError(
                f'{where}, row {wrong[0]} has {lengths[wrong[0]]} values, expected {width}'
            )

    def _scalars(self, name: str, places: Array | None) -> Array:
        """A column of one number a row."""
        where = f"{self.file}: '{name}'"
        if not self.has(name):
            raise EpisodeError(f'{where} cannot be read: no such column')
        with parquet_errors(self.file):
            column = self._columns[name].combine_chunks()
            if isinstance(column, pa.ChunkedArray):  # pyarrow before 15 and no rows
                column = pa.concat_arrays(column.chunks)
            if places is not None:
                column = column.take(pa.array(places))
            if _is_list(column.type):
                self._check_lengths(column, 1, where)
                column = column.flatten()
            if name != TIME and not pa.types.is_integer(column.type):
                raise EpisodeError(f'{where} holds {column.type}, expected whole numbers')
            values = _numbers(column, where)
        return values if name == TIME else values.astype(np.int64)

    def _check_counter(self, rows: Rows, name: str) -> None:
        """Rows of an episode are counted without a gap, from 0 (`index`: of all episodes)."""
        values = rows.counters.get(name)
        if values is None:
            return
        first = values[0] if name == INDEX else 0
        wrong = np.flatnonzero(values != first + np.arange(len(values)))
        if len(wrong):
            row = wrong[0]
            raise EpisodeError(
                f'{self.file}: episode {rows.number}, row {row}: {name} is {values[row]}, '
                f'expected {first + row}: rows are missing, double or out of order'
            )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _numbers(column: Any, where: str) -> Array:
    """Numbers of a plain column in float64, or whole ones as they are."""
    if column.null_count:
        raise EpisodeError(f'{where} is empty in {column.null_count} rows, expected numbers')
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise EpisodeError(f'{where} holds {column.type}, expected numbers')
    values: Array = column.to_numpy(zero_copy_only=False)
    return values if values.dtype.kind in 'iu' else values.astype(np.float64)
