# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes as an mcap of Foxglove's own message types (https://docs.foxglove.dev/docs/sdk/schemas).

The log time of a message is the time of its row, its `timestamp` that of the sample.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import foxglove
import numpy as np
from foxglove import channels, messages

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
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
from motion_policy.files import new_file
from motion_policy.robot import depth_stream
from motion_policy.robot.spec import NANOSECONDS_PER_S, Float64Array
from motion_policy.robot.vector import VectorSpec

LEVELS = {
    'pass': messages.LogLevel.Info,
    'warn': messages.LogLevel.Warning,
    'fail': messages.LogLevel.Error,
}
MOST_S = 2**32  # a stamp of Foxglove counts seconds in 32 bits


def write_foxglove(
    episodes: Sequence[Path],
    path: Path,
    *,
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[], None] = lambda: None,
) -> None:
    """Write episodes to one mcap; the topics of several begin with the episode's name.

    Args:
        episodes: the files.
        path: what is written.
        note: told in one line each what was left out.
        on_row: called for each row, for a progress bar.

    Raises:
        EpisodeError: an episode is damaged, or two have one name.
        FileError: the file cannot be written.
    """
    names = names_in_viewer(episodes)
    context = foxglove.Context()
    with new_file(path) as part, part.open('wb') as file:
        output = _Output(file)
        with foxglove.open_mcap(output, context=context) as mcap:
            for episode, name in names.items():
                with EpisodeReader(episode) as reader:
                    _Messages(reader, context, f'/{name}' if name else '', output).write(
                        note, on_row
                    )
                    mcap.write_metadata(name or 'episode', facts(reader))
                    time_ns = int(reader.time_ns[0])
                    mcap.attach(
                        log_time=time_ns,
                        create_time=time_ns,
                        name=f'{name or "episode"}.robot.yaml',
                        media_type='application/yaml',
                        data=reader.robot.to_yaml().encode(),
                    )
        output.check()


class _Output(io.RawIOBase):
    """The file, for a writer that cannot tell what the system said: that is kept for `check`.

    Until then it is as if all went well, since the writer's own complaints are many lines.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._place = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what the system said of a write before."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if self._error is None:
            self._place = self._file.seek(offset, whence)
        else:
            self._place = offset + (0 if whence == io.SEEK_SET else self._place)
        return self._place

    def flush(self) -> None:
        """All is flushed when the file is closed."""


class _Messages:
    """The messages of one episode."""

    def __init__(
        self, reader: EpisodeReader, context: foxglove.Context, prefix: str, output: _Output
    ) -> None:
        self._reader, self._context, self._prefix = reader, context, prefix
        self._output = output
        self._times_ns = reader.time_ns.tolist()
        if not 0 <= self._times_ns[0] <= self._times_ns[-1] < MOST_S * NANOSECONDS_PER_S:
            raise EpisodeError(
                f'{reader.path}: its first row is at {self._times_ns[0]} ns, expected a time '
                'from 1970 to 2106'
            )
        # By row: what is to be logged there.
        self._due: list[list[Callable[[int], None]]] = [[] for _ in self._times_ns]

    def write(self, note: Callable[[str], None], on_row: Callable[[], None]) -> None:
        """Log everything in order of time."""
        self._add_remarks()
        for camera in self._reader.cameras:
            self._add_camera(camera)
        for name in self._reader.robot.depth:
            self._add_depth(name)
        self._add_joints()
        for name, vector in self._reader.robot.vectors.items():
            self._add_vector(name, vector)
        line = self._add_tool()
        if line:
            note(line)
        for row, due in enumerate(self._due):
            for log in due:
                log(row)
            self._output.check()
            on_row()

    def _channel(self, kind: Any, topic: str) -> Any:
        return kind(self._prefix + topic, context=self._context)

    def _stamp(self, ns: int, row: int) -> messages.Timestamp:
        if not 0 <= ns < MOST_S * NANOSECONDS_PER_S:  # a clock that is none
            ns = self._times_ns[row]
        return messages.Timestamp(*divmod(ns, NANOSECONDS_PER_S))

    def _each_row(self, log: Callable[[int], None]) -> None:
        for due in self._due:
            due.append(log)

    def _each_sample(self, stream: str, log: Callable[[int, int], None]) -> None:
        """Call `log(stamp, row)` at each row with a new sample of the stream."""
        for row, stamp_ns in new_samples(self._reader, stream):
            self._due[row].append(partial(log, stamp_ns))

    def _add_remarks(self) -> None:
        channel = self._channel(channels.LogChannel, '/remarks')
        for remark in remarks(self._reader):
            line = messages.Log(
                timestamp=self._stamp(self._times_ns[0], 0),
                level=LEVELS[remark.level],
                message=remark.line,
                name=remark.about,
                file=self._reader.path.name,
            )
            self._due[0].append(partial(self._log_line, channel, line))

    def _log_line(self, channel: Any, line: messages.Log, row: int) -> None:
        channel.log(line, log_time=self._times_ns[row])

    def _add_camera(self, camera: str) -> None:
        reader, pixels = self._reader, self._reader.storage(camera) == layout.RAW
        kind = channels.RawImageChannel if pixels else channels.CompressedImageChannel
        channel = self._channel(kind, f'/cameras/{camera}')

        def log(stamp_ns: int, row: int) -> None:
            head: dict[str, Any] = {'timestamp': self._stamp(stamp_ns, row), 'frame_id': camera}
            jpeg = true_jpeg(reader, camera, row)
            message: Any
            if jpeg is None:
                message = _raw_image(reader.image(camera, row), 'rgb8', head)
            else:
                message = messages.CompressedImage(data=jpeg, format='jpeg', **head)
            channel.log(message, log_time=self._times_ns[row])

        self._each_sample(camera, log)

    def _add_depth(self, name: str) -> None:
        reader = self._reader
        channel = self._channel(channels.RawImageChannel, f'/depth/{name}')

        def log(stamp_ns: int, row: int) -> None:
            head: dict[str, Any] = {'timestamp': self._stamp(stamp_ns, row), 'frame_id': name}
            image = reader.depth(name, row).astype('<u2', copy=False)
            channel.log(_raw_image(image, '16UC1', head), log_time=self._times_ns[row])

        self._each_sample(depth_stream(name), log)

    def _add_joints(self) -> None:
        reader = self._reader
        reported = reader.qvel if reader.qvel.any() else None
        for topic, values, velocities, efforts in (
            ('/joints/measured', reader.qpos, reported, reader.effort),
            ('/joints/action', reader.action, None, None),
        ):
            channel = self._channel(channels.JointStatesChannel, topic)
            self._each_row(self._joints(channel, values, velocities, efforts))

    def _joints(
        self,
        channel: Any,
        values: Float32Array,
        velocities: Float32Array | None,
        efforts: Float32Array | None,
    ) -> Callable[[int], None]:
        """What logs a row; the number of a base's joint is a velocity."""
        names, of_base = self._reader.joint_names, self._reader.robot.joints.velocities

        def log(row: int) -> None:
            joints = []
            for place, name in enumerate(names):
                fields = {'velocity' if name in of_base else 'position': values[row, place]}
                if velocities is not None and name not in of_base:
                    fields['velocity'] = velocities[row, place]
                if efforts is not None:
                    fields['effort'] = efforts[row, place]
                numbers = {key: float(value) for key, value in fields.items()}
                joints.append(messages.JointState(name=name, **numbers))
            time_ns = self._times_ns[row]
            message = messages.JointStates(timestamp=self._stamp(time_ns, row), joints=joints)
            channel.log(message, log_time=time_ns)

        return log

    def _add_vector(self, name: str, vector: VectorSpec) -> None:
        numbers = newest_numbers(self._reader, name)
        channel = foxglove.Channel(
            f'{self._prefix}/vectors/{name}',
            schema=vector_schema(name, vector),
            context=self._context,
        )

        def log(row: int) -> None:
            channel.log(as_message(vector, numbers[row]), log_time=self._times_ns[row])

        self._each_row(log)
        if is_whole_pose(vector) and vector.transform is not None:
            self._add_transform(name, vector.transform, numbers)

    def _add_transform(self, name: str, frames: tuple[str, str], numbers: Float32Array) -> None:
        channel = self._channel(channels.FrameTransformChannel, f'/transforms/{name}')

        def log(row: int) -> None:
            x, y, z, *rotation = numbers[row].tolist()
            time_ns = self._times_ns[row]
            message = messages.FrameTransform(
                timestamp=self._stamp(time_ns, row),
                parent_frame_id=frames[0],
                child_frame_id=frames[1],
                translation=messages.Vector3(x=x, y=y, z=z),
                rotation=_quaternion(rotation),
            )
            channel.log(message, log_time=time_ns)

        self._each_row(log)

    def _add_tool(self) -> str:
        """Add the poses of the tool; return why there are none."""
        poses, line = tool_poses_or_note(self._reader)
        if poses is None:
            return line
        for topic, numbers in (('measured', poses.measured), ('action', poses.action)):
            channel = self._channel(channels.PoseInFrameChannel, f'/tool/{topic}')
            self._each_row(self._poses(channel, poses.root, numbers))
        return line

    def _poses(self, channel: Any, frame: str, numbers: Float64Array) -> Callable[[int], None]:
        def log(row: int) -> None:
            x, y, z, *rotation = numbers[row].tolist()
            time_ns = self._times_ns[row]
            pose = messages.Pose(
                position=messages.Vector3(x=x, y=y, z=z), orientation=_quaternion(rotation)
            )
            message = messages.PoseInFrame(
                timestamp=self._stamp(time_ns, row), frame_id=frame, pose=pose
            )
            channel.log(message, log_time=time_ns)

        return log


def _raw_image(
    image: np.ndarray[Any, Any], encoding: str, head: Mapping[str, Any]
) -> messages.RawImage:
    pixels = np.ascontiguousarray(image)
    return messages.RawImage(
        width=pixels.shape[1],
        height=pixels.shape[0],
        step=pixels.strides[0],
        encoding=encoding,
        data=pixels.tobytes(),
        **head,
    )


def _quaternion(numbers: Sequence[float]) -> messages.Quaternion:
    x, y, z, w = numbers
    return messages.Quaternion(x=x, y=y, z=z, w=w)


def vector_schema(name: str, vector: VectorSpec) -> dict[str, Any]:
    """Return the JSON schema of a vector's messages, whose fields are those of its ROS message."""
    schema: dict[str, Any] = {'type': 'object', 'title': f'{name} of {vector.type}'}
    for path, size in vector.paths:
        *parents, field = path.split('.')
        inner = schema
        for parent in parents:
            inner = inner.setdefault('properties', {}).setdefault(parent, {'type': 'object'})
        number = {'type': 'number'}
        kind = number if size is None else {'type': 'array', 'items': number}
        inner.setdefault('properties', {})[field] = kind
    return schema


def as_message(vector: VectorSpec, numbers: Float32Array) -> dict[str, Any]:
    """Return the numbers (n,) of a vector under the names of its fields."""
    message: dict[str, Any] = {}
    values = iter(numbers.tolist())
    for path, size in vector.paths:
        *parents, field = path.split('.')
        inner = message
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[field] = next(values) if size is None else [next(values) for _ in range(size)]
    return message
