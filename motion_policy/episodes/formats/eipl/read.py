# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read the data sets of EIPL: `.npy` sets of equally long episodes, `.npz` files of one episode.

Large arrays stay on the disk until a row is asked for, and nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.eipl.npy_files import Archive, StoredArray, map_array
from motion_policy.files import is_there, shown

Array = npt.NDArray[Any]

IMAGES, JOINTS, BOUNDS = 'images.npy', 'joints.npy', 'joint_bounds.npy'
SPLITS = ('train', 'test')
FINGER_STATE = 'finger_state'

_EXPECTED = (
    f'expected a folder with {IMAGES} and {JOINTS}, a folder with {SPLITS[0]}/ and {SPLITS[1]}/ '
    'of that kind, or .npz files'
)


@dataclass(frozen=True)
class EiplRecording:
    """One demonstration as its file has it.

    `joints` (T, J); `image_size` is (H, W); `finger_state` (T,) where an `.npz` has one. `episode`
    is its number in a file that holds several, else None.
    """

    source: Path
    episode: int | None
    joints: Array
    image_size: tuple[int, int]
    finger_state: Array | None = None

    @property
    def image_source(self) -> Path:
        """The file that holds the images."""
        return self.source if self.episode is None else self.source.with_name(IMAGES)

    def images(self) -> Array:
        """The images (T, H, W, 3) uint8, channels in the order of the file; read when asked for.

        Grey ones come as three colours that are alike.

        Raises:
            EpisodeError: the file cannot be read any more.
        """
        if self.episode is not None:
            return _in_colours(map_array(self.image_source)[self.episode])
        with Archive(self.source) as archive:
            return _in_colours(archive.array('images'))


@dataclass(frozen=True)
class EiplPart:
    """The demonstrations of one folder or file.

    `split` is 'train' or 'test' where a folder holds both; `bounds` (2, J) are the least and
    greatest joint positions of `joint_bounds.npy`, if there is one beside the data or above.
    """

    split: str
    source: Path
    recordings: tuple[EiplRecording, ...]
    bounds: Array | None

    @property
    def rows(self) -> int:
        """Rows of all demonstrations, padding included."""
        return sum(len(recording.joints) for recording in self.recordings)


def read_eipl(path: str | Path) -> tuple[EiplPart, ...]:
    """Return what is at `path`: one part, or two where it holds `train/` and `test/`.

    Raises:
        EpisodeError: no data of EIPL, or arrays whose shapes or types do not fit together.
    """
    source = Path(path)
    if source.is_file():
        if source.suffix != '.npz':
            raise EpisodeError(f'{source}: is a file, {_EXPECTED}')
        return (EiplPart('', source, (_npz(source),), _bounds(source.parent)),)
    if not source.is_dir():
        raise EpisodeError(f'{source}: no such file or folder, {_EXPECTED}')
    splits = [split for split in SPLITS if (source / split).is_dir()]
    if splits and not (source / IMAGES).exists():
        return tuple(_part(source / split, split) for split in splits)
    return (_part(source, ''),)


def _part(folder: Path, split: str) -> EiplPart:
    archives = sorted(folder.glob('*.npz'))
    if not (folder / JOINTS).exists() and archives:
        recordings = tuple(_npz(archive) for archive in archives)
    else:
        recordings = tuple(_npy(folder))
    return EiplPart(split, folder, recordings, _bounds(folder))


def _npy(folder: Path) -> Iterator[EiplRecording]:
    arrays = []
    for name in (IMAGES, JOINTS):
        if not (folder / name).is_file():
            found = ', '.join(sorted(entry.name for entry in folder.iterdir())[:8]) or 'nothing'
            raise EpisodeError(f'{folder}: has no {name}, found {found}; {_EXPECTED}')
        arrays.append(map_array(folder / name))
    images, joints = arrays
    _check_images(folder / IMAGES, images, '(episodes, rows, height, width, 3)')
    _check_joints(folder / JOINTS, joints, '(episodes, rows, joints)')
    if images.shape[:2] != joints.shape[:2]:
        raise EpisodeError(
            f'{folder}: {IMAGES} has {images.shape[:2]} episodes and rows, {JOINTS} has '
            f'{joints.shape[:2]}, expected the same'
        )
    for episode in range(len(joints)):
        yield EiplRecording(folder / JOINTS, episode, joints[episode], images.shape[2:4])


def _npz(path: Path) -> EiplRecording:
    with Archive(path) as archive:
        missing = [name for name in ('images', 'joints') if name not in archive.names]
        if missing:
            found = ', '.join(map(shown, archive.names[:8])) or 'nothing'
            raise EpisodeError(
                f"{path}: has no array '{missing[0]}', found {found}, expected images and joints"
            )
        images, joints = archive.header('images'), archive.array('joints')
        finger = archive.array(FINGER_STATE) if FINGER_STATE in archive.names else None
    _check_images(path, images, '(rows, height, width, 3)')
    _check_joints(path, joints, '(rows, joints)')
    for name, length in (('images', images.shape[0]), (FINGER_STATE, _length(finger, joints))):
        if length != len(joints):
            raise EpisodeError(
                f'{path}: {name} has {length} rows, joints has {len(joints)}, expected the same'
            )
    if finger is not None and finger.ndim != 1:
        raise EpisodeError(
            f'{path}: {FINGER_STATE} is {finger.shape} {finger.dtype}, expected (rows,) numbers'
        )
    height, width = images.shape[1:3]
    return EiplRecording(path, None, joints, (height, width), finger)


def _bounds(folder: Path) -> Array | None:
    """The joint bounds (2, J) or (2, 1) beside the data or one folder above, None without."""
    for path in (folder / BOUNDS, folder.resolve().parent / BOUNDS):
        if is_there(path):
            return read_bounds(path)
    return None


def read_bounds(path: str | Path, what: str = 'joint') -> npt.NDArray[np.float64]:
    """Return EIPL's `joint_bounds.npy` or `feat_bounds.npy`: least and greatest value of each
    joint or feature, (2, n), or (2, 1) for all of them.

    Raises:
        EpisodeError: not such a file, or a bound is not finite, or least is above greatest.
    """
    bounds = map_array(Path(path))
    if bounds.dtype.kind not in 'fiu' or bounds.ndim not in (1, 2) or len(bounds) != 2:
        raise EpisodeError(
            f'{path}: is {bounds.shape} {bounds.dtype}, expected (2, {what}s) numbers: '
            'least and greatest values'
        )
    values = np.array(bounds, dtype=np.float64).reshape(2, -1)
    wrong = np.flatnonzero(~(np.isfinite(values).all(axis=0) & (values[0] <= values[1])))
    if len(wrong):
        low, high = values[:, wrong[0]]
        raise EpisodeError(
            f'{path}: {what} {wrong[0] + 1} has the bounds {low:g} and {high:g}, '
            'expected finite numbers, the least first'
        )
    return values


def _check_images(path: Path, images: Array | StoredArray, expected: str) -> None:
    axes = expected.count(',')
    channels = images.shape[axes:]  # grey images have one, or no such axis
    if len(images.shape) < axes or channels not in ((3,), (1,), ()) or images.dtype != np.uint8:
        raise EpisodeError(
            f'{path}: images are {images.shape} {images.dtype}, expected {expected} uint8, or '
            'without the 3 where they are grey'
        )
    _check_not_empty(path, images)


def _in_colours(images: Array) -> Array:
    """Images (T, H, W, 3), or a view that shows those of one channel so."""
    if images.shape[3:] == (3,):
        return images
    return np.broadcast_to(images.reshape(*images.shape[:3], 1), (*images.shape[:3], 3))


def _check_joints(path: Path, joints: Array, expected: str) -> None:
    axes = expected.count(',') + 1
    if joints.ndim != axes or joints.dtype.kind not in 'fiu':
        raise EpisodeError(
            f'{path}: joints are {joints.shape} {joints.dtype}, expected {expected} numbers'
        )
    _check_not_empty(path, joints)


def _check_not_empty(path: Path, array: Array | StoredArray) -> None:
    if 0 in array.shape:
        raise EpisodeError(f'{path}: an array is {array.shape}, expected at least one of each')


def _length(array: Array | None, other: Array) -> int:
    return len(other) if array is None else (len(array) if array.ndim else 0)
