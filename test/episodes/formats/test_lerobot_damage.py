# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A data set of LeRobot that is damaged or contradicts itself is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_sets import (
    DATA,
    KEYS,
    ROBOT,
    as_images,
    change_column,
    change_feature,
    change_info,
    change_lists,
    change_rows,
    imported,
    moved,
    positions,
    read_info,
    replaced,
    shifting_lengths,
    stamps,
    swapped_rows,
    video,
)

from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    check_episode,
)
from motion_policy.episodes.formats.lerobot import parquet_claims
from motion_policy.episodes.formats.lerobot import to_episodes as lerobot_import
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot

pytestmark = pytest.mark.slow


def test_rows_stand_at_their_time_stamps(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    """A set that says 100 Hz, but whose stamps and frames are 20 ms apart, keeps its duration."""
    change_info(lerobot_set, fps=100)
    fast = ROBOT.model_copy(update={'rate': 100.0})
    notes = imported(lerobot_set, tmp_path / 'out', fast)
    assert any(
        'episode 0: its time stamps span 0.160 s, its 9 rows 0.080 s at 100 Hz' in note
        for note in notes
    )
    with EpisodeReader(tmp_path / 'out' / 'episode_000000.hdf5') as episode:
        assert (episode.rate, episode.length) == (100.0, 17)
        np.testing.assert_array_equal(episode.qpos[::2], positions(lerobot_episodes)[0])
        np.testing.assert_array_equal(episode.qpos[1::2], positions(lerobot_episodes)[0][:-1])
        np.testing.assert_array_equal(episode.image('cam_high', 1), episode.image('cam_high', 0))
    assert check_episode(tmp_path / 'out' / 'episode_000000.hdf5') == []


CONTRADICTIONS = {
    'a hole': (stamps(moved(5, 2.0)), r'episode 1 begins at 0\.180 s, but .* to 2\.160 s'),
    'a hole of years': (stamps(moved(5, 1e5)), r'episode 1 begins at 0\.180 s'),
    'too few frames': (
        lambda folder: change_lists(folder, **{f'videos__{KEYS[0]}__from_timestamp': 0.16}),
        r'episode 1 begins at 0\.160 s, but the 9 rows of episode 0 go from 0\.000 to 0\.160 s',
    ),
    'two at one place': (
        lambda folder: change_lists(folder, **{f'videos__{KEYS[1]}__from_timestamp': 0.0}),
        r'episode 1 begins at 0\.000 s, but the 9 rows of episode 0',
    ),
    'ends early': (
        lambda folder: change_lists(folder, **{f'videos__{KEYS[1]}__to_timestamp': 0.22}),
        r'ends at 0\.220 s, but the 4 rows of episode 1 go from 0\.180 to 0\.240 s',
    ),
    'stamps back': (stamps(moved(5, -0.05)), r'row 5: timestamp is 0\.0500 s after 0\.0800 s'),
    'no stamp': (stamps(lambda v: v * np.nan), 'row 0: timestamp is nan'),
    'a frame missing': (
        lambda folder: change_column(folder, 'frame_index', replaced(3, 4)),
        'row 3: frame_index is 4, expected 3',
    ),
    'rows swapped': (change_rows(swapped_rows), 'row 0: frame_index is 1, expected 0'),
    'index jumps': (
        lambda folder: change_column(folder, 'index', replaced(3, 7)),
        'row 3: index is 7, expected 3',
    ),
    'rows of another episode': (
        lambda folder: change_lists(folder, dataset_from_index=8, dataset_to_index=12),
        'its first row has the index 9, expected 8',
    ),
    'wrong range': (
        lambda folder: change_lists(folder, dataset_to_index=12),
        'episode 1: has the rows 9 to 12 of the set, but length 4',
    ),
    'listed twice': (lambda folder: change_lists(folder, episode_index=0), '0 is listed twice'),
    'fewer than said': (
        lambda folder: change_info(folder, total_episodes=4),
        'total_episodes is 4, the list of episodes has 3',
    ),
    'rows of unequal length': (
        lambda folder: change_column(folder, 'action', shifting_lengths),
        "'action', row 0 has 15 values, expected 14",
    ),
    'unknown task': (
        lambda folder: change_column(folder, 'task_index', replaced(2, 5)),
        'row 2: task_index is 5, expected one of meta/tasks: 0 to 1',
    ),
    'other size': (
        lambda folder: change_feature(folder, KEYS[0], shape=[48, 65, 3]),
        'is 65x48, camera',
    ),
    'a number as text': (
        lambda folder: change_column(folder, 'timestamp', lambda v: [str(one) for one in v]),
        "'timestamp' holds string, expected numbers",
    ),
    'an empty row': (
        lambda folder: change_column(
            folder, 'action', lambda v: pa.array([None, *v[1:]], pa.list_(pa.float32()))
        ),
        "'action' is empty in 1 rows",
    ),
}


@pytest.mark.parametrize(('spoil', 'line'), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_data_that_contradicts_itself_is_refused_with_the_numbers(
    lerobot_set: Path, tmp_path: Path, spoil: Callable[[Path], Any], line: str
) -> None:
    spoil(lerobot_set)
    with pytest.raises(EpisodeError, match=line):
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')
    assert not list(tmp_path.glob('out/*'))


def test_a_hole_in_stamps_without_frames_is_a_gap(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    as_images(lerobot_set, lerobot_episodes)
    stamps(moved(5, 2.0))(lerobot_set)
    with pytest.raises(EpisodeError, match=r'gap in its time stamps from 0\.080 to 2\.100 s'):
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')


def test_a_hole_in_stamps_may_split_an_episode(
    lerobot_set: Path,
    lerobot_episodes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_images(lerobot_set, lerobot_episodes)
    stamps(moved(5, 2.0))(lerobot_set)
    monkeypatch.setattr(lerobot_import, 'SHORTEST_STRETCH_S', 0.05)
    imported(lerobot_set, tmp_path / 'out', split_at_gaps=True)
    first, second = tmp_path / 'out' / 'episode_000000.hdf5', tmp_path / 'out/episode_000001.hdf5'
    whole = positions(lerobot_episodes)[0]
    for path, rows in ((first, whole[:5]), (second, whole[5:])):
        assert check_episode(path) == []
        with EpisodeReader(path) as episode:
            np.testing.assert_array_equal(episode.qpos, rows)
    monkeypatch.undo()
    notes = imported(lerobot_set, tmp_path / 'none', split_at_gaps=True)
    assert any('episode 0: left out a stretch of 5 rows' in note for note in notes)


def feature_named(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        features = read_info(folder)['features']
        features[name] = features.pop(KEYS[0])
        change_info(folder, features=features)

    return spoil


DAMAGE = {
    **{
        f'{key}: {value!r:.20}': (
            lambda folder, k=key, v=value: change_info(folder, **{k: v}), key
        )
        for key, values in {
            'fps': (None, True, '30', 0, -1, 1e9, [30], {}),
            'features': (None, [], 'x', {'action': 3}, {'action': {'shape': [14]}}),
            'data_path': (
                None, 3, '../x', '/etc/passwd', 'a/{episode_index:999999999d}', '{chunk_index',
                '{chunk_index.__class__}', '{chunk_index!r}', 'a\nb', 'data/{video_key}',
            ),
            'video_path': (3, '/tmp/{video_key}', '{video_key}/../../x', '{video_key:9999d}'),
            'chunks_size': (0, 1.5, True, '1000'),
            'total_frames': ('many', -1, 1.5),
            'codebase_version': (3, None),
            'robot_type': (3, 'a\0b'),
        }.items()
        for value in values
    },
    **{
        f'shape {shape}': (
            lambda folder, s=shape: change_feature(folder, 'action', shape=s), 'action'
        )
        for shape in ([], [0], [2**40], 14, [True], None, ['14'], [14, 1], [-3], [1025])
    },
    **{
        f'names {names}': (
            lambda folder, n=names: change_feature(folder, 'action', names=n), 'names'
        )
        for names in (3, [3], {'a': 1, 'b': 1}, {'a': 'b'}, 'joint')
    },
    'path in a name': (feature_named('observation.images.../../x'), 'features'),
    'newline in a name': (feature_named('observation.images.a\nb'), 'features'),
    'key twice': (
        lambda folder: (folder / 'meta/info.json').write_text('{"fps": 1, "fps": 2}'),
        "'fps' stands twice",
    ),
    'brackets': (
        lambda folder: (folder / 'meta/info.json').write_text('{"a":' + '[' * 100_000),
        'is nested too deep',
    ),
    'infinity': (
        lambda folder: (folder / 'meta/info.json').write_text('{"fps": Infinity}'),
        'holds Infinity',
    ),
    'a pipe': (
        lambda folder: ((folder / DATA).unlink(), os.mkfifo(folder / DATA)), 'is a pipe'
    ),
    'longer': (lambda folder: change_lists(folder, length=10**12), 'length'),
    'no length': (lambda folder: change_lists(folder, length=None), 'length'),
    'begins before': (
        lambda folder: change_lists(folder, **{f'videos__{KEYS[0]}__from_timestamp': -1.0}),
        'begins_s',
    ),
}  # fmt: skip


@pytest.mark.parametrize(('spoil', 'word'), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_one_line_that_names_file_and_key(
    lerobot_set: Path, tmp_path: Path, spoil: Callable[[Path], Any], word: str
) -> None:
    spoil(lerobot_set)
    with pytest.raises(EpisodeError) as error:
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')
    assert str(lerobot_set) in str(error.value)
    assert word in str(error.value)
    assert '\n' not in str(error.value)
    assert not list(tmp_path.glob('out/*'))


def test_a_column_that_unpacks_to_more_than_its_rows_is_refused(
    lerobot_set: Path, tmp_path: Path
) -> None:
    table = pq.read_table(lerobot_set / DATA)
    begins = np.arange(len(table) + 1, dtype=np.int32) * 2_000_000
    many = pa.ListArray.from_arrays(begins, np.zeros(begins[-1], np.float32))
    index = table.schema.get_field_index('action')
    pq.write_table(table.set_column(index, 'action', many), lerobot_set / DATA, compression='zstd')
    assert (lerobot_set / DATA).stat().st_size < 1_000_000
    with pytest.raises(EpisodeError, match="column 'action' unpacks to 38000000 numbers"):
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')


def test_a_stored_image_is_measured_before_it_is_decoded(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    as_images(lerobot_set, lerobot_episodes)
    bomb = cv2.imencode('.png', np.zeros((60, 80, 3), np.uint8))[1].tobytes()
    bomb = bomb[:16] + (60_000).to_bytes(4, 'big') * 2 + bomb[24:]
    change_column(lerobot_set, KEYS[0], replaced(0, {'bytes': bomb, 'path': None}))
    with pytest.raises(EpisodeError, match='its images are 60000x60000, expected'):
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')


def test_a_stored_image_that_is_not_whole_is_refused(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    as_images(lerobot_set, lerobot_episodes)
    size = read_info(lerobot_set)['features'][KEYS[0]]['shape'][:2]
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    jpeg = cv2.imencode('.jpg', noise)[1].tobytes()
    for data in (jpeg[: len(jpeg) // 2], jpeg[: len(jpeg) // 2] + jpeg[-2:]):
        change_column(lerobot_set, KEYS[0], replaced(4, {'bytes': data, 'path': None}))
        with pytest.raises(EpisodeError, match=r'row 4.*: holds no image .*JPEG is damaged'):
            import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')


def test_a_video_with_a_damaged_frame_is_refused(lerobot_set: Path, tmp_path: Path) -> None:
    data = bytearray(video(lerobot_set).read_bytes())
    middle = data.index(b'mdat') + 2000
    data[middle : middle + 200] = bytes(200)
    video(lerobot_set).write_bytes(data)
    with pytest.raises(EpisodeError, match=r'file-000\.mp4'):
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')


def test_a_footer_that_ends_its_reader_is_one_line(lerobot_set: Path, tmp_path: Path) -> None:
    """pyarrow aborts the process on some damaged footers: another one reads them first."""
    footers = parquet_claims.parquet_footers
    ending = tmp_path / 'footers.py'
    ending.write_text('import os, sys\nsys.stdin.readline()\nos.abort()\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footers, '__file__', str(ending))
        parquet_claims.reader.end()
        with pytest.raises(EpisodeError, match='cannot be read: its footer is damaged'):
            import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')
    assert len(import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')) == 3


def test_a_byte_of_our_own_export_that_changed_is_noticed(
    lerobot_set: Path, tmp_path: Path
) -> None:
    data = bytearray((lerobot_set / DATA).read_bytes())
    value = np.float32(0.02).tobytes()  # the second time stamp
    data[data.index(value) + 1] ^= 8
    (lerobot_set / DATA).write_bytes(data)
    with pytest.raises(EpisodeError, match='CRC checksum verification failed'):
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')
