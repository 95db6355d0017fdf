# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images of episodes stored as something else.

Rule: what can stay to the byte does; everything else is encoded of the pixels that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.columns import Column
from motion_policy.episodes.editing.changes import EditPlan, EpisodeChange, opened
from motion_policy.episodes.editing.pieces import Piece
from motion_policy.episodes.hdf5.output import HdfOutput
from motion_policy.episodes.image_writers import image_writer, mark_all
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.episodes.video import check_encoder
from motion_policy.files import shown
from motion_policy.streams import Observation, Sample

QUALITY = 95  # of JPEG that is encoded here
NONE = np.zeros(0, dtype=np.float32)  # in place of joints, which nobody looks at


def store(paths: Iterable[Path], storage: layout.ImageStorage) -> EditPlan:
    """Store the images of episodes as something else.

    Args:
        paths: the episodes.
        storage: as `EpisodeWriter` is told. With 'jpeg' a camera's own JPEG stays as it is.

    Raises:
        EpisodeError: an episode cannot be read, or the storage needs what is not installed.
    """
    if storage in layout.VIDEO:
        check_encoder(storage)
    changes, left = [], []
    for path in paths:
        with opened(path) as episode:
            before = {camera: episode.storage(camera) for camera in episode.cameras}
            after = {camera: _becomes(found, storage) for camera, found in before.items()}
            if before == after:
                left.append(f'{shown(path)}: is stored so already')
                continue
            words = ', '.join(
                f'{camera}: {found} -> {after[camera]}'
                for camera, found in before.items()
                if found != after[camera]
            )
            piece = Piece(images=partial(_write_images, storage=storage))
            changes.append(EpisodeChange.of(episode, (piece,), words))
    return EditPlan(tuple(changes), tuple(left))


def _becomes(before: str, storage: str) -> str:
    """What a camera's images are stored as afterwards."""
    if storage == layout.JPEG:
        return before if before == layout.CAMERA_JPEG else layout.JPEG
    return layout.JPEG if storage == layout.ALOHA_JPEG else storage


def _write_images(episode: EpisodeReader, output: HdfOutput, storage: str) -> None:
    file = output.file
    compress = storage != layout.RAW
    file.attrs['compress'] = compress
    file.attrs['format'] = layout.FORMAT
    lengths = np.zeros((len(episode.cameras), episode.length), dtype=np.float32)
    for number, camera in enumerate(episode.cameras):
        rows = _observed(episode, camera, storage)
        first, sample = next(rows)
        writer = image_writer(file, camera, storage, QUALITY, first)
        try:
            lengths[number, 0] = writer.add(first, sample)
            for row, (seen, sample) in enumerate(rows, 1):
                lengths[number, row] = writer.add(seen, sample)
                output.check()
        finally:
            writer.close()
        file[f'{layout.IMAGES}/{camera}'].resize(episode.length, axis=0)
    mark_all(file, episode.cameras)
    if compress and episode.cameras:
        column = Column(file, layout.COMPRESS_LEN, (len(episode.cameras),), np.float32)
        for of_row in lengths.T:
            column.add(of_row)
        column.write()


def _observed(
    episode: EpisodeReader, camera: str, storage: str
) -> Iterator[tuple[Observation, Sample | None]]:
    """Yield what was seen in each row, and the sample that it was made of."""
    stamps = episode.stamps(camera)
    keeps = storage in (layout.JPEG, layout.ALOHA_JPEG)
    sample = Sample(-1, -1, None)
    image: npt.NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
    jpegs: dict[str, npt.NDArray[np.uint8]] = {}
    for row in range(episode.length):
        found = Sample(int(stamps.header_ns[row]), int(stamps.receive_ns[row]), None)
        if found != sample or not found.receive_ns:
            sample = found
            jpeg = episode.jpeg(camera, row) if keeps else None
            own = episode.camera_jpeg(camera, row) if storage == layout.JPEG else None
            jpegs = {} if own is None else {camera: own}
            image = episode.image(camera, row) if jpeg is None else jpeg
        yield Observation(NONE, NONE, None, {camera: image}, None, jpegs=jpegs), sample
