# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write episodes as ALOHA's own tools do: `episode_0.hdf5`, `episode_1.hdf5`, ...

Our files have ALOHA's names already; these have its numbering, its chunks, nothing besides but
attributes that its tools pass over, and, when asked for, pixels in place of JPEG, which
tonyzhaozh/act needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.formats.aloha.attributes import (
    JOINT_NAMES,
    OPERATOR,
    RATE,
    SUCCESS,
    TASK,
)
from motion_policy.episodes.formats.export_set import ExportSet
from motion_policy.episodes.hdf5.output import HdfOutput, new_hdf5
from motion_policy.episodes.images import encode_jpeg
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import new_folder

Array = npt.NDArray[Any]

JPEG_QUALITY = 95  # of what is encoded anew

# As ALOHA's tools open theirs.
CHUNK_CACHE_BYTES = 2 * 1024**2


def export_aloha(
    chosen: ExportSet,
    out_dir: str | Path,
    *,
    raw: bool = False,
    on_row: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write every episode; return their files.

    Args:
        chosen: the episodes.
        out_dir: a new folder.
        raw: store pixels, also where the episodes hold JPEGs; else both stay as they are, but
            that JPEG which is not in ALOHA's order of colours is encoded anew in that order.
        on_row: called after every row of a camera.

    Raises:
        EpisodeError: an episode is damaged, or the folder cannot be written.
    """
    names = [f'episode_{number}{layout.SUFFIX}' for number in range(len(chosen.episodes))]
    with new_folder(Path(out_dir)) as folder:
        for name, path in zip(names, chosen.episodes, strict=True):
            with (
                EpisodeReader(path) as episode,
                new_hdf5(folder / name, rdcc_nbytes=CHUNK_CACHE_BYTES) as output,
            ):
                _write(output, episode, raw or not episode.compress, on_row)
    return [Path(out_dir) / name for name in names]


def _write(
    output: HdfOutput, episode: EpisodeReader, raw: bool, on_row: Callable[[], None]
) -> None:
    file = output.file
    file.attrs['sim'] = episode.sim
    file.attrs['compress'] = not raw
    file.attrs[JOINT_NAMES] = list(episode.joint_names)
    file.attrs[RATE] = episode.rate
    said = {TASK: episode.task, OPERATOR: episode.operator, SUCCESS: episode.success}
    file.attrs.update({name: value for name, value in said.items() if value not in (None, '')})
    vectors = {
        layout.QPOS: episode.qpos,
        layout.QVEL: episode.qvel,
        layout.EFFORT: episode.effort,
        layout.ACTION: episode.action,
    }
    for name, values in vectors.items():
        if values is not None:
            file.create_dataset(name, data=values, dtype=np.float32)
    if raw:
        for camera in episode.cameras:
            _write_pixels(output, episode, camera, on_row)
    else:
        _write_jpegs(output, episode, on_row)


def _write_pixels(
    output: HdfOutput, episode: EpisodeReader, camera: str, on_row: Callable[[], None]
) -> None:
    spec = episode.robot.cameras[camera]
    shape = (spec.height, spec.width, 3)
    images = _image_dataset(output.file, camera, episode.length, shape)
    for row in range(episode.length):
        images[row] = episode.image(camera, row)
        output.check()
        on_row()


def _write_jpegs(output: HdfOutput, episode: EpisodeReader, on_row: Callable[[], None]) -> None:
    """Write JPEGs in ALOHA's order; all cameras are padded to the longest JPEG of all."""
    rows, cameras = range(episode.length), episode.cameras
    lengths = [[len(_jpeg(episode, camera, row)) for row in rows] for camera in cameras]
    longest = max((max(of_camera) for of_camera in lengths), default=0)
    for camera, of_camera in zip(cameras, lengths, strict=True):
        images = _image_dataset(output.file, camera, episode.length, (longest,))
        copied = episode.storage(camera) == layout.JPEG
        for row, length in zip(rows, of_camera, strict=True):
            # Those that are copied were looked at for their lengths.
            data = episode.stored(camera, row) if copied else _jpeg(episode, camera, row)
            images[row, :length] = data[:length]
            output.check()
            on_row()
    output.file.create_dataset(layout.COMPRESS_LEN, data=np.array(lengths, dtype=np.float32))


def _jpeg(episode: EpisodeReader, camera: str, row: int) -> Array:
    """The bytes (n,) of a row as they stand, or anew where ALOHA's tools could not read them."""
    data = episode.jpeg(camera, row)
    return encode_jpeg(episode.image(camera, row), JPEG_QUALITY) if data is None else data


def _image_dataset(file: Any, camera: str, rows: int, shape: tuple[int, ...]) -> Any:
    name = f'{layout.IMAGES}/{camera}'
    return file.create_dataset(name, (rows, *shape), dtype=np.uint8, chunks=(1, *shape))
