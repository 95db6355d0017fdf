# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reading of the HDF5 file that a killed process left, as if it had been closed.

HDF5 opens it only as one that is still being written, and then waits and tries again wherever a
checksum is wrong: for minutes in a damaged file. Here the first block is given to HDF5 as a
closed file has it; what is damaged is an error at once. The file is read with the changes of its
write-ahead log, where it has one; it is not changed itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from motion_policy.episodes.hdf5.bytes import HdfInput
from motion_policy.episodes.hdf5.write_ahead import lay_over, read_log

# The superblock of version 3, by the HDF5 file format specification.
SUPERBLOCK_BYTES = 48
_SIGNATURE = b'\x89HDF\r\n\x1a\n'
_VERSION, _VERSION_PLACE = 3, 8
_FLAGS_PLACE = 11
_END_OF_FILE_PLACE = 28
_CHECKSUM_PLACE = 44
_WORD = 0xFFFFFFFF


class UnfinishedInput(HdfInput):
    """A file that is read, whose writer may have been killed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._changes = read_log(path)
        start = bytearray(os.pread(self.descriptor, SUPERBLOCK_BYTES, 0))
        lay_over(memoryview(start), 0, self._changes)
        self._start = _closed_superblock(bytes(start), self.size)

    def lay_over(self, target: memoryview) -> None:
        lay_over(target, self.place, self._changes)
        lay_over(target, self.place, [(0, self._start)])


def is_blank(path: Path) -> bool:
    """Whether a file was never brought to the disk as HDF5: its first block is not there."""
    with path.open('rb') as file:
        start = bytearray(file.read(SUPERBLOCK_BYTES))
    lay_over(memoryview(start), 0, read_log(path))
    return not any(start)


def _closed_superblock(block: bytes, size: int) -> bytes:
    """The superblock of a file of `size` bytes that nobody writes; others as they are."""
    if len(block) < _CHECKSUM_PLACE + 4 or not block.startswith(_SIGNATURE):
        return block
    if block[_VERSION_PLACE] != _VERSION:
        return block
    closed = bytearray(block)
    if closed[_CHECKSUM_PLACE:] != _checksum(closed[:_CHECKSUM_PLACE]):
        return block
    closed[_FLAGS_PLACE] = 0
    closed[_END_OF_FILE_PLACE : _END_OF_FILE_PLACE + 8] = size.to_bytes(8, 'little')
    closed[_CHECKSUM_PLACE:] = _checksum(closed[:_CHECKSUM_PLACE])
    return bytes(closed)


def _checksum(data: bytes | bytearray) -> bytes:
    """Jenkins' lookup3, which the specification names for all metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & _WORD
    blocks = [data[place : place + 12].ljust(12, b'\0') for place in range(0, len(data), 12)]
    for number, block in enumerate(blocks):
        words = (int.from_bytes(block[place : place + 4], 'little') for place in (0, 4, 8))
        a, b, c = ((old + new) & _WORD for old, new in zip((a, b, c), words, strict=True))
        if number < len(blocks) - 1:
            a, b, c = _mixed(a, b, c)
    return _final(a, b, c).to_bytes(4, 'little')


def _turned(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _WORD


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for turn in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _WORD) ^ _turned(c, turn)
        c = (c + b) & _WORD
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turned(b, turn)) & _WORD
        a, b, c = b, c, a
    return b
