# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Writing of HDF5 files: a full or failing disk is an OSError, never a crash.

HDF5 cannot go on after a failed write: it raises at every later call and crashes when it closes.
So it writes to a `_Sink`, which never fails. After the first error the sink keeps what HDF5
writes in memory, from where HDF5 can read it back and close; the file on disk stays as it was.

A file that is to outlive a power cut while it is written goes from one checkpoint to the next.
What HDF5 adds behind the last one goes to the file at once: nothing there refers to it yet. What
it changes before that place waits in memory, and is changed by way of a write-ahead log when what
was added is on the disk.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from motion_policy.episodes import layout
from motion_policy.episodes.hdf5.bytes import HdfBytes, closed_at_exit
from motion_policy.episodes.hdf5.recovery import SUPERBLOCK_BYTES
from motion_policy.episodes.hdf5.write_ahead import WriteAheadLog, lay_over, write_at
from motion_policy.files import sync_data, sync_names

if TYPE_CHECKING:
    from typing_extensions import Buffer

_EVERYWHERE = sys.maxsize


class HdfOutput:
    """An HDF5 file that is written; `file` is for h5py's calls, then `check` or `close`.

    Args:
        path: a new file, or with `staged` one that is there.
        staged: change the file only when it is closed, all at once; nothing when there is no
            room for it.
        logged: let the file on the disk always be as at a `checkpoint`, also after a power cut;
            before the first one it is no HDF5 file.
        options: of `h5py.File`.

    Attributes:
        committed: the mark of the newest checkpoint that is on the disk; 0: none is.

    Raises:
        OSError: the file cannot be opened or made.
    """

    def __init__(
        self, path: Path, *, staged: bool = False, logged: bool = False, **options: Any
    ) -> None:
        self._sink = _Sink(path, staged, logged)
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

    @property
    def committed(self) -> int:
        return self._sink.committed

    def check(self) -> None:
        """Raise the OSError of the first write that failed."""
        if self._sink.error is not None:
            # A new one each time: one object raised twice would grow its traceback for ever.
            raise OSError(self._sink.error.errno, self._sink.error.strerror)

    @property
    def is_syncing(self) -> bool:
        """Whether a checkpoint is on its way to the disk."""
        return self._sink.is_syncing

    def checkpoint(self, mark: int) -> None:
        """Begin to bring the file to the disk as it is, when the checkpoint before is there.

        A thread of its own does it.

        Args:
            mark: what `committed` becomes when it is there.

        Raises:
            OSError: a write failed, now or before.
        """
        self.file.flush()
        self.wait()
        self._sink.checkpoint(mark)

    def wait(self) -> None:
        """Wait until the checkpoint that was begun is on the disk. Raises OSError."""
        self._sink.wait()
        self.check()

    def close(self, mark: int = 0) -> None:
        """Write what waits and close. Raises OSError: not everything could be written."""
        try:
            self.file.close()
            self._sink.commit(mark)
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


_Kept = dict[tuple[int, int], bytes]  # (place, length) -> what was written there, in its order


class _Sink(HdfBytes):
    """A file that is written, or read where it was written before.

    Bytes before `_held` are not changed in the file but kept; those of the checkpoint that is
    under way are in `_changing` until they stand in the file.
    """

    def __init__(self, path: Path, staged: bool, logged: bool) -> None:
        self.error: OSError | None = None
        self.committed = 0
        self._path = path
        self._staged = staged
        self._logged = staged or logged
        self._held = _EVERYWHERE if staged else SUPERBLOCK_BYTES if logged else 0
        self._dropped = False
        self._kept: _Kept = {}
        self._changing: Mapping[tuple[int, int], bytes] = {}
        self._named = staged  # whether its name is on the disk
        self._thread: threading.Thread | None = None
        self._log = WriteAheadLog(path)
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if staged else os.O_CREAT | os.O_EXCL)
        super().__init__(os.open(path, flags, 0o666))
        if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            self.close()
            raise OSError(None, 'is a pipe or a device')

    def fill(self, target: memoryview) -> None:
        changing = self._changing  # before the file is read: it may stand there meanwhile
        try:
            super().fill(target)
        except OSError as error:
            self._fail(error)
            target[:] = bytes(len(target))
        for kept in (changing, self._kept):
            lay_over(target, self.place, ((place, data) for (place, _), data in kept.items()))

    def write(self, buffer: Buffer) -> int:
        data = memoryview(buffer).cast('B')
        self.size = max(self.size, self.place + len(data))
        held = data[: max(0, self._limit - self.place)]
        self._keep(held, self.place)
        added, place = data[len(held) :], self.place + len(held)
        if added:
            try:
                write_at(self.descriptor, added, place)
            except OSError as error:
                self._fail(error)
                self._keep(added, place)
        return len(data)

    def truncate(self, size: int) -> int:
        self.size = size
        if size >= self._limit:
            self._resize()
        return size

    @property
    def is_syncing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def checkpoint(self, mark: int) -> None:
        """Begin to bring the file to the disk as it is; the one before is on the disk."""
        self._changing, self._kept = self._kept, {}
        self._held = self.size
        if os.fstat(self.descriptor).st_size < self.size:
            self._resize()
        self._thread = threading.Thread(target=self._sync, args=(mark,), name='checkpoint')
        self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def commit(self, mark: int) -> None:
        """Let the file be as it is now: on the disk, and with no log, where it has one."""
        self.wait()
        if not self._logged or self.error is not None or self._dropped:
            return
        before = os.fstat(self.descriptor).st_size
        self._changing, self._kept = self._kept, {}
        try:
            # Room for all of it is made before the first byte changes.
            for place, length in self._changing if self._staged else ():
                os.posix_fallocate(self.descriptor, place, length)
        except OSError as error:
            self._fail(error)
            os.ftruncate(self.descriptor, before)
            return
        self._sync(mark)
        if self.error is None:
            try:
                os.ftruncate(self.descriptor, self.size)
                sync_data(self.descriptor)
                self._log.remove()
            except OSError as error:
                self._fail(error)

    def drop(self) -> None:
        self._dropped = True

    def close(self) -> None:
        self.wait()
        super().close()
        self._log.close()
        self._kept.clear()

    def _sync(self, mark: int) -> None:
        """Bring to the disk what was added, then the log of what changes, and change it."""
        try:
            sync_data(self.descriptor)
            if not self._named:
                sync_names(self._path.parent)
                self._named = True
            self._log.write([(place, data) for (place, _), data in self._changing.items()])
            self.committed = mark
            for (place, _), data in self._changing.items():
                write_at(self.descriptor, data, place)
            self._changing = {}
        except OSError as error:
            self._fail(error)

    @property
    def _limit(self) -> int:
        """Up to which place nothing is changed in the file."""
        return _EVERYWHERE if self._dropped or self.error is not None else self._held

    def _keep(self, data: memoryview, place: int) -> None:
        if data:
            self._kept.pop((place, len(data)), None)
            self._kept[place, len(data)] = bytes(data)

    def _resize(self) -> None:
        try:
            os.ftruncate(self.descriptor, self.size)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.error = self.error or error
