# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""NumPy's `.npy` and `.npz` files from outside: type and size are checked before anything is read.

A header that claims more than its file holds, an archive that unpacks without end and an array of
Python objects are refused in one line.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.files import FileError, regular_file, shown

Array = npt.NDArray[Any]

NUMBERS = 'fiub'  # kinds of types that are numbers
MOST_BYTES = 2**34  # of an array that is unpacked to memory
PACKED_BYTES = 2**28  # a larger array may be packed to a hundredth of its size and no smaller
MOST_PACKED = 100


@dataclass(frozen=True)
class StoredArray:
    """What the header of an array says."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int  # of the numbers, bytes


def map_array(path: Path) -> Array:
    """The array (...) in an `.npy` file, of any shape, left on the disk. Raises EpisodeError."""
    try:
        regular_file(path, 'an .npy file')
        with path.open('rb') as file:
            header = _header(file, str(path))
        if header.start + _bytes(header) > path.stat().st_size:
            raise EpisodeError(
                f'{path}: claims {header.shape} {header.dtype}, which is more than the file holds'
            )
        array: Array = np.load(path, mmap_mode='r', allow_pickle=False)
    except FileError as error:
        raise EpisodeError(str(error)) from None
    except EpisodeError:
        raise
    except Exception as error:  # a foreign file can make the reader raise anything
        raise EpisodeError(f'{path}: cannot be read: {_one_line(error)}') from None
    return array


class Archive:
    """An open `.npz` file; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = zipfile.ZipFile(regular_file(path, 'an .npz file'))
        except FileError as error:
            raise EpisodeError(str(error)) from None
        except Exception as error:  # a foreign file can make the reader raise anything
            raise EpisodeError(f'{path}: cannot be read: {_one_line(error)}') from None
        self.names = [name.removesuffix('.npy') for name in self._file.namelist()]

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_details: object) -> None:
        self._file.close()

    def header(self, name: str) -> StoredArray:
        """What an array is; nothing of it is unpacked. Raises EpisodeError."""
        where = f"{self.path}: array '{name}'"
        member = self._file.getinfo(f'{name}.npy')
        try:
            with self._file.open(member) as file:
                header = _header(file, where)
        except EpisodeError:
            raise
        except Exception as error:  # a foreign file can make the reader raise anything
            raise EpisodeError(f'{where} cannot be read: {_one_line(error)}') from None
        if header.start + _bytes(header) != member.file_size:
            raise EpisodeError(
                f'{where} claims {header.shape} {header.dtype}, its file has {member.file_size} '
                'bytes'
            )
        if member.file_size > MOST_BYTES:
            raise EpisodeError(
                f'{where} has {member.file_size} bytes, expected at most {MOST_BYTES}; as an '
                '.npy file it could stay on the disk'
            )
        packed = member.file_size > MOST_PACKED * max(1, member.compress_size)
        if packed and member.file_size > PACKED_BYTES:
            raise EpisodeError(
                f'{where} unpacks {member.compress_size} bytes to {member.file_size}, expected '
                f'at most {MOST_PACKED} times as many'
            )
        return header

    def array(self, name: str) -> Array:
        """An array (...) of the shape that its header says, its CRC-32 checked.

        Raises EpisodeError.
        """
        header = self.header(name)
        try:
            data = self._file.read(f'{name}.npy')
        except Exception as error:  # a foreign file can make the reader raise anything
            where = f"{self.path}: array '{name}'"
            raise EpisodeError(f'{where} cannot be read: {_one_line(error)}') from None
        flat = np.frombuffer(data, header.dtype, offset=header.start)
        return flat.reshape(header.shape, order='F' if header.fortran else 'C')


def _header(file: Any, where: str) -> StoredArray:
    """Read what an array is. Raises EpisodeError for one that is not of numbers."""
    start = io.BytesIO(file.read(2**16))
    version = np.lib.format.read_magic(start)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise EpisodeError(f'{where} is of version {version}, expected 1.0 or 2.0 of the format')
    shape, fortran, dtype = read(start)
    if dtype.hasobject:
        raise EpisodeError(
            f'{where} holds Python objects, which could run code; expected plain numbers'
        )
    header = StoredArray(tuple(shape), dtype, fortran, start.tell())
    if dtype.kind not in NUMBERS or any(size < 0 for size in shape):
        raise EpisodeError(f'{where} is {shape} {shown(dtype)}, expected plain numbers')
    return header


def _bytes(header: StoredArray) -> int:
    return math.prod(header.shape) * header.dtype.itemsize


def _one_line(error: Any) -> str:
    return shown(' '.join(str(error).split()))[:200]
