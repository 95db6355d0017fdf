# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Writing of HDF5 files: a full or failing disk is an OSError, never a crash.

HDF5 cannot go on after a failed write: it raises at every later call and crashes when it closes.
So it writes to a `_Sink`, which never fails. After the first error the sink keeps what HDF5
writes in memory, from where HDF5 can read it back and close; the file on disk stays as it was.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from motion_policy.episodes import layout
from motion_policy.episodes.hdf5.bytes import HdfBytes, closed_at_exit

if TYPE_CHECKING:
    from typing_extensions import Buffer


class HdfOutput:
    """An HDF5 file that is written; `file` is for h5py's calls, then `check` or `close`.

    Args:
        path: a new file, or with `staged` one that is there.
        staged: change the file only when it is closed, all at once; nothing when there is no
            room for it.
        options: of `h5py.File`.

    Raises:
        OSError: the file cannot be opened or made.
    """

    def __init__(self, path: Path, *, staged: bool = False, **options: Any) -> None:
        self._sink = _Sink(path, staged)
        try:
            self.file = closed_at_exit(h5py.File(self._sink, 'r+' if staged else 'w', **options))
            self.check()
        except BaseException:
            self.abandon()
            raise

    @property
    def descriptor(self) -> int:
        """The open file, for locks."""
        return self._sink.descriptor

    @property
    def is_open(self) -> bool:
        """Whether `file` can be used."""
        return bool(self.file)

    def check(self) -> None:
        """Raise the OSError of the first write that failed."""
        if self._sink.error is not None:
            # A new one each time: one object raised twice would grow its traceback for ever.
            raise OSError(self._sink.error.errno, self._sink.error.strerror)

    def close(self) -> None:
        """Write what waits and close. Raises OSError: not everything could be written."""
        try:
            self.file.close()
            self._sink.commit()
            self.check()
        finally:
            self._sink.close()

    def abandon(self) -> None:
        """Close without writing anything more."""
        self._sink.drop()
        file = getattr(self, 'file', None)
        if file:
            file.close()
        self._sink.close()


@contextmanager
def new_hdf5(path: Path, **options: Any) -> Iterator[HdfOutput]:
    """Write a new file; it is closed at the end of the block. Raises OSError: as `HdfOutput`."""
    output = HdfOutput(path, **options)
    try:
        yield output
        output.close()
    finally:
        output.abandon()


@contextmanager
def changed_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file to change it; it changes at the end of the block, all at once.

    Raises:
        OSError: it cannot be changed; it is as before then.
    """
    output = HdfOutput(path, staged=True, libver=layout.LIBRARY_VERSIONS)
    try:
        yield output.file
        output.close()
    finally:
        output.abandon()


class _Sink(HdfBytes):
    """A file that is written, or read where it was written before."""

    def __init__(self, path: Path, staged: bool) -> None:
        self.error: OSError | None = None
        self._staged = staged
        self._dropped = False
        self._kept: list[tuple[int, bytes]] = []
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if staged else os.O_CREAT | os.O_EXCL)
        super().__init__(os.open(path, flags, 0o666))
        if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            self.close()
            raise OSError(None, 'is a pipe or a device')

    def fill(self, target: memoryview) -> None:
        start, end = self.place, self.place + len(target)
        try:
            super().fill(target)
        except OSError as error:
            self._fail(error)
            target[:] = bytes(len(target))
        for offset, kept in self._kept:
            first, last = max(start, offset), min(end, offset + len(kept))
            if first < last:
                target[first - start : last - start] = kept[first - offset : last - offset]

    def write(self, buffer: Buffer) -> int:
        data = memoryview(buffer).cast('B')
        self.size = max(self.size, self.place + len(data))
        if not self._keeps:
            try:
                self._write(data, self.place)
            except OSError as error:
                self._fail(error)
        if self._keeps:
            self._kept.append((self.place, bytes(data)))
        return len(data)

    def truncate(self, size: int) -> int:
        self.size = size
        if not self._keeps:
            try:
                os.ftruncate(self.descriptor, size)
            except OSError as error:
                self._fail(error)
        return size

    def commit(self) -> None:
        """Change the file as kept: room for all of it is made before the first byte changes."""
        if not self._staged or self.error is not None or self._dropped:
            return
        try:
            for offset, data in self._kept:
                os.posix_fallocate(self.descriptor, offset, len(data))
            for offset, data in self._kept:
                self._write(memoryview(data), offset)
            os.ftruncate(self.descriptor, self.size)
        except OSError as error:
            self._fail(error)

    def drop(self) -> None:
        self._dropped = True

    def close(self) -> None:
        super().close()
        self._kept.clear()

    @property
    def _keeps(self) -> bool:
        return self._staged or self._dropped or self.error is not None

    def _write(self, data: memoryview, offset: int) -> None:
        while data:
            written = os.pwrite(self.descriptor, data, offset)
            data, offset = data[written:], offset + written

    def _fail(self, error: OSError) -> None:
        self.error = self.error or error
