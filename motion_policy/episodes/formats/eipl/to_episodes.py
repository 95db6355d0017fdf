# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn the data sets of EIPL into episodes.

They have no stamps and no stream of actions: rows follow each other at a given rate from a fixed
start, and the action is the joint position that is measured one row later. What does not fit the
robot is refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.eipl.read import (
    BOUNDS,
    FINGER_STATE,
    EiplPart,
    EiplRecording,
    read_eipl,
)
from motion_policy.episodes.formats.match_robot import the_camera
from motion_policy.episodes.formats.untimed import SplitEpisodes, UntimedEpisodes, rate_or_robots
from motion_policy.episodes.joint_range import (
    BOUND_SLACK,
    as_float32,
    beyond_bounds,
)
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
Channels = Literal['bgr', 'rgb']


def import_eipl(
    source: str | Path,
    robot: RobotSpec,
    out_dir: str | Path,
    *,
    camera: str = '',
    channels: Channels = 'bgr',
    rate: float | None = None,
    keep_padding: bool = False,
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[SplitEpisodes]:
    """Import one set; return the episodes of each part: one, or `train` and `test`.

    Args:
        source: a folder with `images.npy` and `joints.npy`, a folder with `train/` and `test/` of
            that kind, an `.npz` file, or a folder of them.
        robot: whose joints and camera they are.
        out_dir: where the episodes go, under the next free numbers; those of `train/` and
            `test/` into folders of these names in it.
        camera: the robot's camera that took the images; default: the only one it has.
        channels: the order of the colours in the images.
        rate: rows per second; default: the robot's rate.
        keep_padding: keep rows at the end that repeat the last one exactly.
        note: told in one line each what is assumed, left out or suspicious.
        on_row: called after every row that is written, for a progress bar.
        **options: of `EpisodeWriter` (task, operator, sim, compress, ...).

    Raises:
        EpisodeError: no such set, or it does not fit the robot. No episode is left behind then.
    """
    parts = read_eipl(source)
    recorded = _recorded_robot(robot, the_camera(robot, camera), rate)
    whose = "the robot's rate (--rate says otherwise)" if rate is None else 'as told'
    note(
        f'{source}: no stamps, no action stream: rows stand at {recorded.rate:g} Hz, {whose}; '
        f'the action is the measured joint position of the next row; images are {channels.upper()}'
    )
    joints = [_joints_of_part(part, recorded, note) for part in parts]
    _refuse_normalised(Path(source), [part.bounds for part in parts], joints)
    for part, values in zip(parts, joints, strict=True):
        _tell_bounds(part, values, recorded, note)
    with UntimedEpisodes(recorded, Path(source), on_row, note, options) as new:
        (name,) = recorded.cameras
        run = _Import(new, name, Path(out_dir), channels, keep_padding, note)
        return [run.part(part, values) for part, values in zip(parts, joints, strict=True)]


def needed_robot(source: str | Path) -> str:
    """Say in a few words what the robot spec of a set must have: joints and size of the images.

    Raises:
        EpisodeError: no such set.
    """
    recording = read_eipl(source)[0].recordings[0]
    height, width = recording.image_size
    fingers = '' if recording.finger_state is None else f', or one more for its {FINGER_STATE}'
    return (
        f'{recording.joints.shape[1]} joints{fingers}, and a camera with '
        f'width: {width}, height: {height}'
    )


def _recorded_robot(robot: RobotSpec, camera: str, rate: float | None) -> RobotSpec:
    """The robot as this set knows it: one camera and joints, no leader, the rate of the set."""
    return robot.model_copy(
        update={
            'rate': rate_or_robots(rate, robot),
            'cameras': {camera: robot.cameras[camera]},
            'vectors': {},
            'depth': {},
            'joints': robot.joints.model_copy(update={'leader': ()}),
        }
    )


def _joints_of_part(
    part: EiplPart, robot: RobotSpec, note: Callable[[str], None]
) -> list[Float32Array]:
    """The joints (T, J) of every demonstration, held against the robot."""
    (camera,) = robot.cameras
    spec = robot.cameras[camera]
    for recording in part.recordings:
        height, width = recording.image_size
        if (height, width) != (spec.height, spec.width):
            raise EpisodeError(
                f"{recording.image_source}: images are {width}x{height}, camera '{camera}' of "
                f"robot '{robot.name}' is {spec.width}x{spec.height}; expected a robot spec with "
                f'width: {width}, height: {height} for it'
            )
    joints = [_joints(recording, robot) for recording in part.recordings]
    fingers = [r for r in part.recordings if r.finger_state is not None]
    if fingers:
        last = robot.joints.names[-1]
        appended = len(fingers[0].joints[0]) < len(robot.joints.names)
        note(
            f"{part.source}: {FINGER_STATE} becomes the joint '{last}', as it stands"
            if appended
            else f"{part.source}: {FINGER_STATE} is left out, robot '{robot.name}' has no joint "
            'for it'
        )
    return joints


def _joints(recording: EiplRecording, robot: RobotSpec) -> Float32Array:
    names = robot.joints.names
    joints, finger = recording.joints, recording.finger_state
    if finger is not None and joints.shape[1] + 1 == len(names):
        joints = np.concatenate((joints, finger[:, None]), axis=1)
    if joints.shape[1] != len(names):
        raise EpisodeError(
            f"{recording.source}: has {joints.shape[1]} joints, robot '{robot.name}' has "
            f'{len(names)} ({", ".join(names)}); expected the same number'
        )
    episode = '' if recording.episode is None else f'episode {recording.episode}, '
    start = f'{recording.source}: {episode}'
    return as_float32(joints, lambda row, joint: f"{start}row {row}, joint '{names[joint]}'")


def _refuse_normalised(
    source: Path, bounds: Sequence[Array | None], joints: Sequence[Sequence[Float32Array]]
) -> None:
    """Refuse a set of joints scaled to [0, 1], where its bounds or its exactness prove it."""
    values = np.concatenate([episode for part in joints for episode in part])
    low, high = values.min(axis=0), values.max(axis=0)
    if low.min() < 0 or high.max() > 1:
        return
    known = next((part for part in bounds if part is not None), None)
    if known is not None and _fits(known, values.shape[1]):
        slack = BOUND_SLACK * (known[1] - known[0])
        outside = (low < known[0] - slack) | (high > known[1] + slack)
        full = (low < BOUND_SLACK) & (high > 1 - BOUND_SLACK)
        differs = (known[0] < -slack) | (known[1] > 1 + slack)
        proven = outside.any() or (full.all() and differs.any())
        expected = f'{BOUNDS} goes from {known[0].min():g} to {known[1].max():g}'
    else:
        proven = values.shape[1] > 1 and bool(((low == 0) & (high == 1)).all())
        expected = 'every joint reaches exactly 0 and 1'
    if proven:
        raise EpisodeError(
            f'{source}: joints look normalised: they lie in {low.min():.3g}..{high.max():.3g}, '
            f"{expected}; expected positions in the robot's units"
        )


def _tell_bounds(
    part: EiplPart,
    joints: Sequence[Float32Array],
    robot: RobotSpec,
    note: Callable[[str], None],
) -> None:
    """Tell of joints beyond the set's own bounds."""
    if part.bounds is None:
        return
    values = np.concatenate(list(joints))
    if not _fits(part.bounds, values.shape[1]):
        count = part.bounds.shape[1]
        note(f'{part.source}: {BOUNDS} has {count} joints, found {values.shape[1]}')
    elif beyond := beyond_bounds(values, part.bounds, BOUNDS, robot.joints.names):
        note(f'{part.source}: {beyond[1]}')


def _fits(bounds: Array, joints: int) -> bool:
    return bounds.shape[1] in (1, joints)


def _rows_before_padding(joints: Float32Array, images: Array) -> int:
    """Number of rows without those at the end that repeat the last one exactly."""
    row = len(joints)
    while row > 1 and np.array_equal(joints[row - 2], joints[-1]):
        if not np.array_equal(images[row - 2], images[-1]):
            break
        row -= 1
    return row


@dataclass(frozen=True)
class _Import:
    """Writes the episodes of the parts."""

    new: UntimedEpisodes
    camera: str
    out_dir: Path
    channels: Channels
    keep_padding: bool
    note: Callable[[str], None]

    def part(self, part: EiplPart, joints: Sequence[Float32Array]) -> SplitEpisodes:
        folder = self.out_dir / part.split if part.split else self.out_dir
        episodes, padded, padding = [], 0, 0
        for recording, values in zip(part.recordings, joints, strict=True):
            images = recording.images()
            rows = len(values) if self.keep_padding else _rows_before_padding(values, images)
            padded += rows < len(values)
            padding += len(values) - rows
            created_ns = recording.source.stat().st_mtime_ns
            observations = self._observations(values[:rows], images)
            episode = '' if recording.episode is None else f': episode {recording.episode}'
            named = f'{recording.source}{episode}'
            episodes.append(self.new.write(folder, named, observations, created_ns=created_ns))
        if padding:
            self.note(
                f'{part.source}: left out {padding} rows at the end of {padded} of '
                f'{len(episodes)} episodes that repeat the last one (--keep-padding keeps them)'
            )
        return SplitEpisodes(part.split, part.source, tuple(episodes))

    def _observations(self, joints: Float32Array, images: Array) -> Iterator[Observation]:
        for row in range(len(joints)):
            colours = images[row][..., ::-1] if self.channels == 'bgr' else images[row]
            yield Observation(
                qpos=joints[row],
                qvel=np.zeros_like(joints[row]),
                effort=None,
                images={self.camera: np.ascontiguousarray(colours)},
                action=None,
            )
