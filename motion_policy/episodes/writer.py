# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write one episode, row by row, straight to disk.

The file has its final name only once it is complete. It goes from one checkpoint to the next, so
that a killed process, a power cut or a full disk takes no more than the rows since the last one.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy import __version__
from motion_policy.episodes import layout
from motion_policy.episodes.columns import Column, DepthColumn
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.output import HdfOutput, changed_hdf5
from motion_policy.episodes.hdf5.write_ahead import log_path
from motion_policy.episodes.image_writers import ImageWriter, image_writer, mark_all
from motion_policy.episodes.images import is_jpeg
from motion_policy.episodes.reported import Reported, leave_out
from motion_policy.episodes.rollouts import RolloutRow
from motion_policy.episodes.video import check_encoder
from motion_policy.files import make_folders, remove_empty, settle_new, shown
from motion_policy.robot.spec import NANOSECONDS_PER_S, RobotSpec, depth_stream
from motion_policy.streams import Observation, Row, Sample, StreamCounters
from motion_policy.streams.transforms import ContinuousRotations

Array = npt.NDArray[Any]

# A crash loses at most the rows of this time.
FLUSH_PERIOD_NS = NANOSECONDS_PER_S // 2


class EpisodeWriter:
    """Write an episode to `path`, through `path + '.part'` until it is closed.

    As a context manager it closes at the end; after an exception the `.part` stays, for
    `repair_episode`.

    Args:
        path: final name, `*.hdf5`; neither it nor its `.part` may exist.
        robot: the robot whose rows are written; kept in the file.
        task: what is demonstrated, in words.
        operator: who demonstrates.
        sim: True when the robot is simulated.
        compress: False stores raw pixels, as the storage 'raw'.
        jpeg_quality: of JPEG that is encoded here, 0 to 100.
        storage: what images are stored as. 'jpeg': a camera's own JPEG as it came, to the byte,
            and else one in ALOHA's order of colours (RGB handed to OpenCV as it is); which of both
            a camera has is known from its first row, and stands in the file. 'aloha_jpeg': that
            order in any case. 'raw', and without loss 'png'; 'h264' and 'av1' with PyAV.
        created_ns: time of recording since the Unix epoch; default: the time of the first row.
        live: no row waits for a slow disk, though a power cut then costs more rows.

    Attributes:
        success: how the demonstration was judged, written when it closes; None: not judged.
        ended: why it ended before its time; empty for a normal end.
        made_folders: the folders that were made for it, the deepest first.

    Raises:
        EpisodeError: the path is taken, cannot be written, or does not end in `.hdf5`.
    """

    def __init__(
        self,
        path: str | Path,
        robot: RobotSpec,
        *,
        task: str = '',
        operator: str = '',
        sim: bool = False,
        compress: bool = True,
        jpeg_quality: int = 95,
        storage: str = layout.JPEG,
        created_ns: int | None = None,
        live: bool = False,
    ) -> None:
        self.path = Path(path)
        self.success: bool | None = None
        self.ended = ''
        self._robot = robot
        self._storage = _chosen_storage(self.path, storage, compress)
        self._compress = self._storage != layout.RAW
        self._jpeg_quality = jpeg_quality
        self._part = layout.part_path(self.path)
        self._columns: dict[str, Column] = {}
        self._images: dict[str, ImageWriter] = {}
        self._depth: dict[str, DepthColumn] = {}
        self._time: Column | None = None
        self._last_row: Row | None = None
        self._flushed_ns = 0
        self._failed = self._finished = False
        self._has_leader = False
        self._windowed = [n for n, v in robot.vectors.items() if v.count is not None]
        self._rotations = ContinuousRotations(robot.vectors, robot.vectors)
        self._qvel, self._effort = Reported(layout.QVEL), Reported(layout.EFFORT)
        self._created_ns = created_ns
        self._live = live
        self.made_folders, self._output = _create(self.path, self._part)
        self._file = self._output.file
        try:
            self._describe(task, operator, sim)
        except OSError as error:
            raise self._failure(error) from None

    def _describe(self, task: str, operator: str, sim: bool) -> None:
        robot = self._robot
        self._file.attrs.update(
            {
                'format': layout.FORMAT,
                'sim': sim,
                'compress': self._compress,
                'rate': robot.rate,
                'robot': robot.to_yaml(),
                'joint_names': list(robot.joints.names),
                'cameras': np.array(list(robot.cameras), dtype=h5py.string_dtype()),
                'task': task,
                'operator': operator,
                'success': h5py.Empty('?'),
                'ended': '',
                'edits': np.array([], dtype=h5py.string_dtype()),
                'software': f'motion_policy {__version__}',
            }
        )
        self._file.flush()
        self._output.check()

    @property
    def keeps_own_jpeg(self) -> bool:
        """Whether a camera's own JPEG is stored as it came."""
        return self._storage == layout.JPEG

    @property
    def jpeg_quality(self) -> int | None:
        """That of images which may be handed over as JPEG; None where other things are stored."""
        encodes = self._storage in (layout.JPEG, layout.ALOHA_JPEG)
        return self._jpeg_quality if encodes else None

    @property
    def length(self) -> int:
        """Number of rows so far; after a failed write, of those that are on the disk."""
        if self._failed:
            return self.rows_on_disk
        return 0 if self._time is None else self._time.length

    @property
    def is_finished(self) -> bool:
        """Whether the file is complete and has its name."""
        return self._finished

    @property
    def rows_on_disk(self) -> int:
        """How many rows a power cut would leave."""
        return self._output.committed

    @property
    def left_out(self) -> list[str]:
        """A line for velocities or efforts that some rows lack, or have of earlier messages."""
        return [line for each in (self._qvel, self._effort) if (line := each.told)]

    def append(
        self,
        time_ns: int,
        observation: Observation,
        row: Row,
        driven: RolloutRow | None = None,
    ) -> None:
        """Add the next row.

        Velocities and efforts are kept if every row has them, else left out as a whole.

        Args:
            time_ns: time of the row, one period after the row before.
            observation: its arrays, from `observation_from_row`. With `compress`, a camera's own
                JPEG in `jpegs` is kept to the byte, and `images` may then hold the same bytes
                (n,) uint8 in place of pixels. Of a camera that is not in `jpegs`, an image may be
                its JPEG in ALOHA's order of colours, (n,) uint8, see `is_jpeg`; it is kept, too.
                A camera that has another kind of image than in its first row is encoded as that.
            row: the samples that the arrays were made of; their stamps are kept.
            driven: of a rollout, who drove; of all rows or of none.

        Raises:
            EpisodeError: not the next row, an array of the wrong shape, or the disk is full.
        """
        self._check(time_ns, observation)
        self._check_rollout(driven)
        try:
            if self._last_row is None:
                self._begin(time_ns, observation, row, driven is not None)
            self._add(time_ns, observation, row)
            self._add_driven(driven)
            self._output.check()
            is_due = time_ns - self._flushed_ns >= FLUSH_PERIOD_NS
            if is_due and not (self._live and self._output.is_syncing):
                self._write_columns()
                self._output.checkpoint(self.length)
                self._flushed_ns = time_ns
        except OSError as error:
            raise self._failure(error) from None
        self._last_row = row

    def wait(self) -> None:
        """Wait until the rows that are on their way to the disk are there."""
        try:
            self._output.wait()
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            EpisodeError: no row was written (the `.part` is removed), or the disk is full.
        """
        if not self._output.is_open:
            return
        if self._last_row is None:
            self.discard()
            raise EpisodeError(f'{self.path}: no row was written, expected at least one')
        self._end_images()
        try:
            self._write_columns()
            self._output.close(self.length)
            self._finish(self._last_row.counters)
        except OSError as error:
            raise self._failure(error) from None

    def discard(self) -> None:
        """Throw the recording away."""
        self._end_images()
        self._output.abandon()
        self._remove_part()

    def _end_images(self) -> None:
        for images in self._images.values():
            images.close()

    def _remove_part(self) -> None:
        self._part.unlink(missing_ok=True)
        log_path(self._part).unlink(missing_ok=True)
        remove_empty(self.made_folders)

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_details: object) -> None:
        if kind is None:
            self.close()
        elif self._last_row is None:
            self.discard()
        elif self._output.is_open:
            self._end_images()
            try:
                self._write_columns()
                self._output.close(self.length)
            except OSError:
                self._output.abandon()

    def _begin(self, time_ns: int, observation: Observation, row: Row, is_rollout: bool) -> None:
        """Create every dataset; after this no name can be added, only rows."""
        created_ns = time_ns if self._created_ns is None else self._created_ns
        created = datetime.fromtimestamp(created_ns / NANOSECONDS_PER_S, tz=timezone.utc)
        self._file.attrs['created'] = created.isoformat(timespec='seconds')
        self._has_leader = observation.action is not None
        joints = len(self._robot.joints.names)
        names = [layout.QPOS, layout.QVEL, layout.ACTION]
        names += [] if observation.effort is None else [layout.EFFORT]
        for name in names:
            self._columns[name] = Column(self._file, name, (joints,), np.float32)
        for vector, spec in self._robot.vectors.items():
            name = f'{layout.VECTORS}/{vector}'
            self._columns[name] = Column(self._file, name, spec.shape, np.float32)
            self._file[name].attrs[layout.COLUMNS] = list(spec.columns)
        if is_rollout:
            self._columns[layout.INTERVENTION] = Column(
                self._file, layout.INTERVENTION, (), np.bool_
            )
            self._columns[layout.POLICY_ACTION] = Column(
                self._file, layout.POLICY_ACTION, (joints,), np.float64
            )
        source = layout.LEADER if self._has_leader else layout.NEXT_QPOS
        self._file[layout.ACTION].attrs['source'] = source
        for stream in self._robot.stream_names:
            for field in layout.STAMP_FIELDS:
                name = f'{layout.STAMPS}/{stream}/{field}'
                self._columns[name] = Column(self._file, name, (), np.int64)
            attributes = self._file[f'{layout.STAMPS}/{stream}'].attrs
            attributes.update(dict.fromkeys(layout.COUNTERS, np.int64(0)))
        for vector in self._windowed:
            name = f'{layout.STAMPS}/{vector}/{layout.MESSAGES}'
            self._columns[name] = Column(self._file, name, (), np.int64)
        for camera in self._robot.cameras:
            self._images[camera] = image_writer(
                self._file, camera, self._storage, self._jpeg_quality, observation
            )
        mark_all(self._file, self._images)
        for name, depth in self._robot.depth.items():
            self._depth[name] = DepthColumn(
                self._file, f'{layout.DEPTH}/{name}', (depth.height, depth.width)
            )
        if self._compress and self._images:
            self._columns[layout.COMPRESS_LEN] = Column(
                self._file, layout.COMPRESS_LEN, (len(self._images),), np.float32
            )
        self._time = Column(self._file, layout.TIME_NS, (), np.int64)
        self._file.swmr_mode = True
        self._output.check()
        self._flushed_ns = time_ns

    def _check_rollout(self, driven: RolloutRow | None) -> None:
        is_rollout = layout.INTERVENTION in self._columns
        if self._last_row is not None and is_rollout != (driven is not None):
            found, expected = ('nobody', 'who') if is_rollout else ('who', 'nobody')
            raise EpisodeError(
                f'{self.path}: row {self.length} says {found} drove, expected {expected} as in '
                'the rows before'
            )
        joints = len(self._robot.joints.names)
        if driven is not None and driven.policy_action is not None:
            shape = np.shape(driven.policy_action)
            if shape != (joints,):
                raise EpisodeError(
                    f'{self.path}: row {self.length}: policy_action is {shape}, expected '
                    f'{(joints,)}'
                )

    def _add_driven(self, driven: RolloutRow | None) -> None:
        if driven is None:
            return
        action = driven.policy_action
        if action is None:
            action = np.full(len(self._robot.joints.names), np.nan)
        self._columns[layout.INTERVENTION].add(np.bool_(driven.intervention))
        self._columns[layout.POLICY_ACTION].add(np.asarray(action, dtype=np.float64))

    def _add(self, time_ns: int, observation: Observation, row: Row) -> None:
        columns = self._columns
        columns[layout.QPOS].add(observation.qpos)
        qvel, held, lacking = observation.qvel, observation.held, observation.lacking
        self._qvel.lacking |= dict.fromkeys(lacking.get('velocity', ()))
        self._effort.lacking |= dict.fromkeys(lacking.get('effort', ()))
        columns[layout.QVEL].add(self._qvel.stored(qvel, observation.has_qvel, 'velocity' in held))
        effort, none = observation.effort, np.zeros_like(observation.qpos)
        effort = none if effort is None else effort
        effort = self._effort.stored(effort, observation.effort is not None, 'effort' in held)
        if layout.EFFORT in columns:
            columns[layout.EFFORT].add(effort)
        if observation.action is not None:
            columns[layout.ACTION].add(observation.action)
        else:
            # Guided by hand: the position reached one row later is what was to be reached.
            columns[layout.ACTION].replace_last(observation.qpos)
            columns[layout.ACTION].add(observation.qpos)
        for vector, numbers in self._rotations.of(observation.vectors).items():
            columns[f'{layout.VECTORS}/{vector}'].add(numbers)
        for name, depth in self._depth.items():
            depth.add(observation.depth[name], row.samples.get(depth_stream(name)))
        lengths = [
            images.add(observation, row.samples.get(camera))
            for camera, images in self._images.items()
        ]
        if layout.COMPRESS_LEN in columns:
            columns[layout.COMPRESS_LEN].add(np.array(lengths, dtype=np.float32))
        for stream in self._robot.stream_names:
            sample = row.samples.get(stream, Sample(0, 0, None))
            values = (sample.header_ns, sample.receive_ns, row.ages_ns.get(stream, 0))
            for field, value in zip(layout.STAMP_FIELDS, values, strict=True):
                columns[f'{layout.STAMPS}/{stream}/{field}'].add(np.int64(value))
        for vector in self._windowed:
            column = columns[f'{layout.STAMPS}/{vector}/{layout.MESSAGES}']
            column.add(np.int64(row.samples[vector].messages))
        assert self._time is not None
        self._time.add(np.int64(time_ns))

    def _write_columns(self) -> None:
        """Give HDF5 all rows that wait."""
        for column in self._columns.values():
            column.write()
        if self._time is not None:
            self._time.write()

    def _finish(self, counters: Mapping[str, StreamCounters]) -> None:
        """Cut every dataset to the rows there are, note how it went, give the file its name."""
        with changed_hdf5(self._part) as file:
            for name in layout.dataset_names(file):
                file[name].resize(self.length, axis=layout.row_axis(name))
            leave_out(file, [e.name for e in (self._qvel, self._effort) if e.left_out])
            file.attrs['ended'] = self.ended
            if self.success is not None:
                file.attrs['success'] = self.success
            for stream, counted in counters.items():
                attributes = file[f'{layout.STAMPS}/{stream}'].attrs
                for counter in layout.COUNTERS:
                    attributes[counter] = np.int64(getattr(counted, counter))
        settle_new(self._part, self.path)
        self._finished = True

    def _failure(self, error: OSError) -> EpisodeError:
        """Give up; what is whole on the disk stays there, where there is anything."""
        self._failed = True
        self._end_images()
        self._output.abandon()
        reason = error.strerror or str(error)
        if self.rows_on_disk == 0:
            self._remove_part()
            return EpisodeError(f'{shown(self.path)}: cannot be written: {reason}')
        return EpisodeError(
            f'{shown(self.path)}: cannot be written: {reason}; the first {self.rows_on_disk} '
            f'rows stay in {shown(self._part)}, `motion-policy check --repair` makes an episode '
            'of them'
        )

    def _check(self, time_ns: int, observation: Observation) -> None:
        if not self._output.is_open:
            raise EpisodeError(f'{self.path}: is closed, expected an open episode')
        if self._last_row is not None:
            expected_ns = self._last_row.time_ns + self._robot.period_ns
            if time_ns != expected_ns:
                raise EpisodeError(
                    f'{self.path}: row of time {time_ns} ns, expected {expected_ns} ns, '
                    'one period after the row before'
                )
        joints = (len(self._robot.joints.names),)
        for name in ('qpos', 'qvel', 'effort', 'action'):
            vector = getattr(observation, name)
            if vector is not None and vector.shape != joints:
                raise EpisodeError(
                    f'{self.path}: {name} has shape {vector.shape}, expected {joints}'
                )
        if self._last_row is not None:
            self._check_leader(observation.action is not None)
        self._check_vectors(observation.vectors)
        self._check_images(observation)
        self._check_depth(observation.depth)

    def _check_leader(self, present: bool) -> None:
        if present != self._has_leader:
            found, expected = ('there', 'none') if present else ('none', 'there')
            raise EpisodeError(
                f'{self.path}: action is {found}, expected {expected} as in the rows before'
            )

    def _check_vectors(self, vectors: Mapping[str, Array]) -> None:
        if set(vectors) != set(self._robot.vectors):
            raise EpisodeError(
                f'{self.path}: vectors are {sorted(vectors)}, expected '
                f'{sorted(self._robot.vectors)}'
            )
        for name, spec in self._robot.vectors.items():
            expected = spec.shape
            if vectors[name].shape != expected:
                raise EpisodeError(
                    f"{self.path}: vector '{name}' has shape {vectors[name].shape}, expected "
                    f'{expected}'
                )

    def _check_images(self, observation: Observation) -> None:
        images = observation.images
        if set(images) != set(self._robot.cameras):
            raise EpisodeError(
                f'{self.path}: images of {sorted(images)}, expected {sorted(self._robot.cameras)}'
            )
        for camera, spec in self._robot.cameras.items():
            expected = (spec.height, spec.width, 3)
            if self._compress and self._is_jpeg(camera, observation):
                continue
            if images[camera].shape != expected or images[camera].dtype != np.uint8:
                raise EpisodeError(
                    f"{self.path}: camera '{camera}' has an image of shape "
                    f'{images[camera].shape} {images[camera].dtype}, expected {expected} uint8'
                )

    def _is_jpeg(self, camera: str, observation: Observation) -> bool:
        image = observation.images[camera]
        own = observation.jpegs.get(camera)
        if own is None or image.ndim != 1:
            return is_jpeg(image)
        return np.array_equal(image, own)

    def _check_depth(self, depth: Mapping[str, Array]) -> None:
        if set(depth) != set(self._robot.depth):
            raise EpisodeError(
                f'{self.path}: depth of {sorted(depth)}, expected {sorted(self._robot.depth)}'
            )
        for name, spec in self._robot.depth.items():
            image, expected = depth[name], (spec.height, spec.width)
            if image.shape != expected or image.dtype != np.uint16:
                raise EpisodeError(
                    f"{self.path}: depth '{name}' has an image of shape {image.shape} "
                    f'{image.dtype}, expected {expected} uint16'
                )


def _chosen_storage(path: Path, storage: str, compress: bool) -> str:
    if storage not in layout.STORAGES:
        expected = ', '.join(layout.STORAGES)
        raise EpisodeError(f"{path}: storage is '{shown(storage)}', expected one of: {expected}")
    if not compress and storage not in (layout.JPEG, layout.RAW):
        raise EpisodeError(
            f"{path}: storage is '{storage}' and compress is false, which is 'raw': expected one"
        )
    if storage in layout.VIDEO:
        check_encoder(storage)
    return storage if compress else layout.RAW


def _create(path: Path, part: Path) -> tuple[tuple[Path, ...], HdfOutput]:
    if path.suffix != layout.SUFFIX:
        raise EpisodeError(f"{path}: ends in '{path.suffix}', expected '{layout.SUFFIX}'")
    for taken in (path, part):
        if taken.exists():
            raise EpisodeError(f'{taken}: exists already, expected a new name')
    made: tuple[Path, ...] = ()
    try:
        made = make_folders(path.parent)
        output = HdfOutput(part, logged=True, libver=layout.LIBRARY_VERSIONS)
    except OSError as error:
        remove_empty(made)
        raise EpisodeError(
            f'{shown(part)}: cannot be created: {error.strerror or error}'
        ) from None
    _claim(output.descriptor)
    return made, output


def _claim(descriptor: int) -> None:
    """Hold a lock as long as this process writes, so that nobody repairs what is not broken."""
    # Some network file systems have no locks.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
