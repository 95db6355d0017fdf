# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read one finished episode; arrays come as they stand in the file, images as RGB."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.copying import RowsOf
from motion_policy.episodes.hdf5.file import Field, HdfFile
from motion_policy.episodes.hdf5.output import HdfOutput
from motion_policy.episodes.images import decode_whole_jpeg, is_jpeg, without_padding
from motion_policy.episodes.joint_arrays import Float32Array, JointArrays
from motion_policy.episodes.rollouts import (
    BoolArray,
    Float64Array,
    Interventions,
    interventions_of,
)
from motion_policy.episodes.stored_images import StoredImages
from motion_policy.files import PART_SUFFIX, shown
from motion_policy.robot import RobotSpec, RobotSpecError, depth_stream, robot_spec_from_yaml
from motion_policy.streams import StreamCounters, StreamError

Int64Array = npt.NDArray[np.int64]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)
DepthImage = npt.NDArray[np.uint16]  # (H, W) [mm]

# An hour and more of 4096 numbers at 50 Hz.
MOST_BYTES_OF_A_VECTOR = 2**32


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

    What it is, is checked when it is opened; numbers and images are when they are read.

    Attributes:
        length: number of rows, T.
        time_ns: row times (T,), a regular grid.

    Raises:
        EpisodeError: no such file, unfinished, not an episode of this format, or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._vectors: dict[str, Float32Array] = {}  # that were read
        self._file = open_episode(self.path)
        try:
            self._attributes = {
                name: self._file.attribute(name, kind, *layout.DEFAULTS.get(name, ()))
                for name, kind in layout.ATTRIBUTES.items()
            }
            self._check_names()
            self.length = check_datasets(self._file, self.robot, self.compress)
            self._check_columns()
            self._images = {
                camera: StoredImages(self._file, self.robot, camera, self.compress)
                for camera in self.cameras
            }
            self.time_ns = self._grid()
        except BaseException:
            self.close()
            raise

    @property
    def rate(self) -> float:
        """Rows per second."""
        return float(self._attributes['rate'])

    @cached_property
    def robot(self) -> RobotSpec:
        """The robot that was recorded."""
        text = self._attributes['robot']
        with contextlib.suppress(RobotSpecError):  # which is raised below, with the file's name
            if 'urdf' not in text:  # a path that counts from where the file is
                return _recorded_robot(text)
        try:
            return robot_spec_from_yaml(text, f'{self.path}: robot')
        except RobotSpecError as error:
            raise EpisodeError(str(error)) from None

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the J joints, in the order of every vector."""
        return self.robot.joints.names

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of the rows of `compress_len`."""
        return tuple(self.robot.cameras)

    @property
    def task(self) -> str:
        """What is demonstrated."""
        return str(self._attributes['task'])

    @property
    def success(self) -> bool | None:
        """How the demonstration was judged; None when it was not."""
        judged: bool | None = self._attributes['success']
        return judged

    @property
    def operator(self) -> str:
        """Who demonstrated."""
        return str(self._attributes['operator'])

    @property
    def created(self) -> str:
        """When it was recorded, ISO 8601."""
        return str(self._attributes['created'])

    @property
    def ended(self) -> str:
        """Why the recording ended before its time; empty for a normal end."""
        return str(self._attributes['ended'])

    @property
    def edits(self) -> tuple[str, ...]:
        """What was done to the recording since, the first edit first, each as JSON."""
        done: tuple[str, ...] = self._attributes['edits']
        return done

    @cached_property
    def quality(self) -> str:
        """The worst of the recorder's verdicts: pass, warn or fail; empty where there are none."""
        return str(self._file.attribute(layout.QUALITY, 'text', ''))

    @cached_property
    def verdicts(self) -> str:
        """The recorder's verdicts as JSON; empty where there are none."""
        return str(self._file.attribute(layout.VERDICTS, 'text', ''))

    @property
    def sim(self) -> bool:
        """True when the robot is simulated."""
        return bool(self._attributes['sim'])

    @property
    def compress(self) -> bool:
        """True when images are compressed, as `storage` says; False: they are pixels."""
        return bool(self._attributes['compress'])

    @property
    def has_commands(self) -> bool:
        """True when `action` is what was commanded; else it is the position of the next row."""
        source = self._file.attribute('source', 'text', '', of=layout.ACTION)
        return bool(source != layout.NEXT_QPOS)

    @cached_property
    def qvel(self) -> Float32Array:
        """Measured joint velocities (T, J); zero where the robot does not report them."""
        return self._floats(layout.QVEL)

    @cached_property
    def intervention(self) -> BoolArray | None:
        """Where a person's command was sent as the action (T,); None: this is no rollout."""
        if not self._file.has(layout.INTERVENTION):
            return None
        return np.asarray(self._file.read(layout.INTERVENTION), dtype=np.bool_)

    @cached_property
    def policy_action(self) -> Float64Array | None:
        """What the policy had in place of `action` (T, J), NaN where nothing; None: no policy.

        Raises:
            EpisodeError: damaged, or a number is infinite.
        """
        if not self._file.has(layout.POLICY_ACTION):
            return None
        values = np.asarray(self._file.read(layout.POLICY_ACTION), dtype=np.float64)
        if np.isinf(values).any():
            row, joint = np.argwhere(np.isinf(values))[0]
            raise EpisodeError(
                f"{self.path}: '/{layout.POLICY_ACTION}' is {values[row, joint]} in row {row}, "
                f"joint '{self.joint_names[joint]}', expected a number, or NaN where there is none"
            )
        return values

    @property
    def interventions(self) -> Interventions | None:
        """How often and how long a person drove; None: this is no rollout."""
        driven = self.intervention
        return None if driven is None else interventions_of(driven, self.rate)

    def vector(self, name: str) -> Float32Array:
        """Return the numbers (T, n) of a vector, in the order of the robot spec's columns.

        Of one that keeps the last k messages (T, k, n), the newest last.

        Raises:
            EpisodeError: no such vector, or a number is not finite.
        """
        if name not in self.robot.vectors:
            known = ', '.join(self.robot.vectors) or 'none'
            raise EpisodeError(f"{self.path}: has no vector '{name}', it has: {known}")
        if name not in self._vectors:
            columns = [f"'{column}'" for column in self.robot.vectors[name].columns]
            self._vectors[name] = self._file.floats(f'{layout.VECTORS}/{name}', columns)
        return self._vectors[name]

    def image(self, camera: str, t: int) -> RgbImage:
        """Return the image of row `t`, (H, W, 3) uint8 RGB.

        Raises:
            EpisodeError: no such camera or row, or the image is damaged.
        """
        try:
            return self.stored_images(camera).image(self._row(t))
        except StreamError as error:
            raise self._wrong_image(camera, t, str(error)) from None

    def storage(self, camera: str) -> str:
        """Return what a camera's images are stored as.

        'raw': pixels; 'jpeg': JPEG in ALOHA's order of colours, which OpenCV decodes as RGB;
        'camera_jpeg': the camera's own, as it came, which OpenCV decodes as BGR; 'png'; or video,
        'h264' or 'av1'.

        Raises:
            EpisodeError: no such camera.
        """
        return self.stored_images(camera).storage

    def jpeg(self, camera: str, t: int) -> RgbImage | None:
        """Return the JPEG of row `t` as it stands, (n,) uint8; None where the storage is another.

        It is in ALOHA's order of colours, for 'camera_jpeg' is another storage. It is decoded
        once, since who takes its bytes does not look at its pixels.

        Raises:
            EpisodeError: no such camera or row, or the JPEG is damaged.
        """
        if self.storage(camera) != layout.JPEG:
            return None
        data = without_padding(self.stored(camera, t))
        if not is_jpeg(data):
            raise self._wrong_image(camera, t, 'is no JPEG image')
        try:
            self._check_size(camera, t, decode_whole_jpeg(data))
        except StreamError as error:
            raise self._wrong_image(camera, t, str(error)) from None
        return data

    def camera_jpeg(self, camera: str, t: int) -> RgbImage | None:
        """Return the JPEG (n,) uint8 that the camera itself sent; None where it is not stored.

        Raises:
            EpisodeError: no such camera or row, or its bytes are damaged.
        """
        if self.storage(camera) != layout.CAMERA_JPEG:
            return None
        try:
            images = self.stored_images(camera)
            return images.data(images.source(self._row(t)))
        except StreamError as error:
            raise self._wrong_image(camera, t, str(error)) from None

    def images(self, camera: str, indices: Iterable[int]) -> RgbImage:
        """Return the images of some rows, (N, H, W, 3) uint8 RGB."""
        images = [self.image(camera, int(t)) for t in indices]
        if images:
            return np.stack(images)
        spec = self.robot.cameras[camera]
        return np.zeros((0, spec.height, spec.width, 3), dtype=np.uint8)

    def depth(self, name: str, t: int) -> DepthImage:
        """Return the depth of row `t`, (H, W) uint16 [mm], 0 where nothing was measured.

        Raises:
            EpisodeError: no such depth or row, or it is damaged.
        """
        if name not in self.robot.depth:
            known = ', '.join(self.robot.depth) or 'none'
            raise EpisodeError(f"{self.path}: has no depth '{name}', it has: {known}")
        row = self._file.read(f'{layout.DEPTH}/{name}', self._row(t))
        return np.asarray(row, dtype=np.uint16)

    def frame(self, stream: str, t: int) -> RgbImage:
        """Return the image of row `t` of a camera, or of a depth stream (`depth_top`).

        (H, W, 3) uint8 RGB, or (H, W, 2) uint8, the low and the high byte of each number [mm].

        Raises:
            EpisodeError: no such stream or row, or the image is damaged.
        """
        if stream not in self.robot.image_topics or stream in self.robot.cameras:
            return self.image(stream, t)
        depth = self.depth(stream.removeprefix(depth_stream('')), t)
        return np.ascontiguousarray(depth, dtype='<u2')[..., None].view(np.uint8)

    def stamps(self, stream: str) -> StreamStamps:
        """Return the stamps of a stream (`top`, `state`, `leader`, ...).

        Raises:
            EpisodeError: no such stream.
        """
        group = f'{layout.STAMPS}/{stream}'
        if stream not in self.robot.stream_names:
            raise EpisodeError(f"{self.path}: has no '/{group}', expected it in an episode")
        arrays = [
            np.asarray(self._file.read(f'{group}/{field}'), dtype=np.int64)
            for field in layout.STAMP_FIELDS
        ]
        counters: dict[str, Any] = {
            name: self._file.attribute(name, 'integer', 0, of=group) for name in layout.COUNTERS
        }
        return StreamStamps(arrays[0], arrays[1], arrays[2], StreamCounters(**counters))

    def counts_rows(self, stream: str) -> bool:
        """Whether the counters of a stream tell of the samples in its rows, not of all messages.

        So they do where rows were taken away since.
        """
        group = f'{layout.STAMPS}/{stream}'
        return bool(self._file.attribute(layout.COUNTED, 'text', '', of=group))

    def copy_to(self, output: HdfOutput, rows_of: RowsOf, left_out: Callable[[str], bool]) -> None:
        """Copy everything in the file to a new one, some rows (N,) of it: as `HdfFile` does."""
        self._file.copy_to(output, rows_of, left_out)

    def copy_images(self, camera: str, output: HdfOutput, rows: Iterable[int]) -> Float32Array:
        """Write some rows of a camera whose storage is marked to a new file, as `StoredImages`.

        Returns how long each is (N,) [bytes].

        Raises:
            EpisodeError: a row, or one that it needs, is damaged.
            OSError: the disk is full.
        """
        try:
            return self.stored_images(camera).copy_rows(output, [int(row) for row in rows])
        except StreamError as error:
            raise EpisodeError(f"{self.path}: camera '{camera}': {error}") from None

    def messages(self, vector: str) -> Int64Array:
        """Return how many (T,) of the last k messages of a vector were there; 0: not known.

        Those before stand in place of the oldest.

        Raises:
            EpisodeError: no vector of this name keeps the last messages.
        """
        spec = self.robot.vectors.get(vector)
        if spec is None or spec.count is None:
            raise EpisodeError(f"{self.path}: no vector '{vector}' keeps the last messages")
        name = f'{layout.STAMPS}/{vector}/{layout.MESSAGES}'
        return np.asarray(self._file.read(name), dtype=np.int64)

    def jpeg_lengths(self, camera: str) -> Float32Array | None:
        """Return the lengths (T,) of a camera's JPEGs [bytes]; None where pixels are stored."""
        return self.stored_images(camera).lengths if self.compress else None

    def stored(self, camera: str, t: int) -> RgbImage:
        """Return row `t` of a camera as it stands: pixels, or a JPEG and its padding.

        Raises:
            EpisodeError: no such camera or row, or damaged.
        """
        return self.stored_images(camera).stored(self._row(t))

    def stored_images(self, camera: str) -> StoredImages:
        """Return the images of a camera as they are stored.

        Raises:
            EpisodeError: no such camera.
        """
        if camera not in self._images:
            raise EpisodeError(
                f"{self.path}: has no camera '{camera}', it has: {', '.join(self.cameras)}"
            )
        return self._images[camera]

    def _row(self, t: int) -> int:
        """The row from 0 on, where -1 is the last one."""
        if not -self.length <= t < self.length:
            raise EpisodeError(f'{self.path}: row {t}, expected one of the {self.length} rows')
        return t % self.length

    def _check_size(self, camera: str, t: int, image: RgbImage) -> None:
        spec = self.robot.cameras[camera]
        expected = (spec.height, spec.width, 3)
        if image.shape != expected:
            raise self._wrong_image(camera, t, f'is {image.shape}, expected {expected}')

    def _wrong_image(self, camera: str, t: int, found: str) -> EpisodeError:
        return EpisodeError(f"{self.path}: camera '{camera}', row {t}: {found}")

    def _floats(self, name: str) -> Float32Array:
        return self._file.floats(name, [f"joint '{joint}'" for joint in self.joint_names])

    def _check_names(self) -> None:
        robot = self.robot
        pairs = {
            'rate': robot.rate,
            'joint_names': robot.joints.names,
            'cameras': tuple(robot.cameras),
        }
        for name, expected in pairs.items():
            found = self._attributes[name]
            if found != expected:
                raise EpisodeError(
                    f"{self.path}: attribute '{name}' is {found}, expected {expected} of the "
                    'robot in the file'
                )

    def _check_columns(self) -> None:
        for name, vector in self.robot.vectors.items():
            dataset = f'{layout.VECTORS}/{name}'
            there = self._file.attribute(layout.COLUMNS, 'texts', of=dataset)
            for place, (found, expected) in enumerate(
                itertools.zip_longest(there, vector.columns, fillvalue='none')
            ):
                if found != expected:
                    raise EpisodeError(
                        f"{self.path}: attribute '{layout.COLUMNS}' of '/{dataset}' names "
                        f'{shown(found)} in column {place}, expected {expected} of the robot in '
                        'the file'
                    )

    def _grid(self) -> Int64Array:
        times = np.asarray(self._file.read(layout.TIME_NS), dtype=np.int64)
        period_ns = self.robot.period_ns
        wrong = np.flatnonzero(np.diff(times) != period_ns)
        if len(wrong):
            row = int(wrong[0])
            raise EpisodeError(
                f"{self.path}: '/{layout.TIME_NS}' steps by {times[row + 1] - times[row]} ns "
                f'after row {row}, expected {period_ns} ns everywhere ({len(wrong)} steps differ)'
            )
        return times


@lru_cache(maxsize=4)
def _recorded_robot(text: str) -> RobotSpec:
    """What the episodes of a folder say is mostly the same."""
    return robot_spec_from_yaml(text, 'robot')


def episode_fields(robot: RobotSpec, compress: bool, rows: int | None) -> dict[str, Field]:
    """Return what the datasets of an episode must be; those of `OPTIONAL` may be missing."""
    vectors = Field(('f4',), (rows, len(robot.joints.names)))
    fields = dict.fromkeys((layout.QPOS, layout.QVEL, layout.ACTION, layout.EFFORT), vectors)
    fields[layout.INTERVENTION] = Field(('b1',), (rows,))
    fields[layout.POLICY_ACTION] = Field(('f8',), vectors.shape)
    for name, vector in robot.vectors.items():
        fields[f'{layout.VECTORS}/{name}'] = Field(
            ('f4',), (rows, *vector.shape), most_bytes=MOST_BYTES_OF_A_VECTOR
        )
        if vector.count is not None:
            fields[f'{layout.STAMPS}/{name}/{layout.MESSAGES}'] = Field(('i8',), (rows,))
    for camera, spec in robot.cameras.items():
        shape = (rows, None) if compress else (rows, spec.height, spec.width, 3)
        words = f'({rows}, padded) JPEG bytes' if compress else ''
        fields[f'{layout.IMAGES}/{camera}'] = Field(('u1',), shape, by_row=True, words=words)
    for name, depth in robot.depth.items():
        size = depth.height, depth.width
        fields[f'{layout.DEPTH}/{name}'] = Field(('u2',), (rows, *size), by_row=True)
    if compress and robot.cameras:
        fields[layout.COMPRESS_LEN] = Field(('f4',), (len(robot.cameras), rows))
    for stream in robot.stream_names:
        for field in layout.STAMP_FIELDS:
            fields[f'{layout.STAMPS}/{stream}/{field}'] = Field(('i8',), (rows,))
    fields[layout.TIME_NS] = Field(('i8',), (rows,))
    return fields


def check_datasets(file: HdfFile, robot: RobotSpec, compress: bool) -> int:
    """Hold every dataset of an episode against its declaration; return the number of rows.

    Raises:
        EpisodeError: one is missing or another, or there is no row.
    """
    rows = _rows(file)
    for name, field in episode_fields(robot, compress, rows).items():
        if name not in layout.OPTIONAL or file.has(name):
            file.dataset(name, field)
    if rows == 0:
        raise EpisodeError(f"{file.path}: '/{layout.TIME_NS}' is empty, expected at least one row")
    return rows


def count_rows(path: Path) -> int:
    """Return the number of rows of an episode, of which nothing else is looked at.

    Raises:
        EpisodeError: no such file, not an episode of this format, or its row times are damaged.
    """
    with contextlib.closing(open_episode(path)) as file:
        return _rows(file)


def _rows(file: HdfFile) -> int:
    return int(file.dataset(layout.TIME_NS, Field(('i8',), (None,))).shape[0])


def open_episode(path: Path, *, unfinished: bool = False) -> HdfFile:
    """Open an episode for reading; with `unfinished`, one that a killed process left.

    Raises:
        EpisodeError: no such file, or not an episode of this format.
    """
    if path.name.endswith(PART_SUFFIX) and not unfinished and path.is_file():
        raise EpisodeError(
            f'{path}: is unfinished, expected a finished episode; '
            f'`motion-policy check --repair {path}` finishes it'
        )
    file = HdfFile(path, 'an episode', unfinished=unfinished)
    try:
        found = file.attribute('format', 'text', None)
        if found not in (layout.FORMAT, layout.FORMAT_MARKED):
            hint = ''
            if found is None and file.has(layout.QPOS):
                hint = ' (an ALOHA file: `import --from aloha`)'
            named = 'none' if found is None else f"'{shown(found)}'"
            raise EpisodeError(
                f"{path}: its attribute 'format' is {named}{hint}, expected '{layout.FORMAT}'"
            )
    except BaseException:
        file.close()
        raise
    return file
