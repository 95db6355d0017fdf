# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""HDF5 datasets that grow row by row.

Small rows wait in memory and are written in blocks; images go to the file as they come. All have
checksums but pixels, where these would take half as long again as writing them does; depth has
that of its compression.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.streams import Sample

Array = npt.NDArray[Any]

ROWS_PER_CHUNK = 256
MOST_BYTES_PER_CHUNK = 2**18  # of wide rows: what HDF5 does not keep it reads again to add a row
IMAGE_ROWS_PER_RESIZE = 64

# zlib's fastest: the next ones take up to half as long again for a tenth less.
DEPTH_COMPRESSION = 1


class Column:
    """A dataset of small rows, which wait in memory until `write`."""

    def __init__(
        self, file: h5py.File, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> None:
        self.length = 0
        self._axis = layout.row_axis(name)
        self._pending: list[Array] = []
        self._dataset = file.create_dataset(
            name,
            shape=self._around(shape, 0),
            maxshape=self._around(shape, None),
            chunks=self._around(shape, _rows_per_chunk(shape, dtype)),
            dtype=dtype,
            fletcher32=True,
        )

    def add(self, value: Any) -> None:
        """Add a row of the dataset's shape."""
        self._pending.append(value)
        self.length += 1

    def replace_last(self, value: Any) -> None:
        """Put another value in place of the last row, if there is one."""
        if self._pending:
            self._pending[-1] = value
        elif self.length:
            self._dataset[self.length - 1] = value

    def write(self) -> None:
        """Write the rows that wait."""
        if not self._pending:
            return
        start = self.length - len(self._pending)
        self._dataset.resize(self.length, axis=self._axis)
        block = np.stack(self._pending, axis=self._axis)
        place = (*(slice(None) for _ in range(self._axis)), slice(start, None))
        self._dataset[place] = block
        self._pending.clear()

    def _around(self, shape: tuple[int, ...], rows: int | None) -> tuple[int | None, ...]:
        return (*shape[: self._axis], rows, *shape[self._axis :])


def _rows_per_chunk(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    row_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    return max(1, min(ROWS_PER_CHUNK, MOST_BYTES_PER_CHUNK // row_bytes))


class _Frames:
    """A dataset with one chunk per row, which grows ahead of its rows.

    `sample` is what the last row was made of, for a camera slower than the rows.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.sample: Sample | None = None
        self.dataset = dataset
        self.count = 0
        self._room = 0  # of the dataset, which is slow to say it

    def make_room(self) -> None:
        """Let there be a row more."""
        if self.count >= self._room:
            self._room = self.count + IMAGE_ROWS_PER_RESIZE
            self.dataset.resize(self._room, axis=0)


class ImageColumn(_Frames):
    """A dataset of images, written as they come; `last` is the last row."""

    def __init__(self, file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
        self.last: Array | None = None
        self._width = shape[0]
        super().__init__(
            file.create_dataset(
                name,
                shape=(0, *shape),
                # JPEG rows, which have one axis, may have to grow.
                maxshape=(None, *(shape if len(shape) > 1 else (None,))),
                chunks=(1, *shape),
                dtype=np.uint8,
                fletcher32=len(shape) == 1,
            )
        )

    def add(self, value: Array) -> None:
        """Write the next image (H, W, 3), or the bytes of its JPEG (n,), uint8."""
        self.make_room()
        if value.ndim == 1 and len(value) > self._width:
            self.dataset.resize(len(value), axis=1)
            self._width = len(value)
        place = (self.count, *(slice(0, size) for size in value.shape))
        self.dataset[place] = value
        self.count += 1
        self.last = value


class DepthColumn(_Frames):
    """A dataset of depth images (H, W) uint16, compressed before HDF5 has them.

    So one that stands in several rows is compressed once, and nobody waits for HDF5 meanwhile.
    """

    def __init__(self, file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
        self._last = b''
        super().__init__(
            file.create_dataset(
                name,
                shape=(0, *shape),
                maxshape=(None, *shape),
                chunks=(1, *shape),
                dtype='<u2',
                shuffle=True,
                compression='gzip',
                compression_opts=DEPTH_COMPRESSION,
            )
        )

    def add(self, value: Array, sample: Sample | None) -> None:
        """Write the next image, or the last one again where it is of the same sample."""
        if sample is None or sample is not self.sample:
            self._last = _compressed(value)
        self.sample = sample
        self.add_compressed(self._last)

    def add_compressed(self, data: bytes) -> None:
        """Write the next image as HDF5's filters shuffle and deflate leave it."""
        self.make_room()
        self.dataset.id.write_direct_chunk((self.count, 0, 0), data)
        self.count += 1


class PackedColumn(_Frames):
    """A dataset of bytes (T, padded) uint8 of which an empty row is that of the row before.

    The bytes are compressed already: they go as they are into what HDF5's filter `deflate` reads,
    so that padding takes no room, and an empty row none at all.
    """

    def __init__(self, file: h5py.File, name: str, width: int) -> None:
        self._chunk = self._width = width
        super().__init__(
            file.create_dataset(
                name,
                shape=(0, width),
                maxshape=(None, None),
                chunks=(1, width),
                dtype=np.uint8,
                compression='gzip',
                compression_opts=DEPTH_COMPRESSION,
            )
        )

    def add(self, data: Array) -> None:
        """Write the bytes (n,) of the next row; none for the image of the row before."""
        self.make_room()
        if len(data) > self._width:
            self._width = len(data)
            self.dataset.resize(len(data), axis=1)
        for start in range(0, len(data), self._chunk):
            piece = data[start : start + self._chunk].tobytes()
            stream = _deflated_with_zeros(piece, self._chunk)
            self.dataset.id.write_direct_chunk((self.count, start), stream)
        self.count += 1


def _deflated_with_zeros(data: bytes, length: int) -> bytes:
    """A stream (RFC 1950) of bytes as they are, followed by zeros up to a length."""
    zeros = bytes(length - len(data))
    stored = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    padding = zlib.compressobj(DEPTH_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [stored.compress(data), stored.flush(zlib.Z_FULL_FLUSH)]
    parts += [padding.compress(zeros), padding.flush()]
    checksum = zlib.adler32(zeros, zlib.adler32(data))
    return b''.join([b'\x78\x01', *parts, checksum.to_bytes(4, 'big')])


def _compressed(image: Array) -> bytes:
    """What HDF5's filters make of an image (H, W) uint16: its low bytes, then its high bytes."""
    pairs = np.ascontiguousarray(image, dtype='<u2').view(np.uint8).reshape(-1, 2)
    return zlib.compress(np.ascontiguousarray(pairs.T).data, DEPTH_COMPRESSION)
