# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read one finished episode; arrays come as they stand in the file, images as RGB."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.images import decode_jpeg, is_jpeg, without_padding
from motion_policy.episodes.joint_arrays import Float32Array, JointArrays
from motion_policy.robot import RobotSpec, RobotSpecError, robot_spec_from_yaml
from motion_policy.streams import StreamCounters

Int64Array = npt.NDArray[np.int64]
RgbImage = npt.NDArray[np.uint8]

# What h5py raises where bytes are missing or wrong.
DAMAGE = (OSError, RuntimeError, KeyError)


@dataclass(frozen=True)
class StreamStamps:
    """When the samples of one stream were stamped and received, (T,) int64 [ns], and its counters.

    `age_ns` is row time minus sample time; all are 0 in a row without a sample.
    """

    header_ns: Int64Array
    receive_ns: Int64Array
    age_ns: Int64Array
    counters: StreamCounters


class EpisodeReader(JointArrays):
    """Read an episode of `length` rows and J joints; a context manager.

    Raises:
        EpisodeError: no such file, unfinished, not an episode of this format, or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open_episode(self.path)

    @property
    def length(self) -> int:
        """Number of rows, T."""
        return int(self._dataset(layout.TIME_NS).shape[0])

    @property
    def rate(self) -> float:
        """Rows per second."""
        return float(self._attribute('rate'))

    @cached_property
    def robot(self) -> RobotSpec:
        """The robot that was recorded."""
        try:
            return robot_spec_from_yaml(self._attribute_text('robot'), f'{self.path}: robot')
        except RobotSpecError as error:
            raise EpisodeError(str(error)) from None

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the J joints, in the order of every vector."""
        return tuple(_text(name) for name in self._attribute('joint_names'))

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of the rows of `compress_len`."""
        return tuple(_text(name) for name in self._attribute('cameras'))

    @property
    def task(self) -> str:
        """What is demonstrated."""
        return self._attribute_text('task')

    @property
    def success(self) -> bool | None:
        """How the demonstration was judged; None when it was not."""
        value = self._attribute('success')
        return None if isinstance(value, h5py.Empty) else bool(value)

    @property
    def operator(self) -> str:
        """Who demonstrated."""
        return self._attribute_text('operator')

    @property
    def created(self) -> str:
        """When it was recorded, ISO 8601."""
        return self._attribute_text('created')

    @property
    def ended(self) -> str:
        """Why the recording ended before its time; empty for a normal end."""
        return self._attribute_text('ended') if 'ended' in self._file.attrs else ''

    @property
    def sim(self) -> bool:
        """True when the robot is simulated."""
        return bool(self._attribute('sim'))

    @property
    def compress(self) -> bool:
        """True when images are stored as JPEG."""
        return bool(self._attribute('compress'))

    @cached_property
    def qvel(self) -> Float32Array:
        """Measured joint velocities (T, J); zero where the robot does not report them."""
        return self._floats(layout.QVEL)

    @cached_property
    def time_ns(self) -> Int64Array:
        """Row times (T,), a regular grid."""
        return np.asarray(self._read(layout.TIME_NS), dtype=np.int64)

    def image(self, camera: str, t: int) -> RgbImage:
        """Return the image of row `t`, (H, W, 3) uint8 RGB.

        Raises:
            EpisodeError: no such camera or row, or the image is damaged.
        """
        name = f'{layout.IMAGES}/{camera}'
        rows = self._dataset(name).shape[0]
        if not -rows <= t < rows:
            raise EpisodeError(f'{self.path}: row {t}, expected one of the {rows} rows')
        stored = self._read(name, t % rows)
        if stored.ndim == 3:
            return np.asarray(stored, dtype=np.uint8)
        image = decode_jpeg(stored)
        if image is None:
            raise EpisodeError(f"{self.path}: camera '{camera}', row {t}: is no JPEG image")
        return image

    def jpeg(self, camera: str, t: int) -> RgbImage | None:
        """Return the JPEG of row `t` as it stands, (n,) uint8; None where pixels are stored.

        Raises:
            EpisodeError: no such camera or row, or the JPEG is damaged.
        """
        if not self.compress:
            return None
        data = without_padding(self._read(f'{layout.IMAGES}/{camera}', t))
        if not is_jpeg(data):
            raise EpisodeError(f"{self.path}: camera '{camera}', row {t}: is no JPEG image")
        return data

    def images(self, camera: str, indices: Iterable[int]) -> RgbImage:
        """Return the images of some rows, (N, H, W, 3) uint8 RGB."""
        images = [self.image(camera, int(t)) for t in indices]
        if images:
            return np.stack(images)
        spec = self.robot.cameras[camera]
        return np.zeros((0, spec.height, spec.width, 3), dtype=np.uint8)

    def stamps(self, stream: str) -> StreamStamps:
        """Return the stamps of a stream (`top`, `state`, `leader`, ...).

        Raises:
            EpisodeError: no such stream.
        """
        group = f'{layout.STAMPS}/{stream}'
        arrays = [
            np.asarray(self._read(f'{group}/{field}'), dtype=np.int64)
            for field in layout.STAMP_FIELDS
        ]
        attributes = self._file[group].attrs
        counters = {name: int(attributes.get(name, 0)) for name in layout.COUNTERS}
        return StreamStamps(arrays[0], arrays[1], arrays[2], StreamCounters(**counters))

    def _attribute_text(self, name: str) -> str:
        """Return an attribute of the file as text."""
        return _text(self._attribute(name))

    def _attribute(self, name: str) -> Any:
        if name not in self._file.attrs:
            raise EpisodeError(
                f"{self.path}: has no attribute '{name}', expected it in an episode"
            )
        return self._file.attrs[name]

    def _dataset(self, name: str) -> Any:
        try:
            return self._file[name]
        except KeyError:
            raise EpisodeError(
                f"{self.path}: has no '/{name}', expected it in an episode"
            ) from None

    def _read(self, name: str, place: Any = ()) -> Any:
        dataset = self._dataset(name)
        try:
            return dataset[place]
        except DAMAGE as error:
            raise EpisodeError(f"{self.path}: '/{name}' cannot be read: {error}") from None

    def _floats(self, name: str) -> Float32Array:
        return np.asarray(self._read(name), dtype=np.float32)


def open_episode(path: Path, *, unfinished: bool = False) -> h5py.File:
    """Open an episode for reading; with `unfinished`, one that a killed process left.

    Raises:
        EpisodeError: no such file, or not an episode of this format.
    """
    if not path.is_file():
        raise EpisodeError(f'{path}: no such file, expected an episode (*{layout.SUFFIX})')
    if path.name.endswith(layout.PART_SUFFIX) and not unfinished:
        raise EpisodeError(
            f'{path}: is unfinished, expected a finished episode; '
            f'`motion-policy check --repair {path}` finishes it'
        )
    try:
        file = h5py.File(path, 'r', swmr=unfinished)
        found = file.attrs.get('format')
    except DAMAGE as error:
        reason = str(error).partition('(')[2].rstrip(")'") or str(error)
        raise EpisodeError(
            f'{path}: is damaged or not HDF5 ({reason}), expected an episode'
        ) from None
    if found is None or _text(found) != layout.FORMAT:
        hint = ' (an ALOHA file: `import --from aloha`)' if layout.QPOS in file else ''
        file.close()
        shown = 'none' if found is None else f"'{_text(found)}'"
        raise EpisodeError(
            f"{path}: its attribute 'format' is {shown}{hint}, expected '{layout.FORMAT}'"
        )
    return file


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
