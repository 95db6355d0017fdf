# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever images are stored as, any row is the same by itself and in order, cut or mended."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import recordings
from torch.utils.data import DataLoader

from motion_policy.episodes import EpisodeError, EpisodeReader, EpisodeWriter, check_episode
from motion_policy.episodes.editing.pieces import EditStamp, Piece, write_piece
from motion_policy.episodes.editing.storing import store
from motion_policy.episodes.layout import part_path
from motion_policy.episodes.repair import repair_episode
from motion_policy.episodes.video import VideoDecoder, VideoEncoder, is_key_frame
from motion_policy.policies.camera_view import CameraView
from motion_policy.streams import Sample, StreamError
from motion_policy.training.stored_frames import StoredFrames

pytest.importorskip('av')

H, W, ROWS = 77, 101, 35  # odd sides, more rows than three groups of frames
ROBOT = recordings.robot_with_leader('odd', list('abc'), ['left', 'top'], W, H, 50.0)
VIDEO = ['h264', 'av1']
LINKED = ['camera_jpeg', 'png', *VIDEO]
EXACT = {'camera_jpeg': 4.0, 'png': 0.0, 'h264': 3.0, 'av1': 6.0}  # mean difference of a pixel
SLOW = 2  # rows in which each frame stands


def noisy_frame(frame: int) -> np.ndarray:
    """Return an RGB image with noise that a camera has and a square that moves."""
    noise = np.random.default_rng(frame).integers(-3, 4, (H, W, 3))
    image = recordings.scene(frame, H, W)[:H, :W].astype(int) + noise
    return np.clip(image, 0, 255).astype(np.uint8)


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def record(
    path: Path,
    storage: str,
    rows: int = ROWS,
    slow: int = SLOW,
    at_the_end: Callable[[], None] = lambda: None,
) -> Path:
    """Write an episode whose camera `top` is slower than the rows; `left` sends new frames."""
    own = storage == 'camera_jpeg'
    with EpisodeWriter(path, ROBOT, storage='jpeg' if own else storage) as writer:
        held: dict[int, Sample] = {}
        for index in range(rows):
            row, seen = recordings.row_at(index, ROBOT), recordings.observation(index, ROBOT)
            frame = index // slow
            held.setdefault(frame, row.samples['top'])
            row = replace(row, samples={**row.samples, 'top': held[frame]})
            images = {'top': noisy_frame(frame), 'left': noisy_frame(index + 50)}
            jpegs = {}
            if own:
                jpegs = {
                    n: np.frombuffer(recordings.compressed_message(i).data, np.uint8)
                    for n, i in images.items()
                }
            writer.append(row.time_ns, replace(seen, images=images, jpegs=jpegs), row)
        at_the_end()
    return path


@pytest.fixture(scope='module')
def episodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One episode of each storage."""
    folder = tmp_path_factory.mktemp('storages')
    return {
        storage: record(folder / f'episode_{number:06d}.hdf5', storage)
        for number, storage in enumerate(LINKED)
    }


def all_images(path: Path, camera: str = 'top') -> np.ndarray:
    with EpisodeReader(path) as episode:
        return episode.images(camera, range(episode.length))


@pytest.mark.parametrize('storage', LINKED)
def test_any_row_is_the_same_by_itself_and_in_order(
    storage: str, episodes: dict[str, Path]
) -> None:
    assert check_episode(episodes[storage]) == []
    for camera, slow, first in (('top', SLOW, 0), ('left', 1, 50)):
        in_order = all_images(episodes[storage], camera)
        for row in range(ROWS):
            expected = noisy_frame(row // slow + first)
            assert np.abs(in_order[row].astype(int) - expected).mean() <= EXACT[storage]
        with EpisodeReader(episodes[storage]) as episode:
            assert episode.storage(camera) == storage
            for row in np.random.default_rng(1).permutation(ROWS):
                np.testing.assert_array_equal(episode.image(camera, row), in_order[row])


@pytest.mark.parametrize('codec', ['h264', 'av1'])
def test_no_encoder_takes_a_priority_above_the_control_tick(codec: str) -> None:
    def schedulings() -> set[int]:
        return {os.sched_getscheduler(int(name)) for name in os.listdir('/proc/self/task')}

    before = schedulings()
    encoder = VideoEncoder(codec, 64, 64)
    encoder.encode(np.zeros((64, 64, 3), np.uint8))
    assert schedulings() <= before


@pytest.mark.parametrize('storage', LINKED)
def test_a_frame_that_stands_in_several_rows_is_stored_once(
    storage: str, episodes: dict[str, Path]
) -> None:
    with h5py.File(episodes[storage]) as file:
        lengths = file['compress_len'][1]
        assert (lengths[0::SLOW] > 0).all() and not lengths[1::SLOW].any()
        # An h5py without our code reads the bytes; padding and empty rows take next to no room.
        rows = file['observations/images/top']
        assert all(not rows[row, int(length) :].any() for row, length in enumerate(lengths))
        assert rows.id.get_storage_size() < lengths.sum() + 100 * ROWS


CUTS = {
    'head': range(13, ROWS),
    'middle': range(7, 19),
    'every second': range(1, ROWS, 2),
    'every seventh': range(3, ROWS, 7),
    'twice': [4, 4, 5, 5, 17, 17],
}


@pytest.mark.parametrize(
    ('storage', 'cut'),
    [
        *(('h264', cut) for cut in CUTS),
        *((storage, 'twice') for storage in LINKED if storage != 'h264'),
        ('av1', 'every second'),
    ],
)
def test_rows_that_are_cut_out_keep_their_pixels(
    storage: str, cut: str, episodes: dict[str, Path], tmp_path: Path
) -> None:
    """Nothing is encoded anew: a row has the packets before it that it needs."""
    rows = np.array(CUTS[cut])
    made, again = tmp_path / 'made.hdf5', tmp_path / 'again.hdf5'
    period = np.arange(len(rows)) * ROBOT.period_ns + recordings.START_NS

    def on_grid(file: h5py.File) -> None:
        file['time_ns'][...] = period[: len(file['time_ns'])]

    stamp = EditStamp('test', '', 'now')
    write_piece(episodes[storage], made, Piece(rows, finish=on_grid), stamp, '')
    write_piece(made, again, Piece(np.arange(1, len(rows)), finish=on_grid), stamp, '')
    for camera in ('top', 'left'):
        before = all_images(episodes[storage], camera)[rows]
        np.testing.assert_array_equal(all_images(made, camera), before)
        np.testing.assert_array_equal(all_images(again, camera), before[1:])


STORED = {  # to what, of what, and whether all pixels stay
    'h264 to raw': ('h264', 'raw', True),
    'h264 to png': ('h264', 'png', True),
    'png to av1': ('png', 'av1', False),
    'png to aloha_jpeg': ('png', 'aloha_jpeg', False),
    'camera_jpeg to h264': ('camera_jpeg', 'h264', False),
}


@pytest.mark.parametrize('change', STORED)
def test_images_can_be_stored_as_something_else(
    change: str, episodes: dict[str, Path], tmp_path: Path
) -> None:
    before, after, exact = STORED[change]
    source, made = episodes[before], tmp_path / 'made.hdf5'
    plan = store([source], after)
    ((piece,),) = [each.pieces for each in plan.changes]
    write_piece(source, made, piece, EditStamp('store', '', 'now'), '')
    assert check_episode(made) == []
    with EpisodeReader(made) as new, EpisodeReader(source) as old:
        found = {new.storage(camera) for camera in new.cameras}
        assert found == {'jpeg' if after == 'aloha_jpeg' else after}
        assert new.compress is (after != 'raw')
        assert json.loads(new.edits[0])['storage_before'] == {'left': before, 'top': before}
        np.testing.assert_array_equal(new.qpos, old.qpos)
        for camera in new.cameras:
            theirs, ours = all_images(source, camera), all_images(made, camera)
            error = np.abs(ours.astype(int) - theirs).mean()
            assert error == 0 if exact else error < 6
        lengths = new.jpeg_lengths('top')
        rows_of_their_own = ROWS if after == 'aloha_jpeg' else -(-ROWS // SLOW)
        assert lengths is None or (lengths > 0).sum() == rows_of_their_own
    assert store([made], after).changes == ()


def test_jpegs_stay_to_the_byte_when_they_become_jpeg(tmp_path: Path) -> None:
    """A camera's own beside one that was encoded here, from video and back to what can stay."""
    path, made = tmp_path / 'episode_000000.hdf5', tmp_path / 'made.hdf5'
    recordings.write_episode(path, 6, robot=ROBOT)
    assert store([path], 'jpeg').changes == () == store([path], 'aloha_jpeg').changes
    own = record(tmp_path / 'own.hdf5', 'camera_jpeg', 6)
    assert store([own], 'jpeg').changes == ()
    (change,) = store([own], 'aloha_jpeg').changes
    write_piece(own, made, change.pieces[0], EditStamp('store', '', 'now'), '')
    with h5py.File(made) as file:
        assert file.attrs['format'] == 'motion_policy/1'
        assert not file['observations/images/top'].attrs.keys()
        assert (file['compress_len'][()] > 0).all()


def test_a_camera_that_is_dropped_leaves_the_other_as_it_was(
    episodes: dict[str, Path], tmp_path: Path
) -> None:
    made, robot = tmp_path / 'made.hdf5', ROBOT.model_copy()
    robot = robot.model_copy(update={'cameras': {'top': ROBOT.cameras['top']}})
    piece = Piece(np.arange(13, 30), dropped=('left',), robot=robot)
    write_piece(episodes['h264'], made, piece, EditStamp('drop', '', 'now'), '')
    assert check_episode(made) == []
    np.testing.assert_array_equal(all_images(made), all_images(episodes['h264'])[13:30])


@pytest.mark.parametrize('storage', LINKED)
def test_a_crash_leaves_what_can_be_decoded(storage: str, tmp_path: Path) -> None:
    path = tmp_path / 'episode_000000.hdf5'
    whole = all_images(record(tmp_path / 'whole.hdf5', storage, 60))
    recording = multiprocessing.get_context('fork').Process(
        target=record, args=(path, storage, 60), kwargs={'at_the_end': kill_this_process}
    )
    recording.start()
    recording.join()
    assert recording.exitcode == -signal.SIGKILL
    repair_episode(part_path(path))
    assert check_episode(path) == []
    saved = all_images(path)
    assert len(saved) > 20  # of the last second no row is promised
    np.testing.assert_array_equal(saved, whole[: len(saved)])


@pytest.mark.parametrize('storage', VIDEO)
def test_damage_is_told_with_its_row_and_ends_at_the_next_key_frame(
    storage: str, tmp_path: Path
) -> None:
    path = record(tmp_path / 'episode_000000.hdf5', storage, slow=1)
    sound = all_images(path)
    with h5py.File(path, 'r+') as file:
        rows, length = file['observations/images/top'], int(file['compress_len'][1][13])
        data = rows[13]
        data[:length] = 0
        rows[13] = data
    with EpisodeReader(path) as episode:
        with pytest.raises(EpisodeError, match=r"'top', row 13: (does not begin|headers of av1)"):
            episode.image('top', 13)
        with pytest.raises(EpisodeError, match=r'row 15: needs row 13, which (does|head)'):
            episode.image('top', 15)
        for row in (12, 20, 34):
            np.testing.assert_array_equal(episode.image('top', row), sound[row])
    (line,) = check_episode(path)
    assert "'/observations/images/top' row 13" in line and f'7 of {ROWS} rows are wrong' in line


@pytest.mark.parametrize('storage', LINKED)
def test_bits_that_are_wrong_on_the_disk_are_found(storage: str, tmp_path: Path) -> None:
    path = record(tmp_path / 'episode_000000.hdf5', storage)
    with h5py.File(path) as file:
        place = file['observations/images/top'].id.get_chunk_info_by_coord((12, 0))
    data = bytearray(path.read_bytes())
    data[place.byte_offset + place.size // 2] ^= 0x10
    path.write_bytes(data)
    (line,) = check_episode(path)
    assert "'/observations/images/top' row 12" in line


@pytest.mark.parametrize('codec', VIDEO)
def test_packets_come_at_once_and_decode_alike_with_more_threads(codec: str) -> None:
    encoder, decoder = VideoEncoder(codec, H, W), VideoDecoder(codec, H, W)
    packets = [encoder.encode(noisy_frame(frame)).tobytes() for frame in range(25)]
    encoder.close()
    assert [is_key_frame(each, codec) for each in packets] == [n % 10 == 0 for n in range(25)]
    alone = [decoder.pixels(decoder.decode(each)) for each in packets]
    threaded = decoder._created()
    threaded.thread_count = 4
    frames = [frame for each in packets for frame in threaded.decode(decoder._av.Packet(each))]
    frames += threaded.decode(None)
    for one, other in zip(alone, frames, strict=True):
        np.testing.assert_array_equal(one, decoder.pixels(other))
    decoder.restart()
    with pytest.raises(StreamError):
        decoder.decode(packets[3])  # no key frame before it


def test_training_reads_any_row_in_any_order(episodes: dict[str, Path]) -> None:
    """As torch loads it: in processes of its own, shuffled, after this one has read some."""
    path, view = episodes['h264'], CameraView('top', (H, W), (H, W))
    in_order, frames = all_images(path), StoredFrames(path, view, range(ROWS))
    assert (frames[5].numpy() == in_order[5]).all()
    numbered: Any = [(row, frames) for row in range(ROWS)]
    loader: Any = DataLoader(
        numbered, batch_size=5, shuffle=True, num_workers=2,
        collate_fn=lambda chosen: [(row, images[row]) for row, images in chosen],
    )  # fmt: skip
    read = {row: image.numpy() for batch in loader for row, image in batch}
    np.testing.assert_array_equal(np.stack([read[row] for row in range(ROWS)]), in_order)


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        ({'storage': 'gif'}, "storage is 'gif', expected one of: jpeg, aloha_jpeg, raw, png"),
        ({'storage': 'png', 'compress': False}, "storage is 'png' and compress is false"),
    ],
)
def test_a_storage_that_is_none_is_refused(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(EpisodeError, match=told):
        EpisodeWriter(tmp_path / 'episode_000000.hdf5', ROBOT, **options)
    assert not list(tmp_path.iterdir())


def test_without_pyav_video_is_refused_before_a_file_is_made(
    monkeypatch: pytest.MonkeyPatch, episodes: dict[str, Path], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(EpisodeError, match=r"'h264' needs the package 'av': pip install"):
        EpisodeWriter(tmp_path / 'episode_000000.hdf5', ROBOT, storage='h264')
    assert not list(tmp_path.iterdir())
    with (
        EpisodeReader(episodes['h264']) as episode,
        pytest.raises(EpisodeError, match=r"'h264' needs the package 'av'"),
    ):
        episode.image('top', 0)
