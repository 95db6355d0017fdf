# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Data sets of LeRobot, of every version with videos, become the episodes that they hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import recordings
from lerobot_sets import (
    CAMERAS,
    DATA,
    KEYS,
    LENGTHS,
    ROBOT,
    as_images,
    as_version_2,
    change_column,
    change_feature,
    change_info,
    change_lists,
    change_rows,
    imported,
    read_info,
    replaced,
    video,
    with_variable_lists,
)

from motion_policy.cli.main import main
from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    check_episode,
)
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.formats.lerobot.from_episodes import export_lerobot
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot
from motion_policy.robot.placeholder import PLACEHOLDER

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize('form', [None, as_version_2, as_images, with_variable_lists])
def test_every_form_gives_its_numbers_and_images(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path, form: Any
) -> None:
    if form is not None:
        form(lerobot_set, lerobot_episodes)
    pairs = import_lerobot(lerobot_set, ROBOT, tmp_path / 'out', compress=False)
    for path, (copy, _) in zip(sorted(lerobot_episodes.iterdir()), pairs, strict=True):
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
    lerobot_set: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ['import', str(lerobot_set), '--out', str(tmp_path / 'out'), '--from', 'lerobot']
    with pytest.raises(EpisodeError, match="'cam_low': robot 'tabletop_sim' has: top, side"):
        import_lerobot(lerobot_set, recordings.tabletop(), tmp_path / 'out')
    assert main([*command, '--cameras', 'top=cam_high', '--task', 'hand over']) == 0
    printed = capsys.readouterr().out
    assert 'camera cam_low is left out' in printed
    assert "a robot 'placeholder'" in printed
    with EpisodeReader(tmp_path / 'out' / 'episode_000001.hdf5') as episode:
        assert (episode.robot.name, episode.cameras) == (PLACEHOLDER, ('top',))
        assert (episode.task, episode.length) == ('hand over', LENGTHS[1])
    assert main([*command, '--rate', '10']) == 2
    assert '--rate means nothing for --from lerobot' in capsys.readouterr().err


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


WRONG = {
    'no info': (lambda folder: (folder / 'meta/info.json').unlink(), 'has no meta/info.json'),
    'broken info': (
        lambda folder: (folder / 'meta/info.json').write_text('{'),
        'info.json: not JSON',
    ),
    'no rate': (
        lambda folder: (folder / 'meta/info.json').write_text('{"codebase_version": "v3.0"}'),
        'fps: missing, expected a value',
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
    'lost file': (lambda folder: (folder / DATA).unlink(), 'file-000.parquet: no such file'),
    'broken file': (
        lambda folder: (folder / DATA).write_bytes(b'PAR1'),
        'file-000.parquet: cannot be read',
    ),
    'lost video': (lambda folder: video(folder).unlink(), 'file-000.mp4: no such file'),
    'broken video': (
        lambda folder: video(folder).write_bytes(video(folder).read_bytes()[:500]),
        'file-000.mp4: cannot be decoded',
    ),
}


@pytest.mark.parametrize(('spoil', 'line'), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    lerobot_set: Path, tmp_path: Path, spoil: Callable[[Path], Any], line: str
) -> None:
    spoil(lerobot_set)
    with pytest.raises(EpisodeError, match=line) as error:
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')
    assert str(lerobot_set) in str(error.value)
    assert '\n' not in str(error.value)
    assert not list(tmp_path.glob('out/*'))


def test_every_task_of_an_episode_is_kept(lerobot_set: Path, tmp_path: Path) -> None:
    change_column(lerobot_set, 'task_index', replaced(4, 1))
    notes = imported(lerobot_set, tmp_path / 'out')
    with EpisodeReader(tmp_path / 'out' / 'episode_000000.hdf5') as episode:
        assert episode.task == 'task 0; task 1'
    assert any('episode 0: 2 tasks in one text: task 0; task 1' in note for note in notes)


@pytest.mark.parametrize('end', [None, 0.24])
def test_the_end_of_an_episode_in_a_video_may_be_its_last_frame_or_missing(
    lerobot_set: Path, tmp_path: Path, end: float | None
) -> None:
    change_lists(lerobot_set, **{f'videos__{KEYS[0]}__to_timestamp': end})
    assert len(import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')) == len(LENGTHS)


@pytest.mark.parametrize('form', [None, as_images])
@pytest.mark.parametrize('first', [False, True])
def test_images_of_one_channel_are_grey(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path, form: Any, first: bool
) -> None:
    if form is not None:
        form(lerobot_set, lerobot_episodes)
    shape = list(read_info(lerobot_set)['features'][KEYS[0]]['shape'])
    change_feature(lerobot_set, KEYS[0], shape=[1, *shape[:2]] if first else [*shape[:2], 1])
    imported(lerobot_set, tmp_path / 'out')
    with (
        EpisodeReader(tmp_path / 'out' / 'episode_000000.hdf5') as copy,
        EpisodeReader(lerobot_episodes / 'episode_000000.hdf5') as ours,
    ):
        assert copy.cameras == CAMERAS
        difference = copy.image(CAMERAS[0], 3).astype(int) - ours.image(CAMERAS[0], 3)
        assert np.abs(difference).mean() <= 6


def test_stored_images_of_one_channel_with_16_bits_are_depth(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    as_images(lerobot_set, lerobot_episodes)
    height, width, _ = read_info(lerobot_set)['features'][KEYS[0]]['shape']
    change_feature(lerobot_set, KEYS[0], shape=[height, width, 1])
    depth = cv2.imencode('.png', np.full((height, width), 620, np.uint16))[1].tobytes()
    change_column(
        lerobot_set, KEYS[0], lambda rows: [{'bytes': depth, 'path': None} for _ in rows]
    )
    notes = imported(lerobot_set, tmp_path / 'out')
    assert any(f'{KEYS[0]} is left out' in note for note in notes)


def test_hidden_files_are_no_part_of_a_set(lerobot_set: Path, tmp_path: Path) -> None:
    (lerobot_set / 'meta/episodes/chunk-000/._file-000.parquet').write_bytes(b'mac')
    assert len(import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')) == 3


def test_what_is_left_out_is_said(lerobot_set: Path, tmp_path: Path) -> None:
    features = read_info(lerobot_set)['features']
    features['next.reward'] = {'dtype': 'float32', 'shape': [1], 'names': None}
    features['observation.effort']['shape'] = [13]
    change_info(lerobot_set, features=features)
    notes = imported(lerobot_set, tmp_path / 'out')
    assert any('observation.effort, next.reward is left out' in note for note in notes)


def test_a_video_that_ends_early_is_told(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    short = tmp_path / 'short'
    for path in sorted(lerobot_episodes.iterdir())[:2]:
        (short / path.name).parent.mkdir(exist_ok=True)
        shutil.copy(path, short)
    other = export_lerobot(export_set(short), tmp_path / 'other')
    shutil.copy(video(other), video(lerobot_set))
    with pytest.raises(EpisodeError, match=r'has no frame at 0\.260 s, expected 6 frames'):
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')
    assert not list(tmp_path.glob('out/*'))
