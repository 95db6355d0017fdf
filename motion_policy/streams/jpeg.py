# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""JPEG and PNG bytes as images, or an error where an image is not whole.

libjpeg fills what is missing with grey and says so on stderr only. Here a scan is handed to it
without the marker at its end: then it fails where it runs out of bytes, and is silent.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.streams.decoder_warnings import captured_warnings
from motion_policy.streams.errors import StreamError

Pixels = npt.NDArray[np.uint8]

JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'
PNG_START = b'\x89PNG\r\n\x1a\n'

# A decoder reads so many bytes ahead of what it decodes.
READ_AHEAD = bytes(8)
# So many bytes too many at the end of a scan are some cameras' habit; more are those of pixels.
SURPLUS_BYTES = 12
MOST_SEGMENTS = 128  # between restart markers, that are looked at one by one

_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # between SOF0 and SOF15: tables
_SEQUENTIAL = (0xC0, 0xC1)
_END_OF_SCAN = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
_RESTART = re.compile(rb'\xff+[\xd0-\xd7]')


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of a JPEG or PNG say of it; `channels` as they are stored."""

    width: int
    height: int
    channels: int
    bits: int


def image_header(data: bytes) -> ImageHeader:
    """Read size and kind of a JPEG or PNG without decoding it.

    Raises:
        StreamError: it is neither, or is cut before these are known.
    """
    if data[:2] == JPEG_START:
        return _Jpeg(data).header
    if data[:8] == PNG_START:
        if data[12:16] != b'IHDR' or len(data) < 29:
            raise StreamError('PNG is cut in its header')
        width, height, bits, kind = struct.unpack_from('>IIBB', data, 16)
        return ImageHeader(width, height, {0: 1, 4: 1}.get(kind, 3), bits)
    raise StreamError(f'{len(data)} bytes are no JPEG or PNG image')


def check_colours(header: ImageHeader) -> None:
    """Fail for grey of more than 8 bits, which is depth: OpenCV would keep its upper bits only.

    Raises:
        StreamError: it is.
    """
    if header.bits > 8 and header.channels == 1:
        raise StreamError(
            f'it has {header.bits} bits of grey, as depth has, expected 8 or colours'
        )


def check_png(data: bytes) -> None:
    """Fail where a PNG is cut, or a checksum is not that of its bytes.

    Raises:
        StreamError: it is.
    """
    place = len(PNG_START)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from('>I', data, place)
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[place + 4 : end]) != struct.unpack_from('>I', data, end)[0]:
            raise StreamError(f'PNG is damaged: wrong checksum of {kind!r}')
        if kind == b'IEND':
            return
        place = end + 4
    raise StreamError('PNG is damaged: it has no end')


def decode_whole(data: bytes, *, quickly: bool = False) -> Pixels:
    """Decode a JPEG or PNG as (H, W, 3) uint8, channels in OpenCV's order, blue first.

    `quickly`, for images that were looked at before, does without what costs a second decoding.

    Raises:
        StreamError: it is neither, holds depth, or is not whole: some of its pixels are missing.
    """
    if data[:2] == JPEG_START:
        return _decode_jpeg(_Jpeg(data), quickly)
    if data[:8] == PNG_START:
        check_png(data)
        check_colours(image_header(data))
        return _decoded(data, 'PNG')
    raise StreamError(f'{len(data)} bytes are no JPEG or PNG image')


def thumbnail(data: bytes) -> Pixels:
    """Decode all of a JPEG, as closely looked at as by `decode_whole`, to an eighth of its size.

    Returned is (h, w, 3) uint8, blue first, of an eighth of both sizes, rounded up; it takes three
    quarters of the time.

    Raises:
        StreamError: where `decode_whole` raises it.
    """
    return _decode_jpeg(_Jpeg(data), False, cv2.IMREAD_REDUCED_COLOR_8)


def decode_strictly(data: bytes) -> Pixels:
    """As `decode_whole`, (H, W, 3) uint8, and whatever libjpeg has to say is an error.

    One image at a time.

    Raises:
        StreamError: as `decode_whole`, or libjpeg has found damage.
    """
    with captured_warnings() as lines:
        pixels = decode_whole(data)
    if lines:
        raise StreamError(f'JPEG is damaged: libjpeg says: {lines[0]}')
    return pixels


class _Jpeg:
    """A JPEG in its parts: all up to its first scan, that scan, and the way of its coding."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.restart_interval = 0
        self.frame = 0  # where the frame's segment begins
        self.sequential = False
        self.sampling = (1, 1)  # blocks of a unit, across and down
        self._scan = 0
        for marker, begin, length in self._segments(2):
            if marker == 0xDD and length >= 4:
                (self.restart_interval,) = struct.unpack_from('>H', data, begin + 2)
            elif 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES:
                self._read_frame(marker, begin, length)
            elif marker == 0xDA and length > 2:
                self._scan = begin + length
                self.components_in_scan = data[begin + 2]
                break
        if not self.frame or not self._scan:
            raise StreamError('JPEG is cut in its header')

    def _segments(self, place: int) -> Iterator[tuple[int, int, int]]:
        """Yield (marker, where its length stands, length) up to the first scan."""
        data = self.data
        while place + 4 <= len(data) and data[place] == 0xFF:
            marker = data[place + 1]
            if marker == 0xFF:
                place += 1
                continue
            (length,) = struct.unpack_from('>H', data, place + 2)
            if length < 2 or place + 2 + length > len(data):
                break
            yield marker, place + 2, length
            place += 2 + length

    def _read_frame(self, marker: int, begin: int, length: int) -> None:
        components = self.data[begin + 7] if length >= 8 else 0
        if length < 8 + 3 * components or not components:
            raise StreamError('JPEG has a damaged header')
        bits, height, width = struct.unpack_from('>BHH', self.data, begin + 2)
        self.frame = begin
        self.sequential = marker in _SEQUENTIAL
        self.header = ImageHeader(width, height, components, bits)
        if components > 1:
            factors = self.data[begin + 9 : begin + 8 + 3 * components : 3]
            self.sampling = (max(f >> 4 for f in factors), max(f & 15 for f in factors))

    @property
    def one_scan(self) -> bool:
        """Whether all is in one scan that is decoded from its begin to its end."""
        return self.sequential and self.components_in_scan == self.header.channels

    @property
    def begin(self) -> bytes:
        """All before the scan."""
        return self.data[: self._scan]

    def scan(self) -> bytes:
        """The bytes of the scan, without the marker behind them."""
        end = _END_OF_SCAN.search(self.data, self._scan)
        if end is None or end.group() != JPEG_END:
            found = 'ends' if end is None else f'has a marker {end.group().hex()}'
            raise StreamError(f'JPEG is damaged: it {found} within its pixels')
        return self.data[self._scan : end.start()].rstrip(b'\xff')

    def units(self) -> int:
        """How many units the scan holds, between some of which there are restart markers."""
        across, down = (8 * blocks for blocks in self.sampling)
        return -(-self.header.width // across) * -(-self.header.height // down)

    def begin_of_units(self, count: int) -> bytes:
        """The bytes before the scan of an image of that many units beside each other."""
        width, height = count * 8 * self.sampling[0], 8 * self.sampling[1]
        size = struct.pack('>HH', height, width)
        return self.data[: self.frame + 3] + size + self.data[self.frame + 7 : self._scan]


def _decode_jpeg(jpeg: _Jpeg, quickly: bool, flags: int = cv2.IMREAD_COLOR) -> Pixels:
    if not jpeg.one_scan:
        # Of several scans, each of which refines the image, only the end marker can be looked for.
        if JPEG_END not in jpeg.data:
            raise StreamError('JPEG is damaged: it has no end marker')
        return _decoded(jpeg.data, 'JPEG', flags)
    scan = jpeg.scan()
    if quickly:
        pass
    elif jpeg.restart_interval:
        _check_segments(jpeg, scan)
    else:
        _check_surplus(jpeg.begin, scan)
    return _decoded(jpeg.begin + scan + READ_AHEAD, 'JPEG', flags)


def _check_surplus(begin: bytes, scan: bytes) -> None:
    """Fail where an image is whole without the last bytes of its scan: bytes before are lost."""
    if len(scan) > 2 * SURPLUS_BYTES and _can_be_decoded(begin + scan[:-SURPLUS_BYTES]):
        raise StreamError('JPEG is damaged: more bytes than pixels')


def _check_segments(jpeg: _Jpeg, scan: bytes) -> None:
    marks = list(_RESTART.finditer(scan))
    expected = -(-jpeg.units() // jpeg.restart_interval)
    in_order = all(mark.group()[-1] == 0xD0 + i % 8 for i, mark in enumerate(marks))
    if len(marks) + 1 != expected or not in_order:
        raise StreamError(
            f'JPEG is damaged: {len(marks) + 1} of {expected} parts between restart markers'
            + ('' if in_order else ', not in order')
        )
    if expected > MOST_SEGMENTS or 8 * jpeg.sampling[0] * jpeg.restart_interval > 65500:
        return
    begin = jpeg.begin_of_units(jpeg.restart_interval)
    last = jpeg.begin_of_units(jpeg.units() - (expected - 1) * jpeg.restart_interval)
    edges = [0, *(edge for mark in marks for edge in mark.span()), len(scan)]
    for index in range(expected):
        segment = scan[edges[2 * index] : edges[2 * index + 1]]
        head = last if index == expected - 1 else begin
        if not _can_be_decoded(head + segment + READ_AHEAD):
            raise StreamError(f'JPEG is damaged: part {index + 1} of {expected} ends too early')


def _can_be_decoded(data: bytes) -> bool:
    return _imdecode(data, cv2.IMREAD_REDUCED_COLOR_8) is not None


def _decoded(data: bytes, what: str, flags: int = cv2.IMREAD_COLOR) -> Pixels:
    image = _imdecode(data, flags)
    if image is None:
        raise StreamError(f'{what} is damaged: its bytes end before its pixels do')
    return np.asarray(image, dtype=np.uint8)


def _imdecode(data: bytes, flags: int) -> Any:
    # Pixels as they are stored: a camera's note that it stood on its side (EXIF) turns nothing.
    flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error:  # sizes that no image has
        return None
