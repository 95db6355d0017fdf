# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read the data sets of LeRobot, versions 2.x and 3.x, as they lie in a folder.

What is where is told by `meta/info.json` and the list of episodes, which `lerobot_meta` checks;
rows are held together by `lerobot_rows`. Needs pyarrow and PyAV, not LeRobot.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.lerobot.frames import stored_bytes, stored_image, video_frames
from motion_policy.episodes.formats.lerobot.meta import (
    INFO,
    MOST_COLUMNS,
    OBSERVATION,
    VECTORS,
    ListedEpisode,
    read_episodes,
    read_info,
    read_judgements,
    read_tasks,
)
from motion_policy.episodes.formats.lerobot.rows import COUNTS, INDEX, TASK, TIME, RowFile, Rows
from motion_policy.robot import VectorSpec
from motion_policy.streams import StreamError
from motion_policy.streams.jpeg import image_header

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

STATE, VELOCITY, EFFORT, ACTION = VECTORS
IMAGES = 'observation.images.'

# Of a period: a stamp this close to its place on the grid stands on it.
ON_GRID = 0.05


@dataclass(frozen=True)
class VideoPart:
    """Where an episode stands in a video [s]; `end_s` None: the video ends with it.

    `next_number` is the episode that begins at `end_s`; None: the list of episodes says that.
    """

    path: Path
    begin_s: float
    end_s: float | None = None
    next_number: int | None = None


@dataclass(frozen=True)
class LerobotEpisode:
    """One episode: where its rows and its images are, and what was demonstrated.

    `videos` has, for every camera whose images are a video, where they are in it.
    `first_row` is the number of its first row in the whole set, where the set says so. `success`
    and `operator` are those of our own export.
    """

    number: int
    length: int
    tasks: tuple[str, ...]
    data: Path
    videos: dict[str, VideoPart]
    first_row: int | None = None
    success: bool | None = None
    operator: str = ''


class LerobotSet:
    """A data set in a folder.

    Attributes:
        rate: rows per second.
        joints: number of joints.
        names: what the set calls the columns of a vector, () where it does not.
        robot_type: what it says its robot is; '' where it does not.
        cameras: (height, width) of every camera, by the name behind `observation.images.`.
        left_out: features that are neither joints nor images of 8 bits, in colours or grey.
        episodes: all of them.

    Raises:
        EpisodeError: no such set, of another version, damaged, or without state or action.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._info = read_info(self.path)
        self._features = self._info.features
        self.rate = self._info.fps
        self.robot_type = self._info.robot_type or ''
        self.joints = self._width(STATE)
        if self._width(ACTION) != self.joints:
            raise EpisodeError(
                f"{self.path}: '{ACTION}' has {self._width(ACTION)} columns, expected "
                f"{self.joints} as '{STATE}' has"
            )
        optional = [name for name in (VELOCITY, EFFORT) if self._fits(name)]
        self._vectors = [STATE, *optional, ACTION]
        self.names = {name: self._features[name].names for name in self._vectors}
        self._keys = self._camera_keys()
        self._tasks = read_tasks(self.path)
        self._judgements = read_judgements(self.path)
        listed = read_episodes(self.path, self._info, tuple(self._videos().values()))
        listed.sort(key=lambda each: each.episode_index)
        self.episodes = _ended([self._placed(each) for each in listed], 0.5 / self.rate)
        self._numbers: dict[str, str] = {}  # vectors that are read, and their keys
        self._file: RowFile | None = None
        self._last: tuple[LerobotEpisode, Rows] | None = None
        self._keys = {name: key for name, key in self._keys.items() if not self._is_deep(key)}
        sizes = {name: self._features[key].image_size for name, key in self._keys.items()}
        self.cameras = {name: size for name, size in sizes.items() if size is not None}
        used = {*self._vectors, *self._keys.values(), *COUNTS, TIME}
        self.left_out = tuple(name for name in self._features if name not in used)

    def vectors(self, episode: LerobotEpisode) -> dict[str, Float32Array]:
        """Return state, action and, where they are there, velocity and effort, (T, J) each.

        Of velocity and effort, rows that do not report them hold NaN.

        Raises:
            EpisodeError: the rows cannot be read, are not finite or not as many as announced.
        """
        rows = self._rows(episode)
        file = self._opened(episode)
        return {
            name: file.vector(rows, name, nan=name in (VELOCITY, EFFORT)) for name in self._vectors
        }

    def names_of(self, vector: str) -> tuple[str, ...]:
        """What the set calls the numbers of a vector of this name; () where it says nothing."""
        feature = self._features.get(f'{OBSERVATION}{vector}')
        return () if feature is None else feature.names

    def take_vectors(self, vectors: Mapping[str, VectorSpec]) -> dict[str, tuple[str, ...]]:
        """Let those of a robot's vectors be read that are there; return their names here.

        Args:
            vectors: of the robot, whose fields are numbers and arrays.

        Raises:
            EpisodeError: one has another number of columns.
        """
        for name, vector in vectors.items():
            key = f'{OBSERVATION}{name}'
            if key not in self.left_out:
                continue
            feature = self._features[key]
            if feature.shape != vector.shape:
                raise EpisodeError(
                    f"{self.path}: '{key}' has shape {list(feature.shape)}, expected "
                    f'{list(vector.shape)}: {", ".join(vector.fields)}'
                )
            self._numbers[name] = key
        self._file = self._last = None  # opened without them
        taken = self._numbers.values()
        self.left_out = tuple(name for name in self.left_out if name not in taken)
        return {name: self._features[key].names for name, key in self._numbers.items()}

    def numbers(self, episode: LerobotEpisode) -> dict[str, Float32Array]:
        """Return the vectors (T, n) or (T, k, n) that are taken, by the robot's names.

        Raises:
            EpisodeError: the rows cannot be read, are not finite or not as many as announced.
        """
        rows = self._rows(episode)
        file = self._opened(episode)
        return {
            name: file.vector(rows, key).reshape(len(rows), *self._features[key].shape)
            for name, key in self._numbers.items()
        }

    def times(self, episode: LerobotEpisode) -> Array:
        """Return the times [s] of the rows in their episode, (T,), ascending.

        They are those of the stamps, or of the grid where the set has none.

        Raises:
            EpisodeError: they cannot be read, or do not ascend.
        """
        rows = self._rows(episode)
        stamps = rows.counters.get(TIME)
        if stamps is None:
            return np.arange(episode.length) / self.rate
        where = f'{episode.data}: episode {episode.number}'
        wrong = np.flatnonzero(~np.isfinite(stamps))
        if len(wrong):
            raise EpisodeError(f'{where}, row {wrong[0]}: {TIME} is {stamps[wrong[0]]}')
        back = np.flatnonzero(np.diff(stamps) <= 0)
        if len(back):
            row = back[0] + 1
            raise EpisodeError(
                f'{where}, row {row}: {TIME} is {stamps[row]:.4f} s after {stamps[row - 1]:.4f} s '
                'in the row before, expected stamps that ascend'
            )
        return np.asarray(stamps, dtype=np.float64)

    def on_grid(self, times_s: Array) -> bool:
        """Whether stamps (T,) [s] stand at the set's rate."""
        grid = times_s[0] + np.arange(len(times_s)) / self.rate
        return bool(np.abs(times_s - grid).max() <= ON_GRID / self.rate)

    def tasks(self, episode: LerobotEpisode) -> tuple[str, ...]:
        """Return all that is demonstrated in an episode, in its order.

        Raises:
            EpisodeError: a row has a task that the set does not list.
        """
        numbers = self._rows(episode).counters.get(TASK)
        found: list[str] = []
        if numbers is not None and self._tasks:
            _, first = np.unique(numbers, return_index=True)
            for row in sorted(first.tolist()):
                if (number := int(numbers[row])) not in self._tasks:
                    raise EpisodeError(
                        f'{episode.data}: episode {episode.number}, row {row}: {TASK} is '
                        f'{number}, expected one of meta/tasks: 0 to {max(self._tasks)}'
                    )
                found.append(self._tasks[number])
        return tuple(dict.fromkeys([*found, *episode.tasks]))

    def images(self, episode: LerobotEpisode, camera: str) -> Iterator[RgbImage]:
        """Yield the images of an episode, (H, W, 3) uint8 RGB.

        Raises:
            EpisodeError: they cannot be decoded, are damaged, or there are too few.
        """
        size = self.cameras[camera]
        if camera in episode.videos:
            part = episode.videos[camera]
            times_s = part.begin_s + self.times(episode)
            self._check_end(episode, part, float(times_s[-1]))
            return video_frames(part.path, times_s, 0.5 / self.rate, size)
        return self._stored_images(episode, camera)

    def _stored_images(self, episode: LerobotEpisode, camera: str) -> Iterator[RgbImage]:
        stored = self._opened(episode).images(self._rows(episode), self._keys[camera])
        for row, data in enumerate(stored):
            where = f"{episode.data}: episode {episode.number}, camera '{camera}', row {row}"
            yield stored_image(data, where, self.cameras[camera])

    def _check_end(self, episode: LerobotEpisode, part: VideoPart, last_s: float) -> None:
        """Refuse rows behind the end of their episode: the video has others' frames there.

        Writers differ in whether an end that the list gives is that of the last frame.
        """
        if part.end_s is None:
            return
        half_s = 0.5 / self.rate
        if last_s <= part.end_s + (half_s if part.next_number is None else -half_s):
            return
        other = 'it ends' if part.next_number is None else f'episode {part.next_number} begins'
        raise EpisodeError(
            f'{part.path}: {other} at {part.end_s:.3f} s, but the {episode.length} rows of '
            f'episode {episode.number} go from {part.begin_s:.3f} to {last_s:.3f} s: frames are '
            'missing'
        )

    def _opened(self, episode: LerobotEpisode) -> RowFile:
        """The file of an episode; the last one stays in memory, since many share one."""
        if self._file is None or self._file.file != episode.data:
            rows = sum(each.length for each in self.episodes if each.data == episode.data)
            widths = dict.fromkeys(self._vectors, self.joints)
            shapes = {key: self._features[key].shape for key in self._numbers.values()}
            widths |= {key: math.prod(shape) for key, shape in shapes.items()}
            self._file = RowFile(episode.data, widths, rows)
        return self._file

    def _rows(self, episode: LerobotEpisode) -> Rows:
        if self._last is not None and self._last[0] == episode:
            return self._last[1]
        rows = self._opened(episode).episode(episode.number, episode.length)
        first = rows.counters.get(INDEX)
        if episode.first_row is not None and first is not None and first[0] != episode.first_row:
            raise EpisodeError(
                f'{episode.data}: episode {episode.number}: its first row has the index '
                f'{first[0]}, expected {episode.first_row} as the list of episodes has'
            )
        self._last = (episode, rows)
        return rows

    def _fits(self, name: str) -> bool:
        return name in self._features and self._features[name].shape == (self.joints,)

    def _width(self, name: str) -> int:
        if name not in self._features:
            raise EpisodeError(
                f"{self.path}: has no '{name}', expected it in a data set of joints"
            )
        shape = self._features[name].shape
        if len(shape) != 1 or shape[0] > MOST_COLUMNS:
            raise EpisodeError(
                f"{self.path}: '{name}' has shape {list(shape)}, expected one axis of at most "
                f'{MOST_COLUMNS}'
            )
        return shape[0]

    def _camera_keys(self) -> dict[str, str]:
        keys: dict[str, str] = {}
        for key, feature in self._features.items():
            if not feature.is_image or feature.is_depth or feature.image_size is None:
                continue
            name = key.removeprefix(IMAGES).replace('.', '_')
            if name in keys:
                raise EpisodeError(
                    f"{self.path / INFO}: '{key}' and '{keys[name]}' are both camera '{name}'"
                )
            keys[name] = key
        return keys

    def _is_deep(self, key: str) -> bool:
        """Whether stored images of one channel are something else than grey of 8 bits: depth."""
        feature = self._features[key]
        if feature.dtype != 'image' or not feature.is_grey:
            return False
        first = self.episodes[0]
        data = next(self._opened(first).images(self._rows(first), key), None)
        try:
            return image_header(stored_bytes(data, f"{first.data}: '{key}'")).bits > 8
        except StreamError:
            return True

    def _placed(self, listed: ListedEpisode) -> LerobotEpisode:
        """Version 2: files of its own, named by its number; 3: those that the list names."""
        two = self._info.codebase_version.startswith('v2')
        number = listed.episode_index
        videos = {}
        for name, key in self._videos().items():
            place = self._numbered(number) if two else _filed(listed.places[key])
            path = self._path(self._info.video_path or '', {'video_key': key, **place})
            begin_s = 0.0 if two else listed.begins_s[key]
            videos[name] = VideoPart(path, begin_s, listed.ends_s.get(key))
        place = self._numbered(number) if two else _filed(listed.places['data'])
        data = self._path(self._info.data_path, place)
        judged = self._judgements.get(number)
        same = judged is not None and judged.length == listed.length
        return LerobotEpisode(
            number,
            listed.length,
            listed.tasks,
            data,
            videos,
            listed.first_row,
            judged.success if judged and same else None,
            judged.operator if judged and same else '',
        )

    def _numbered(self, number: int) -> dict[str, int]:
        return {'episode_chunk': number // self._info.chunks_size, 'episode_index': number}

    def _path(self, template: str, values: dict[str, Any]) -> Path:
        return self.path / template.format(**values)

    def _videos(self) -> dict[str, str]:
        if self._info.video_path is None:
            return {}
        kinds = {name: self._features[key].dtype for name, key in self._keys.items()}
        return {name: key for name, key in self._keys.items() if kinds[name] == 'video'}


def _ended(episodes: list[LerobotEpisode], slack_s: float) -> tuple[LerobotEpisode, ...]:
    """The same episodes, each ending in a video at the latest where the next one begins."""
    ended = {episode.number: dict(episode.videos) for episode in episodes}
    there: dict[tuple[str, Path], list[tuple[float, int]]] = {}
    for episode in episodes:
        for camera, part in episode.videos.items():
            there.setdefault((camera, part.path), []).append((part.begin_s, episode.number))
    for (camera, _), begins in there.items():
        for (_, number), (next_s, next_number) in itertools.pairwise(sorted(begins)):
            part = ended[number][camera]
            if part.end_s is None or next_s <= part.end_s + slack_s:
                ended[number][camera] = replace(part, end_s=next_s, next_number=next_number)
    return tuple(replace(episode, videos=ended[episode.number]) for episode in episodes)


def _filed(place: tuple[int, int]) -> dict[str, int]:
    return {'chunk_index': place[0], 'file_index': place[1]}
