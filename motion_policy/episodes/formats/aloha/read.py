# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read the episodes of ALOHA and ACT, in every form in which their tools have written them.

What a file holds is told by the shapes of its datasets: attributes may be missing or wrong. JPEGs
are decoded from their padded rows, since the rows of `compress_len` follow a configuration that is
not in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.aloha.attributes import (
    JOINT_NAMES,
    AlohaAttributes,
    read_attributes,
)
from motion_policy.episodes.hdf5.file import VLEN_BYTES, Field, HdfFile, MisfitError
from motion_policy.episodes.images import decode_whole_jpeg, without_padding
from motion_policy.episodes.joint_arrays import Float32Array, JointArrays
from motion_policy.files import shown
from motion_policy.robot.joint_order import joint_order
from motion_policy.streams import StreamError

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
_EXPECTED_IMAGES = (
    '({T}, H, W, 3) uint8 pixels, or grey ones without the 3, or JPEGs as ({T}, padded) or ({T},) '
    'bytes '
    '(--cameras chooses the cameras to import)'
)
_IMAGE_TYPES: tuple[tuple[tuple[str, ...], tuple[int | None, ...]], ...] = (
    (('u1',), (None, None, 3)),
    (('u1',), (None, None, 1)),
    (('u1',), (None, None)),
    (('u1',), (None,)),
    (('S', VLEN_BYTES), ()),
)


class AlohaFile(JointArrays):
    """One demonstration of `length` rows; a context manager.

    `cameras` are those of the file, in alphabetical order, each with (height, width) of its
    images [pixels]; a camera is looked at when its size is asked for. `joint_names` are those of
    its columns, () where it does not say them, as ALOHA's own do not. `misfits` has the name of
    velocities or efforts that are of another shape, and which: they count as not there.

    Raises:
        EpisodeError: no such file, not ALOHA's layout, or its datasets do not fit together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        self._sizes: dict[str, tuple[int, int]] = {}
        self._order: list[int] | None = None
        try:
            self.length, self.joints = (int(n) for n in self._vectors(layout.QPOS, (None, None)))
            if self.length == 0:
                raise EpisodeError(f"{path}: '/{layout.QPOS}' has no row, expected at least one")
            self._vectors(layout.ACTION, (self.length, self.joints))
            self.misfits = self._misfits()
            if self._file.has(BASE_ACTION):
                self._vectors(BASE_ACTION, (None, None))
            self.joint_names = self._joint_names()
            names = self._file.members(layout.IMAGES)
            self.cameras: Mapping[str, tuple[int, int]] = _Cameras(names, self._size)
        except BaseException:
            self.close()
            raise

    def bring_into_order(
        self, joints: Sequence[str], renamed: Mapping[str, str] | None = None
    ) -> bool:
        """Give columns that have names the order of these joints; return whether it is another.

        Raises:
            UserError: the names are not those of the joints, but for `renamed`.
        """
        where = f"{self.path}: attribute '{JOINT_NAMES}'"
        self._order = joint_order(self.joint_names, joints, where, renamed)
        return self._order not in (None, list(range(self.joints)))

    @property
    def sim(self) -> bool:
        """True when the file says that the robot is simulated."""
        return bool(self._file.attribute('sim', 'flag', False))

    @cached_property
    def said(self) -> AlohaAttributes:
        """What its attributes say besides."""
        return read_attributes(self._file)

    @cached_property
    def qvel(self) -> Float32Array | None:
        """Measured joint velocities (T, J), NaN where not reported; None: none that fit."""
        return self._reported(layout.QVEL)

    @cached_property
    def effort(self) -> Float32Array | None:
        """Measured efforts (T, J), as `qvel`."""
        return self._reported(layout.EFFORT)

    @property
    def base_action(self) -> Array | None:
        """Velocities of a mobile base (T, 2), which are no joints; None where there are none."""
        return self._file.floats(BASE_ACTION) if self._file.has(BASE_ACTION) else None

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the datasets that nothing here reads, the mobile base's aside."""
        return tuple(
            name
            for name in self._file.all_datasets()
            if not any(f'{name}/'.startswith(f'{one}/') for one in _READ)
        )

    def stored(self, camera: str, t: int) -> Bytes:
        """Return the image of row `t` as it stands: pixels (H, W, 3), or JPEG bytes (n,).

        Grey pixels come as three colours that are alike.

        Raises:
            EpisodeError: the row cannot be read.
        """
        row = self._file.read(self._image_dataset(camera), t)
        if isinstance(row, bytes):
            row = np.frombuffer(row, dtype=np.uint8)
        if row.ndim == 1:
            return without_padding(row)
        if row.shape[2:] != (3,):
            row = np.repeat(row.reshape(*row.shape[:2], 1), 3, axis=2)
        return np.asarray(row, dtype=np.uint8)

    def decoded(self, camera: str, t: int, stored: Bytes) -> Bytes:
        """Return the pixels (H, W, 3) of what `stored` returned, channels as the writer had them.

        Raises:
            EpisodeError: no image, or not of the size that the camera had before.
        """
        if stored.ndim == 3:
            return stored
        try:
            image = decode_whole_jpeg(stored)
        except StreamError as error:
            raise EpisodeError(f"{self.path}: camera '{camera}', row {t}: {error}") from None
        height, width = self._sizes.setdefault(camera, image.shape[:2])
        if image.shape[:2] != (height, width):
            raise EpisodeError(
                f"{self.path}: camera '{camera}', row {t}: image is "
                f'{image.shape[1]}x{image.shape[0]}, expected {width}x{height} as in row 0'
            )
        return image

    def _floats(self, name: str) -> Float32Array:
        return self._ordered(super()._floats(name))

    def _reported(self, name: str) -> Float32Array | None:
        if not self._file.has(name) or name in self.misfits:
            return None
        return self._ordered(self._file.floats(name, nan=True))

    def _ordered(self, values: Float32Array) -> Float32Array:
        return values if self._order is None else values[:, self._order]

    def _joint_names(self) -> tuple[str, ...]:
        found: tuple[str, ...] = tuple(self._file.attribute(JOINT_NAMES, 'texts', ()))
        if found and len(set(found)) != self.joints:
            raise EpisodeError(
                f"{self.path}: attribute '{JOINT_NAMES}' is {', '.join(map(shown, found))}, "
                f'expected {self.joints} names, each once'
            )
        return found

    def _size(self, camera: str) -> tuple[int, int]:
        if camera not in self._sizes:
            shape = self._file.shape(self._image_dataset(camera))
            if len(shape) > 2:
                self._sizes[camera] = (shape[1], shape[2])
            else:
                self.decoded(camera, 0, self.stored(camera, 0))
        return self._sizes[camera]

    def _image_dataset(self, camera: str) -> str:
        """Name of a camera's dataset, which was checked."""
        name = f'{layout.IMAGES}/{camera}'
        words = _EXPECTED_IMAGES.format(T=self.length)
        self._file.dataset(
            name,
            *(
                Field(types, (self.length, *shape), by_row=True, words=words)
                for types, shape in _IMAGE_TYPES
            ),
        )
        return name

    def _misfits(self) -> dict[str, str]:
        found = {}
        for name in (layout.QVEL, layout.EFFORT):
            try:
                if self._file.has(name):
                    self._vectors(name, (self.length, self.joints))
            except MisfitError as error:
                found[name] = error.found
        return found

    def _vectors(self, name: str, shape: tuple[int | None, int | None]) -> tuple[int, ...]:
        rows, columns = shape
        words = '(T, joints) numbers'
        if rows is not None:
            words = f"({rows}, {columns}) numbers as '/{layout.QPOS}' has"
        field = Field(('f', 'i', 'u'), shape, words=words)
        self._file.dataset(name, field)
        return self._file.shape(name)


class _Cameras(Mapping[str, tuple[int, int]]):
    """Sizes of images by camera, each looked up when it is asked for."""

    def __init__(self, names: list[str], size: Callable[[str], tuple[int, int]]) -> None:
        self._names, self._size = names, size

    def __getitem__(self, name: str) -> tuple[int, int]:
        if name not in self._names:
            raise KeyError(name)
        return self._size(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
    files = [
        file
        for file in path.glob(f'*{layout.SUFFIX}')
        if 'features' not in file.name and not file.name.startswith('.')
    ]
    if not files:
        raise EpisodeError(
            f"{path}: holds no *{layout.SUFFIX}, expected ALOHA's episode_0.hdf5 ..."
        )
    return sorted(files, key=_by_number)


def _by_number(path: Path) -> list[Any]:
    """Episode 2 stands before episode 10, though its name does not."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path.name)]


def _open(path: Path) -> HdfFile:
    file = HdfFile(
        path,
        f"ALOHA's layout: /{layout.QPOS}, /{layout.ACTION}, /{layout.IMAGES}/CAMERA",
    )
    if file.has(layout.TIME_NS) and file.attribute('format', 'text', None) is not None:
        file.close()
        raise EpisodeError(
            f'{path}: is an episode of this package already, expected one that another tool wrote'
        )
    return file
