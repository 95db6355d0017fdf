# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn the folders of BAIR's robot pushing set into episodes, pixel by pixel the same.

The place of the end effector takes the part of the joints. An action in the set is a way to go;
in an episode it is a place, as everywhere here: the end effector's plus that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.bair.read import (
    ACTION_COLUMNS,
    ACTIONS,
    POSITION_COLUMNS,
    BairPart,
    BairSequence,
    read_bair,
)
from motion_policy.episodes.formats.match_robot import (
    ForeignData,
    check_fit,
    placeholder_for_data,
    recorded_robot,
    the_camera,
)
from motion_policy.episodes.formats.untimed import SplitEpisodes, UntimedEpisodes
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation

Float32Array = npt.NDArray[np.float32]

BAIR_HZ = 5.0  # of a placeholder; no file says what it was
CAMERA = 'camera'


def import_bair(
    source: str | Path,
    robot: RobotSpec,
    out_dir: str | Path,
    *,
    camera: str = '',
    rate: float | None = None,
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[SplitEpisodes]:
    """Import one set; return the episodes of each split.

    Args:
        source: a folder with `train/`, `validate/` and `test/`, or one of these.
        robot: its joints are x, y, z of the end effector [m], and one more where the fourth
            column of the actions says something.
        out_dir: where the episodes go, those of a split into a folder of its name.
        camera: the robot's camera that took the frames; default: the only one it has.
        rate: rows per second; default: the robot's rate.
        note: told in one line each what is assumed.
        on_row: called after every row that is written, for a progress bar.
        **options: of `EpisodeWriter`, but for `compress`: pixels stay as they are, unless another
            `storage` than 'jpeg' is named.

    Raises:
        EpisodeError: no such set, it is damaged, or it does not fit the robot. No episode is
            left behind then.
    """
    parts = read_bair(source)
    name = the_camera(robot, camera)
    recorded = recorded_robot(robot, {name: CAMERA}, rate, Path(source), note)
    joints = len(recorded.joints.names)
    _check(parts, recorded, name)
    note(
        f'{source}: no stamps: rows stand at {recorded.rate:g} Hz; '
        'an action becomes the place of the end effector plus the way in the set'
    )
    split = []
    options['compress'] = options.get('storage', layout.JPEG) != layout.JPEG
    with UntimedEpisodes(recorded, Path(source), on_row, note, options) as new:
        for part in parts:
            folder = Path(out_dir) / part.split
            episodes = [
                new.write(
                    folder,
                    sequence.folder,
                    _rows(sequence, joints, name, recorded),
                    created_ns=sequence.folder.stat().st_mtime_ns,
                )
                for sequence in part.sequences
            ]
            split.append(SplitEpisodes(part.split, part.source, tuple(episodes)))
    return split


def placeholder_for(sources: Iterable[str | Path], *, rate: float | None = None) -> RobotSpec:
    """Return a robot that stands in for the one of these sets, whose limits hold all their data.

    Raises:
        EpisodeError: no such set.
    """
    sequences = [
        sequence for source in sources for part in read_bair(source) for sequence in part.sequences
    ]
    joints = ACTION_COLUMNS if any(_says_more(one) for one in sequences) else POSITION_COLUMNS
    places = np.concatenate([np.concatenate(_joints(one, joints)) for one in sequences])
    low, high = places.min(axis=0).astype(np.float64), places.max(axis=0).astype(np.float64)
    foreign = _foreign(sequences[0], joints)
    return placeholder_for_data(foreign, low, high, None, BAIR_HZ if rate is None else rate)


def rows_of(source: str | Path) -> int:
    """Return the number of frames of a set.

    Raises:
        EpisodeError: no such set, or a file or frame is missing.
    """
    return sum(sequence.length for part in read_bair(source) for sequence in part.sequences)


def _check(parts: list[BairPart], robot: RobotSpec, camera: str) -> None:
    """Hold the first frame of the set, and the numbers of every sequence, against the robot."""
    joints = len(robot.joints.names)
    wanted = min(max(joints, POSITION_COLUMNS), ACTION_COLUMNS)
    check_fit(_foreign(parts[0].sequences[0], wanted), robot, {camera: CAMERA})
    for part in parts:
        for sequence in part.sequences:
            if sequence.length and joints == POSITION_COLUMNS and _says_more(sequence):
                raise EpisodeError(
                    f'{sequence.folder / ACTIONS}: column 3 is not zero, robot '
                    f"'{robot.name}' has {joints} joints; expected {ACTION_COLUMNS}"
                )


def _foreign(sequence: BairSequence, joints: int) -> ForeignData:
    height, width = sequence.frame(0).shape[:2]
    return ForeignData(sequence.folder, joints, {CAMERA: (height, width)})


def _says_more(sequence: BairSequence) -> bool:
    return bool(sequence.actions[:, POSITION_COLUMNS:].any())


def _joints(sequence: BairSequence, joints: int) -> tuple[Float32Array, Float32Array]:
    """Measured and commanded joints, (T, J) each."""
    qpos = np.zeros((sequence.length, joints), np.float32)
    qpos[:, :POSITION_COLUMNS] = sequence.positions
    action = qpos.astype(np.float64) + sequence.actions[:, :joints]
    return qpos, action.astype(np.float32)


def _rows(
    sequence: BairSequence, joints: int, camera: str, robot: RobotSpec
) -> Iterator[Observation]:
    qpos, action = _joints(sequence, joints)
    spec = robot.cameras[camera]
    for row in range(len(qpos)):
        pixels = sequence.frame(row)
        if pixels.shape[:2] != (spec.height, spec.width):
            raise EpisodeError(
                f'{sequence.folder / str(row)}.png: is {pixels.shape[1]}x{pixels.shape[0]}, '
                f"expected {spec.width}x{spec.height} as camera '{camera}' has it"
            )
        yield Observation(
            qpos=qpos[row],
            qvel=np.zeros_like(qpos[row]),
            effort=None,
            images={camera: pixels},
            action=action[row],
        )
