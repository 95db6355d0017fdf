# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""File objects through which h5py reads the bytes of HDF5 files.

Everything that HDF5 reads comes through here: what would let it wait or loop for ever in a
damaged file is given so that it fails at once. A file on disk is never changed by being read.
"""

from __future__ import annotations

import atexit
import os
import traceback
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py
    from typing_extensions import Buffer

# A global heap, which holds texts of any length, by the HDF5 file format specification.
_HEAP = b'GCOL'
_HEAP_SIZE_PLACE, _HEAP_BEGIN, _HEAP_OBJECT_BEGIN = 8, 16, 16


_OPEN: weakref.WeakKeyDictionary[h5py.File, int] = weakref.WeakKeyDictionary()


def closed_at_exit(file: h5py.File) -> h5py.File:
    """Let a file that reads or writes through Python be closed while Python lives.

    HDF5 ends after it, closes what is open and would call what is no more. A process that was
    forked leaves alone what it has from its parent, which may still write there.
    """
    try:
        _OPEN[file] = os.getpid()
    except TypeError:  # h5py knows a file by its root group
        file.close()
        raise OSError('its root group cannot be read') from None
    return file


@atexit.register
def _close_all() -> None:
    """Close every file; one that cannot be closed, on a full disk for instance, is told."""
    for file, process in list(_OPEN.items()):
        if process == os.getpid():
            try:
                file.close()
            except Exception:
                traceback.print_exc()


class HdfBytes:
    """An open file of `size` bytes and a place in it: seek, tell, read, readinto, flush.

    Args:
        descriptor: of the open file, which `close` closes.
    """

    descriptor = -1

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.place = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.place = self.size if whence == os.SEEK_END else offset
        return self.place

    def tell(self) -> int:
        return self.place

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer from the place on; what lies beyond the end is zero."""
        target = memoryview(buffer).cast('B')
        self.fill(target)
        return len(target)

    def fill(self, target: memoryview) -> None:
        """As `readinto`; what a kind of file reads otherwise is put here."""
        there = 0
        while count := os.preadv(self.descriptor, [target[there:]], self.place + there):
            there += count  # a file system may give less than it has
        target[there:] = bytes(len(target) - there)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        self.close()


class HdfInput(HdfBytes):
    """A file that is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def fill(self, target: memoryview) -> None:
        super().fill(target)
        self.lay_over(target)
        # The driver reads each part of the file's structure by itself, from its begin.
        if target[: len(_HEAP)] == _HEAP and _is_endless(target):
            target[: len(_HEAP)] = bytes(len(_HEAP))

    def lay_over(self, target: memoryview) -> None:
        """Put in place what stands elsewhere than in the file; here nothing does."""


def _is_endless(heap: memoryview) -> bool:
    """Whether one of the objects of a heap, which follow each other, has no size.

    HDF5 goes from one to the next by their sizes and would not come past this one.
    """
    size = int.from_bytes(heap[_HEAP_SIZE_PLACE : _HEAP_SIZE_PLACE + 8], 'little')
    place, end = _HEAP_BEGIN, min(size, len(heap))
    while place + _HEAP_OBJECT_BEGIN <= end:
        index = int.from_bytes(heap[place : place + 2], 'little')
        length = int.from_bytes(heap[place + 8 : place + 16], 'little')
        # The free space, which has the index 0, counts its own beginning.
        step = length if index == 0 else _HEAP_OBJECT_BEGIN + (length + 7) // 8 * 8
        if step == 0:
            return True
        place += step
    return False
