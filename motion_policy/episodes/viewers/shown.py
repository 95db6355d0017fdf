# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What of an episode a viewer shows, and at which rows.

Rule: everything stands at the time of the row that has it, so that what is seen together is what
a policy is given together. A frame that stands in several rows is shown once, at the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.images import encode_jpeg
from motion_policy.episodes.joint_arrays import Float32Array
from motion_policy.episodes.quality.verdict import Level, odd_verdicts, verdicts_from_json
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.errors import UserError
from motion_policy.robot.kinematics import Kinematics
from motion_policy.robot.spec import Float64Array
from motion_policy.robot.vector import ROTATION, TRANSLATION, VectorSpec

JPEG_QUALITY = 95  # of images whose JPEG has red and blue the other way round


@dataclass(frozen=True)
class Remark:
    """A line on a whole episode: a verdict, an edit, why it ended."""

    level: Level
    about: str
    line: str


def names_in_viewer(paths: Sequence[Path]) -> dict[Path, str]:
    """Return what each episode is called in the viewer; '' where there is only one."""
    if len(paths) == 1:
        return {paths[0]: ''}
    stems = Counter(path.stem for path in paths)
    names: dict[Path, str] = {}
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else f'{path.resolve().parent.name}/{path.stem}'
        if name in names.values():
            raise EpisodeError(
                f"{path}: two episodes are called '{name}', expected other names, to tell them "
                'apart in the viewer'
            )
        names[path] = name
    return names


def new_samples(reader: EpisodeReader, stream: str) -> Iterator[tuple[int, int]]:
    """Yield each row with a sample that the row before has not, and when that was stamped [ns].

    It is the stamp in the header; where there is none, the time of reception or that of the row.
    """
    stamps = reader.stamps(stream)
    before = (0, 0)
    for row, pair in enumerate(
        zip(stamps.header_ns.tolist(), stamps.receive_ns.tolist(), strict=True)
    ):
        if pair != before or pair == (0, 0):
            yield row, pair[0] or pair[1] or int(reader.time_ns[row])
        before = pair


def true_jpeg(reader: EpisodeReader, camera: str, row: int) -> bytes | None:
    """Return the image of a row as a JPEG in the order of colours that every program expects.

    That is the camera's own where it is stored; ALOHA's, with red and blue the other way round, is
    encoded anew. None where pixels are stored.
    """
    if reader.storage(camera) == layout.RAW:
        return None
    data = reader.camera_jpeg(camera, row)
    if data is None:
        data = encode_jpeg(reader.image(camera, row), JPEG_QUALITY, layout.CAMERA_JPEG)
    return data.tobytes()


def newest_numbers(reader: EpisodeReader, vector: str) -> Float32Array:
    """Return the numbers (T, n) of a vector; of one that keeps the last messages, the newest."""
    numbers = reader.vector(vector)
    return numbers[:, -1] if numbers.ndim == 3 else numbers


def is_whole_pose(vector: VectorSpec) -> bool:
    """Whether a vector is the pose of a frame, with translation and rotation."""
    return vector.transform is not None and vector.columns == (*TRANSLATION, *ROTATION)


@dataclass(frozen=True)
class ToolPoses:
    """Where the tool is at the measured joints and at the actions.

    Both are (T, 7): x, y, z [m] and a quaternion x, y, z, w in the frame of the link `root`.
    """

    root: str
    measured: Float64Array
    action: Float64Array


def tool_poses(reader: EpisodeReader) -> ToolPoses | None:
    """Return the poses of the tool; None where the robot names none.

    Raises:
        UserError: there is one, but no Pinocchio.
    """
    robot = reader.robot
    if robot.tool is None:
        return None
    kinematics = Kinematics(robot.tool.urdf, robot.joints.names, 'tool')
    link = kinematics.link(robot.tool.link, 'tool')
    measured, action = (
        np.stack([kinematics.position_and_quaternion(link, row) for row in joints])
        for joints in (reader.qpos.astype(np.float64), reader.action.astype(np.float64))
    )
    return ToolPoses(kinematics.root(), measured, action)


def tool_poses_or_note(reader: EpisodeReader) -> tuple[ToolPoses | None, str]:
    """Return the poses of the tool, and why there are none though the robot names a tool."""
    try:
        return tool_poses(reader), ''
    except UserError as error:
        return None, f'{reader.path}: the pose of its tool is left out: {error}'


def remarks(reader: EpisodeReader) -> list[Remark]:
    """Return a line for what was judged, why it ended, each odd verdict and each edit."""
    judged = {True: 'success', False: 'failure', None: 'not judged'}[reader.success]
    found = [Remark('pass', 'task', f'{reader.task or "no task"}: {judged}')]
    if reader.ended:
        found.append(Remark('warn', 'ended early', reader.ended))
    found += [
        Remark(each.level, each.kind, each.line())
        for each in odd_verdicts(verdicts_from_json(reader.verdicts, reader.path))
    ]
    return found + [Remark('pass', 'edits', text) for text in reader.edits]


def facts(reader: EpisodeReader) -> dict[str, str]:
    """Return what an episode says of itself, as text."""
    return {
        'episode': reader.path.name,
        'robot': reader.robot.name,
        'task': reader.task,
        'success': {True: 'true', False: 'false', None: ''}[reader.success],
        'operator': reader.operator,
        'created': reader.created,
        'ended': reader.ended,
        'quality': reader.quality,
        'rate': f'{reader.rate:g}',
        'edits': '\n'.join(reader.edits),
    }
