# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A data set of LeRobot made of our own episodes, and ways to change or spoil it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aloha_files
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recordings
import yaml

from motion_policy.episodes import (
    EpisodeReader,
)
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.formats.lerobot import video as lerobot_video
from motion_policy.episodes.formats.lerobot.from_episodes import export_lerobot
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot
from motion_policy.robot import robot_spec_from_yaml

LENGTHS = (9, 4, 6)
ROBOT = aloha_files.robot()
CAMERAS = aloha_files.CAMERAS
KEYS = [f'observation.images.{camera}' for camera in CAMERAS]
DATA = 'data/chunk-000/file-000.parquet'
Capture = pytest.CaptureFixture[str]


def write_episodes(folder: Path) -> None:
    """Write raw episodes with two tasks."""
    for number, rows in enumerate(LENGTHS):
        path = folder / f'episode_{number:06d}.hdf5'
        task = f'task {number % 2}'
        recordings.write_episode(path, rows, robot=ROBOT, task=task, compress=False)


def write_set(episodes: Path, out: Path) -> Path:
    """Write a data set in which all episodes share one file."""
    return export_lerobot(export_set(episodes), out)


def read_info(folder: Path) -> dict[str, Any]:
    return json.loads((folder / 'meta/info.json').read_text())


def change_info(folder: Path, **changes: Any) -> None:
    info = {**read_info(folder), **changes}
    (folder / 'meta/info.json').write_text(json.dumps(info))


def as_version_2(folder: Path, episodes: Path) -> None:
    """Lay a set out as version 2.1 does: each episode in files of its own, lists in JSON lines."""
    rows = pq.read_table(folder / DATA)
    listed = []
    for number, path in enumerate(sorted(episodes.iterdir())):
        mine = [
            index for index, one in enumerate(rows['episode_index'].to_pylist()) if one == number
        ]
        pq.write_table(rows.take(mine), folder / f'data/chunk-000/episode_{number:06d}.parquet')
        with EpisodeReader(path) as episode:
            listed.append(
                {'episode_index': number, 'tasks': [episode.task], 'length': episode.length}
            )
            for camera, key in zip(CAMERAS, KEYS, strict=True):
                pattern = f'{key}/episode_{number:06d}.mp4'
                videos = folder / 'videos/chunk-000'
                with lerobot_video.Videos(videos, pattern, episode.rate, crf=18) as video:
                    video.begin_episode(episode.length)
                    for image in episode.images(camera, range(episode.length)):
                        video.add(image)
    (folder / DATA).unlink()
    shutil.rmtree(folder / 'meta/episodes')
    lines = [json.dumps(row) for row in listed]
    (folder / 'meta/episodes.jsonl').write_text('\n'.join(lines) + '\n')
    change_info(
        folder,
        codebase_version='v2.1',
        data_path='data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet',
        video_path='videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4',
    )


def as_images(folder: Path, episodes: Path) -> None:
    """Keep images as PNG in the rows instead of in videos."""
    features = read_info(folder)['features']
    table = pq.read_table(folder / DATA)
    for camera, key in zip(CAMERAS, KEYS, strict=True):
        stored = []
        for path in sorted(episodes.iterdir()):
            with EpisodeReader(path) as episode:
                for image in episode.images(camera, range(episode.length)):
                    bgr = np.ascontiguousarray(image[..., ::-1])
                    data = cv2.imencode('.png', bgr)[1].tobytes()
                    stored.append({'bytes': data, 'path': None})
        table = table.append_column(key, pa.array(stored))
        features[key]['dtype'] = 'image'
    pq.write_table(table, folder / DATA)
    shutil.rmtree(folder / 'videos')
    change_info(folder, features=features)


def with_variable_lists(folder: Path, episodes: Path) -> None:
    """Keep vectors as lists without a fixed length, in float64."""
    table = pq.read_table(folder / DATA)
    for name in ('observation.state', 'action'):
        index = table.schema.get_field_index(name)
        column = pa.array(table[name].to_pylist(), pa.list_(pa.float64()))
        table = table.set_column(index, name, column)
    pq.write_table(table, folder / DATA)


def change_rows(how: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    return lambda folder: pq.write_table(how(pq.read_table(folder / DATA)), folder / DATA)


def video(folder: Path) -> Path:
    return folder / f'videos/{KEYS[0]}/chunk-000/file-000.mp4'


def change_feature(folder: Path, name: str, **changes: Any) -> None:
    features = read_info(folder)['features']
    change_info(folder, features={**features, name: {**features[name], **changes}})


def change_column(folder: Path, name: str, how: Callable[[list[Any]], Any]) -> None:
    table = pq.read_table(folder / DATA)
    index = table.schema.get_field_index(name)
    values = how(table[name].to_pylist())
    column = values if isinstance(values, pa.Array) else pa.array(values)
    pq.write_table(table.set_column(index, name, column), folder / DATA)


def imported(data_set: Path, out: Path, robot: Any = ROBOT, **options: Any) -> list[str]:
    """Import without compression; return what was noted."""
    notes: list[str] = []
    import_lerobot(data_set, robot, out, compress=False, note=notes.append, **options)
    return notes


def positions(folder: Path, name: str = 'qpos') -> list[Any]:
    found = []
    for path in sorted(folder.iterdir()):
        with EpisodeReader(path) as episode:
            found.append(getattr(episode, name))
    return found


def with_order(robot: Any, order: list[int]) -> Any:
    """The same robot with its joints in another order."""
    content = yaml.safe_load(robot.to_yaml())
    joints = content['joints']
    joints['names'] = [joints['names'][index] for index in order]
    for limits in joints['limits'].values():
        limits[:] = [limits[index] for index in order]
    for role in ('state', 'leader', 'command'):
        for topic in joints.get(role, ()):
            for key in ('joints', 'message_names', 'scale', 'offset'):
                topic.pop(key, None)
    return robot_spec_from_yaml(yaml.safe_dump(content), 'test')


def stamps(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        change_column(
            folder,
            'timestamp',
            lambda values: pa.array(change(np.array(values)).astype(np.float32)),
        )

    return spoil


def moved(first: int, by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values + by * (np.arange(len(values)) >= first)


def replaced(row: int, value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [*values[:row], value, *values[row + 1 :]]


def swapped_rows(table: pa.Table) -> pa.Table:
    return table.take([1, 0, *range(2, len(table))])


def shifting_lengths(rows: list[Any]) -> pa.Array:
    """One value moves from the second row to the first: the number of values stays the same."""
    rows[0], rows[1] = [*rows[0], rows[1][0]], rows[1][1:]
    return pa.array(rows, pa.list_(pa.float32()))


def change_lists(folder: Path, **changes: Any) -> None:
    file = folder / 'meta/episodes/chunk-000/file-000.parquet'
    rows = pq.read_table(file).to_pylist()
    rows[1].update({name.replace('__', '/'): value for name, value in changes.items()})
    pq.write_table(pa.Table.from_pylist(rows), file)
