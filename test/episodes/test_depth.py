# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode keeps depth to the bit, and says what is wrong with it."""

from __future__ import annotations

import re
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
from motion_policy.episodes import EpisodeError, EpisodeReader, EpisodeWriter, check_episode
from motion_policy.episodes.check import examine_episode
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.hdf5.recovery import UnfinishedInput
from motion_policy.episodes.repair import repair
from motion_policy.evaluation.depth_colours import DepthColours
from motion_policy.streams import Sample

ROBOT = recordings.with_depth(recordings.tabletop())
NAME = 'observations/depth/top'
DEPTH = np.stack([recordings.depth_image(row) for row in range(30)])


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp('whole') / 'episode_000000.hdf5'
    return recordings.write_episode(path, 30, robot=ROBOT).read_bytes()


@pytest.fixture
def episode(tmp_path: Path, whole: bytes) -> Path:
    """An episode of 30 rows."""
    path = tmp_path / 'episode_000000.hdf5'
    path.write_bytes(whole)
    return path


def test_depth_comes_back_to_the_bit_by_us_and_by_any_hdf5_tool(episode: Path) -> None:
    assert check_episode(episode) == []
    with EpisodeReader(episode) as reader, h5py.File(episode) as file:
        assert reader.robot == ROBOT
        dataset = file[NAME]
        assert (dataset.shape, dataset.dtype) == ((30, 30, 40), np.uint16)
        assert (dataset.compression, dataset.shuffle) == ('gzip', True)
        assert dataset.chunks == (1, 30, 40)
        np.testing.assert_array_equal(dataset[()], DEPTH)
        np.testing.assert_array_equal(reader.depth('top', -1), DEPTH[29])
        assert dataset.id.get_storage_size() < DEPTH.nbytes / 4
        assert reader.stamps('depth_top').counters.received == 30
        with pytest.raises(EpisodeError, match="no depth 'side', it has: top"):
            reader.depth('side', 0)
        with pytest.raises(EpisodeError, match='row 30, expected one of the 30 rows'):
            reader.depth('top', 30)


def test_a_slow_cameras_image_stands_in_several_rows(tmp_path: Path) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    samples = [Sample(index + 1, index + 1, None) for index in range(24)]
    with EpisodeWriter(path, ROBOT) as writer:
        for index in range(70):  # beyond the room that is made at once
            row = recordings.row_at(index, ROBOT)
            observation = recordings.observation(index, ROBOT)
            row.samples['depth_top'] = samples[index // 3]
            seen = {'top': recordings.depth_image(index // 3)}
            writer.append(row.time_ns, replace(observation, depth=seen), row)
    with EpisodeReader(path) as reader:
        for index in (0, 1, 2, 3, 64, 69):
            expected = recordings.depth_image(index // 3)
            np.testing.assert_array_equal(reader.depth('top', index), expected)


def flipped(file: h5py.File) -> None:
    for row in (4, 9):
        place = file[NAME].id.get_chunk_info_by_coord((row, 0, 0))
        with open(file.filename, 'r+b') as data:
            data.seek(place.byte_offset + place.size // 2)
            byte = data.read(1)[0]
            data.seek(-1, 1)
            data.write(bytes([byte ^ 1]))


def another_size(file: h5py.File) -> None:
    del file[NAME]
    file[NAME] = np.zeros((30, 30, 41), np.uint16)


def another_type(file: h5py.File) -> None:
    del file[NAME]
    file[NAME] = np.zeros((30, 30, 40), np.float32)


def missing(file: h5py.File) -> None:
    del file[NAME]


def without_stamps(file: h5py.File) -> None:
    del file['stamps/depth_top']


def stale(file: h5py.File) -> None:
    file['stamps/depth_top/age_ns'][7:9] = 250_000_000


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (flipped, "'/observations/depth/top' row 4 cannot be read"),
        (another_size, "'/observations/depth/top' is (30, 30, 41) uint16, expected (30, 30, 40)"),
        (another_type, 'is (30, 30, 40) float32, expected (30, 30, 40) uint16'),
        (missing, "no '/observations/depth/top'"),
        (without_stamps, "no '/stamps/depth_top/header_ns'"),
        (stale, "'/stamps/depth_top' is stale in 2 rows, the first is row 7"),
    ],
)
def test_what_is_wrong_with_depth_is_named(
    episode: Path, damage: Callable[[h5py.File], None], words: str
) -> None:
    with h5py.File(episode, 'r+') as file:
        damage(file)
    [problem] = check_episode(episode)
    assert words in problem
    assert damage is not flipped or '(2 of 30 rows are wrong)' in problem


@pytest.mark.parametrize(
    ('depth', 'words'),
    [
        ({}, "depth of [], expected ['top']"),
        ({'top': DEPTH[0][:-1]}, "depth 'top' has an image of shape (29, 40) uint16, expected"),
        ({'top': DEPTH[0].astype(np.float32)}, 'shape (30, 40) float32, expected (30, 40) uint16'),
    ],
)
def test_a_row_whose_depth_does_not_fit_is_refused(
    tmp_path: Path, depth: dict[str, Any], words: str
) -> None:
    with EpisodeWriter(tmp_path / 'episode_000000.hdf5', ROBOT) as writer:
        row, observation = recordings.row_at(0, ROBOT), recordings.observation(0, ROBOT)
        with pytest.raises(EpisodeError) as caught:
            writer.append(row.time_ns, replace(observation, depth=depth), row)
        assert words in str(caught.value)
        writer.append(row.time_ns, observation, row)


def test_images_in_which_nothing_was_measured_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    with EpisodeWriter(path, ROBOT) as writer:
        for index in range(9):
            row = recordings.row_at(index, ROBOT)
            observation = recordings.observation(index, ROBOT)
            observation.depth['top'][:] *= index < 6
            writer.append(row.time_ns, observation, row)
    found = examine_episode(path)
    line = "depth 'top': nothing was measured in 3 of 9 rows, the first is row 6"
    assert found.problems == [] and f"'/{NAME}': {line}" in found.notes
    assert main(['inspect', str(path)]) == 0
    assert 'nothing was measured in 1 of 3 rows' in ' '.join(capsys.readouterr().out.split())


def test_rows_whose_depth_a_crash_tore_are_left_out(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / 'episode_000000.hdf5', ROBOT)
    for index in range(60):
        row = recordings.row_at(index, ROBOT)
        writer.append(row.time_ns, recordings.observation(index, ROBOT), row)
    part = tmp_path / 'episode_000000.hdf5.part'
    recordings.leave_as_a_crash(writer, part)
    content = part.read_bytes()
    with h5py.File(UnfinishedInput(part), 'r') as file:
        length = file['time_ns'].shape[0]
        dataset = file[NAME].id
        places = [dataset.get_chunk_info_by_coord((length - n, 0, 0)) for n in (1, 2)]
    for place in places:
        begin = place.byte_offset
        content = content[:begin] + bytes(place.size) + content[begin + place.size :]
    part.write_bytes(content)
    repaired = repair(part)
    assert repaired.rows == length - 2 and check_episode(repaired.path) == []


def test_inspect_shows_depth_and_draws_it_in_colours_whose_range_it_says(
    episode: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, plot = tmp_path / 'seen.mp4', tmp_path / 'seen.png'
    assert main(['inspect', str(episode), '--video', str(video), '--plot', str(plot)]) == 0
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'depth top 40x30' in shown
    [(near, far)] = re.findall(r"depth 'top': red ([\d.]+) m or less, blue ([\d.]+) m", shown)
    assert (near, far) == ('0.62', '0.99') and 'black: no measurement' in shown
    assert video.stat().st_size > 1000 and plot.stat().st_size > 20_000


def test_near_is_red_far_is_blue_and_what_was_not_measured_is_black() -> None:
    colours = DepthColours.of([DEPTH[0], DEPTH[-1]])
    assert (colours.near_mm, colours.far_mm) == (620, 990)
    near, far, nothing, beyond = colours.paint(np.array([[620, 990, 0, 5000]], np.uint16))[0]
    assert near[0] > 2 * near[2] and far[2] > 2 * far[0] and far.max() > 100
    assert not nothing.any() and (beyond == far).all()


@pytest.mark.parametrize('kind', ['aloha', 'lerobot'])
def test_a_format_without_depth_says_that_it_is_left_out(
    episode: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert main(['export', str(episode), '--to', kind, '--out', str(tmp_path / kind)]) == 0
    assert 'depth is left out: top' in capsys.readouterr().out


def test_data_without_depth_become_episodes_of_the_robot_without(tmp_path: Path) -> None:
    robot = recordings.with_depth(aloha_files.robot())
    told: list[str] = []
    source = recordings.write_episode(tmp_path / 'there.hdf5', 20, robot=aloha_files.robot())
    main(['export', str(source), '--to', 'aloha', '--out', str(tmp_path / 'aloha')])
    [(path, _)] = import_aloha(tmp_path / 'aloha', robot, tmp_path / 'here', note=told.append)
    assert check_episode(path) == []
    with EpisodeReader(path) as reader:
        assert not reader.robot.depth
    assert any('has no depth top;' in line for line in told)


def test_episodes_with_other_depth_are_not_exported_together(
    episode: Path, tmp_path: Path
) -> None:
    second = recordings.write_episode(tmp_path / 'episode_000001.hdf5', 3)
    with pytest.raises(EpisodeError, match='its depth: none; expected top 40x30'):
        export_set([episode, second])
