# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How the images of one camera get into an episode, by what they are stored as.

A frame that stands in several rows is encoded once; where ALOHA's tools do not read the rows
anyway it is stored once, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.columns import ImageColumn, PackedColumn
from motion_policy.episodes.images import decode_whole_jpeg, encode_jpeg, encode_png
from motion_policy.episodes.video import VideoEncoder
from motion_policy.streams import Observation, Sample

Array = npt.NDArray[Any]

# Room for later JPEGs that are longer than the first one; the rows grow when it is not enough.
JPEG_ROOM = 1.25
LEAST_ROOM = 4096  # of what takes none on the disk

NOTHING = np.zeros(0, dtype=np.uint8)


class ImageWriter(Protocol):
    """Takes the images of a camera, row by row."""

    def add(self, observation: Observation, sample: Sample | None) -> int:
        """Write the next row; return how many of its bytes count.

        `sample` is what the image was made of: the same one again is not encoded again.
        """

    def close(self) -> None:
        """Let go of what encodes."""


def image_writer(
    file: h5py.File, camera: str, storage: str, quality: int, first: Observation
) -> ImageWriter:
    """Return what writes a camera's images.

    Args:
        file: a new episode, which is told what they are stored as.
        camera: one of its cameras.
        storage: as `EpisodeWriter` is told.
        quality: of JPEG, 0 to 100.
        first: the first row, by which it is known whether the camera sends JPEG.

    Raises:
        EpisodeError: the storage needs what is not installed.
    """
    name = f'{layout.IMAGES}/{camera}'
    if storage == layout.JPEG and camera in first.jpegs:
        storage = layout.CAMERA_JPEG
    if storage == layout.RAW:
        return _Pixels(ImageColumn(file, name, first.images[camera].shape), camera)
    if storage in (layout.JPEG, layout.ALOHA_JPEG):
        return _AlohaJpegs(file, name, camera, quality, first)
    writer = _Packed(file, name, camera, _encoder(camera, storage, quality, first), first)
    file[name].attrs[layout.STORAGE] = storage
    file.attrs['format'] = layout.FORMAT_MARKED
    return writer


def mark_all(file: h5py.File, cameras: Iterable[str]) -> None:
    """Say of every camera what its images are stored as, if it must be said of one.

    So a mark that got lost is noticed, and never taken for ALOHA's order of colours.
    """
    if file.attrs['format'] == layout.FORMAT_MARKED:
        for camera in cameras:
            attributes = file[f'{layout.IMAGES}/{camera}'].attrs
            attributes[layout.STORAGE] = attributes.get(layout.STORAGE, layout.JPEG)


class _Pixels:
    def __init__(self, column: ImageColumn, camera: str) -> None:
        self._column, self._camera = column, camera

    def add(self, observation: Observation, sample: Sample | None) -> int:
        self._column.add(observation.images[self._camera])
        return 0

    def close(self) -> None:
        pass


class _AlohaJpegs:
    """JPEGs in ALOHA's order of colours, each row with its own."""

    def __init__(
        self, file: h5py.File, name: str, camera: str, quality: int, first: Observation
    ) -> None:
        self._camera, self._quality = camera, quality
        room = int(len(self._jpeg(first)) * JPEG_ROOM)
        self._column = ImageColumn(file, name, (room,))

    def add(self, observation: Observation, sample: Sample | None) -> int:
        column = self._column
        again = sample is not None and sample is column.sample and column.last is not None
        data = column.last if again else self._jpeg(observation)
        assert data is not None
        column.add(data)
        column.sample = sample
        return len(data)

    def close(self) -> None:
        pass

    def _jpeg(self, observation: Observation) -> Array:
        """Bytes (n,) as they are, where they are in this order already."""
        image = observation.images[self._camera]
        if image.ndim == 1 and self._camera not in observation.jpegs:
            return image
        return encode_jpeg(_pixels(observation, self._camera), self._quality)


class _Packed:
    """What the attribute `storage` names."""

    def __init__(
        self,
        file: h5py.File,
        name: str,
        camera: str,
        encoder: _Encoder,
        first: Observation,
    ) -> None:
        self._camera, self._encoder = camera, encoder
        self._first: Array | None = encoder.encode(first)
        room = max(LEAST_ROOM, int(len(self._first) * JPEG_ROOM))
        self._column = PackedColumn(file, name, room)

    def add(self, observation: Observation, sample: Sample | None) -> int:
        column = self._column
        if sample is not None and sample is column.sample:
            data = NOTHING
        elif self._first is not None:  # a video encoder takes a frame once
            data, self._first = self._first, None
        else:
            data = self._encoder.encode(observation)
        column.add(data)
        column.sample = sample
        return len(data)

    def close(self) -> None:
        self._encoder.close()


class _Encoder:
    """Makes bytes (n,) uint8 of the image of an observation."""

    def __init__(
        self,
        encode: Callable[[Observation], Array],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.encode, self.close = encode, close


def _encoder(camera: str, storage: str, quality: int, first: Observation) -> _Encoder:
    def own(observation: Observation) -> Array:
        data = observation.jpegs.get(camera)
        if data is not None:
            return data
        return encode_jpeg(_pixels(observation, camera), quality, layout.CAMERA_JPEG)

    if storage == layout.CAMERA_JPEG:
        return _Encoder(own)
    if storage == layout.PNG:
        return _Encoder(lambda seen: encode_png(_pixels(seen, camera)))
    video = VideoEncoder(storage, *_pixels(first, camera).shape[:2])
    return _Encoder(lambda seen: video.encode(_pixels(seen, camera)), video.close)


def _pixels(observation: Observation, camera: str) -> Array:
    """The image (H, W, 3) RGB, also where its JPEG stands in its place."""
    image = observation.images[camera]
    if image.ndim == 3:
        return image
    own = camera in observation.jpegs
    return decode_whole_jpeg(image, layout.CAMERA_JPEG if own else layout.JPEG)
