# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The images of one camera of an episode file, whatever they are stored as.

Rule: all that reads images of an episode does it here, so that red is red everywhere. In a storage
that is marked an empty row has the image of the row before; a row of a video holds the packets of
one frame or more, of which its image is the last.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.columns import PackedColumn
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.images import decode_jpeg, decode_whole_jpeg
from motion_policy.episodes.video import VideoDecoder, is_key_frame, video_units
from motion_policy.files import shown
from motion_policy.streams import StreamError
from motion_policy.streams.decoder_warnings import captured_warnings
from motion_policy.streams.jpeg import JPEG_END

if TYPE_CHECKING:
    from motion_policy.episodes.hdf5.file import HdfFile
    from motion_policy.episodes.hdf5.output import HdfOutput
    from motion_policy.robot import RobotSpec

Bytes = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

RECENT = 4  # images of a video that are kept: threads ask for rows a little out of order


class StoredImages:
    """Reads the images of a camera.

    Args:
        file: an open episode, whose datasets were checked.
        robot: its robot.
        camera: one of the robot's.
        compress: whether the file says that images are compressed.

    Attributes:
        storage: what they are stored as: 'raw', 'jpeg' (in ALOHA's order), 'camera_jpeg', 'png',
            'h264' or 'av1'.
        warned: what libjpeg said of a camera's own JPEGs that were looked at closer, by their row.

    Raises:
        EpisodeError: the storage that the file names is not known.
    """

    def __init__(self, file: HdfFile, robot: RobotSpec, camera: str, compress: bool) -> None:
        self._file = file
        self._name = f'{layout.IMAGES}/{camera}'
        self._number = list(robot.cameras).index(camera)
        spec = robot.cameras[camera]
        self._shape = (spec.height, spec.width, 3)
        self.storage = self._read_storage(compress)
        self.is_marked = self.storage in layout.MARKED_STORAGES
        self.warned: dict[int, str] = {}
        self._lock = threading.Lock()
        self._decoder: VideoDecoder | None = None
        self._decoded = -1  # row that the decoder has seen last
        self._recent: dict[int, RgbImage] = {}
        self._checked: tuple[int, RgbImage] | None = None  # last, for rows that have it again

    def stored(self, t: int) -> Bytes:
        """Return row `t` as it stands: pixels (H, W, 3), or bytes and their padding (n,).

        Raises:
            EpisodeError: its bytes are damaged.
        """
        return np.asarray(self._file.read(self._name, t), dtype=np.uint8)

    def data(self, t: int) -> Bytes:
        """Return the bytes (n,) uint8 of row `t` without padding; of pixels there are none.

        Raises:
            EpisodeError: they are damaged.
            StreamError: their length is none.
        """
        stored, length = self.stored(t), float(self.lengths[t])
        least = 0 if self.is_marked else 1
        if not (least <= length <= len(stored) and length == int(length)):
            raise StreamError(
                f'compress_len is {length:g}, expected a whole number in {least}..{len(stored)}'
            )
        return stored[: int(length)]

    def source(self, t: int) -> int:
        """Return the row, `t` or one before it, whose bytes are those of the image of row `t`.

        Raises:
            StreamError: all rows up to `t` are empty.
        """
        if not self.is_marked:
            return t
        before = int(np.searchsorted(self._filled, t, side='right')) - 1
        if before < 0:
            raise StreamError('is empty, and so is every row before')
        return int(self._filled[before])

    def image(self, t: int) -> RgbImage:
        """Return the image of row `t`, (H, W, 3) uint8 RGB.

        Raises:
            EpisodeError: its bytes are damaged.
            StreamError: they are no image, or one of another size.
        """
        if self.storage == layout.RAW:
            return self.stored(t)
        if self.storage in layout.VIDEO:
            return self._frame(self.source(t))
        image = decode_jpeg(self.stored(self.source(t)), self.storage)
        if image is None:
            raise StreamError(f'is no {"PNG" if self.storage == layout.PNG else "JPEG"} image')
        return self._fitting(image)

    def checked_image(self, t: int) -> RgbImage:
        """As `image`, (H, W, 3) uint8 RGB, looking closer at its bytes.

        Raises:
            EpisodeError: its bytes are damaged.
            StreamError: they are no image, or one of another size, or their length is wrong.
        """
        if self.storage == layout.RAW:
            return self.stored(t)
        source = self.source(t)
        if self.is_marked and self._checked is not None and self._checked[0] == source:
            return self._checked[1]
        data = self.data(source)
        if self.storage in layout.VIDEO:
            image = self._frame(source)
        else:
            if self.storage == layout.JPEG and data[-2:].tobytes() != JPEG_END:
                raise StreamError(f'the JPEG does not end at compress_len {len(data)}')
            image = self._fitting(self._looked_at(source, data))
        self._checked = source, image
        return image

    def _looked_at(self, row: int, data: Bytes) -> RgbImage:
        if self.storage != layout.CAMERA_JPEG:
            return decode_whole_jpeg(data, self.storage)
        with captured_warnings() as lines:
            image = decode_whole_jpeg(data, self.storage)
        if lines:
            self.warned[row] = lines[0]
        return image

    def rows_data(self, rows: Sequence[int]) -> Iterator[Bytes]:
        """Yield the bytes (n,) of what rows of a marked storage become as an episode of their own.

        Nothing is encoded anew: the images stay to the bit. Where packets of a video are left out
        between two rows, the second one has them before its own, from the last key frame on.

        Args:
            rows: rising, some of them perhaps the same.

        Raises:
            EpisodeError: a row is damaged.
            StreamError: it is, or another one that it needs.
        """
        before = -1
        for row in rows:
            source = self.source(row)
            if source == before:
                yield np.zeros(0, dtype=np.uint8)
            elif self.storage in layout.VIDEO:
                parts = [unit for _, units in self._chain(source, before) for unit in units]
                yield np.frombuffer(b''.join(parts), dtype=np.uint8)
            else:
                yield self.data(source)
            before = source

    def copy_rows(self, output: HdfOutput, rows: Sequence[int]) -> Float32Array:
        """Write rows of a marked storage to a new file; return how long (N,) each is [bytes].

        Raises:
            EpisodeError: a row is damaged.
            StreamError: it is, or another one that it needs.
            OSError: the disk is full.
        """
        return self._write(output, self.rows_data(rows))

    def copy_first(self, output: HdfOutput, length: int) -> None:
        """Write the first rows of a marked storage to a new file as they stand.

        One that is damaged stays empty, but for its length, by which `check` finds it.

        Raises:
            OSError: the disk is full.
        """
        self._write(output, (self._or_nothing(row) for row in range(length)))

    def _or_nothing(self, row: int) -> Bytes:
        try:
            return self.data(row)
        except (EpisodeError, StreamError):
            return np.zeros(0, dtype=np.uint8)

    def _write(self, output: HdfOutput, rows: Iterable[Bytes]) -> Float32Array:
        column = PackedColumn(output.file, self._name, self._file.chunks(self._name)[1])
        column.dataset.attrs[layout.STORAGE] = self.storage
        lengths = []
        for data in rows:
            column.add(data)
            output.check()
            lengths.append(len(data))
        column.dataset.resize(len(lengths), axis=0)
        return np.array(lengths, dtype=np.float32)

    @cached_property
    def _filled(self) -> npt.NDArray[np.int64]:
        """The rows that are not empty."""
        return np.flatnonzero(self.lengths != 0)

    def _frame(self, row: int) -> RgbImage:
        """The image of a row with packets; going on from the row decoded last is cheap."""
        with self._lock:
            if row in self._recent:
                return self._recent[row].copy()
            decoder = self._decoder
            if decoder is None:
                decoder = self._decoder = VideoDecoder(self.storage, *self._shape[:2])
                self._decoded = -1
            frame: Any = None
            try:
                for each, units in self._chain(row, self._decoded):
                    for unit in units:
                        if is_key_frame(unit, self.storage):
                            decoder.restart()
                        frame = decoder.decode(unit)
                    self._decoded = each
            except (EpisodeError, StreamError):
                self._decoded = -1
                raise
            image = decoder.pixels(frame)
            while len(self._recent) >= RECENT:
                del self._recent[next(iter(self._recent))]
            self._recent[row] = image
            return image.copy()

    def _chain(self, row: int, known: int) -> list[tuple[int, list[bytes]]]:
        """The packets that a row needs, by rows, from behind `known` or a key frame on."""
        chain: list[tuple[int, list[bytes]]] = []
        place = int(np.searchsorted(self._filled, row))
        while place >= 0 and self._filled[place] != known:
            each = int(self._filled[place])
            try:
                units = list(video_units(self.data(each).tobytes(), self.storage))
                chain.append((each, units))
                if is_key_frame(units[0], self.storage):
                    return chain[::-1]
            except StreamError as error:
                needs = '' if each == row else f'needs row {each}, which '
                raise StreamError(f'{needs}{error}') from None
            place -= 1
        if place < 0:
            raise StreamError(f'there is no key frame of {self.storage} before it')
        return chain[::-1]

    @cached_property
    def lengths(self) -> Any:
        """The lengths (T,) float32 of the rows [bytes]; only of what is compressed."""
        return np.asarray(self._file.read(layout.COMPRESS_LEN, self._number), dtype=np.float32)

    def _fitting(self, image: RgbImage) -> RgbImage:
        if image.shape != self._shape:
            raise StreamError(f'is {image.shape}, expected {self._shape}')
        return image

    def _read_storage(self, compress: bool) -> str:
        named = self._file.attribute(layout.STORAGE, 'text', '', of=self._name)
        marked = self._file.attribute('format', 'text', '') == layout.FORMAT_MARKED
        if not named and not marked:
            return layout.JPEG if compress else layout.RAW
        if compress and named in (layout.JPEG, *layout.MARKED_STORAGES):
            return str(named)
        if not compress and marked and not named:  # whose marked cameras were dropped
            return layout.RAW
        found = f"is '{shown(named)}'" if named else 'is missing'
        expected = 'none beside pixels'
        if compress:
            expected = ', '.join((layout.JPEG, *layout.MARKED_STORAGES))
        raise EpisodeError(
            f"{shown(self._file.path)}: attribute '{layout.STORAGE}' of '/{self._name}' {found}, "
            f'expected {expected}'
        )
