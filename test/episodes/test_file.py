# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode has the ALOHA layout, gives back what was written, and is finished atomically."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import recordings

from motion_policy import __version__
from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    list_episodes,
    next_episode_path,
)
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Sample

LENGTH = 70


@pytest.fixture(params=[True, False], ids=['jpeg', 'raw'])
def episode(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return recordings.write_episode(
        tmp_path / 'episode_000007.hdf5',
        LENGTH,
        compress=request.param,
        task='grasp',
        operator='me',
        sim=True,
        success=True,
    )


def test_an_aloha_tool_can_read_it(episode: Path) -> None:
    robot = recordings.tabletop()
    with h5py.File(episode, 'r') as file:
        compressed = bool(file.attrs['compress'])
        assert bool(file.attrs['sim']) is True
        for name in (
            '/observations/qpos',
            '/observations/qvel',
            '/observations/effort',
            '/action',
        ):
            assert file[name][()].shape == (LENGTH, 5)
            assert file[name].dtype == np.float32
        expected = recordings.observation(33, robot)
        np.testing.assert_array_equal(file['/observations/qpos'][33], expected.qpos)
        np.testing.assert_array_equal(file['/observations/qvel'][33], expected.qvel)
        np.testing.assert_array_equal(file['/observations/effort'][33], expected.effort)
        np.testing.assert_array_equal(file['/action'][33], expected.action)
        for camera in robot.cameras:
            stored = file[f'/observations/images/{camera}']
            assert stored.dtype == np.uint8
            if not compressed:
                assert stored.shape == (LENGTH, 128, 128, 3)
                np.testing.assert_array_equal(stored[33], expected.images[camera])
                continue
            assert stored.ndim == 2
            assert stored.chunks[0] == 1
            # As ALOHA's tools do it: the padded bytes go straight to OpenCV.
            image = cv2.imdecode(stored[33], cv2.IMREAD_COLOR)
            assert np.abs(image.astype(int) - expected.images[camera]).mean() < 2
        if compressed:
            assert file['/compress_len'].shape == (2, LENGTH)
            assert file['/compress_len'].dtype == np.float32


def test_compress_len_has_the_cameras_in_the_order_of_the_robot(tmp_path: Path) -> None:
    # The names are sorted the other way round by HDF5.
    assert list(recordings.tabletop().cameras) == ['top', 'side']
    path = recordings.write_episode(tmp_path / 'e.hdf5', 10)
    with h5py.File(path, 'r') as file:
        assert list(file.attrs['cameras']) == ['top', 'side']
        for index, camera in enumerate(['top', 'side']):
            stored = file[f'observations/images/{camera}']
            for row, length in enumerate(file['compress_len'][index].astype(int)):
                assert stored[row, length - 2 : length].tobytes() == b'\xff\xd9'
                assert not stored[row, length:].any()


def test_it_says_what_it_is(episode: Path) -> None:
    robot = recordings.tabletop()
    with h5py.File(episode, 'r') as file:
        assert file.attrs['format'] == 'motion_policy/1'
        assert file.attrs['rate'] == 50.0
        assert robot_spec_from_yaml(file.attrs['robot'], 'x') == robot
        assert list(file.attrs['joint_names']) == list(robot.joints.names)
        assert file.attrs['task'] == 'grasp'
        assert file.attrs['operator'] == 'me'
        assert bool(file.attrs['success']) is True
        assert file.attrs['created'].startswith('2023-11-14T22:13:20')
        assert file.attrs['software'] == f'motion_policy {__version__}'
    with EpisodeReader(episode) as reader:
        assert reader.robot == robot
        assert (reader.length, reader.rate) == (LENGTH, 50.0)
        assert reader.joint_names == robot.joints.names
        assert reader.cameras == ('top', 'side')
        assert (reader.task, reader.operator, reader.success, reader.ended) == (
            'grasp',
            'me',
            True,
            '',
        )


def test_the_reader_gives_back_what_was_written(episode: Path) -> None:
    robot = recordings.tabletop()
    with EpisodeReader(episode) as reader:
        expected = [recordings.observation(row, robot) for row in range(LENGTH)]
        np.testing.assert_array_equal(reader.qpos, [each.qpos for each in expected])
        np.testing.assert_array_equal(reader.qvel, [each.qvel for each in expected])
        np.testing.assert_array_equal(reader.effort, [each.effort for each in expected])
        np.testing.assert_array_equal(reader.action, [each.action for each in expected])
        np.testing.assert_array_equal(
            reader.time_ns, recordings.START_NS + 20_000_000 * np.arange(LENGTH)
        )
        assert reader.time_ns.dtype == np.int64
        picked = reader.images('top', [0, 69, 3])
        assert picked.shape == (3, 128, 128, 3)
        assert picked.dtype == np.uint8
        limit = 2 if reader.compress else 0
        for image, row in zip(picked, [0, 69, 3], strict=True):
            assert np.abs(image.astype(int) - expected[row].images['top']).mean() <= limit
        np.testing.assert_array_equal(reader.image('top', -1), picked[1])
        with pytest.raises(EpisodeError, match='row 70'):
            reader.image('top', LENGTH)
        with pytest.raises(EpisodeError, match='wrist'):
            reader.image('wrist', 0)


def test_red_stays_red(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    red = np.zeros((128, 128, 3), np.uint8)
    red[:, :, 0] = 255
    seen = replace(recordings.observation(0, robot), images={'top': red, 'side': red})
    with EpisodeWriter(tmp_path / 'e.hdf5', robot) as writer:
        row = recordings.row_at(0, robot)
        writer.append(row.time_ns, seen, row)
    with EpisodeReader(tmp_path / 'e.hdf5') as reader:
        assert np.abs(reader.image('top', 0).astype(int) - red).max() < 6


def test_stamps_ages_and_counters_are_kept(episode: Path) -> None:
    robot = recordings.tabletop()
    with EpisodeReader(episode) as reader:
        for stream in robot.stream_names:
            stamps = reader.stamps(stream)
            np.testing.assert_array_equal(stamps.header_ns, reader.time_ns - 5_000_000)
            np.testing.assert_array_equal(stamps.receive_ns, reader.time_ns - 4_000_000)
            np.testing.assert_array_equal(stamps.age_ns, np.full(LENGTH, 5_000_000))
            assert stamps.counters == recordings.row_at(LENGTH - 1, robot).counters[stream]
        with pytest.raises(EpisodeError, match='nothing'):
            reader.stamps('nothing')
    with h5py.File(episode, 'r') as file:
        assert dict(file['stamps/top'].attrs)['dropped'] == 2
        assert file['stamps/state/age_ns'].dtype == np.int64


def test_the_file_has_its_final_name_only_when_complete(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    path = tmp_path / 'episode_000000.hdf5'
    writer = EpisodeWriter(path, robot)
    for index in range(40):
        row = recordings.row_at(index, robot)
        writer.append(row.time_ns, recordings.observation(index, robot), row)
        names = {entry.name for entry in tmp_path.iterdir()}
        assert names - {'episode_000000.hdf5.part.wal'} == {'episode_000000.hdf5.part'}
    writer.close()
    writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ['episode_000000.hdf5']


def test_a_discarded_or_empty_recording_leaves_nothing(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    writer = EpisodeWriter(tmp_path / 'a.hdf5', robot)
    row = recordings.row_at(0, robot)
    writer.append(row.time_ns, recordings.observation(0, robot), row)
    writer.discard()
    with (
        pytest.raises(EpisodeError, match=r'b\.hdf5.*no row'),
        EpisodeWriter(tmp_path / 'b.hdf5', robot),
    ):
        pass
    with pytest.raises(ZeroDivisionError), EpisodeWriter(tmp_path / 'c.hdf5', robot):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_rows_are_on_disk_while_recording(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    path = tmp_path / 'e.hdf5'
    with EpisodeWriter(path, robot, compress=False) as writer:
        sizes = []
        for index in range(100):
            row = recordings.row_at(index, robot)
            writer.append(row.time_ns, recordings.observation(index, robot), row)
            sizes.append(os.path.getsize(f'{path}.part'))
    frame = 2 * 128 * 128 * 3
    # No more than a second of frames waits in memory.
    assert sizes[-1] > 50 * frame
    assert sizes[49] < sizes[-1]


def test_success_is_true_false_or_not_judged(tmp_path: Path) -> None:
    for name, success in (('a', True), ('b', False), ('c', None)):
        path = recordings.write_episode(tmp_path / f'{name}.hdf5', 3, success=success)
        with EpisodeReader(path) as reader:
            assert reader.success is success


def test_effort_is_there_only_where_it_is_reported(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 3, effort=False)
    with EpisodeReader(path) as reader, h5py.File(path, 'r') as file:
        assert reader.effort is None
        assert 'observations/effort' not in file


@pytest.mark.parametrize('length', [1, 2, 26, 60])
def test_guided_by_hand_the_action_is_the_next_position(tmp_path: Path, length: int) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', length, leader=False)
    with EpisodeReader(path) as reader:
        np.testing.assert_array_equal(reader.action[:-1], reader.qpos[1:])
        np.testing.assert_array_equal(reader.action[-1], reader.qpos[-1])
    with h5py.File(path, 'r') as file:
        assert file['action'].attrs['source'] == 'next qpos'


def test_growing_images_widen_the_rows(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    plain = np.zeros_like(noise)
    with EpisodeWriter(tmp_path / 'e.hdf5', robot) as writer:
        for index in range(30):
            row = recordings.row_at(index, robot)
            image = noise if index >= 10 else plain
            seen = replace(
                recordings.observation(index, robot), images={'top': image, 'side': plain}
            )
            writer.append(row.time_ns, seen, row)
    with EpisodeReader(tmp_path / 'e.hdf5') as reader:
        assert reader.image('top', 9).max() == 0
        assert np.abs(reader.image('top', 10).astype(int) - noise).mean() < 12
        assert np.abs(reader.image('top', 29).astype(int) - noise).mean() < 12


def test_an_image_that_stands_in_two_rows_is_the_same_image(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    kept = {camera: Sample(1, 2, None) for camera in robot.cameras}
    with EpisodeWriter(tmp_path / 'e.hdf5', robot) as writer:
        for index in range(4):
            row = recordings.row_at(index, robot)
            if index % 2 == 0:
                kept = {camera: row.samples[camera] for camera in robot.cameras}
            row.samples.update(kept)
            writer.append(row.time_ns, recordings.observation(index - index % 2, robot), row)
    with EpisodeReader(tmp_path / 'e.hdf5') as reader:
        images = reader.images('top', range(4))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[2], images[3])
    assert (images[1] != images[2]).any()


def test_a_robot_without_cameras_can_be_recorded(tmp_path: Path) -> None:
    robot = recordings.tabletop().model_copy(update={'cameras': {}})
    path = recordings.write_episode(tmp_path / 'e.hdf5', 30, robot=robot)
    with EpisodeReader(path) as reader:
        assert reader.cameras == ()
        assert reader.length == 30


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'qpos': np.zeros(4, np.float32)}, ['qpos', '(4,)', '(5,)']),
        ({'action': np.zeros((1, 5), np.float32)}, ['action', '(1, 5)', '(5,)']),
        ({'action': None}, ['action', 'none', 'there']),
        ({'images': {}}, ['images', 'side', 'top']),
        (
            {'images': dict.fromkeys(('top', 'side'), np.zeros((4, 4, 3), np.uint8))},
            ["'top'", '(4, 4, 3)', '(128, 128, 3)'],
        ),
        (
            {'images': dict.fromkeys(('top', 'side'), np.zeros((128, 128, 3)))},
            ["'top'", 'float64', 'uint8'],
        ),
    ],
)
def test_a_row_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], words: list[str]
) -> None:
    robot = recordings.tabletop()
    writer = EpisodeWriter(tmp_path / 'e.hdf5', robot)
    first, second = recordings.row_at(0, robot), recordings.row_at(1, robot)
    writer.append(first.time_ns, recordings.observation(0, robot), first)
    with pytest.raises(EpisodeError) as caught:
        bad = replace(recordings.observation(1, robot), **change)  # type: ignore[arg-type]
        writer.append(second.time_ns, bad, second)
    for word in ['e.hdf5', *words]:
        assert word in str(caught.value)
    # The refused row left no trace.
    writer.append(second.time_ns, recordings.observation(1, robot), second)
    writer.close()
    with EpisodeReader(tmp_path / 'e.hdf5') as reader:
        assert reader.length == 2


def test_a_row_out_of_the_grid_is_refused(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    writer = EpisodeWriter(tmp_path / 'e.hdf5', robot)
    for index in (0, 1):
        row = recordings.row_at(index, robot)
        writer.append(row.time_ns, recordings.observation(index, robot), row)
    for index in (1, 3):
        row = recordings.row_at(index, robot)
        with pytest.raises(EpisodeError, match='one period after'):
            writer.append(row.time_ns, recordings.observation(index, robot), row)
    writer.close()
    with pytest.raises(EpisodeError, match='closed'):
        writer.append(row.time_ns, recordings.observation(2, robot), row)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    robot = recordings.tabletop()
    path = recordings.write_episode(tmp_path / 'e.hdf5', 3)
    with pytest.raises(EpisodeError, match=r'e\.hdf5: exists already'):
        EpisodeWriter(path, robot)
    path.rename(f'{path}.part')
    with pytest.raises(EpisodeError, match=r'e\.hdf5\.part: exists already'):
        EpisodeWriter(path, robot)
    with pytest.raises(EpisodeError, match=r"'\.h5', expected '\.hdf5'"):
        EpisodeWriter(tmp_path / 'e.h5', robot)
    (tmp_path / 'file').write_text('')
    with pytest.raises(EpisodeError, match='cannot be created'):
        EpisodeWriter(tmp_path / 'file' / 'e.hdf5', robot)


def test_numbers_go_on_after_the_highest(tmp_path: Path) -> None:
    assert next_episode_path(tmp_path / 'new').name == 'episode_000000.hdf5'
    (tmp_path / 'episode_000003.hdf5').touch()
    (tmp_path / 'episode_000011.hdf5.part').touch()
    (tmp_path / 'notes_000099.txt').touch()
    assert next_episode_path(tmp_path) == tmp_path / 'episode_000012.hdf5'


def test_episodes_are_listed_from_files_and_folders(tmp_path: Path) -> None:
    names = ['episode_000010.hdf5', 'episode_000002.hdf5', 'other.hdf5']
    for name in [*names, 'episode_000011.hdf5.part', 'readme.md']:
        (tmp_path / name).touch()
    assert [path.name for path in list_episodes(tmp_path)] == sorted(names)
    both = list_episodes([tmp_path / 'other.hdf5', str(tmp_path)])
    assert [path.name for path in both] == ['other.hdf5', *sorted(names)]
    assert len(list_episodes(tmp_path, unfinished=True)) == 4
    (tmp_path / 'empty').mkdir()
    for wrong, words in (('nowhere', 'no such file'), ('empty', 'no episode')):
        with pytest.raises(EpisodeError, match=rf'{wrong}.*{words}'):
            list_episodes(tmp_path / wrong)
    with pytest.raises(EpisodeError, match='no path'):
        list_episodes([])


def foreign(path: Path) -> None:
    with h5py.File(path, 'w') as file:
        file['observations/qpos'] = np.zeros((3, 5))


def truncated(path: Path) -> None:
    whole = recordings.write_episode(path.with_name('whole.hdf5'), 30).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda path: None, 'no such file'),
        (lambda path: path.write_bytes(b'hello'), 'not HDF5'),
        (lambda path: path.write_bytes(b''), 'not HDF5'),
        (truncated, 'truncated'),
        (foreign, r"'format' is none.*ALOHA.*expected 'motion_policy/1'"),
        (lambda path: path.mkdir(), 'is a folder'),
    ],
)
def test_a_file_that_is_no_episode_is_one_line(tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / 'bad.hdf5')  # type: ignore[operator]
    with pytest.raises(EpisodeError, match=rf'bad\.hdf5.*{words}') as caught:
        EpisodeReader(tmp_path / 'bad.hdf5')
    assert '\n' not in str(caught.value)


def test_an_unfinished_episode_says_how_to_finish_it(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 3)
    part = path.rename(tmp_path / 'e.hdf5.part')
    with pytest.raises(EpisodeError, match=r'unfinished.*check --repair'):
        EpisodeReader(part)
