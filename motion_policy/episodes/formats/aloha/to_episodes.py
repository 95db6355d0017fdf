# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn the episodes of ALOHA and ACT into ours: the same numbers, and the same bytes of a JPEG.

They have no stamps, no rate and no names of joints: those come from the robot. What does not fit
it is refused before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.aloha.attributes import AlohaAttributes
from motion_policy.episodes.formats.aloha.read import BASE_ACTION, AlohaFile, aloha_files
from motion_policy.episodes.formats.match_robot import (
    ForeignData,
    check_fit,
    chosen_cameras,
    placeholder_for_data,
    recorded_robot,
)
from motion_policy.episodes.formats.untimed import UntimedEpisodes
from motion_policy.episodes.images import is_jpeg
from motion_policy.episodes.reported import nowhere, reported
from motion_policy.robot import RobotSpec
from motion_policy.robot.units import UnitConversion, unit_conversion
from motion_policy.streams import Observation

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
Channels = Literal['bgr', 'rgb']

ALOHA_HZ = 50.0  # what its tools record at, which no file says

_NUMBER = re.compile(r'\d+')


def import_aloha(
    source: str | Path,
    robot: RobotSpec,
    out_dir: str | Path,
    *,
    cameras: Mapping[str, str] | None = None,
    channels: Channels = 'rgb',
    rate: float | None = None,
    joints: Mapping[str, str] | None = None,
    grippers: tuple[float, float] | None = None,
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[tuple[Path, Path]]:
    """Import one set; return pairs: an episode, and the file that it was made from.

    Args:
        source: a file, or a folder of `episode_0.hdf5`, `episode_1.hdf5`, ...
        robot: whose joints and cameras they are.
        out_dir: where the episodes go, under the next free numbers.
        cameras: the robot's name of a camera to its name in the files; default: all of the files.
        channels: the order of the colours in the images; of JPEGs, as OpenCV decodes them.
        rate: rows per second; default: what an attribute of the files says, else the robot's.
        joints: the robot's name of a joint to its name in the files, where these say names.
        grippers: positions that 0 and 1 of a gripper's column stand for, where the robot's joints
            `*gripper` are otherwise than in the files [m].
        note: told in one line each what is assumed, left out or suspicious.
        on_row: called after every row that is written, for a progress bar.
        **options: of `EpisodeWriter` (task, operator, sim, compress, ...).

    Raises:
        EpisodeError: no such set, or it does not fit the robot. No episode is left behind then.
    """
    files = aloha_files(source)
    with AlohaFile(files[0]) as first:
        chosen = chosen_cameras(_foreign(first), robot, cameras)
        said = first.said
    hertz = said.rate if rate is None else rate
    recorded = recorded_robot(robot, chosen, hertz, Path(source), note)
    note(_rate_said(Path(source), rate, said, recorded, channels))
    scaling = unit_conversion(recorded, None, grippers)
    _check_files(Path(source), files, recorded, chosen, joints, scaling, rate, note)
    rows = _Rows(chosen, channels, scaling, keep_jpeg=_keeps_jpeg(options))
    episodes: list[tuple[Path, Path]] = []
    with UntimedEpisodes(recorded, Path(source), on_row, note, options) as new:
        for path in files:
            with AlohaFile(path) as file:
                file.bring_into_order(recorded.joints.names, joints)
                episode = new.write(
                    Path(out_dir),
                    path,
                    rows.of(file),
                    sim=options.get('sim', False) or file.sim,
                    task=options.get('task', '') or file.said.task,
                    operator=options.get('operator', '') or file.said.operator,
                    success=file.said.success,
                    created_ns=path.stat().st_mtime_ns,
                )
            episodes.append((episode, path))
    return episodes


def _keeps_jpeg(options: Mapping[str, Any]) -> bool:
    """Whether what `EpisodeWriter` is told lets JPEGs of ALOHA's order stand as they are."""
    storage = options.get('storage', layout.JPEG)
    return options.get('compress', True) and storage in (layout.JPEG, layout.ALOHA_JPEG)


def placeholder_for(
    sources: Iterable[str | Path],
    *,
    cameras: Mapping[str, str] | None = None,
    rate: float | None = None,
) -> RobotSpec:
    """Return a robot that stands in for the one of these sets, whose limits hold all their data.

    Its cameras are those of the first file, in alphabetical order, or `cameras` in theirs.

    Raises:
        EpisodeError: no such set.
    """
    files = [file for source in sources for file in aloha_files(source)]
    least: list[Array] = []
    greatest: list[Array] = []
    for path in files:
        with AlohaFile(path) as file:
            both = np.concatenate((file.qpos, file.action)).astype(np.float64)
            if least and both.shape[1] != len(least[0]):
                raise EpisodeError(
                    f'{path}: has {both.shape[1]} joints, expected {len(least[0])} as {files[0]}'
                )
            least.append(both.min(axis=0))
            greatest.append(both.max(axis=0))
    with AlohaFile(files[0]) as first:
        low, high = np.min(least, axis=0), np.max(greatest, axis=0)
        hertz = (first.said.rate or ALOHA_HZ) if rate is None else rate
        return placeholder_for_data(
            _foreign(first), low, high, cameras, hertz, first.joint_names or None
        )


def rows_of(source: str | Path) -> int:
    """Return the number of rows of a set.

    Raises:
        EpisodeError: no such set.
    """
    rows = 0
    for path in aloha_files(source):
        with AlohaFile(path) as file:
            rows += file.length
    return rows


def _check_files(
    source: Path,
    files: list[Path],
    robot: RobotSpec,
    cameras: Mapping[str, str],
    joints: Mapping[str, str] | None,
    grippers: UnitConversion,
    rate: float | None,
    note: Callable[[str], None],
) -> None:
    """Hold every file against the robot, and tell once what is not imported from them."""
    left_out: dict[str, int] = {}
    why: dict[str, str] = {}
    base = 0.0
    in_order = True
    for path in files:
        with AlohaFile(path) as file:
            check_fit(_foreign(file), robot, cameras)
            if rate is None and file.said.two_rates:
                raise EpisodeError(f'{path}: {file.said.two_rates}, expected one rate, or --rate')
            if rate is None and file.said.rate not in (None, robot.rate):
                raise EpisodeError(
                    f"{path}: attribute '{file.said.rate_said_by}' gives {file.said.rate:g} Hz, "
                    f'expected {robot.rate:g} Hz as the files before, or --rate for all'
                )
            if file.bring_into_order(robot.joints.names, joints) and in_order:
                in_order = False
                note(f'{path}: joints in another order than the robot, by name')
            if grippers.changes:
                both = np.concatenate((file.qpos, file.action)).astype(np.float64)
                for line in grippers.check_grippers(both.min(0), both.max(0), str(path)):
                    note(line)
            unused = [name for name in file.cameras if name not in cameras.values()]
            names = [*(f'camera {name}' for name in unused), *_kinds(file.unread)]
            names += file.said.left_out
            if file.base_action is not None:
                names.append(BASE_ACTION)
                base = max(base, float(np.abs(file.base_action).max(initial=0)))
            for name, misfit in file.misfits.items():
                names.append(f"'/{name}'")
                why.setdefault(f"'/{name}'", f' (in {path.name} it {misfit})')
            if file.qvel is None or nowhere(file.qvel):
                note(f'{path}: has no qvel, velocities are zero')
            if nowhere(file.effort):
                names.append(f"'/{layout.EFFORT}' (NaN)")
            for name in dict.fromkeys(names):
                left_out[name] = left_out.get(name, 0) + 1
    why[BASE_ACTION] = f' (velocities of a base, up to {base:.3g})'
    for name, count in left_out.items():
        note(f'{source}: {name} is left out{why.get(name, "")}, in {count} of {len(files)} files')


def _rate_said(
    source: Path,
    rate: float | None,
    said: AlohaAttributes,
    recorded: RobotSpec,
    channels: Channels,
) -> str:
    """Say where the rate of the rows comes from."""
    if rate is None and said.rate is not None:
        whose = f"as its attribute '{said.rate_said_by}' says"
    elif rate is None:
        whose = "the robot's rate (--rate says otherwise)"
    elif said.two_rates:
        whose = f'as told; its {said.two_rates}'
    elif said.rate is not None and abs(said.rate - rate) > 1e-3 * rate:
        whose = f"as told; its attribute '{said.rate_said_by}' gives {said.rate:g} Hz"
    else:
        whose = 'as told'
    there = 'no stamps' if said.rate else 'no stamps and no rate'
    return (
        f'{source}: {there}: rows stand at {recorded.rate:g} Hz, {whose}; '
        f'images are {channels.upper()}'
    )


def _kinds(names: Iterable[str]) -> list[str]:
    """Name each dataset, but only once and with a count those that differ by numbers only."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_NUMBER.sub('*', name), []).append(name)
    return [
        group[0] if len(group) == 1 else f'{kind} ({len(group)} datasets)'
        for kind, group in alike.items()
    ]


def _foreign(file: AlohaFile) -> ForeignData:
    return ForeignData(file.path, file.joints, file.cameras)


@dataclass(frozen=True)
class _Rows:
    """The rows of a file as observations."""

    cameras: Mapping[str, str]
    channels: Channels
    grippers: UnitConversion
    keep_jpeg: bool

    def of(self, file: AlohaFile) -> Iterator[Observation]:
        qpos, action = self._positions(file.qpos), self._positions(file.action)
        qvel = np.zeros_like(qpos) if file.qvel is None else file.qvel
        if self.grippers.changes:
            qvel = self.grippers.speeds(qvel).astype(np.float32)
        for row in range(file.length):
            speeds = reported(qvel, row)
            images = {
                ours: self._image(file, theirs, row) for ours, theirs in self.cameras.items()
            }
            jpegs = {camera: image for camera, image in images.items() if image.ndim == 1}
            yield Observation(
                qpos=qpos[row],
                qvel=np.zeros_like(qpos[row]) if speeds is None else speeds,
                effort=reported(file.effort, row),
                has_qvel=speeds is not None,
                images=images,
                action=action[row],
                # JPEG in the order of all other JPEGs, as of a camera's own.
                jpegs={} if self.channels == 'rgb' else jpegs,
            )

    def _positions(self, values: Float32Array) -> Float32Array:
        if not self.grippers.changes:
            return values
        return self.grippers.positions(values).astype(np.float32)

    def _image(self, file: AlohaFile, camera: str, row: int) -> Array:
        """The pixels in RGB; a JPEG stays as it is, of either order, once it was decoded."""
        stored = file.stored(camera, row)
        pixels = file.decoded(camera, row, stored)
        if self.keep_jpeg and is_jpeg(stored):
            return stored
        return np.ascontiguousarray(pixels[..., ::-1]) if self.channels == 'bgr' else pixels
