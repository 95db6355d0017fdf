# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes for the viewer of Rerun (https://rerun.io), as a file or sent to it.

Two timelines: `time`, that of the rows in the file, and `row`, from 0 in each episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rerun
from rerun import blueprint

from motion_policy.episodes.joint_arrays import Float32Array
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.episodes.viewers.shown import (
    facts,
    is_whole_pose,
    names_in_viewer,
    new_samples,
    newest_numbers,
    remarks,
    tool_poses_or_note,
    true_jpeg,
)
from motion_policy.errors import UserError
from motion_policy.files import FileError, new_file, shown
from motion_policy.robot import depth_stream
from motion_policy.robot.spec import Float64Array

MM_PER_M = 1000.0
VIEWER_S = 30.0  # in which it takes what it is sent
TIME, ROW = 'time', 'row'
LEVELS = {'pass': 'INFO', 'warn': 'WARN', 'fail': 'ERROR'}


def write_rerun(
    episodes: Sequence[Path],
    path: Path | None,
    *,
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[], None] = lambda: None,
) -> None:
    """Write episodes to one .rrd; what is of several stands below the episode's name.

    Args:
        episodes: the files.
        path: what is written; None: Rerun's viewer is opened, and shows them.
        note: told in one line each what was left out.
        on_row: called for each row, for a progress bar.

    Raises:
        EpisodeError: an episode is damaged, or two have one name.
        FileError: the file cannot be written.
    """
    names = names_in_viewer(episodes)
    recording = rerun.RecordingStream('motion_policy')
    recording.set_log_time_enabled(False)
    with _output(recording, path):
        layouts = []
        for episode, name in names.items():
            with EpisodeReader(episode) as reader:
                entities = _Entities(reader, recording, [name] if name else [])
                line = entities.send_numbers()
                if line:
                    note(line)
                layouts.append(entities.layout(name or episode.stem))
                for _ in entities.send_images():
                    on_row()
        recording.send_blueprint(blueprint.Blueprint(blueprint.Tabs(*layouts)))


@contextmanager
def _output(recording: rerun.RecordingStream, path: Path | None) -> Iterator[None]:
    """Send what is logged to a file, or to a viewer that is opened."""
    if path is None:
        recording.spawn()
        yield
        try:
            recording.flush(timeout_sec=VIEWER_S)
        except Exception as error:
            raise UserError(
                f"Rerun's viewer does not answer within {VIEWER_S:g} s: {error}; expected a "
                'screen, or a file: --rerun FILE.rrd'
            ) from None
        return
    with new_file(path) as part:
        recording.save(part)
        yield
        try:
            recording.flush()
        except RuntimeError as error:  # what the system said is on stderr already
            raise FileError(f'{shown(path)}: cannot be written: {error}') from None
        recording.disconnect()


class _Entities:
    """The entities of one episode, below `prefix`."""

    def __init__(
        self, reader: EpisodeReader, recording: rerun.RecordingStream, prefix: list[str]
    ) -> None:
        self._reader, self._recording, self._prefix = reader, recording, prefix
        self._index = [
            rerun.TimeColumn(TIME, timestamp=reader.time_ns.astype('datetime64[ns]')),
            rerun.TimeColumn(ROW, sequence=np.arange(reader.length)),
        ]
        self._poses = False

    def layout(self, name: str) -> blueprint.Horizontal:
        """What the viewer shows at first: images beside joints, and remarks beneath."""
        reader = self._reader
        images = [
            blueprint.Spatial2DView(origin=self._origin(kind, camera), name=f'{kind} {camera}')
            for kind, cameras in (('cameras', reader.cameras), ('depth', reader.robot.depth))
            for camera in cameras
        ]
        curves = [
            blueprint.TimeSeriesView(origin=self._origin('joints', joint), name=label)
            for joint, label in zip(reader.joint_names, reader.robot.joints.labels, strict=True)
        ]
        curves += [
            blueprint.TimeSeriesView(origin=self._origin('vectors', vector), name=vector)
            for vector in reader.robot.vectors
        ]
        poses = [blueprint.Spatial3DView(origin=self._origin('poses'))] if self._poses else []
        remarks = blueprint.TextLogView(origin=self._origin('remarks'), name='remarks')
        return blueprint.Horizontal(
            blueprint.Vertical(blueprint.Grid(*images, *poses), remarks, row_shares=[4, 1]),
            blueprint.Grid(*curves),
            name=name,
        )

    def send_numbers(self) -> str:
        """Send all but images; return why the tool's pose is left out, if it is."""
        reader = self._reader
        self._set_row(0)
        for remark in remarks(reader):
            text = f'{remark.about}: {remark.line}'
            self._log(['remarks'], rerun.TextLog(text, level=LEVELS[remark.level]))
        told = '\n'.join(f'{key}: {value}' for key, value in facts(reader).items())
        self._log(['episode'], rerun.TextDocument(told), static=True)
        self._log(['robot'], rerun.TextDocument(reader.robot.to_yaml()), static=True)
        reported = reader.qvel if reader.qvel.any() else None
        for kind, values in (
            ('measured', reader.qpos),
            ('action', reader.action),
            ('velocity', reported),
            ('effort', reader.effort),
        ):
            for place, joint in enumerate(reader.joint_names if values is not None else ()):
                assert values is not None
                self._send_curve(['joints', joint, kind], values[:, place])
        for name, vector in reader.robot.vectors.items():
            numbers = newest_numbers(reader, name)
            for place, column in enumerate(vector.columns):
                self._send_curve(['vectors', name, column], numbers[:, place])
            if is_whole_pose(vector):
                self._send_poses(['poses', 'vectors', name], numbers)
        poses, line = tool_poses_or_note(reader)
        if poses is not None:
            self._send_poses(['poses', 'tool', 'measured'], poses.measured)
            self._send_poses(['poses', 'tool', 'action'], poses.action)
        return line

    def send_images(self) -> Iterator[int]:
        """Send the images, row after row; yield each row."""
        due: list[list[Callable[[int], None]]] = [[] for _ in range(self._reader.length)]
        for camera in self._reader.cameras:
            for row, _ in new_samples(self._reader, camera):
                due[row].append(partial(self._log_camera, camera))
        for name in self._reader.robot.depth:
            for row, _ in new_samples(self._reader, depth_stream(name)):
                due[row].append(partial(self._log_depth, name))
        for row, logs in enumerate(due):
            self._set_row(row)
            for log in logs:
                log(row)
            yield row

    def _log_camera(self, camera: str, row: int) -> None:
        jpeg = true_jpeg(self._reader, camera, row)
        archetype: Any
        if jpeg is None:
            archetype = rerun.Image(self._reader.image(camera, row), color_model='RGB')
        else:
            archetype = rerun.EncodedImage(contents=jpeg, media_type='image/jpeg')
        self._log(['cameras', camera], archetype)

    def _log_depth(self, name: str, row: int) -> None:
        image = self._reader.depth(name, row)
        self._log(['depth', name], rerun.DepthImage(image, meter=MM_PER_M))

    def _send_curve(self, parts: list[str], values: Float32Array) -> None:
        columns = rerun.Scalars.columns(scalars=values.astype(np.float64))
        self._recording.send_columns(self._path(parts), self._index, columns)

    def _send_poses(self, parts: list[str], numbers: Float32Array | Float64Array) -> None:
        """Send poses (T, 7), and the way of their origin as a line."""
        self._poses = True
        columns = rerun.Transform3D.columns(
            translation=numbers[:, :3], quaternion=numbers[:, 3:].astype(np.float32)
        )
        self._recording.send_columns(self._path(parts), self._index, columns)
        self._log(
            [*parts[:-1], f'{parts[-1]} way'], rerun.LineStrips3D([numbers[:, :3]]), static=True
        )

    def _set_row(self, row: int) -> None:
        time = self._reader.time_ns[row].astype('datetime64[ns]')
        self._recording.set_time(TIME, timestamp=time)
        self._recording.set_time(ROW, sequence=row)

    def _log(self, parts: list[str], what: Any, *, static: bool = False) -> None:
        self._recording.log(self._path(parts), what, static=static)

    def _path(self, parts: list[str]) -> str:
        return str(rerun.new_entity_path([*self._prefix, *parts]))

    def _origin(self, *parts: str) -> str:
        return self._path(list(parts))
