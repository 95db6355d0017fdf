# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A camera's own JPEG stays as it came, and red stays red for everyone who reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aloha_files
import bag_files
import cv2
import h5py
import numpy as np
import pytest
import recordings
from recordings import compressed_message as sent

from motion_policy.cli.main import main
from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    episode_summary,
    examine_episode,
)
from motion_policy.episodes.editing.pieces import EditStamp, Piece, write_piece
from motion_policy.episodes.formats.aloha.from_episodes import export_aloha
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.formats.rosbag.to_episodes import import_bag
from motion_policy.episodes.layout import part_path
from motion_policy.episodes.repair import repair_episode
from motion_policy.streams import Observation, Row, StreamError, image_to_rgb, observation_from_row
from motion_policy.streams.jpeg import decode_strictly, decode_whole

ROBOT = recordings.tabletop()
ROWS = 8
RED = (250, 20, 10)


def red_square(row: int) -> np.ndarray:
    """Return an RGB image (128, 128, 3) with a red square that moves."""
    image = recordings.scene(row)
    image[70:100, row : row + 30] = RED
    return image


def turned(data: bytes) -> bytes:
    """Put a note into a JPEG that the camera stood on its side (EXIF orientation 6)."""
    entry = b'\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00'
    tiff = b'MM\x00*\x00\x00\x00\x08\x00\x01' + entry + bytes(4)
    segment = b'Exif\x00\x00' + tiff
    return data[:2] + b'\xff\xe1' + (len(segment) + 2).to_bytes(2, 'big') + segment + data[2:]


def with_note(message: Any) -> Any:
    return SimpleNamespace(**{**vars(message), 'data': turned(message.data)})


FRAMES: dict[str, Callable[[int], Any]] = {
    'colours': lambda row: sent(red_square(row)),
    'grey': lambda row: sent(red_square(row)[..., 0]),
    'progressive': lambda row: sent(red_square(row), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'restart markers': lambda row: sent(red_square(row), cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    'bytes behind its end': lambda row: sent(red_square(row), after=bytes(7)),
    'on its side': lambda row: with_note(sent(red_square(row))),
}


def observed(index: int, top: Any) -> tuple[Row, Observation]:
    """Return a row whose camera `top` sent a message and `side` a raw image, and what is seen."""
    row, names = recordings.row_at(index, ROBOT), list(ROBOT.joints.names)
    joints = recordings.joint_message(names, recordings.joint_values(index).tolist())
    side = recordings.image_message(red_square(index + 3), 'rgb8')
    values = {'top': top, 'side': side, 'state': joints, 'leader': joints}
    samples = {name: replace(sample, value=values[name]) for name, sample in row.samples.items()}
    row = replace(row, samples=samples)
    return row, observation_from_row(row, ROBOT)


def record(path: Path, frame: Callable[[int], Any], rows: int = ROWS, **options: Any) -> Path:
    with EpisodeWriter(path, ROBOT, **options) as writer:
        for index in range(rows):
            row, observation = observed(index, frame(index))
            writer.append(row.time_ns, observation, row)
    return path


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    """Give an episode whose camera `top` sent JPEGs; `side` was encoded here."""
    return record(tmp_path / 'set' / 'episode_000000.hdf5', FRAMES['colours'])


@pytest.mark.parametrize('kind', FRAMES)
def test_it_is_stored_to_the_byte_and_gives_what_the_policy_saw(kind: str, tmp_path: Path) -> None:
    frame = FRAMES[kind]
    path = record(tmp_path / 'episode_000000.hdf5', frame)
    assert check_episode(path) == []
    with EpisodeReader(path) as reader:
        assert (reader.storage('top'), reader.storage('side')) == ('camera_jpeg', 'jpeg')
        for row in range(ROWS):
            kept = reader.camera_jpeg('top', row)
            assert kept is not None and kept.tobytes() == frame(row).data
            np.testing.assert_array_equal(reader.image('top', row), image_to_rgb(frame(row)))
        assert reader.jpeg('top', 0) is None and reader.camera_jpeg('side', 0) is None


def test_red_is_red_of_both_kinds_of_camera(episode: Path) -> None:
    with EpisodeReader(episode) as reader:
        for camera, row in (('top', 2), ('side', 2 - 3)):
            square = reader.image(camera, row)[75:95, row % ROWS + 10 : row % ROWS + 20]
            assert np.abs(square.astype(int) - RED).max() < 25 or camera == 'side'
        assert np.abs(reader.image('side', 2).astype(int) - red_square(5)).mean() < 2
        assert np.abs(reader.image('top', 2).astype(int) - red_square(2)).mean() < 3


def test_pixels_and_jpegs_of_other_sources_are_stored_as_before(tmp_path: Path) -> None:
    """Without a camera's own JPEG the file has no mark, and the format that it had."""
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 3)
    with h5py.File(path) as file:
        assert file.attrs['format'] == 'motion_policy/1'
        assert 'storage' not in file['observations/images/top'].attrs
    raw = record(tmp_path / 'episode_000001.hdf5', FRAMES['colours'], compress=False)
    with h5py.File(raw) as file, EpisodeReader(raw) as reader:
        assert file.attrs['format'] == 'motion_policy/1'
        assert reader.storage('top') == 'raw'
        np.testing.assert_array_equal(reader.image('top', 4), image_to_rgb(FRAMES['colours'](4)))


def test_older_software_refuses_a_file_in_which_it_would_take_red_for_blue(episode: Path) -> None:
    with h5py.File(episode) as file:
        assert file.attrs['format'] == 'motion_policy/2'
        assert file['observations/images/top'].attrs['storage'] == 'camera_jpeg'


@pytest.mark.parametrize('first', ['.jpg', '.png'])
def test_a_camera_that_changes_its_kind_keeps_one_storage(first: str, tmp_path: Path) -> None:
    """The others are encoded in the order of colours of the first one; no colour is exchanged."""
    kinds = {'.jpg': '.png', '.png': '.jpg'}

    def frame(row: int) -> Any:
        return sent(red_square(row), kind=first if row < 3 else kinds[first])

    path = record(tmp_path / 'episode_000000.hdf5', frame)
    assert check_episode(path) == []
    with EpisodeReader(path) as reader:
        assert reader.storage('top') == ('camera_jpeg' if first == '.jpg' else 'jpeg')
        for row in (2, 3):
            found = reader.image('top', row).astype(int)
            assert np.abs(found - red_square(row)).mean() < 3


def test_bytes_alone_may_be_given_of_a_camera_that_nobody_looks_at(tmp_path: Path) -> None:
    """The writer is told by `jpegs` that they are the camera's own; else they are ALOHA's."""
    path = tmp_path / 'episode_000000.hdf5'
    with EpisodeWriter(path, ROBOT) as writer:
        for index in range(3):
            row, seen = observed(index, FRAMES['colours'](index))
            images = {**seen.images, 'top': seen.jpegs['top']}
            aloha = cv2.imencode('.jpg', red_square(index))[1].reshape(-1)
            images['side'] = aloha
            writer.append(row.time_ns, replace(seen, images=images), row)
    with EpisodeReader(path) as reader:
        assert reader.camera_jpeg('top', 1).tobytes() == FRAMES['colours'](1).data
        for camera in ('top', 'side'):
            assert np.abs(reader.image(camera, 1).astype(int) - red_square(1)).mean() < 3


def test_an_imported_bag_holds_the_same_bytes(tmp_path: Path) -> None:
    kind = bag_files.T['sensor_msgs/msg/CompressedImage']
    events = []
    for receive_ns, stamp_ns, topic, message in bag_files.demonstration(0.5, ROBOT):
        if topic == '/top/image_raw':
            data = np.frombuffer(sent(message.data.reshape(128, 128, 3)).data, np.uint8)
            message = kind(header=message.header, format='jpeg', data=data)
            topic += '/compressed'
        events.append((receive_ns, stamp_ns, topic, message))
    messages = {stamp: each.data.tobytes() for _, stamp, name, each in events if 'compr' in name}
    (path,) = import_bag(bag_files.write_bag(tmp_path / 'bag', events), ROBOT, tmp_path / 'out')
    with EpisodeReader(path) as reader:
        stamps = reader.stamps('top').header_ns.tolist()
        for row in range(reader.length):
            kept = reader.camera_jpeg('top', row)
            assert kept is not None and kept.tobytes() == messages[stamps[row]]


def test_alohas_tools_see_red_in_what_is_exported(episode: Path, tmp_path: Path) -> None:
    (path,) = export_aloha(export_set(episode.parent), tmp_path / 'aloha')
    with EpisodeReader(episode) as reader, h5py.File(path) as file:
        assert not file['observations/images/top'].attrs.keys()
        for row in range(ROWS):
            step = aloha_files.read_step(path, reader.cameras, row)
            for image, camera in zip(step['image'], reader.cameras, strict=True):
                limit = 1.5 if camera == 'top' else 0  # encoded anew; copied
                assert np.abs(image.astype(int) - reader.image(camera, row)).mean() <= limit


@pytest.mark.parametrize(
    'piece',
    [
        Piece(),
        Piece(np.arange(2, 6)),
        Piece(np.arange(0, ROWS, 2), robot=ROBOT.model_copy(update={'rate': 25.0})),
    ],
    ids=['labels only', 'a part', 'every second row'],
)
def test_edits_keep_the_bytes_and_the_mark(episode: Path, tmp_path: Path, piece: Piece) -> None:
    made = tmp_path / 'made.hdf5'
    write_piece(episode, made, piece, EditStamp('test', '', 'now'), 'digest')
    rows = range(ROWS) if piece.rows is None else piece.rows.tolist()
    with EpisodeReader(episode) as before, EpisodeReader(made) as after:
        assert after.storage('top') == 'camera_jpeg'
        for new, old in enumerate(rows):
            assert (
                after.camera_jpeg('top', new).tobytes() == before.camera_jpeg('top', old).tobytes()
            )
            np.testing.assert_array_equal(after.image('side', new), before.image('side', old))


def test_what_a_crash_left_is_repaired_with_its_mark(tmp_path: Path) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    writer = EpisodeWriter(path, ROBOT)
    for index in range(60):
        row, observation = observed(index, FRAMES['colours'](index))
        writer.append(row.time_ns, observation, row)
    recordings.leave_as_a_crash(writer, part_path(path))
    repair_episode(part_path(path))
    assert check_episode(path) == []
    with EpisodeReader(path) as reader:
        assert reader.storage('top') == 'camera_jpeg' and reader.length > 20
        assert reader.camera_jpeg('top', 20).tobytes() == FRAMES['colours'](20).data


def test_damage_is_found_with_row_and_camera(episode: Path) -> None:
    with h5py.File(episode, 'r+') as file:
        rows = file['observations/images/top']
        data = rows[3]
        data[len(data) // 3 : len(data) // 3 + 40] = 0xFF
        rows[3] = data
        rows[5] = 0
    (line,) = check_episode(episode)
    assert "'/observations/images/top' row 3: JPEG is damaged" in line
    assert f'2 of {ROWS} rows are wrong' in line


def hurt(data: bytes) -> bytes:
    """Change a bit so that libjpeg speaks of damage, and gives all pixels."""
    for place in range(len(data) // 2, len(data) - 20):
        found = data[:place] + bytes([data[place] ^ 0x08]) + data[place + 1 :]
        try:
            decode_whole(found)
            decode_strictly(found)
        except StreamError as error:
            if 'libjpeg says' in str(error):
                return found
    raise AssertionError('no such bit')


def test_what_libjpeg_says_of_images_that_a_policy_takes_is_a_note(tmp_path: Path) -> None:
    def frame(row: int) -> Any:
        message = sent(red_square(row))
        return (
            SimpleNamespace(**{**vars(message), 'data': hurt(message.data)})
            if row > 4
            else message
        )

    path = record(tmp_path / 'episode_000000.hdf5', frame)
    found = examine_episode(path)
    assert found.problems == []
    (note,) = [line for line in found.notes if 'libjpeg' in line]
    told = 'libjpeg speaks of damage in 3 images, the first is that of row 5: Corrupt JPEG data'
    assert told in note


def test_a_storage_that_is_not_known_is_refused(episode: Path) -> None:
    with h5py.File(episode, 'r+') as file:
        file['observations/images/top'].attrs['storage'] = 'gif'
    with pytest.raises(EpisodeError, match=r"'storage' of '/observations/images/top' is 'gif'"):
        EpisodeReader(episode)


@pytest.mark.parametrize('camera', ['top', 'side'])
def test_a_mark_that_got_lost_is_noticed(episode: Path, camera: str) -> None:
    """Red would be taken for blue without it."""
    with h5py.File(episode, 'r+') as file:
        del file[f'observations/images/{camera}'].attrs['storage']
    (line,) = check_episode(episode)
    assert f"'storage' of '/observations/images/{camera}' is missing, expected jpeg, cam" in line


def test_inspect_says_how_each_camera_is_stored(
    episode: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert episode_summary(episode)['storage'] == {'top': 'camera_jpeg', 'side': 'jpeg'}
    assert main(['inspect', str(episode), '--json', str(tmp_path / 'told.json')]) == 0
    told = ' '.join(capsys.readouterr().out.split())
    assert "top 128x128 (the camera's own JPEG), side 128x128 (JPEG)" in told
    (entry,) = json.loads((tmp_path / 'told.json').read_text())['inspected']
    assert entry['storage']['top'] == 'camera_jpeg'
