# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write episodes as ALOHA's own tools do: `episode_0.hdf5`, `episode_1.hdf5`, ...

Our files have ALOHA's names already; these have its numbering, its chunks, nothing besides, and,
when asked for, pixels in place of JPEG, which tonyzhaozh/act needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from motion_policy.episodes import layout
from motion_policy.episodes.export_set import ExportSet, new_folder
from motion_policy.episodes.reader import EpisodeReader

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
        raw: store pixels, also where the episodes hold JPEGs; else both stay as they are.
        on_row: called after every row of a camera.

    Raises:
        EpisodeError: an episode is damaged, or the folder cannot be written.
    """
    names = [f'episode_{number}{layout.SUFFIX}' for number in range(len(chosen.episodes))]
    with new_folder(Path(out_dir)) as folder:
        for name, path in zip(names, chosen.episodes, strict=True):
            with (
                EpisodeReader(path) as episode,
                h5py.File(folder / name, 'w', rdcc_nbytes=CHUNK_CACHE_BYTES) as file,
            ):
                _write(file, episode, raw or not episode.compress, on_row)
    return [Path(out_dir) / name for name in names]


def _write(file: h5py.File, episode: EpisodeReader, raw: bool, on_row: Callable[[], None]) -> None:
    file.attrs['sim'] = episode.sim
    file.attrs['compress'] = not raw
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
            _write_pixels(file, episode, camera, on_row)
    else:
        _write_jpegs(file, episode, on_row)


def _write_pixels(
    file: h5py.File, episode: EpisodeReader, camera: str, on_row: Callable[[], None]
) -> None:
    spec = episode.robot.cameras[camera]
    shape = (spec.height, spec.width, 3)
    images = _image_dataset(file, camera, episode.length, shape)
    for row in range(episode.length):
        images[row] = episode.image(camera, row)
        on_row()


def _write_jpegs(file: h5py.File, episode: EpisodeReader, on_row: Callable[[], None]) -> None:
    """Copy the bytes; all cameras are padded to the longest JPEG of all."""
    rows, cameras = range(episode.length), episode.cameras
    lengths = [[len(_jpeg(episode, camera, row)) for row in rows] for camera in cameras]
    longest = max((max(of_camera) for of_camera in lengths), default=0)
    for camera in cameras:
        images = _image_dataset(file, camera, episode.length, (longest,))
        for row in rows:
            data = _jpeg(episode, camera, row)
            images[row, : len(data)] = data
            on_row()
    file.create_dataset(layout.COMPRESS_LEN, data=np.array(lengths, dtype=np.float32))


def _jpeg(episode: EpisodeReader, camera: str, row: int) -> Any:
    data = episode.jpeg(camera, row)
    assert data is not None
    return data


def _image_dataset(file: h5py.File, camera: str, rows: int, shape: tuple[int, ...]) -> Any:
    name = f'{layout.IMAGES}/{camera}'
    return file.create_dataset(name, (rows, *shape), dtype=np.uint8, chunks=(1, *shape))
