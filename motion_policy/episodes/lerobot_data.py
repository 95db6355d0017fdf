# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read the data sets of LeRobot, versions 2.x and 3.x, as they lie in a folder.

What is where is told by `meta/info.json` and the list of episodes; images are decoded in the order
of their times. Needs pyarrow and PyAV, not LeRobot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from motion_policy.episodes.errors import EpisodeError

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
RgbImage = npt.NDArray[np.uint8]

STATE, VELOCITY, EFFORT, ACTION = (
    'observation.state', 'observation.velocity', 'observation.effort', 'action',
)  # fmt: skip
IMAGES = 'observation.images.'
INFO = 'meta/info.json'

_DAMAGE = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


@dataclass(frozen=True)
class LerobotEpisode:
    """One episode: where its rows and its images are, and what was demonstrated.

    `videos` has, for every camera whose images are a video, the file and the time [s] in it.
    """

    number: int
    length: int
    task: str
    data: Path
    videos: dict[str, tuple[Path, float]]


class LerobotSet:
    """A data set in a folder.

    Attributes:
        rate: rows per second.
        joints: number of joints.
        cameras: (height, width) of every camera, by the name behind `observation.images.`.
        episodes: all of them.

    Raises:
        EpisodeError: no such set, of another version, damaged, or without state or action.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._info = self._read_info()
        self._features: dict[str, Any] = self._info['features']
        self._table: tuple[Path, pa.Table] | None = None
        self.rate = float(self._info['fps'])
        self.joints = self._width(STATE)
        if self._width(ACTION) != self.joints:
            raise EpisodeError(
                f"{self.path}: '{ACTION}' has {self._width(ACTION)} columns, expected "
                f"{self.joints} as '{STATE}' has"
            )
        self._keys = {
            key.removeprefix(IMAGES).replace('.', '_'): key
            for key, feature in self._features.items()
            if feature['dtype'] in ('video', 'image') and not _is_depth(feature)
        }
        self.cameras = {name: self._size(key) for name, key in self._keys.items()}
        try:
            self.episodes = tuple(self._episodes())
        except _DAMAGE as error:
            raise EpisodeError(f'{self.path}/meta: is damaged: {_first_line(error)}') from None
        if not self.episodes:
            raise EpisodeError(f'{self.path}: holds no episode, expected at least one')

    def vectors(self, episode: LerobotEpisode) -> dict[str, Float32Array]:
        """Return state, action and, where they are there, velocity and effort, (T, J) each.

        Raises:
            EpisodeError: the rows cannot be read, are not finite or not as many as announced.
        """
        names = [name for name in (STATE, VELOCITY, EFFORT, ACTION) if name in self._features]
        rows = self._rows(episode)
        return {name: self._floats(episode, rows, name) for name in names}

    def images(self, episode: LerobotEpisode, camera: str) -> Iterator[RgbImage]:
        """Yield the images of an episode, (H, W, 3) uint8 RGB.

        Raises:
            EpisodeError: they cannot be decoded, or there are too few.
        """
        if camera in episode.videos:
            path, begin_s = episode.videos[camera]
            return _frames(path, begin_s, episode.length, self.rate)
        return self._stored_images(episode, camera)

    def _stored_images(self, episode: LerobotEpisode, camera: str) -> Iterator[RgbImage]:
        stored = self._rows(episode).column(self._keys[camera])
        for row, image in enumerate(stored):
            data = (image.as_py() or {}).get('bytes')
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), 1) if data else None
            if pixels is None:
                raise EpisodeError(
                    f"{episode.data}: episode {episode.number}, camera '{camera}', row {row}: "
                    'holds no image'
                )
            yield np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def _rows(self, episode: LerobotEpisode) -> pa.Table:
        """The rows of an episode; the last file stays in memory, since many share one."""
        try:
            if self._table is None or self._table[0] != episode.data:
                self._table = (episode.data, pq.read_table(episode.data))
            table = self._table[1]
            rows = table.filter(pc.equal(table.column('episode_index'), episode.number))
        except _DAMAGE as error:
            raise EpisodeError(f'{episode.data}: cannot be read: {_first_line(error)}') from None
        if len(rows) != episode.length:
            raise EpisodeError(
                f'{episode.data}: has {len(rows)} rows of episode {episode.number}, expected '
                f'{episode.length}'
            )
        return rows

    def _floats(self, episode: LerobotEpisode, rows: pa.Table, name: str) -> Float32Array:
        where = f"{episode.data}: episode {episode.number}, '{name}'"
        try:
            column = rows.column(name).combine_chunks()
            flat = column if self.joints == 1 and not _is_list(column.type) else column.flatten()
            values = np.asarray(flat, dtype=np.float32).reshape(len(rows), self.joints)
        except _DAMAGE as error:
            raise EpisodeError(f'{where} cannot be read: {_first_line(error)}') from None
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            row, joint = wrong[0]
            raise EpisodeError(
                f'{where}, row {row}, column {joint} is {values[row, joint]}, expected a finite '
                'number'
            )
        return values

    def _read_info(self) -> dict[str, Any]:
        file = self.path / INFO
        expected = f'expected a data set of LeRobot with {INFO}'
        if not file.is_file():
            raise EpisodeError(f'{self.path}: has no {INFO}, {expected}')
        try:
            info: dict[str, Any] = json.loads(file.read_text(encoding='utf-8'))
            version = str(info['codebase_version'])
            for key in ('fps', 'features', 'data_path'):
                info[key]
        except _DAMAGE as error:
            raise EpisodeError(f'{file}: is damaged: {_first_line(error)}, {expected}') from None
        if not version.startswith(('v2.', 'v3.')):
            raise EpisodeError(f'{file}: is of version {version}, expected v2.x or v3.x')
        return info

    def _width(self, name: str) -> int:
        if name not in self._features:
            raise EpisodeError(
                f"{self.path}: has no '{name}', expected it in a data set of joints"
            )
        shape = self._features[name]['shape']
        if len(shape) != 1:
            raise EpisodeError(f"{self.path}: '{name}' has shape {shape}, expected one axis")
        return int(shape[0])

    def _size(self, key: str) -> tuple[int, int]:
        shape, names = self._features[key]['shape'], self._features[key].get('names')
        first = isinstance(names, list) and names[0] in ('channel', 'channels')
        height, width = shape[1:] if first or shape[-1] != 3 else shape[:2]
        return int(height), int(width)

    def _episodes(self) -> Iterator[LerobotEpisode]:
        listed = self.path / 'meta' / 'episodes.jsonl'
        if listed.is_file():
            lines = listed.read_text(encoding='utf-8').splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
            yield from (self._by_number(row) for row in rows)
            return
        files = sorted((self.path / 'meta' / 'episodes').glob('*/*.parquet'))
        for file in files:
            names = [n for n in pq.read_schema(file).names if not n.startswith('stats/')]
            for row in pq.read_table(file, columns=names).to_pylist():
                yield self._by_place(row)

    def _by_number(self, row: dict[str, Any]) -> LerobotEpisode:
        """Version 2: every episode has files of its own, named by its number."""
        number = int(row['episode_index'])
        chunk = number // int(self._info.get('chunks_size', 1000))
        place = {'episode_chunk': chunk, 'episode_index': number}
        videos = {
            name: (self.path / self._info['video_path'].format(video_key=key, **place), 0.0)
            for name, key in self._videos().items()
        }
        data = self.path / self._info['data_path'].format(**place)
        return LerobotEpisode(number, int(row['length']), _task(row), data, videos)

    def _by_place(self, row: dict[str, Any]) -> LerobotEpisode:
        """Version 3: many episodes in one file, which the list of episodes names."""

        def place(what: str) -> dict[str, int]:
            return {name: row[f'{what}/{name}'] for name in ('chunk_index', 'file_index')}

        videos = {}
        for name, key in self._videos().items():
            path = self._info['video_path'].format(video_key=key, **place(f'videos/{key}'))
            videos[name] = (self.path / path, float(row[f'videos/{key}/from_timestamp']))
        data = self.path / self._info['data_path'].format(**place('data'))
        return LerobotEpisode(row['episode_index'], row['length'], _task(row), data, videos)

    def _videos(self) -> dict[str, str]:
        kinds = {name: self._features[key]['dtype'] for name, key in self._keys.items()}
        return {name: key for name, key in self._keys.items() if kinds[name] == 'video'}


def _is_depth(feature: dict[str, Any]) -> bool:
    about = {**(feature.get('video_info') or {}), **(feature.get('info') or {})}
    return bool(about.get('is_depth_map') or about.get('video.is_depth_map'))


def _task(row: dict[str, Any]) -> str:
    tasks = row.get('tasks') or ['']
    return str(tasks[0])


def _frames(path: Path, begin_s: float, count: int, rate: float) -> Iterator[RgbImage]:
    """Decode `count` frames from `begin_s` on, each of which must stand at its time."""
    found = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None
            container.seek(max(0, round(begin_s / stream.time_base)), stream=stream)
            for frame in container.decode(stream):
                place = (float(frame.time or 0.0) - begin_s) * rate
                if place < -0.5:
                    continue
                if abs(place - found) > 0.5:
                    break
                yield np.asarray(frame.to_ndarray(format='rgb24'), dtype=np.uint8)
                found += 1
                if found == count:
                    return
    except (OSError, IndexError, av.FFmpegError) as error:
        raise EpisodeError(f'{path}: cannot be decoded: {_first_line(error)}') from None
    raise EpisodeError(
        f'{path}: has no frame at {begin_s + found / rate:.3f} s, expected {count} frames, '
        f'{rate:g} per second from {begin_s:.3f} s on'
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind))


def _first_line(error: BaseException) -> str:
    text = f'no {error}' if isinstance(error, KeyError) else str(error)
    return next(iter(text.splitlines()), type(error).__name__)
