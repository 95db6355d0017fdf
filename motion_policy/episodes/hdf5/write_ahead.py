# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write-ahead log of a file: what is about to be changed in place, so that it changes as a whole.

The log lies beside the file. It is on the disk before the first of its bytes is changed in the
file, and is replaced only when all of them are on the disk there. So after a power cut, whatever
of the last writes was lost and in whatever order, the file read through its log is as it was at
one moment. A log that is torn is none: the file was not changed then.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from motion_policy.files import sync_data, sync_names

FileChange = tuple[int, bytes]  # place in the file, and what is to stand there

SUFFIX = '.wal'
MOST_BYTES = 2**30

_BEGIN = struct.Struct('<16s16sQ')  # what it is, the digest of the changes, their bytes
_CHANGE = struct.Struct('<QQ')  # place, bytes
_MAGIC = b'motion_policy wa'
_DIGEST_BYTES = 16


def log_path(path: Path) -> Path:
    """Where the write-ahead log of a file lies."""
    return path.with_name(path.name + SUFFIX)


class WriteAheadLog:
    """The log of one file, made when it is first written."""

    def __init__(self, path: Path) -> None:
        self._path = log_path(path)
        self._descriptor = -1

    def write(self, changes: Iterable[FileChange]) -> None:
        """Bring changes to the disk in place of those before, which stand in the file by now.

        Raises:
            OSError: it cannot be written; there is no log then.
        """
        try:
            self._write(changes)
        except OSError:
            self.remove()
            raise

    def _write(self, changes: Iterable[FileChange]) -> None:
        is_new = self._descriptor < 0
        if is_new:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o666)
        body = b''.join(_CHANGE.pack(place, len(data)) + data for place, data in changes)
        write_at(self._descriptor, _BEGIN.pack(_MAGIC, _digest(body), len(body)) + body, 0)
        sync_data(self._descriptor)
        if is_new:
            sync_names(self._path.parent)

    def remove(self) -> None:
        """Let there be no log, when the file is whole without it. Raises OSError."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the log as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_log(path: Path) -> list[FileChange]:
    """The changes that the file at `path` is to be read with; none where its log is torn.

    Raises:
        OSError: there is a log, which cannot be read.
    """
    if not log_path(path).is_file():  # a pipe would wait
        return []
    with log_path(path).open('rb') as file:
        begin = file.read(_BEGIN.size)
        if len(begin) < _BEGIN.size:
            return []
        magic, digest, size = _BEGIN.unpack(begin)
        if magic != _MAGIC or size > MOST_BYTES:
            return []
        body = file.read(size)
    if len(body) < size or _digest(body) != digest:
        return []
    changes, place = [], 0
    while place + _CHANGE.size <= size:
        offset, length = _CHANGE.unpack_from(body, place)
        place += _CHANGE.size
        changes.append((offset, body[place : place + length]))
        place += length
    return changes


def lay_over(target: memoryview, place: int, changes: Iterable[FileChange]) -> None:
    """Put into bytes that were read at a place what was to be changed there."""
    end = place + len(target)
    for offset, data in changes:
        first, last = max(place, offset), min(end, offset + len(data))
        if first < last:
            target[first - place : last - place] = data[first - offset : last - offset]


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it at a place of an open file. Raises OSError."""
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
