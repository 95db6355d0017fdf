# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Data sets of LeRobot, of every version with videos, become the episodes that they hold."""

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

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode, lerobot_video
from motion_policy.episodes.export_set import export_set
from motion_policy.episodes.lerobot_export import export_lerobot
from motion_policy.episodes.lerobot_import import import_lerobot
from motion_policy.robot.placeholder import PLACEHOLDER

LENGTHS = (9, 4, 6)
ROBOT = aloha_files.robot()
CAMERAS = aloha_files.CAMERAS
KEYS = [f'observation.images.{camera}' for camera in CAMERAS]
DATA = 'data/chunk-000/file-000.parquet'
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope='module')
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of raw episodes with two tasks."""
    folder = tmp_path_factory.mktemp('episodes')
    for number, rows in enumerate(LENGTHS):
        path = folder / f'episode_{number:06d}.hdf5'
        task = f'task {number % 2}'
        recordings.write_episode(path, rows, robot=ROBOT, task=task, compress=False)
    return folder


@pytest.fixture(scope='module')
def version_3(tmp_path_factory: pytest.TempPathFactory, episodes: Path) -> Path:
    """Give them as a data set in which all episodes share one file."""
    out = tmp_path_factory.mktemp('sets') / 'set'
    return export_lerobot(export_set(episodes), out)


@pytest.fixture
def data_set(version_3: Path, tmp_path: Path) -> Path:
    """Give a copy that a test may spoil."""
    return Path(shutil.copytree(version_3, tmp_path / 'set'))


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


@pytest.mark.parametrize('form', [None, as_version_2, as_images, with_variable_lists])
def test_every_form_gives_its_numbers_and_images(
    data_set: Path, episodes: Path, tmp_path: Path, form: Any
) -> None:
    if form is not None:
        form(data_set, episodes)
    pairs = import_lerobot(data_set, ROBOT, tmp_path / 'out', compress=False)
    for path, (copy, _) in zip(sorted(episodes.iterdir()), pairs, strict=True):
        assert check_episode(copy) == []
        with EpisodeReader(path) as ours, EpisodeReader(copy) as theirs:
            for name in ('qpos', 'qvel', 'effort', 'action'):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            assert (theirs.task, theirs.rate) == (ours.task, 50.0)
            assert theirs.cameras == CAMERAS
            allowed = 0 if form is as_images else 6
            for camera in CAMERAS:
                for row in range(ours.length):
                    difference = theirs.image(camera, row).astype(int) - ours.image(camera, row)
                    assert np.abs(difference).mean() <= allowed


def test_a_robot_stands_in_and_cameras_are_chosen(
    data_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    change_info(data_set, fps=25)
    command = ['import', str(data_set), '--out', str(tmp_path / 'out'), '--from', 'lerobot']
    with pytest.raises(EpisodeError, match="'cam_low': robot 'tabletop_sim' has: top, side"):
        import_lerobot(data_set, recordings.tabletop(), tmp_path / 'out')
    # Rows of 25 Hz, but frames of 50: their times do not fit.
    assert main([*command, '--cameras', 'top=cam_high']) == 2
    assert 'expected 9 frames, 25 per second from 0.000 s on' in capsys.readouterr().err
    change_info(data_set, fps=50)
    assert main([*command, '--cameras', 'top=cam_high', '--task', 'hand over']) == 0
    printed = capsys.readouterr().out
    assert 'camera cam_low is left out' in printed
    assert "a robot 'placeholder'" in printed
    with EpisodeReader(tmp_path / 'out' / 'episode_000001.hdf5') as episode:
        assert (episode.robot.name, episode.cameras) == (PLACEHOLDER, ('top',))
        assert (episode.task, episode.length) == ('hand over', LENGTHS[1])
    assert main([*command, '--rate', '10']) == 2
    assert '--rate means nothing for --from lerobot' in capsys.readouterr().err


def change_rows(how: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    return lambda folder: pq.write_table(how(pq.read_table(folder / DATA)), folder / DATA)


def with_nan(table: pa.Table) -> pa.Table:
    values = table['action'].to_pylist()
    values[11][3] = float('nan')
    index = table.schema.get_field_index('action')
    return table.set_column(index, 'action', pa.array(values, table.schema.field(index).type))


def without_action(folder: Path) -> None:
    features = read_info(folder)['features']
    change_info(folder, features={k: v for k, v in features.items() if k != 'action'})


def with_wider_action(folder: Path) -> None:
    features = read_info(folder)['features']
    change_info(folder, features={**features, 'action': {**features['action'], 'shape': [16]}})


def video(folder: Path) -> Path:
    return folder / f'videos/{KEYS[0]}/chunk-000/file-000.mp4'


WRONG = {
    'no info': (lambda folder: (folder / 'meta/info.json').unlink(), 'has no meta/info.json'),
    'broken info': (
        lambda folder: (folder / 'meta/info.json').write_text('{'),
        'info.json: is damaged',
    ),
    'no rate': (
        lambda folder: (folder / 'meta/info.json').write_text('{"codebase_version": "v3.0"}'),
        "is damaged: no 'fps'",
    ),
    'old version': (
        lambda folder: change_info(folder, codebase_version='v1.6'),
        'is of version v1.6, expected v2.x or v3.x',
    ),
    'no action': (without_action, "has no 'action'"),
    'wider action': (with_wider_action, "'action' has 16 columns, expected 14"),
    'no list': (lambda folder: shutil.rmtree(folder / 'meta/episodes'), 'holds no episode'),
    'lost rows': (
        change_rows(lambda table: table.slice(0, 15)),
        'has 2 rows of episode 2, expected 6',
    ),
    'not a number': (change_rows(with_nan), r"episode 1, 'action', row 2, column 3 is nan"),
    'lost column': (
        change_rows(lambda table: table.drop_columns(['observation.state'])),
        "'observation.state' cannot be read",
    ),
    'lost file': (lambda folder: (folder / DATA).unlink(), 'file-000.parquet: cannot be read'),
    'broken file': (
        lambda folder: (folder / DATA).write_bytes(b'PAR1'),
        'file-000.parquet: cannot be read',
    ),
    'lost video': (lambda folder: video(folder).unlink(), 'file-000.mp4: cannot be decoded'),
    'broken video': (
        lambda folder: video(folder).write_bytes(video(folder).read_bytes()[:500]),
        'file-000.mp4: cannot be decoded',
    ),
}


@pytest.mark.parametrize(('spoil', 'line'), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    data_set: Path, tmp_path: Path, spoil: Callable[[Path], Any], line: str
) -> None:
    spoil(data_set)
    with pytest.raises(EpisodeError, match=line) as error:
        import_lerobot(data_set, ROBOT, tmp_path / 'out')
    assert str(data_set) in str(error.value)
    assert '\n' not in str(error.value)
    assert not list(tmp_path.glob('out/*'))


def test_a_video_that_ends_early_is_told(data_set: Path, episodes: Path, tmp_path: Path) -> None:
    short = tmp_path / 'short'
    for path in sorted(episodes.iterdir())[:2]:
        (short / path.name).parent.mkdir(exist_ok=True)
        shutil.copy(path, short)
    other = export_lerobot(export_set(short), tmp_path / 'other')
    shutil.copy(video(other), video(data_set))
    with pytest.raises(EpisodeError, match=r'has no frame at 0\.260 s, expected 6 frames'):
        import_lerobot(data_set, ROBOT, tmp_path / 'out')
    assert not list(tmp_path.glob('out/*'))
