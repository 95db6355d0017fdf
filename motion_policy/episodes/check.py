# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Say what is wrong with an episode: layout, numbers, grid, images, ages.

Every problem is one line that names the dataset, what was found and what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.images import JPEG_END, decode_jpeg
from motion_policy.episodes.reader import DAMAGE, EpisodeReader
from motion_policy.robot import CameraSpec, RobotSpec, StreamSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S


def check_episode(path: str | Path) -> list[str]:
    """Return the problems of an episode, one line each; none when it is sound.

    Reads every image. An unfinished file (`.part`) is one problem, also one that is no episode.
    """
    try:
        with EpisodeReader(path) as episode, h5py.File(path, 'r') as file:
            return list(_problems(episode, file))
    except EpisodeError as error:
        return [str(error).removeprefix(f'{path}: ')]
    except DAMAGE as error:
        return [f'cannot be read to its end: {error}']


def _problems(episode: EpisodeReader, file: h5py.File) -> Iterator[str]:
    missing = [name for name in layout.ATTRIBUTES if name not in file.attrs]
    if missing:
        yield f'has no attribute {", ".join(missing)}, expected all of the format'
        return
    robot = episode.robot
    yield from _attribute_problems(episode, robot)
    if layout.TIME_NS not in file:
        yield f"has no '/{layout.TIME_NS}', expected the times of the rows"
        return
    yield from _grid_problems(episode, robot)
    yield from _vector_problems(file, episode.length, len(robot.joints.names))
    for index, (camera, spec) in enumerate(robot.cameras.items()):
        yield from _camera_problems(file, episode, camera, spec, index)
    for stream in robot.streams():
        yield from _stamp_problems(episode, stream)


def _attribute_problems(episode: EpisodeReader, robot: RobotSpec) -> Iterator[str]:
    pairs = {
        'rate': (episode.rate, robot.rate),
        'joint_names': (episode.joint_names, robot.joints.names),
        'cameras': (episode.cameras, tuple(robot.cameras)),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            yield f"attribute '{name}' is {found}, expected {expected} of the robot in the file"


def _grid_problems(episode: EpisodeReader, robot: RobotSpec) -> Iterator[str]:
    times = episode.time_ns
    if len(times) == 0:
        yield f"'/{layout.TIME_NS}' is empty, expected at least one row"
    wrong = np.flatnonzero(np.diff(times) != robot.period_ns)
    if len(wrong):
        row = int(wrong[0])
        yield (
            f"'/{layout.TIME_NS}' steps by {times[row + 1] - times[row]} ns after row {row}, "
            f'expected {robot.period_ns} ns everywhere ({len(wrong)} steps differ)'
        )


def _vector_problems(file: h5py.File, length: int, joints: int) -> Iterator[str]:
    names = [layout.QPOS, layout.QVEL, layout.ACTION]
    for name in names + ([layout.EFFORT] if layout.EFFORT in file else []):
        problem = _dataset_problem(file, name, (length, joints), np.float32)
        if problem:
            yield problem
            continue
        rows = np.flatnonzero(~np.isfinite(file[name][()]).all(axis=1))
        if len(rows):
            yield f"'/{name}' is not finite in {len(rows)} rows, the first is row {rows[0]}"


def _camera_problems(
    file: h5py.File, episode: EpisodeReader, camera: str, spec: CameraSpec, index: int
) -> Iterator[str]:
    name = f'{layout.IMAGES}/{camera}'
    shape: tuple[int, ...]
    if not episode.compress:
        shape = (episode.length, spec.height, spec.width, 3)
        problem = _dataset_problem(file, name, shape, np.uint8)
    elif name in file and file[name].ndim == 2:
        shape = (episode.length, file[name].shape[1])
        problem = _dataset_problem(file, name, shape, np.uint8)
    else:
        problem = f"'/{name}' is {_shape_of(file, name)}, expected (T, padded) JPEG bytes"
    lengths = (len(episode.cameras), episode.length)
    if not problem and episode.compress:
        problem = _dataset_problem(file, layout.COMPRESS_LEN, lengths, np.float32)
    if problem:
        yield problem
    elif episode.compress:
        yield from _jpeg_problems(file, name, spec, index)


def _jpeg_problems(file: h5py.File, name: str, spec: CameraSpec, index: int) -> Iterator[str]:
    """Decode every image; only the first that is wrong is told, with their count."""
    expected = (spec.height, spec.width, 3)
    bad: list[tuple[int, str]] = []
    lengths = file[layout.COMPRESS_LEN][index]
    for row, length in enumerate(lengths):
        found = _jpeg_problem(file[name][row], float(length), expected)
        if found:
            bad.append((row, found))
    if bad:
        row, found = bad[0]
        yield f"'/{name}' row {row}: {found} ({len(bad)} of {len(lengths)} rows are wrong)"


def _jpeg_problem(stored: Any, length: float, expected: tuple[int, ...]) -> str | None:
    if not (length == int(length) and 0 < length <= len(stored)):
        return f'compress_len is {length:g}, expected a whole number in 1..{len(stored)}'
    data = stored[: int(length)]
    if data[-2:].tobytes() != JPEG_END:
        return f'the JPEG does not end at compress_len {length:g}'
    image = decode_jpeg(data)
    if image is None:
        return 'is no JPEG image'
    return None if image.shape == expected else f'is {image.shape}, expected {expected}'


def _stamp_problems(episode: EpisodeReader, stream: StreamSpec) -> Iterator[str]:
    name = f'/{layout.STAMPS}/{stream.name}'
    try:
        stamps = episode.stamps(stream.name)
    except EpisodeError as error:
        yield str(error).removeprefix(f'{episode.path}: ')
        return
    shapes = {len(stamps.header_ns), len(stamps.receive_ns), len(stamps.age_ns)}
    if shapes != {episode.length}:
        yield f"'{name}' has {sorted(shapes)} rows, expected {episode.length}"
        return
    there = stamps.receive_ns != 0
    if stream.role != 'leader' and not there.all():
        yield f"'{name}' has no sample in row {int(np.flatnonzero(~there)[0])}, expected one"
    if (stamps.age_ns < 0).any():
        row = int(np.flatnonzero(stamps.age_ns < 0)[0])
        yield f"'{name}/age_ns' is negative in row {row}, expected samples from before the row"
    stale = np.flatnonzero(stamps.age_ns > stream.max_age_ns)
    if len(stale):
        oldest_s = stamps.age_ns.max() / NANOSECONDS_PER_S
        yield (
            f"'{name}' is stale in {len(stale)} rows, the first is row {stale[0]} "
            f'(up to {oldest_s:.2f} s old, limit {stream.max_age:g} s)'
        )


def _dataset_problem(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> str | None:
    if name not in file:
        return f"has no '/{name}', expected it in an episode"
    if file[name].shape != shape:
        return f"'/{name}' has shape {file[name].shape}, expected {shape}"
    if file[name].dtype != dtype:
        return f"'/{name}' holds {file[name].dtype}, expected {np.dtype(dtype)}"
    return None


def _shape_of(file: h5py.File, name: str) -> str:
    return f'of shape {file[name].shape}' if name in file else 'missing'
