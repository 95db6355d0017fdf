# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode keeps the numbers of its vectors, and what each of them is, or says what is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aloha_files
import h5py
import numpy as np
import pytest
import recordings

from motion_policy.cli.main import main
from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    layout,
)
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.repair import repair
from motion_policy.robot import robot_spec_from_yaml

BLIND = recordings.tabletop().model_copy(update={'cameras': {}})
ROBOT = recordings.with_vectors(BLIND)
WIDTHS = {'wrench': 3, 'skin': 4}


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    """An episode of 30 rows."""
    return recordings.write_episode(tmp_path / 'episode_000000.hdf5', 30, robot=ROBOT)


def test_numbers_and_what_they_are_come_back(episode: Path) -> None:
    assert check_episode(episode) == []
    with EpisodeReader(episode) as reader, h5py.File(episode) as file:
        assert reader.robot == ROBOT
        for name, width in WIDTHS.items():
            expected = np.stack([recordings.numbers(row, width) for row in range(30)])
            np.testing.assert_array_equal(reader.vector(name), expected)
            dataset = file[f'observations/vectors/{name}']
            assert (dataset.shape, dataset.dtype) == ((30, width), np.float32)
            assert tuple(dataset.attrs['columns']) == ROBOT.vectors[name].columns
            assert reader.stamps(name).counters.received == 30
        with pytest.raises(EpisodeError, match="no vector 'force', it has: wrench, skin"):
            reader.vector('force')


def test_a_robot_without_vectors_is_written_as_before(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 3, robot=BLIND)
    with h5py.File(path) as file:
        assert 'vectors' not in file['observations'] and 'vectors' not in file.attrs['robot']


def test_the_greatest_vector_is_written(tmp_path: Path) -> None:
    text = ROBOT.to_yaml().replace('data[4]', 'data[4096]')
    robot = robot_spec_from_yaml(text, 'wide')
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 3, robot=robot)
    assert check_episode(path) == []
    with h5py.File(path) as file:
        skin, wrench = (file[f'observations/vectors/{name}'] for name in ('skin', 'wrench'))
        assert skin.attrs['columns'][-1] == 'data[4095]'
        # HDF5 keeps 1 MiB of each dataset, so that a flush reads nothing again.
        assert (skin.chunks, wrench.chunks) == ((16, 4096), (256, 3))


def test_numbers_of_many_minutes_are_not_refused(tmp_path: Path) -> None:
    """17,000 rows of 4096 numbers have 279 MB; zeros, and packed, to cost little here."""
    robot = robot_spec_from_yaml(ROBOT.to_yaml().replace('data[4]', 'data[4096]'), 'wide')
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 3, robot=robot)
    rows, name = 17_000, 'observations/vectors/skin'
    with h5py.File(path, 'r+', libver='v110') as file:
        for dataset in layout.dataset_names(file):
            file[dataset].resize(rows, axis=layout.row_axis(dataset))
        file['time_ns'][:] = recordings.START_NS + np.arange(rows) * robot.period_ns
        columns = file[name].attrs['columns']
        del file[name]
        packed = zlib.compress(bytes(1000 * 4096 * 4))
        skin = file.create_dataset(name, (rows, 4096), 'f4', chunks=(1000, 4096), compression=1)
        for start in range(0, rows, 1000):
            skin.id.write_direct_chunk((start, 0), packed)
        skin.attrs['columns'] = columns
    with EpisodeReader(path) as reader:
        assert reader.length == rows


def no_number(file: h5py.File) -> None:
    file['observations/vectors/wrench'][4:6, 1] = [np.nan, np.inf]


def another_width(file: h5py.File) -> None:
    del file['observations/vectors/skin']
    file['observations/vectors/skin'] = np.zeros((30, 3), np.float32)


def missing(file: h5py.File) -> None:
    del file['observations/vectors/wrench']


def without_stamps(file: h5py.File) -> None:
    del file['stamps/skin']


def another_order(file: h5py.File) -> None:
    attributes = file['observations/vectors/wrench'].attrs
    attributes['columns'] = list(reversed(attributes['columns']))


def fewer_columns(file: h5py.File) -> None:
    file['observations/vectors/skin'].attrs['columns'] = ['data[0]', 'data[1]']


def unnamed(file: h5py.File) -> None:
    del file['observations/vectors/skin'].attrs['columns']


def stale(file: h5py.File) -> None:
    file['stamps/skin/age_ns'][7:9] = 250_000_000


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (no_number, "/wrench' is not finite in 2 rows, the first is row 4, 'wrench.force.y': nan"),
        (another_width, "'/observations/vectors/skin' is (30, 3) float32, expected (30, 4)"),
        (missing, "no '/observations/vectors/wrench'"),
        (without_stamps, "no '/stamps/skin/header_ns'"),
        (another_order, "/wrench' names wrench.force.z in column 0, expected wrench.force.x"),
        (fewer_columns, "/skin' names none in column 2, expected data[2] of the robot"),
        (unnamed, "no attribute 'columns' of '/observations/vectors/skin'"),
        (stale, "'/stamps/skin' is stale in 2 rows, the first is row 7"),
    ],
)
def test_what_is_wrong_with_a_vector_is_named(
    episode: Path, damage: Callable[[h5py.File], None], words: str
) -> None:
    with h5py.File(episode, 'r+') as file:
        damage(file)
    [problem] = check_episode(episode)
    assert words in problem


@pytest.mark.parametrize(
    ('vectors', 'words'),
    [
        ({}, "vectors are [], expected ['skin', 'wrench']"),
        ({'wrench': np.zeros(3, np.float32), 'skin': np.zeros(5, np.float32)}, "'skin' has shape"),
    ],
)
def test_a_row_whose_vectors_do_not_fit_is_refused(
    tmp_path: Path, vectors: dict[str, Any], words: str
) -> None:
    with EpisodeWriter(tmp_path / 'episode_000000.hdf5', ROBOT) as writer:
        row, observation = recordings.row_at(0, ROBOT), recordings.observation(0, ROBOT)
        with pytest.raises(EpisodeError) as caught:
            writer.append(row.time_ns, replace(observation, vectors=vectors), row)
        assert words in str(caught.value)
        writer.append(row.time_ns, observation, row)


def test_what_a_crash_left_is_repaired_with_its_vectors(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / 'episode_000000.hdf5', ROBOT)
    for index in range(60):
        observation = recordings.observation(index, ROBOT)
        if index == 40:
            observation.vectors['wrench'][1] = np.nan
        row = recordings.row_at(index, ROBOT)
        writer.append(row.time_ns, observation, row)
    part = tmp_path / 'episode_000000.hdf5.part'
    recordings.leave_as_a_crash(writer, part)
    repaired = repair(part)
    assert repaired.rows == 40 and check_episode(repaired.path) == []
    with EpisodeReader(repaired.path) as reader, h5py.File(repaired.path) as file:
        np.testing.assert_array_equal(reader.vector('skin')[39], recordings.numbers(39, 4))
        columns = file['observations/vectors/skin'].attrs['columns']
        assert tuple(columns) == ROBOT.vectors['skin'].columns


def test_inspect_shows_the_vectors(episode: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['inspect', str(episode)]) == 0
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'vectors wrench (3), skin (4)' in shown and 'not taken' not in shown
    with h5py.File(episode, 'r+') as file:
        file['stamps/skin'].attrs['unusable'] = 7
    assert main(['inspect', str(episode)]) == 0
    shown = ' '.join(capsys.readouterr().out.split())
    assert "'/stamps/skin': 7 of 30 messages were not taken" in shown


def test_a_format_without_vectors_says_that_they_are_left_out(
    episode: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['export', str(episode), '--to', 'aloha', '--out', str(tmp_path / 'aloha')]) == 0
    assert 'vectors are left out: wrench, skin' in capsys.readouterr().out


def test_data_without_vectors_become_episodes_of_the_robot_without(tmp_path: Path) -> None:
    robot = recordings.with_vectors(aloha_files.robot())
    told: list[str] = []
    source = recordings.write_episode(tmp_path / 'there.hdf5', 20, robot=aloha_files.robot())
    main(['export', str(source), '--to', 'aloha', '--out', str(tmp_path / 'aloha')])
    [(path, _)] = import_aloha(tmp_path / 'aloha', robot, tmp_path / 'here', note=told.append)
    assert check_episode(path) == []
    with EpisodeReader(path) as reader:
        assert not reader.robot.vectors
    assert any('has no wrench, skin;' in line for line in told)


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('force.z', 'torque.z', r'torque\.z, skin newest of data\[4\]; expected .*force\.z'),
        ('newest', 'mean', r'wrench mean of wrench.*; expected wrench newest of wrench\.force'),
    ],
)
def test_episodes_with_other_vectors_are_not_exported_together(
    episode: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    other = robot_spec_from_yaml(ROBOT.to_yaml().replace(old, new), 'other')
    second = recordings.write_episode(tmp_path / 'episode_000001.hdf5', 3, robot=other)
    with pytest.raises(EpisodeError, match=f'its vectors: .*{words}'):
        export_set([episode, second])
