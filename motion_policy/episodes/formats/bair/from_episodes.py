# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write episodes in the folders of BAIR's robot pushing set; what was imported comes out again.

Joints are x, y, z of the end effector. What goes into `actions.csv` is the way from where it was
to where it was sent, in digits enough to give the same numbers back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.bair.read import (
    ACTION_COLUMNS,
    ACTIONS,
    POSITION_COLUMNS,
    POSITIONS,
    SPLITS,
)
from motion_policy.episodes.formats.export_set import ExportSet, one_camera, split_sets
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import new_folder

GROUP = 256  # sequences in one folder, as in the original


def bair_parts(source: Path) -> dict[str, ExportSet]:
    """Look at a folder of `train/`, `validate/` and `test/`; one without these is all 'train'.

    Raises:
        EpisodeError: no episode, or episodes of different kinds.
    """
    return {split or SPLITS[0]: part for split, part in split_sets(source, SPLITS).items()}


def export_bair(
    parts: Mapping[str, ExportSet],
    out_dir: str | Path,
    *,
    camera: str = '',
    on_row: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write every split; return their folders.

    Args:
        parts: of `bair_parts`.
        out_dir: a new folder.
        camera: the camera to export; default: the only one there is.
        on_row: called after every row.

    Raises:
        EpisodeError: no such camera, joints that are not an end effector's, an episode is
            damaged, or the folder cannot be written.
    """
    name = one_camera(next(iter(parts.values())), camera, 'a set of BAIR')
    with new_folder(Path(out_dir)) as folder:
        for split, part in parts.items():
            for number, path in enumerate(part.episodes):
                first = number - number % GROUP
                group = f'traj_{first}_to_{first + GROUP - 1}'
                # Counted from 1, as the original's conversion does.
                sequence = folder / split / group / str(number - first + 1)
                with EpisodeReader(path) as episode:
                    _write(sequence, episode, name, on_row)
    return [Path(out_dir) / split for split in parts]


def _write(folder: Path, episode: EpisodeReader, camera: str, on_row: Callable[[], None]) -> None:
    names = episode.joint_names
    qpos, action = episode.qpos.astype(np.float64), episode.action.astype(np.float64)
    fits = POSITION_COLUMNS <= len(names) <= ACTION_COLUMNS
    if not fits or qpos[:, POSITION_COLUMNS:].any():
        raise EpisodeError(
            f'{episode.path}: has the joints {", ".join(names)}; a set of BAIR has x, y, z of the '
            'end effector, and at most a fourth that is commanded and not measured'
        )
    ways = np.zeros((len(qpos), ACTION_COLUMNS))
    ways[:, : len(names)] = action - qpos
    folder.mkdir(parents=True)
    _write_numbers(folder / ACTIONS, ways)
    _write_numbers(folder / POSITIONS, qpos[:, :POSITION_COLUMNS])
    for row in range(episode.length):
        written, data = cv2.imencode('.png', episode.image(camera, row)[..., ::-1])
        if not written:
            raise EpisodeError(f"{episode.path}: camera '{camera}', row {row}: cannot be encoded")
        (folder / f'{row}.png').write_bytes(data.tobytes())
        on_row()


def _write_numbers(path: Path, rows: npt.NDArray[np.float64]) -> None:
    lines = [','.join(repr(value) for value in row) for row in rows.tolist()]
    path.write_text('\n'.join(lines) + '\n', encoding='ascii')
