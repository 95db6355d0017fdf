# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Write episodes as a data set of LeRobot, version 3.0: Parquet, H.264 and `meta/`.

Its `observation.state` are our measured positions, its `action` ours; nothing is resampled. Needs
pyarrow and PyAV, not LeRobot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.export_set import ExportSet
from motion_policy.episodes.formats.lerobot.meta import JUDGEMENTS, OBSERVATION, VECTORS
from motion_policy.episodes.formats.lerobot.statistics import ImageCounts, vector_statistics
from motion_policy.episodes.formats.lerobot.video import FILE_BYTES, VideoPlace, Videos
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import new_folder

Array = npt.NDArray[Any]
Features = dict[str, dict[str, Any]]

VERSION = 'v3.0'
FILES_PER_CHUNK = 1000
DATA_FILE_MIB = 100
FILE = 'chunk-{chunk_index:03d}/file-{file_index:03d}'
DATA = f'data/{FILE}.parquet'
EPISODES = f'meta/episodes/{FILE}.parquet'
FIRST = {'chunk_index': 0, 'file_index': 0}

STATE, VELOCITY, EFFORT, ACTION = VECTORS
COUNTS = ('frame_index', 'episode_index', 'index', 'task_index')


def export_lerobot(
    chosen: ExportSet,
    out_dir: str | Path,
    *,
    task: str = '',
    crf: int = 18,
    on_row: Callable[[], None] = lambda: None,
) -> Path:
    """Write a data set; return its folder.

    Args:
        chosen: the episodes.
        out_dir: a new folder; in LeRobot's cache its name is the data set's `repo_id`.
        task: what is demonstrated; default: what each episode says.
        crf: quality of the videos, 0 (best) to 51.
        on_row: called after every row.

    Raises:
        EpisodeError: an episode is damaged, or the folder cannot be written.
    """
    with new_folder(Path(out_dir)) as folder:
        _DataSet(folder, chosen, task, crf, on_row).write()
    return Path(out_dir)


class _DataSet:
    """One data set that is being written."""

    def __init__(
        self, folder: Path, chosen: ExportSet, task: str, crf: int, on_row: Callable[[], None]
    ) -> None:
        self._folder, self._chosen, self._on_row = folder, chosen, on_row
        self._task, self._crf = task, crf
        self._tasks: list[str] = []
        self._judgements: list[dict[str, Any]] = []
        self._features = _features(chosen)
        self._files = _ParquetFiles(folder, _schema(self._features))
        self._vectors: dict[str, list[Array]] = {}
        self._counts: dict[str, list[ImageCounts]] = {
            f'{_image_key(c)}': [] for c in chosen.cameras
        }

    def write(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(self._files)
            videos = {camera: self._videos(camera) for camera in self._chosen.cameras}
            for each in videos.values():
                stack.enter_context(each)
            rows = [
                self._episode(number, path, videos)
                for number, path in enumerate(self._chosen.episodes)
            ]
        self._write_meta(rows)

    def _videos(self, camera: str) -> Videos:
        folder = self._folder / 'videos' / _image_key(camera)
        return Videos(folder, f'{FILE}.mp4', self._chosen.rate, crf=self._crf)

    def _episode(self, number: int, path: Path, videos: dict[str, Videos]) -> dict[str, Any]:
        """Write the rows and images of an episode; return its row of `meta/episodes`."""
        with EpisodeReader(path) as episode:
            task = self._task or episode.task
            if task not in self._tasks:
                self._tasks.append(task)
            columns = self._columns(number, episode, self._tasks.index(task))
            self._note_judgement(number, episode)
            places, counts = self._write_images(episode, videos)
        data = self._files.write(columns)
        first = int(columns['index'][0])
        statistics = {name: vector_statistics(values) for name, values in columns.items()}
        statistics |= {name: each.statistics() for name, each in counts.items()}
        for name, values in columns.items():
            self._vectors.setdefault(name, []).append(values)
        for name, each in counts.items():
            self._counts[name].append(each)
        return {
            'episode_index': number,
            'tasks': [task],
            'length': len(columns['index']),
            **_place('data', data),
            'dataset_from_index': first,
            'dataset_to_index': first + len(columns['index']),
            **{key: value for name, place in places.items() for key, value in _video(name, place)},
            **{
                f'stats/{name}/{statistic}': value
                for name, each in statistics.items()
                for statistic, value in each.items()
            },
            **_place('meta/episodes', 0),
        }

    def _note_judgement(self, number: int, episode: EpisodeReader) -> None:
        if episode.success is None and not episode.operator:
            return
        said = {'success': episode.success, 'operator': episode.operator}
        self._judgements.append({'episode_index': number, 'length': episode.length, **said})

    def _columns(self, number: int, episode: EpisodeReader, task: int) -> dict[str, Array]:
        rows = np.arange(episode.length)
        first = sum(self._chosen.rows[:number])
        vectors = {STATE: episode.qpos, VELOCITY: episode.qvel, EFFORT: episode.effort}
        kept = {name: vectors[name] for name in vectors if name in self._features}
        return {
            **{name: values for name, values in kept.items() if values is not None},
            **{_vector_key(name): episode.vector(name) for name in self._chosen.vectors},
            ACTION: episode.action,
            'timestamp': (rows / self._chosen.rate).astype(np.float32),
            'frame_index': rows,
            'episode_index': np.full(len(rows), number),
            'index': first + rows,
            'task_index': np.full(len(rows), task),
        }

    def _write_images(
        self, episode: EpisodeReader, videos: dict[str, Videos]
    ) -> tuple[dict[str, VideoPlace], dict[str, ImageCounts]]:
        counts = {_image_key(camera): ImageCounts() for camera in videos}
        for video in videos.values():
            video.begin_episode(episode.length)
        for row in range(episode.length):
            for camera, video in videos.items():
                image = episode.image(camera, row)
                video.add(image)
                counts[_image_key(camera)].add(image)
            self._on_row()
        return {_image_key(name): video.end_episode() for name, video in videos.items()}, counts

    def _write_meta(self, rows: list[dict[str, Any]]) -> None:
        meta = self._folder / 'meta'
        episodes = self._folder / EPISODES.format(**FIRST)
        episodes.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), episodes, write_page_checksum=True)
        pq.write_table(_tasks_table(self._tasks), meta / 'tasks.parquet', write_page_checksum=True)
        statistics = {
            name: vector_statistics(np.concatenate(values))
            for name, values in self._vectors.items()
        }
        statistics |= {
            name: ImageCounts(parts).statistics() for name, parts in self._counts.items()
        }
        _write_json(meta / 'stats.json', statistics)
        _write_json(meta / 'info.json', self._info())
        if self._judgements:
            _write_json(self._folder / JUDGEMENTS, {'episodes': self._judgements})

    def _info(self) -> dict[str, Any]:
        count = len(self._chosen.episodes)
        return {
            'codebase_version': VERSION,
            'robot_type': self._chosen.robot_name,
            'total_episodes': count,
            'total_frames': sum(self._chosen.rows),
            'total_tasks': len(self._tasks),
            'chunks_size': FILES_PER_CHUNK,
            'data_files_size_in_mb': DATA_FILE_MIB,
            'video_files_size_in_mb': FILE_BYTES // 1024**2,
            'fps': _whole(self._chosen.rate),
            'splits': {'train': f'0:{count}'},
            'data_path': DATA,
            'video_path': f'videos/{{video_key}}/{FILE}.mp4' if self._chosen.cameras else None,
            'features': self._features,
        }


class _ParquetFiles:
    """The rows of all episodes, one row group for each; a file ends when it has grown enough."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._writer: pq.ParquetWriter | None = None
        self._number = -1
        self._bytes = 0

    def __enter__(self) -> _ParquetFiles:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, columns: dict[str, Array]) -> int:
        """Write one episode; return the number of the file it went to."""
        arrays = [_arrow(columns[field.name], field.type) for field in self._schema]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        if self._writer is None or self._bytes + table.nbytes > DATA_FILE_MIB * 1024**2:
            self._next_file()
        assert self._writer is not None
        self._writer.write_table(table)
        self._bytes += table.nbytes
        return self._number

    def _next_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._number, self._bytes = self._number + 1, 0
        chunk, file = divmod(self._number, FILES_PER_CHUNK)
        path = self._folder / DATA.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, self._schema, write_page_checksum=True)


def _features(chosen: ExportSet) -> Features:
    names = list(chosen.joint_names)
    vector = {'dtype': 'float32', 'shape': [len(names)], 'names': names}
    optional = [(VELOCITY, chosen.velocity), (EFFORT, chosen.effort)]
    vectors = [STATE, *(name for name, there in optional if there), ACTION]
    numbers = {
        _vector_key(name): {
            'dtype': 'float32', 'shape': list(spec.shape), 'names': list(spec.columns),
        }
        for name, spec in chosen.vectors.items()
    }  # fmt: skip
    fps = _whole(chosen.rate)
    cameras = {
        _image_key(name): {
            'dtype': 'video',
            'shape': [spec.height, spec.width, 3],
            'names': ['height', 'width', 'channels'],
            'info': {
                'video.height': spec.height,
                'video.width': spec.width,
                'video.codec': 'h264',
                'video.pix_fmt': Videos.pixel_format(spec.height, spec.width),
                'video.is_depth_map': False,
                'video.fps': fps,
                'video.channels': 3,
                'has_audio': False,
            },
        }
        for name, spec in chosen.cameras.items()
    }
    one = {'shape': [1], 'names': None}
    counts = {name: {'dtype': 'int64', **one} for name in COUNTS}
    return {
        **dict.fromkeys(vectors, vector),
        **numbers,
        **cameras,
        'timestamp': {'dtype': 'float32', **one},
        **counts,
    }


def _schema(features: Features) -> pa.Schema:
    fields = []
    for name, feature in features.items():
        if feature['dtype'] != 'video':
            number = pa.float32() if feature['dtype'] == 'float32' else pa.int64()
            fields.append((name, _column_type(number, feature['shape'])))
    return pa.schema(fields)


def _column_type(number: pa.DataType, shape: list[int]) -> pa.DataType:
    """As LeRobot has it: one number plain, a vector of one size, lists of lists of any."""
    if len(shape) == 1:
        return number if shape == [1] else pa.list_(number, shape[0])
    return pa.list_(pa.list_(number))


def _arrow(values: Array, kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if pa.types.is_list(kind):
        rows, count, width = values.shape
        inner = pa.ListArray.from_arrays(np.arange(rows * count + 1) * width, flat)
        return pa.ListArray.from_arrays(np.arange(rows + 1) * count, inner)
    if not pa.types.is_fixed_size_list(kind):
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def _tasks_table(tasks: list[str]) -> pa.Table:
    """The table that LeRobot writes through pandas, which keeps the text as its index."""
    table = pa.table({'task_index': list(range(len(tasks))), 'task': tasks})
    kinds = {'task_index': ('int64', 'int64'), 'task': ('unicode', 'object')}
    described = {
        'index_columns': ['task'],
        'column_indexes': [],
        'columns': [
            {
                'name': name,
                'field_name': name,
                'pandas_type': pandas_type,
                'numpy_type': numpy_type,
                'metadata': None,
            }
            for name, (pandas_type, numpy_type) in kinds.items()
        ],
        'creator': {'library': 'pyarrow', 'version': pa.__version__},
        'pandas_version': '2.0.0',
    }
    return table.replace_schema_metadata({'pandas': json.dumps(described)})


def _video(name: str, place: VideoPlace) -> list[tuple[str, Any]]:
    times = {'from_timestamp': place.begin_s, 'to_timestamp': place.end_s}
    placed = _place(f'videos/{name}', place.file)
    return [*placed.items(), *((f'videos/{name}/{key}', value) for key, value in times.items())]


def _place(what: str, file: int) -> dict[str, int]:
    chunk, number = divmod(file, FILES_PER_CHUNK)
    return {f'{what}/chunk_index': chunk, f'{what}/file_index': number}


def _vector_key(name: str) -> str:
    key = f'{OBSERVATION}{name}'
    if key in VECTORS:
        raise EpisodeError(f"vector '{name}': '{key}' is of joints there, expected another name")
    return key


def _image_key(camera: str) -> str:
    return f'observation.images.{camera}'


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=4, ensure_ascii=False) + '\n', encoding='utf-8')
