# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes go out as other tools read them, with the numbers and the images that they hold."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import aloha_files
import av
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import recordings

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeError, EpisodeReader
from motion_policy.episodes.formats.aloha.from_episodes import export_aloha
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha
from motion_policy.episodes.formats.eipl.to_episodes import import_eipl
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.formats.lerobot import from_episodes as lerobot_export
from motion_policy.episodes.formats.lerobot import video as lerobot_video
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot

pytestmark = pytest.mark.slow

LENGTHS = (9, 4, 6)
ROBOT = aloha_files.robot()
CAMERAS = aloha_files.CAMERAS
Capture = pytest.CaptureFixture[str]


@pytest.fixture(params=[True, False], ids=['jpeg', 'raw'])
def episodes(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a folder of episodes of two arms with two cameras."""
    return write_episodes(tmp_path / 'episodes', compress=request.param)


def write_episodes(folder: Path, lengths: tuple[int, ...] = LENGTHS, **options: Any) -> Path:
    for number, rows in enumerate(lengths):
        path = folder / f'episode_{number:06d}.hdf5'
        task = f'task {number % 2}'
        recordings.write_episode(path, rows, **{'robot': ROBOT, 'task': task, **options})
    return folder


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether two images differ by no more than an encoder does."""
    return bool(np.abs(found.astype(int) - expected).mean() < 6)


def test_our_own_episodes_open_in_the_readers_of_act(episodes: Path) -> None:
    for path in sorted(episodes.iterdir()):
        with EpisodeReader(path) as episode:
            for start in range(episode.length):
                step = aloha_files.read_step(path, CAMERAS, start)
                first = max(0, start - 1)  # as those readers take real data
                np.testing.assert_array_equal(step['qpos'], episode.qpos[start])
                np.testing.assert_array_equal(
                    step['action'][~step['is_pad']], episode.action[first:]
                )
                for image, camera in zip(step['image'], CAMERAS, strict=True):
                    np.testing.assert_array_equal(image, episode.image(camera, start))


@pytest.mark.parametrize('raw', [False, True])
def test_alohas_files_have_its_names_and_nothing_besides(
    episodes: Path, tmp_path: Path, raw: bool
) -> None:
    chosen = export_set(episodes)
    files = export_aloha(chosen, tmp_path / 'out', raw=raw)
    assert [path.name for path in files] == ['episode_0.hdf5', 'episode_1.hdf5', 'episode_2.hdf5']
    for path, ours in zip(files, chosen.episodes, strict=True):
        with h5py.File(path) as file, h5py.File(ours) as source, EpisodeReader(ours) as episode:
            names: list[str] = []
            file.visititems(lambda name, item, names=names: names.append(name))
            jpeg = episode.compress and not raw
            images = [f'observations/images/{camera}' for camera in CAMERAS]
            vectors = ['action', 'observations/effort', 'observations/qpos', 'observations/qvel']
            groups = ['observations', 'observations/images']
            lengths = ['compress_len'] if jpeg else []
            assert sorted(names) == sorted([*images, *vectors, *groups, *lengths])
            said = {'task'} if episode.task else set()
            assert set(file.attrs) == {'sim', 'compress', 'joint_names', 'rate', *said}
            for name in vectors:
                assert file[name].dtype == np.float32
                np.testing.assert_array_equal(file[name], source[name])
            for index, name in enumerate(images):
                assert file[name].chunks == (1, *file[name].shape[1:])
                if jpeg:
                    length = int(file['compress_len'][index, 2])
                    data = episode.jpeg(CAMERAS[index], 2)
                    np.testing.assert_array_equal(file[name][2, :length], data)
                    assert not file[name][2, length:].any()
            for start in range(episode.length):
                step = aloha_files.read_step(path, CAMERAS, start)
                for image, camera in zip(step['image'], CAMERAS, strict=True):
                    np.testing.assert_array_equal(image, episode.image(camera, start))


@pytest.mark.parametrize('success', [True, False, None])
def test_aloha_keeps_rate_task_operator_and_judgement(
    tmp_path: Path, success: bool | None
) -> None:
    robot = ROBOT.model_copy(update={'rate': 12.5})
    source = tmp_path / 'ours' / 'episode_000000.hdf5'
    recordings.write_episode(source, 3, robot=robot, task='pour\ntea', operator='kim')
    with h5py.File(source, 'r+') as file:
        if success is not None:
            file.attrs['success'] = success
    (exported,) = export_aloha(export_set(source.parent), tmp_path / 'aloha')
    (back, _) = import_aloha(exported, ROBOT, tmp_path / 'back')[0]
    with EpisodeReader(back) as episode:
        assert (episode.rate, episode.task, episode.operator) == (12.5, 'pour\ntea', 'kim')
        assert episode.success is success


@pytest.mark.parametrize('success', [True, False, None])
def test_lerobot_keeps_operator_and_judgement(
    tmp_path: Path, capsys: Capture, success: bool | None
) -> None:
    source = tmp_path / 'ours'
    for number, options in enumerate(({'success': success, 'operator': 'kim'}, {}, {})):
        path = source / f'episode_{number:06d}.hdf5'
        recordings.write_episode(path, 3 + number, robot=ROBOT, effort=number < 2, **options)
    out = tmp_path / 'set'
    assert main(['export', str(source), '--out', str(out), '--to', 'lerobot']) == 0
    printed = capsys.readouterr().out
    assert ('note 1 of 3 episodes were judged as failed' in printed) is (success is False)
    assert 'note efforts are left out: only 2 of 3 episodes have them' in printed
    (copy, _), *others = import_lerobot(out, ROBOT, tmp_path / 'back')
    with EpisodeReader(copy) as episode:
        assert episode.success is success
        assert (episode.operator, episode.effort) == ('kim', None)
    for path, _ in others:
        with EpisodeReader(path) as episode:
            assert (episode.success, episode.operator) == (None, '')
    said = out / 'meta/motion_policy.json'
    said.write_text(said.read_text().replace('"length": 3', '"length": 4'))
    (copy, _), *_ = import_lerobot(out, ROBOT, tmp_path / 'replaced')
    with EpisodeReader(copy) as episode:
        assert (episode.success, episode.operator) == (None, '')
    said.write_text(said.read_text().replace('"kim"', '3'))
    with pytest.raises(EpisodeError, match=r'motion_policy\.json: episodes\[0\]\.operator'):
        import_lerobot(out, ROBOT, tmp_path / 'damaged')


def test_what_goes_to_aloha_and_comes_back_is_the_same(episodes: Path, tmp_path: Path) -> None:
    chosen = export_set(episodes)
    export_aloha(chosen, tmp_path / 'aloha')
    with EpisodeReader(chosen.episodes[0]) as first:
        compress = first.compress
    back = import_aloha(tmp_path / 'aloha', ROBOT, tmp_path / 'back', compress=compress)
    for path, (copy, _) in zip(chosen.episodes, back, strict=True):
        with EpisodeReader(path) as ours, EpisodeReader(copy) as theirs:
            for name in ('qpos', 'qvel', 'effort', 'action'):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            for camera in CAMERAS:
                for row in range(ours.length):
                    np.testing.assert_array_equal(
                        ours.image(camera, row), theirs.image(camera, row)
                    )


def test_what_goes_to_eipl_and_comes_back_is_the_same(tmp_path: Path, capsys: Capture) -> None:
    robot = aloha_files.robot(('top',), joints=3)
    source = tmp_path / 'grasp'
    write_episodes(source / 'train', (7, 4), robot=robot, compress=False, leader=False)
    write_episodes(source / 'test', (5,), robot=robot, compress=False, leader=False)
    out = tmp_path / 'eipl'
    assert main(['export', str(source), '--out', str(out), '--to', 'eipl']) == 0
    assert '2 episodes in train, 1 episodes in test' in capsys.readouterr().out
    joints = {split: np.load(out / split / 'joints.npy') for split in ('train', 'test')}
    assert joints['train'].shape == (2, 7, 3)
    assert joints['test'].shape == (1, 5, 3)
    images = np.load(out / 'train' / 'images.npy')
    assert (images.shape, images.dtype) == ((2, 7, 24, 32, 3), np.uint8)
    flat = np.concatenate([part.reshape(-1, 3) for part in joints.values()])
    bounds = np.stack((flat.min(axis=0), flat.max(axis=0)))
    np.testing.assert_array_equal(np.load(out / 'joint_bounds.npy'), bounds)
    parts = import_eipl(out, robot, tmp_path / 'back', compress=False)
    for part in parts:
        ours = sorted((source / part.split).iterdir())
        for path, copy in zip(ours, part.episodes, strict=True):
            with EpisodeReader(path) as episode, EpisodeReader(copy) as theirs:
                np.testing.assert_array_equal(episode.qpos, theirs.qpos)
                rows = range(episode.length)
                np.testing.assert_array_equal(
                    episode.images('top', rows), theirs.images('top', rows)
                )


def exported(source: Path, out: Path, **options: Any) -> tuple[dict[str, Any], list[Any]]:
    """Export to LeRobot; return info.json and the rows of meta/episodes."""
    lerobot_export.export_lerobot(export_set(source), out, **options)
    info = json.loads((out / 'meta/info.json').read_text())
    rows = pq.read_table(out / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()
    return info, rows


def data_of(out: Path, info: dict[str, Any], row: dict[str, Any]) -> Any:
    """Return the rows of an episode, where `meta/episodes` says that they are."""
    place = {key: row[f'data/{key}'] for key in ('chunk_index', 'file_index')}
    table = pq.read_table(out / info['data_path'].format(**place)).to_pydict()
    mine = [
        index
        for index, number in enumerate(table['episode_index'])
        if number == row['episode_index']
    ]
    return {name: [values[index] for index in mine] for name, values in table.items()}


def frames_of(out: Path, info: dict[str, Any], row: dict[str, Any], key: str) -> list[np.ndarray]:
    """Return the frames of an episode by their times, as LeRobot seeks them."""
    place = {name: row[f'videos/{key}/{name}'] for name in ('chunk_index', 'file_index')}
    path = out / info['video_path'].format(video_key=key, **place)
    begin, end = row[f'videos/{key}/from_timestamp'], row[f'videos/{key}/to_timestamp']
    assert end - begin == pytest.approx(row['length'] / info['fps'])
    with av.open(str(path)) as container:
        frames = {round(frame.time * info['fps'], 6): frame for frame in container.decode(video=0)}
    first = round(begin * info['fps'], 6)
    return [frames[first + t].to_ndarray(format='rgb24') for t in range(row['length'])]


def test_a_lerobot_set_holds_every_row_and_every_image(episodes: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    info, rows = exported(episodes, out)
    assert (info['codebase_version'], info['fps'], info['robot_type']) == ('v3.0', 50, 'two_arms')
    assert (info['total_episodes'], info['total_frames'], info['total_tasks']) == (3, 19, 2)
    assert info['features']['action']['names'] == list(ROBOT.joints.names)
    keys = [f'observation.images.{camera}' for camera in CAMERAS]
    assert [k for k, f in info['features'].items() if f['dtype'] == 'video'] == keys
    tasks = pq.read_table(out / 'meta/tasks.parquet')
    assert tasks.to_pydict() == {'task_index': [0, 1], 'task': ['task 0', 'task 1']}
    # LeRobot asks pandas for the task's text as the index of the row.
    assert json.loads(tasks.schema.metadata[b'pandas'])['index_columns'] == ['task']
    first = 0
    for number, (path, row) in enumerate(zip(sorted(episodes.iterdir()), rows, strict=True)):
        data = data_of(out, info, row)
        with EpisodeReader(path) as episode:
            vectors = {'state': episode.qpos, 'velocity': episode.qvel, 'effort': episode.effort}
            for name, values in vectors.items():
                np.testing.assert_array_equal(np.float32(data[f'observation.{name}']), values)
            np.testing.assert_array_equal(np.float32(data['action']), episode.action)
            assert data['index'] == list(range(first, first + episode.length))
            assert data['frame_index'] == list(range(episode.length))
            np.testing.assert_array_equal(
                np.float32(data['timestamp']), np.float32(np.arange(episode.length) / 50)
            )
            assert set(data['task_index']) == {number % 2}
            assert row['tasks'] == [episode.task]
            span = (row['dataset_from_index'], row['dataset_to_index'], row['length'])
            assert span == (first, first + episode.length, episode.length)
            for key, camera in zip(keys, CAMERAS, strict=True):
                for t, frame in enumerate(frames_of(out, info, row, key)):
                    assert close(frame, episode.image(camera, t))
            first += episode.length


def test_lerobots_statistics_are_those_of_the_data(tmp_path: Path) -> None:
    source = write_episodes(tmp_path / 'episodes', compress=False)
    out = tmp_path / 'out'
    _, rows = exported(source, out)
    whole = json.loads((out / 'meta/stats.json').read_text())
    actions, images = [], []
    for path, row in zip(sorted(source.iterdir()), rows, strict=True):
        with EpisodeReader(path) as episode:
            actions.append(episode.action)
            images.append(episode.images('cam_low', range(episode.length)) / 255)
        np.testing.assert_allclose(row['stats/action/std'], actions[-1].std(axis=0), atol=1e-6)
        channels = images[-1].reshape(-1, 3)
        found = np.array(row['stats/observation.images.cam_low/mean'])
        np.testing.assert_allclose(found, channels.mean(axis=0).reshape(3, 1, 1))
        assert row['stats/action/count'] == [len(actions[-1])]
    values, channels = np.concatenate(actions), np.concatenate(images).reshape(-1, 3)
    action, image = whole['action'], whole['observation.images.cam_low']
    for name, how in {'min': np.min, 'max': np.max, 'mean': np.mean, 'std': np.std}.items():
        np.testing.assert_allclose(action[name], how(values, axis=0), atol=1e-6)
        np.testing.assert_allclose(np.ravel(image[name]), how(channels, axis=0), atol=1e-9)
    for name, quantile in {'q01': 0.01, 'q50': 0.5, 'q99': 0.99}.items():
        np.testing.assert_allclose(action[name], np.quantile(values, quantile, axis=0), atol=1e-6)
        ordered = np.quantile(channels, quantile, axis=0, method='inverted_cdf')
        np.testing.assert_allclose(np.ravel(image[name]), ordered)
    assert (action['count'], image['count']) == ([19], [19])


def test_files_of_a_lerobot_set_end_before_they_grow_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_episodes(tmp_path / 'episodes', compress=False)
    monkeypatch.setattr(lerobot_video, 'FILE_S', 11 / 50)
    monkeypatch.setattr(lerobot_export, 'DATA_FILE_MIB', 1e-3)
    info, rows = exported(source, tmp_path / 'out')
    key = 'observation.images.cam_high'
    assert [row[f'videos/{key}/file_index'] for row in rows] == [0, 1, 1]
    assert [row[f'videos/{key}/from_timestamp'] for row in rows] == [0, 0, 4 / 50]
    assert [row['data/file_index'] for row in rows] == [0, 1, 2]
    for path, row in zip(sorted(source.iterdir()), rows, strict=True):
        data = data_of(tmp_path / 'out', info, row)
        with EpisodeReader(path) as episode:
            np.testing.assert_array_equal(np.float32(data['action']), episode.action)
            frames = frames_of(tmp_path / 'out', info, row, key)
            assert close(frames[-1], episode.image('cam_high', episode.length - 1))


def test_a_lerobot_set_of_one_joint_and_odd_images_without_velocities(tmp_path: Path) -> None:
    robot = aloha_files.robot(('top',), joints=1)
    camera = robot.cameras['top'].model_copy(update={'width': 33, 'height': 25})
    robot = robot.model_copy(update={'cameras': {'top': camera}, 'rate': 12.5})
    path = recordings.write_episode(
        tmp_path / 'episodes' / 'episode_000000.hdf5', 1, robot=robot, effort=False
    )
    with h5py.File(path, 'r+') as file:
        file['observations/qvel'][...] = 0
    info, (row,) = exported(path, tmp_path / 'out', task='press')
    assert info['fps'] == 12.5
    names = set(info['features'])
    assert not {'observation.velocity', 'observation.effort'} & names
    assert info['features']['observation.images.top']['info']['video.pix_fmt'] == 'yuv444p'
    assert row['tasks'] == ['press']
    data = data_of(tmp_path / 'out', info, row)
    with EpisodeReader(path) as episode:
        assert np.float32(data['observation.state']) == episode.qpos[0]
        (frame,) = frames_of(tmp_path / 'out', info, row, 'observation.images.top')
        assert close(frame, episode.image('top', 0))


def error_line(capsys: Capture) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    return lines[0]


@pytest.mark.parametrize('kind', ['aloha', 'lerobot', 'eipl'])
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: Capture, kind: str
) -> None:
    robot = aloha_files.robot(('top',))
    source = write_episodes(tmp_path / 'episodes', robot=robot)
    command = ['export', str(source), '--to', kind, '--out']
    taken = tmp_path / 'taken'
    taken.mkdir()
    (taken / 'mine.txt').write_text('mine')
    assert main([*command, str(taken)]) == 2
    assert 'exists already, expected a new or an empty folder' in error_line(capsys)
    assert [path.name for path in taken.iterdir()] == ['mine.txt']
    assert main(['export', str(tmp_path / 'no'), '--to', kind, '--out', str(tmp_path / 'o')]) == 2
    assert 'no such file or folder' in error_line(capsys)
    other = tmp_path / 'other'
    shutil.copytree(source, other)
    with h5py.File(other / 'episode_000001.hdf5', 'r+') as file:
        file['observations/images/top'][2] = 0
    assert main(['export', str(other), '--to', kind, '--out', str(tmp_path / 'out')]) == 2
    assert "camera 'top', row 2: is no JPEG image" in error_line(capsys)
    assert not (tmp_path / 'out').exists()
    assert not (tmp_path / 'out.part').exists()


@pytest.mark.parametrize('kind', ['aloha', 'lerobot', 'eipl'])
def test_a_jpeg_that_lost_bytes_is_not_passed_on(
    tmp_path: Path, capsys: Capture, kind: str
) -> None:
    path = recordings.write_episode(
        tmp_path / 'episode_000000.hdf5', 3, robot=aloha_files.robot(('top',))
    )
    with h5py.File(path, 'r+') as file:
        length = int(file['compress_len'][0, 2])
        data = file['observations/images/top'][2]
        data[length // 2 :] = 0
        data[length // 2 : length // 2 + 2] = (0xFF, 0xD9)  # it still ends as a JPEG does
        file['observations/images/top'][2] = data
    assert main(['export', str(path), '--to', kind, '--out', str(tmp_path / 'out')]) == 2
    assert "camera 'top', row 2: " in error_line(capsys)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('changed', 'line'),
    [
        (
            aloha_files.robot(joints=6),
            'its joints: joint_0, .*joint_5; expected joint_0, .*joint_13 as in',
        ),
        (aloha_files.robot(('top',)), 'its cameras: top 32x24; expected cam_low 32x24'),
        (ROBOT.model_copy(update={'rate': 25.0}), 'its rate: 25 Hz; expected 50 Hz'),
    ],
)
def test_episodes_of_another_kind_are_refused(tmp_path: Path, changed: Any, line: str) -> None:
    source = write_episodes(tmp_path / 'episodes', (3, 3))
    path = recordings.write_episode(source / 'episode_000002.hdf5', 3, robot=changed)
    with pytest.raises(EpisodeError, match=line) as error:
        export_set(source)
    assert str(path) in str(error.value)


def test_lengths_that_tools_of_act_do_not_take_are_told(tmp_path: Path, capsys: Capture) -> None:
    for name, lengths, told in (('same', (3, 3), False), ('unequal', (3, 5), True)):
        source = write_episodes(tmp_path / name, lengths)
        command = ['export', str(source), '--out', str(tmp_path / f'{name}_out'), '--to', 'aloha']
        assert main(command) == 0
        assert ('of 3 to 5 rows' in capsys.readouterr().out) == told


def test_options_and_cameras_that_do_not_fit_are_refused(tmp_path: Path, capsys: Capture) -> None:
    source = write_episodes(tmp_path / 'episodes', (3,))
    command = ['export', str(source), '--out', str(tmp_path / 'out'), '--to']
    for kind, option in (('lerobot', '--raw'), ('eipl', '--task=a'), ('aloha', '--camera=top')):
        assert main([*command, kind, option]) == 2
        assert f'{option.partition("=")[0]} means nothing for --to {kind}' in error_line(capsys)
    assert main([*command, 'eipl']) == 2
    assert 'has the cameras: cam_low, cam_high; a set of EIPL has one' in error_line(capsys)
    assert main([*command, 'eipl', '--camera', 'side']) == 2
    assert "no camera 'side', it has: cam_low, cam_high" in error_line(capsys)
    assert main([*command, 'lerobot', '--crf', '60']) == 2
    assert '--crf is 60, expected 0 to 51' in error_line(capsys)


def test_a_missing_pyarrow_is_one_line(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_episodes(tmp_path / 'episodes', (3,))
    monkeypatch.delitem(sys.modules, 'motion_policy.episodes.formats.lerobot.from_episodes')
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    command = ['export', str(source), '--out', str(tmp_path / 'out'), '--to', 'lerobot']
    assert main(command) == 2
    assert "expected: pip install 'motion_policy[export]'" in error_line(capsys)
