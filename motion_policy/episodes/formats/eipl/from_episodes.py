# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write episodes as a set of EIPL: `images.npy`, `joints.npy` and `joint_bounds.npy`.

Its episodes are of one length, so shorter ones repeat their last row; they have one camera and no
stream of actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.formats.eipl.read import BOUNDS, IMAGES, JOINTS, SPLITS
from motion_policy.episodes.formats.export_set import ExportSet, one_camera, split_sets
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import new_folder

Array = npt.NDArray[Any]


def eipl_parts(source: Path) -> dict[str, ExportSet]:
    """Look at a folder: one set, named '', or two where it holds `train/` and `test/`.

    Raises:
        EpisodeError: no episode, or episodes of different kinds.
    """
    return split_sets(source, SPLITS)


def export_eipl(
    parts: Mapping[str, ExportSet],
    out_dir: str | Path,
    *,
    camera: str = '',
    channels: Literal['bgr', 'rgb'] = 'bgr',
    on_row: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write every part; return its folders.

    Args:
        parts: of `eipl_parts`.
        out_dir: a new folder.
        camera: the camera to export; default: the only one there is.
        channels: the order of the colours to write.
        on_row: called after every row.

    Raises:
        EpisodeError: no such camera, an episode is damaged, or the folder cannot be written.
    """
    name = one_camera(next(iter(parts.values())), camera, 'a set of EIPL')
    with new_folder(Path(out_dir)) as folder:
        bounds = [
            _write_part(folder / split, part, name, channels == 'bgr', on_row)
            for split, part in parts.items()
        ]
        low, high = np.min([low for low, _ in bounds], 0), np.max([high for _, high in bounds], 0)
        np.save(folder / BOUNDS, np.stack((low, high)))
    return [Path(out_dir) / split for split in parts]


def _write_part(
    folder: Path, part: ExportSet, camera: str, bgr: bool, on_row: Callable[[], None]
) -> tuple[Array, Array]:
    """Write one folder; return the least and the greatest position of every joint."""
    folder.mkdir(exist_ok=True)
    count, longest, spec = len(part.rows), max(part.rows), part.cameras[camera]
    joints = np.zeros((count, longest, len(part.joint_names)), np.float32)
    shape = (count, longest, spec.height, spec.width, 3)
    header = {'descr': '|u1', 'fortran_order': False, 'shape': shape}
    # Row after row: a full disk ends a process that writes to a file in its memory.
    with (folder / IMAGES).open('wb') as images:
        np.lib.format.write_array_header_1_0(images, header)
        for number, path in enumerate(part.episodes):
            with EpisodeReader(path) as episode:
                for row in range(longest):
                    if row < episode.length:
                        pixels = episode.image(camera, row)
                        joints[number, row] = episode.qpos[row]
                        on_row()
                    else:
                        joints[number, row] = joints[number, row - 1]
                    images.write((pixels[..., ::-1] if bgr else pixels).tobytes())
    np.save(folder / JOINTS, joints)
    return joints.min(axis=(0, 1)), joints.max(axis=(0, 1))
