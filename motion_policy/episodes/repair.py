# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recovery of an episode after a crash: all rows up to the last one that is whole."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from motion_policy.episodes import layout
from motion_policy.episodes.columns import DepthColumn
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.output import HdfOutput, new_hdf5
from motion_policy.episodes.hdf5.recovery import is_blank
from motion_policy.episodes.hdf5.write_ahead import log_path
from motion_policy.episodes.image_writers import mark_all
from motion_policy.episodes.reader import episode_fields, open_episode
from motion_policy.episodes.reported import Reported, leave_out
from motion_policy.episodes.stored_images import StoredImages
from motion_policy.episodes.writer import FLUSH_PERIOD_NS
from motion_policy.files import PART_SUFFIX, settle_new, shown
from motion_policy.robot import RobotSpec, RobotSpecError, robot_spec_from_yaml
from motion_policy.streams import StreamError

ROWS_PER_COPY = 256


@dataclass(frozen=True)
class Repaired:
    """An episode that was finished: how many rows it has, and how many of the part it has not.

    `notes` are on columns that were left out of it.
    """

    path: Path
    rows: int
    left_out: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = ' that are not whole' if self.left_out else ''
        line = f'{shown(self.path)}: {self.rows} rows are kept, {self.left_out}{why} left out'
        return '; '.join([line, *self.notes])


def repair_episode(part_path: str | Path) -> Path:
    """Finish an episode that was left as `*.hdf5.part`, and return its path: see `repair`."""
    return repair(part_path).path


def repair(part_path: str | Path) -> Repaired:
    """Finish an episode that was left as `*.hdf5.part`.

    The rows are copied to a new file, which takes the final name; then the part is removed.

    Raises:
        EpisodeError: not a `.part`, still being written, its final name is taken, or no row whole.
    """
    part = Path(part_path)
    path = part.with_name(part.name.removesuffix(PART_SUFFIX))
    if path == part:
        raise EpisodeError(f'{part}: is not unfinished, expected *{PART_SUFFIX}')
    if path.exists():
        raise EpisodeError(f'{part}: cannot be finished, {path} exists already')
    _check_nobody_writes(part)
    copy = part.with_name(f'.{path.name}.repair{PART_SUFFIX}')
    copy.unlink(missing_ok=True)
    try:
        with _Unfinished(part) as source:
            length = source.whole_rows()
            if length == 0:
                raise _nothing_in(part)
            with new_hdf5(copy, libver=layout.LIBRARY_VERSIONS) as output:
                notes = source.copy_rows(output, length)
            begun = source.begun_rows()
        settle_new(copy, path)
    except OSError as error:
        raise EpisodeError(
            f'{shown(part)}: cannot be finished: {error.strerror or error}'
        ) from None
    finally:
        copy.unlink(missing_ok=True)
    part.unlink()
    if log_path(part).is_file():
        log_path(part).unlink()
    return Repaired(path, length, max(0, begun - length), tuple(notes))


class _Unfinished:
    """What a killed process left, held against the layout of an episode; a context manager."""

    def __init__(self, part: Path) -> None:
        self._part = part
        if is_blank(part):
            raise _nothing_in(part)
        self._file = open_episode(part, unfinished=True)
        try:
            if not self._file.has(layout.TIME_NS):
                raise _nothing_in(part)
            self._robot = self._read_robot()
            self._compress = self._file.attribute('compress', 'flag')
            fields = episode_fields(self._robot, self._compress, None)
            self._datasets = {
                name: self._file.dataset(name, field)
                for name, field in fields.items()
                if name not in layout.OPTIONAL or self._file.has(name)
            }
            self._images = {
                camera: StoredImages(self._file, self._robot, camera, self._compress)
                for camera in self._robot.cameras
            }
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> _Unfinished:
        return self

    def __exit__(self, *_details: object) -> None:
        self._file.close()

    def whole_rows(self) -> int:
        """Return how many rows are whole, from the first one on."""
        length = min(
            int(dataset.shape[layout.row_axis(name)]) for name, dataset in self._datasets.items()
        )
        length = min(length, *(self._readable_rows(name, length) for name in self._small()))
        times = np.asarray(self._file.read(layout.TIME_NS, slice(length)), dtype=np.int64)
        # A row is there when its time is, one period after the one before.
        torn = np.flatnonzero(np.diff(times, prepend=times[:1]) != self._robot.period_ns)[1:]
        length = min(length, int(torn[0])) if len(torn) else length
        if length and times[0] == 0:
            return 0
        length = min(length, *(self._finite_rows(name, length) for name in self._vectors()))
        while length and not self._images_are_whole(length - 1):
            length -= 1
        return length

    def begun_rows(self) -> int:
        """Return how many rows were brought to the disk, whole or in part."""
        return max(
            int(self._datasets[name].shape[layout.row_axis(name)]) for name in self._small()
        )

    def copy_rows(self, output: HdfOutput, length: int) -> list[str]:
        """Write the first rows to a new file, and that they were saved; return notes."""
        target = output.file
        for name, kind in layout.ATTRIBUTES.items():
            self._file.attribute(name, kind, *layout.DEFAULTS.get(name, ()))
            self._file.copy_attribute(name, target)
        target.attrs['ended'] = 'the recording process died; the file was repaired'
        for name, old in self._datasets.items():
            if _is_depth(name):
                self._copy_depth(name, target, length)
                output.check()
                continue
            packed = self._packed(name)
            if packed is not None:
                packed.copy_first(output, length)
                continue
            axis = layout.row_axis(name)
            shape = (*old.shape[:axis], length, *old.shape[axis + 1 :])
            new = target.create_dataset(
                name,
                shape=shape,
                maxshape=old.maxshape,
                chunks=old.chunks,
                dtype=old.dtype,
                fletcher32=old.fletcher32,
            )
            for place in _blocks(name, length):
                try:
                    new[place] = self._file.read(name, place)
                except EpisodeError:
                    self._copy_images(name, new, range(length)[place[axis]])
                output.check()
        mark_all(target, self._robot.cameras)
        for vector, spec in self._robot.vectors.items():
            target[f'{layout.VECTORS}/{vector}'].attrs[layout.COLUMNS] = list(spec.columns)
        target[layout.ACTION].attrs['source'] = self._file.attribute(
            'source', 'text', '', of=layout.ACTION
        )
        for stream in self._robot.stream_names:
            name = f'{layout.STAMPS}/{stream}'
            for counter in layout.COUNTERS:
                value = self._file.attribute(counter, 'integer', 0, of=name)
                target[name].attrs[counter] = np.int64(value)
            _count_what_is_there(target[name])
        return self._leave_out(target, length)

    def _leave_out(self, target: h5py.File, length: int) -> list[str]:
        """Leave out velocities and efforts that some rows have not; they are NaN there."""
        found = []
        for name in (layout.QVEL, layout.EFFORT):
            if name in target:
                reported = Reported(name)
                for values in target[name][:length]:
                    reported.stored(values, not np.isnan(values).all())
                found += [reported] if reported.left_out else []
        leave_out(target, [reported.name for reported in found])
        return [str(reported) for reported in found]

    def _copy_images(self, name: str, new: h5py.Dataset, rows: range) -> None:
        """Copy the images that can be read; a JPEG that cannot stays empty, which `check` names.

        Raises:
            EpisodeError: these are no JPEGs: numbers, or pixels, of which zeros would be some.
        """
        for row in rows:
            try:
                new[row] = self._file.read(name, row)
            except EpisodeError:
                if name in self._small() or not self._compress:
                    raise

    def _packed(self, name: str) -> StoredImages | None:
        """The images of a dataset, if their storage is marked."""
        images = self._images.get(name.removeprefix(f'{layout.IMAGES}/'))
        is_images = name.startswith(f'{layout.IMAGES}/')
        return images if is_images and images is not None and images.is_marked else None

    def _copy_depth(self, name: str, target: h5py.File, length: int) -> None:
        """Copy compressed images as they are, also a damaged one: `check` finds it there."""
        column = DepthColumn(target, name, self._datasets[name].shape[1:])
        for row in range(length):
            column.add_compressed(self._file.chunk(name, (row, 0, 0)))
        column.dataset.resize(length, axis=0)

    def _small(self) -> list[str]:
        """All datasets but those of images and depth."""
        images = f'{layout.IMAGES}/'
        return [n for n in self._datasets if not n.startswith(images) and not _is_depth(n)]

    def _readable_rows(self, name: str, length: int) -> int:
        """Up to where a dataset can be read, when only its end was torn.

        Raises:
            EpisodeError: it is damaged before its end, which is no work of a crash.
        """
        for place in _blocks(name, length):
            rows = place[layout.row_axis(name)]
            try:
                self._file.read(name, place)
            except EpisodeError:
                if rows.stop < length:
                    raise
                return int(rows.start)
        return length

    def _vectors(self) -> list[str]:
        names = [layout.QPOS, layout.QVEL, layout.EFFORT, layout.ACTION]
        names += [f'{layout.VECTORS}/{vector}' for vector in self._robot.vectors]
        return [name for name in names if name in self._datasets]

    def _finite_rows(self, name: str, length: int) -> int:
        values = self._file.read(name, slice(length))
        wrong = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if name in (layout.QVEL, layout.EFFORT):  # NaN as a whole: not reported
            wrong &= ~np.isnan(values).all(axis=1)
        return int(np.argmax(wrong)) if wrong.any() else length

    def _images_are_whole(self, row: int) -> bool:
        try:
            for depth in self._robot.depth:
                self._file.read(f'{layout.DEPTH}/{depth}', row)
            for images in self._images.values():
                images.image(row)
        except (EpisodeError, StreamError):
            return False
        return True

    def _read_robot(self) -> RobotSpec:
        try:
            return robot_spec_from_yaml(
                self._file.attribute('robot', 'text'), f'{shown(self._part)}: robot'
            )
        except RobotSpecError as error:
            raise EpisodeError(str(error)) from None


def _is_depth(dataset: str) -> bool:
    return dataset.startswith(f'{layout.DEPTH}/')


def _nothing_in(part: Path) -> EpisodeError:
    return EpisodeError(
        f'{part}: holds no whole row (rows are on the disk every {FLUSH_PERIOD_NS / 1e9:g} s), '
        'nothing can be saved from it: remove it'
    )


def _blocks(name: str, length: int) -> Iterator[tuple[slice, ...]]:
    """Where in a dataset some rows at a time stand."""
    before = (slice(None),) * layout.row_axis(name)
    for start in range(0, length, ROWS_PER_COPY):
        yield (*before, slice(start, min(start + ROWS_PER_COPY, length)))


def _count_what_is_there(group: h5py.Group) -> None:
    """The counters died with the process: count the samples that the rows used."""
    stamps = np.unique(group['header_ns'][()])
    if len(stamps) == 1 and stamps[0] == 0:
        stamps = np.unique(group['receive_ns'][()])
    group.attrs[layout.COUNTED] = layout.IN_ROWS
    group.attrs['received'] = np.int64(len(stamps))
    group.attrs['max_gap_ns'] = np.int64(np.diff(stamps).max(initial=0))


def _check_nobody_writes(part: Path) -> None:
    try:
        with part.open('rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        raise EpisodeError(f'{part}: is still being written, expected what a crash left') from None
    except OSError as error:
        raise EpisodeError(f'{part}: cannot be read: {error}') from None
