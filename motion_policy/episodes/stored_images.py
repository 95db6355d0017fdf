# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The images of one camera of an episode file, whatever they are stored as.

Rule: all that reads images of an episode does it here, so that red is red everywhere.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.images import decode_jpeg, decode_whole_jpeg
from motion_policy.files import shown
from motion_policy.streams import StreamError
from motion_policy.streams.jpeg import JPEG_END

if TYPE_CHECKING:
    from motion_policy.episodes.hdf5.file import HdfFile
    from motion_policy.robot import RobotSpec

Bytes = npt.NDArray[np.uint8]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)


class StoredImages:
    """Reads the images of a camera.

    Args:
        file: an open episode, whose datasets were checked.
        robot: its robot.
        camera: one of the robot's.
        compress: whether the file says that images are compressed.

    Attributes:
        storage: what they are stored as: 'raw', 'jpeg' (in ALOHA's order) or 'camera_jpeg'.

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
        if not (0 < length <= len(stored) and length == int(length)):
            raise StreamError(
                f'compress_len is {length:g}, expected a whole number in 1..{len(stored)}'
            )
        return stored[: int(length)]

    def image(self, t: int) -> RgbImage:
        """Return the image of row `t`, (H, W, 3) uint8 RGB.

        Raises:
            EpisodeError: its bytes are damaged.
            StreamError: they are no image, or one of another size.
        """
        stored = self.stored(t)
        if self.storage == layout.RAW:
            return stored
        image = decode_jpeg(stored, self.storage)
        if image is None:
            raise StreamError('is no JPEG image')
        return self._fitting(image)

    def checked_image(self, t: int) -> RgbImage:
        """As `image`, (H, W, 3) uint8 RGB, looking closer at its bytes.

        Raises:
            EpisodeError: its bytes are damaged.
            StreamError: they are no image, or one of another size, or their length is wrong.
        """
        if self.storage == layout.RAW:
            return self.stored(t)
        data = self.data(t)
        if self.storage == layout.JPEG and data[-2:].tobytes() != JPEG_END:
            raise StreamError(f'the JPEG does not end at compress_len {len(data)}')
        return self._fitting(decode_whole_jpeg(data, self.storage))

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
        if not named:
            return layout.JPEG if compress else layout.RAW
        if not compress or named not in layout.MARKED_STORAGES:
            expected = ', '.join(layout.MARKED_STORAGES) if compress else 'none beside pixels'
            raise EpisodeError(
                f"{shown(self._file.path)}: attribute '{layout.STORAGE}' of '/{self._name}' is "
                f"'{shown(named)}', expected {expected}"
            )
        return str(named)
