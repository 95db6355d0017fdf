# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read the episodes of ALOHA and ACT, in every form in which their tools have written them.

What a file holds is told by the shapes of its datasets: attributes may be missing or wrong. JPEGs
are decoded from their padded rows, since the rows of `compress_len` follow a configuration that is
not in the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.images import decode_jpeg, without_padding
from motion_policy.episodes.joint_arrays import Float32Array, JointArrays
from motion_policy.episodes.reader import DAMAGE

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

BASE_ACTION = 'base_action'

_READ = (
    layout.QPOS,
    layout.QVEL,
    layout.EFFORT,
    layout.ACTION,
    layout.COMPRESS_LEN,
    layout.IMAGES,
)
_EXPECTED_IMAGES = 'expected (T, H, W, 3) uint8 pixels, or JPEGs as (T, padded) or (T,) bytes'


@dataclass(frozen=True)
class AlohaCamera:
    """A camera of a file: size of its images in pixels, and whether they stand there as JPEG."""

    height: int
    width: int
    jpeg: bool


class AlohaFile(JointArrays):
    """One demonstration of `length` rows; a context manager.

    `cameras` are those of the file, in alphabetical order.

    Raises:
        EpisodeError: no such file, not ALOHA's layout, or its datasets do not fit together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cameras: dict[str, AlohaCamera] = {}
        self._file = _open(path)
        try:
            qpos = self._vectors(layout.QPOS)
            self.length, self.joints = qpos.shape
            if self.length == 0:
                raise EpisodeError(f"{path}: '/{layout.QPOS}' has no row, expected at least one")
            for name in (layout.ACTION, layout.QVEL, layout.EFFORT):
                if name == layout.ACTION or name in self._file:
                    self._check_shape(name)
            for name in self._camera_names():
                self.cameras[name] = self._camera(name)
        except BaseException:
            self.close()
            raise

    @property
    def sim(self) -> bool:
        """True when the file says that the robot is simulated."""
        return bool(self._file.attrs.get('sim', False))

    @property
    def qvel(self) -> Float32Array | None:
        """Measured joint velocities (T, J); None where the file has none."""
        return self._floats(layout.QVEL) if layout.QVEL in self._file else None

    @property
    def base_action(self) -> Array | None:
        """Velocities of a mobile base (T, 2), which are no joints; None where there are none."""
        return np.asarray(self._read(BASE_ACTION, ())) if BASE_ACTION in self._file else None

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the datasets that nothing here reads, the mobile base's aside."""
        return tuple(
            name
            for name in layout.dataset_names(self._file)
            if not any(f'{name}/'.startswith(f'{one}/') for one in _READ)
        )

    def stored(self, camera: str, t: int) -> Bytes:
        """Return the image of row `t` as it stands: pixels (H, W, 3), or JPEG bytes (n,).

        Raises:
            EpisodeError: the row cannot be read.
        """
        name = f'{layout.IMAGES}/{camera}'
        row = self._read(name, t)
        if isinstance(row, bytes):
            row = np.frombuffer(row, dtype=np.uint8)
        return without_padding(row) if row.ndim == 1 else np.asarray(row, dtype=np.uint8)

    def decoded(self, camera: str, t: int, stored: Bytes) -> Bytes:
        """Return the pixels (H, W, 3) of what `stored` returned, channels as the writer had them.

        Raises:
            EpisodeError: no image, or not of the size that the camera had before.
        """
        if stored.ndim == 3:
            return stored
        image = decode_jpeg(stored)
        if image is None:
            raise EpisodeError(f"{self.path}: camera '{camera}', row {t}: is no JPEG image")
        spec = self.cameras.get(camera)
        if spec is not None and image.shape[:2] != (spec.height, spec.width):
            raise EpisodeError(
                f"{self.path}: camera '{camera}', row {t}: image is "
                f'{image.shape[1]}x{image.shape[0]}, expected {spec.width}x{spec.height} as in '
                'row 0'
            )
        return image

    def _camera_names(self) -> list[str]:
        group = self._file.get(layout.IMAGES)
        if group is None:
            return []
        if not isinstance(group, h5py.Group):
            raise EpisodeError(
                f"{self.path}: '/{layout.IMAGES}' is a dataset, expected one per camera below it"
            )
        return sorted(group)

    def _camera(self, name: str) -> AlohaCamera:
        dataset = self._file[f'{layout.IMAGES}/{name}']
        shape = getattr(dataset, 'shape', None)
        if shape is None or not _holds_images(dataset):
            found = 'a group' if shape is None else f'{shape} {dataset.dtype}'
            raise EpisodeError(
                f"{self.path}: '/{layout.IMAGES}/{name}' is {found}, {_EXPECTED_IMAGES}"
            )
        if shape[0] != self.length:
            raise EpisodeError(
                f"{self.path}: camera '{name}' has {shape[0]} rows, expected {self.length} "
                f"as '/{layout.QPOS}' has"
            )
        if len(shape) == 4:
            return AlohaCamera(shape[1], shape[2], jpeg=False)
        height, width = self.decoded(name, 0, self.stored(name, 0)).shape[:2]
        return AlohaCamera(height, width, jpeg=True)

    def _check_shape(self, name: str) -> None:
        shape = self._vectors(name).shape
        if shape != (self.length, self.joints):
            raise EpisodeError(
                f"{self.path}: '/{name}' has {shape[0]} rows of {shape[1]}, expected "
                f"{self.length} rows of {self.joints} as '/{layout.QPOS}' has"
            )

    def _vectors(self, name: str) -> Any:
        dataset = self._file.get(name)
        shape = getattr(dataset, 'shape', None)
        if shape is None:
            raise EpisodeError(
                f"{self.path}: has no '/{name}', expected ALOHA's layout: /{layout.QPOS}, "
                f'/{layout.ACTION}, /{layout.IMAGES}/CAMERA'
            )
        if len(shape) != 2 or dataset.dtype.kind not in 'fiu':
            raise EpisodeError(
                f"{self.path}: '/{name}' is {shape} {dataset.dtype}, expected (T, joints) numbers"
            )
        return dataset

    def _floats(self, name: str) -> Float32Array:
        values = np.asarray(self._read(name, ()), dtype=np.float32)
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            row, column = wrong[0]
            raise EpisodeError(
                f"{self.path}: '/{name}' row {row}, column {column} is {values[row, column]}, "
                'expected a finite number'
            )
        return values

    def _read(self, name: str, place: Any) -> Any:
        try:
            return self._file[name][place]
        except DAMAGE as error:
            row = '' if place == () else f', row {place},'
            raise EpisodeError(f"{self.path}: '/{name}'{row} cannot be read: {error}") from None


def aloha_files(source: str | Path) -> list[Path]:
    """Return the files of one set: a file itself, or a folder's `*.hdf5` by their numbers.

    Files of image features (`*features*`), which ACT's tools leave beside episodes, are passed by.

    Raises:
        EpisodeError: no such file or folder, or a folder without any.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise EpisodeError(
            f"{path}: no such file or folder, expected ALOHA's episode_0.hdf5 or a folder of them"
        )
    files = [file for file in path.glob(f'*{layout.SUFFIX}') if 'features' not in file.name]
    if not files:
        raise EpisodeError(
            f"{path}: holds no *{layout.SUFFIX}, expected ALOHA's episode_0.hdf5 ..."
        )
    return sorted(files, key=_by_number)


def _by_number(path: Path) -> list[Any]:
    """Episode 2 stands before episode 10, though its name does not."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path.name)]


def _holds_images(dataset: Any) -> bool:
    kind, shape = dataset.dtype, dataset.shape
    if len(shape) == 1:
        text = kind.kind == 'S' or h5py.check_string_dtype(kind) is not None
        return text or h5py.check_vlen_dtype(kind) == np.uint8
    pixels = len(shape) == 4 and shape[3] == 3
    return bool(kind == np.uint8 and (pixels or len(shape) == 2))


def _open(path: Path) -> h5py.File:
    try:
        file = h5py.File(path, 'r')
    except DAMAGE as error:
        reason = str(error).partition('(')[2].rstrip(")'") or str(error)
        raise EpisodeError(
            f"{path}: is damaged or not HDF5 ({reason}), expected an episode of ALOHA's"
        ) from None
    if 'format' in file.attrs and layout.TIME_NS in file:
        file.close()
        raise EpisodeError(
            f'{path}: is an episode of this package already, expected one that another tool wrote'
        )
    return file
