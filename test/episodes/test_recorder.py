# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The live recorder never leaves a hole in an episode and never loses what was complete."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import recordings
from full_disks import fill_disk, small_disk

from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    examine_episode,
    frame_pool,
)
from motion_policy.episodes.discarding import discard_episode
from motion_policy.episodes.disk_room import free_bytes
from motion_policy.episodes.hdf5.write_ahead import log_path
from motion_policy.episodes.layout import part_path
from motion_policy.episodes.quality.sets import EpisodeSet
from motion_policy.episodes.quality.verdict import as_values
from motion_policy.episodes.recorder import EpisodeRecorder, Recording
from motion_policy.episodes.repair import repair_episode
from motion_policy.errors import UserError
from motion_policy.streams import GridSampler, Row, Sample, observation_from_row

TICK_NS = 10_000_000
PERIODS = {'state': 1, 'leader': 2, 'top': 4, 'side': 4}  # in ticks
DELAY_NS = 3_000_000


class Feed:
    """Messages by formula for an `EpisodeRecorder`; a stream can be silenced."""

    def __init__(self, recorder: EpisodeRecorder) -> None:
        self.recorder = recorder
        self.now_ns = recordings.START_NS
        self.tick = 0
        self.size = (128, 128)
        self.efforts = False
        self.stalled = False

    def start(self, directory: Path, **options: object) -> Path:
        """Begin an episode; rows count from now."""
        path = self.recorder.start(directory, **options)
        self.recorder.advance(self.now_ns)
        return path

    def run(self, ticks: int, silent: tuple[str, ...] = ()) -> None:
        """Let `ticks` of 10 ms pass."""
        for _ in range(ticks):
            for name, period in PERIODS.items():
                if self.tick % period == 0 and name not in silent:
                    sample = Sample(self.now_ns, self.now_ns + DELAY_NS, self.message(name))
                    self.recorder.push(name, sample)
            self.tick += 1
            self.now_ns += TICK_NS
            if not self.stalled:
                self.recorder.advance(self.now_ns)
        self.recorder.settle()

    def message(self, name: str) -> object:
        if name in ('top', 'side'):
            pixels = recordings.scene(self.tick, *self.size)
            return recordings.image_message(pixels, 'rgb8', stamp_ns=self.now_ns)
        names = list(self.recorder.robot.joints.names)
        values = recordings.joint_values(self.tick).tolist()
        effort = values if self.efforts and name == 'state' else []
        return recordings.joint_message(names, values, stamp_ns=self.now_ns, effort=effort)


def run_until(feed: Feed, reached: Callable[[Recording], bool]) -> None:
    """Record until something is so, no faster than rows are written."""
    while (now := feed.recorder.current) is None or not reached(now):
        if feed.recorder.rows_waiting < 50:
            feed.run(2)


@pytest.fixture
def feed() -> Iterator[Feed]:
    """A recorder whose streams have spoken for a while."""
    recorder = EpisodeRecorder(recordings.tabletop())
    feed = Feed(recorder)
    feed.run(20)
    yield feed
    recorder.close()


@pytest.mark.parametrize('stored', [{'compress': False}, {'storage': 'png'}], ids=['raw', 'png'])
def test_rows_are_written_while_recording(
    feed: Feed, tmp_path: Path, stored: dict[str, Any]
) -> None:
    """Each row holds the newest samples received by then; the file appears at the stop only."""
    path = feed.start(tmp_path, **stored, task='grasp', sim=True)
    start_ns = feed.now_ns
    feed.run(100)
    assert path == tmp_path / 'episode_000000.hdf5' and not path.exists()
    result = feed.recorder.stop()
    assert (result.path, result.ended) == (path, '')
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert episode.length == result.rows == 50
        assert (episode.task, episode.sim, episode.success) == ('grasp', True, None)
        assert (np.diff(episode.time_ns) == 20_000_000).all()
        assert start_ns <= episode.time_ns[0] < start_ns + 20_000_000
        # At a row's own time nothing stamped then has arrived yet: the state is 10 ms old.
        ticks = (episode.time_ns - recordings.START_NS) // TICK_NS - 1
        expected = np.stack([recordings.joint_values(tick) for tick in ticks])
        np.testing.assert_array_equal(episode.qpos, expected)
        newest = int(ticks[7]) // 4 * 4
        np.testing.assert_array_equal(episode.image('top', 7), recordings.scene(newest))
        counters = episode.stamps('state').counters
        assert (counters.received, counters.dropped) == (98, 0)
        lengths = episode.jpeg_lengths('top')
        assert lengths is None or (lengths == 0).sum() == 24  # a frame stands in two rows


def test_pixels_are_stored_also_after_a_recording_of_jpegs(feed: Feed, tmp_path: Path) -> None:
    """The first images came before the start, and were encoded for the recording before."""
    feed.start(tmp_path)
    feed.run(21)
    feed.recorder.stop()
    path = feed.start(tmp_path, compress=False)
    feed.run(40)
    feed.recorder.stop()
    with EpisodeReader(path) as episode:
        assert episode.length >= 15
        ticks = (episode.stamps('top').header_ns - recordings.START_NS) // TICK_NS
        for row, tick in enumerate(ticks.tolist()):
            np.testing.assert_array_equal(episode.image('top', row), recordings.scene(tick))


def test_the_colours_of_a_camera_are_right_whose_image_is_older_than_the_recording(
    tmp_path: Path,
) -> None:
    """It was encoded for the recording before, and no other comes while one is waited for."""
    robot = recordings.tabletop()
    slow = robot.cameras['top'].model_copy(update={'max_age': 10.0})
    robot = robot.model_copy(update={'cameras': {**robot.cameras, 'top': slow}})
    feed = Feed(EpisodeRecorder(robot))
    feed.run(20)
    feed.start(tmp_path)
    feed.run(8)
    feed.recorder.stop()
    path = feed.start(tmp_path, compress=False)
    feed.run(120, silent=('top',))
    feed.recorder.stop()
    feed.recorder.close()
    with EpisodeReader(path) as episode:
        sent = (episode.stamps('top').header_ns[0] - recordings.START_NS) // TICK_NS
        off = episode.image('top', 0).astype(int) - recordings.scene(int(sent))
        assert np.abs(off).mean() < 2


def test_efforts_of_earlier_messages_are_told(feed: Feed, tmp_path: Path) -> None:
    feed.efforts = True
    feed.run(4)
    path = feed.start(tmp_path)
    feed.run(40)
    feed.efforts = False
    feed.run(10)
    feed.efforts = True
    feed.run(40)
    result = feed.recorder.stop()
    assert (
        "'/observations/effort' is that of an earlier message in 5 of 45 rows, the first is row "
        '21: messages come without' in result.odd
    )
    with EpisodeReader(path) as episode:
        held = episode.effort[20:27]
        np.testing.assert_array_equal(held[:6], np.stack([held[0]] * 6))
        assert not np.array_equal(held[6], held[5])
        np.testing.assert_array_equal(episode.effort[:21], episode.qpos[:21])


def test_messages_that_were_not_taken_are_told(feed: Feed, tmp_path: Path) -> None:
    feed.start(tmp_path)
    feed.run(40)
    feed.size = (64, 64)
    feed.run(8)
    feed.size = (128, 128)
    feed.run(40)
    result = feed.recorder.stop()
    assert result.ended == ''
    for camera in ('top', 'side'):
        assert (
            f"stream '{camera}' ({camera}/image_raw): 2 of 22 messages were not taken: image is "
            '64x64 (width x height), expected 128x128' in result.odd
        )
    feed.start(tmp_path)
    feed.run(40)
    assert 'not taken' not in feed.recorder.stop().odd


HEARD_NS = 2_500_000_000
CAMERA_NS = 9_000_000  # of 20: of each two or three images one row has the last


def heard_samples(kind: str) -> list[tuple[str, Sample]]:
    """What a robot says, in the order of reception; every ninth image is a JPEG that was cut.

    Of a camera of kind 'changing' every third image is a PNG.
    """
    draw = np.random.default_rng(5)
    heard = []
    robot = recordings.tabletop()
    names = list(robot.joints.names)
    for name, period_ns in {**dict.fromkeys(robot.cameras, CAMERA_NS), **JOINTS_NS}.items():
        for index in range(HEARD_NS // period_ns):
            stamp_ns = recordings.START_NS + index * period_ns
            receive_ns = stamp_ns + int(draw.uniform(1e6, 8e6))
            if name in JOINTS_NS:
                values = recordings.joint_values(index).tolist()
                message = recordings.joint_message(names, values, stamp_ns=stamp_ns)
            elif index % 9 == 8 or kind != 'raw':
                suffix = '.png' if kind == 'changing' and index % 3 == 2 else '.jpg'
                data = cv2.imencode(suffix, recordings.scene(index))[1].tobytes()
                data = data[: len(data) // (2 if index % 9 == 8 else 1)]
                message = SimpleNamespace(format=suffix[1:], data=data)
            else:
                message = recordings.image_message(
                    recordings.scene(index), 'rgb8', stamp_ns=stamp_ns
                )
            heard.append((name, Sample(stamp_ns, receive_ns, message)))
    return sorted(heard, key=lambda each: each[1].receive_ns)


JOINTS_NS = {'state': 10_000_000, 'leader': 20_000_000}


def written_offline(
    heard: list[tuple[str, Sample]], begin_ns: int, path: Path, storage: str
) -> None:
    """Write the rows from `begin_ns` on that the sampler makes of samples in their order."""
    robot = recordings.tabletop()
    sampler = GridSampler(robot.streams(), robot.rate, heard[0][1].receive_ns)
    counting = False
    with EpisodeWriter(path, robot, storage=storage) as writer:

        def write(rows: list[Row]) -> None:
            for row in rows:
                if row.time_ns >= begin_ns:
                    writer.append(row.time_ns, observation_from_row(row, robot), row)

        for name, sample in heard:
            write(sampler.advance(sample.receive_ns - 1))
            if not counting and sample.receive_ns >= begin_ns:
                counting = True
                sampler.reset_counters()
            sampler.push(name, sample)
        write(sampler.advance(heard[-1][1].receive_ns))


@pytest.mark.parametrize(
    ('kind', 'storage'),
    [
        ('raw', 'raw'), ('raw', 'jpeg'), ('jpeg', 'png'), ('changing', 'jpeg'),
        ('changing', 'aloha_jpeg'),
    ],
)  # fmt: skip
def test_rows_do_not_depend_on_when_samples_are_handed_over(
    tmp_path: Path, kind: str, storage: str
) -> None:
    """Stream by stream, up to seconds late: the file is that of the sampler offline, bit for bit.

    Counters as well: images that no row needs are damaged unnoticed, in both.
    """
    heard = heard_samples(kind)
    begin_ns = recordings.START_NS + 500_000_000
    recorder = EpisodeRecorder(recordings.tabletop())
    ends_ns = [begin_ns, *(begin_ns + int(s * 1e9) for s in (0.05, 0.3, 0.31, 1.9))]
    ends_ns.append(heard[-1][1].receive_ns + 1)
    for end_ns in ends_ns:
        batch = [each for each in heard if each[1].receive_ns < end_ns]
        heard_later = heard[len(batch) :]
        for name, sample in sorted(batch, key=lambda each: each[0]):
            recorder.push(name, sample)
        recorder.advance(end_ns)
        if end_ns == begin_ns:
            path = recorder.start(tmp_path, storage=storage)
            recorder.begin(begin_ns)
        heard = heard_later
    assert recorder.stop().ended == ''
    written_offline(heard_samples(kind), begin_ns, tmp_path / 'offline.hdf5', storage)
    with h5py.File(path) as found, h5py.File(tmp_path / 'offline.hdf5') as wanted:
        names: list[str] = []
        wanted.visititems(lambda name, item: names.append(name))
        for name in names:
            assert dict(found[name].attrs) == dict(wanted[name].attrs), name
            if isinstance(wanted[name], h5py.Dataset):
                np.testing.assert_array_equal(found[name][()], wanted[name][()], err_msg=name)
        assert len(found['time_ns']) > 90
        assert found['stamps/top'].attrs['unusable'] > 5


def test_start_names_what_is_silent_or_stale(tmp_path: Path) -> None:
    """No episode begins before every stream speaks; the message names stream and topic."""
    recorder = EpisodeRecorder(recordings.tabletop())
    with pytest.raises(UserError, match='no stream'):
        recorder.start(tmp_path)
    feed = Feed(recorder)
    feed.run(20, silent=('side',))
    with pytest.raises(UserError, match=r"stream 'side' \(side/image_raw\): missing"):
        recorder.start(tmp_path)
    feed.run(20)
    feed.run(40, silent=('leader',))
    with pytest.raises(UserError, match=r"stream 'leader' \(leader/joint_states\): stale"):
        recorder.start(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_start_refuses_images_of_another_size(feed: Feed, tmp_path: Path) -> None:
    """A message that does not fit the robot spec is found before the demonstration."""
    feed.size = (120, 160)
    feed.run(20)
    with pytest.raises(UserError, match=r"'top'.*160x120.*expected 128x128"):
        feed.start(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_falls_silent_ends_the_episode_and_keeps_its_rows(
    feed: Feed, tmp_path: Path
) -> None:
    """All complete rows are kept in a sound file that says why it ended."""
    path = feed.start(tmp_path)
    feed.run(40)
    feed.recorder.mark(True)
    feed.run(80, silent=('top',))
    assert not feed.recorder.recording
    ended = feed.recorder.current
    assert ended is not None and "stream 'top' (top/image_raw): stale" in ended.ended
    with pytest.raises(EpisodeError, match=r"'top'.*rows in .*episode_000000"):
        feed.recorder.stop()
    assert check_episode(path) == []
    with EpisodeReader(path) as episode, h5py.File(path) as file:
        # 20 rows with both, and those of the 200 ms that an image counts.
        assert 29 <= episode.length <= 30
        assert episode.success is None
        assert 'stale' in file.attrs['ended']


def test_an_episode_begins_with_its_first_complete_row(feed: Feed, tmp_path: Path) -> None:
    """What piles up while the file is made delays the beginning, and makes no hole."""
    path = feed.recorder.start(tmp_path)
    feed.now_ns += 300_000_000
    feed.run(60)
    feed.recorder.stop()
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert 28 <= episode.length <= 30
    feed.start(tmp_path)
    feed.run(150, silent=('side',))
    with pytest.raises(EpisodeError, match=r"'side'.*stale"):
        feed.recorder.stop()


def stopped_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let no row be written before the event that is returned is set."""
    may_write = threading.Event()
    append = EpisodeWriter.append

    def wait_and_append(self: EpisodeWriter, *row: object) -> None:
        may_write.wait()
        append(self, *row)  # type: ignore[arg-type]

    monkeypatch.setattr(EpisodeWriter, 'append', wait_and_append)
    return may_write


def test_a_slow_disk_ends_the_episode_without_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that the disk cannot follow end the episode, counted and told."""
    may_write = stopped_disk(monkeypatch)
    recorder = EpisodeRecorder(recordings.tabletop(), queue_s=0.2)
    feed = Feed(recorder)
    feed.run(20)
    path = feed.start(tmp_path)
    feed.run(60)
    may_write.set()
    with pytest.raises(EpisodeError, match='rows waited to be written'):
        recorder.stop()
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert 10 <= episode.length <= 11


def test_a_sample_that_comes_too_late_counts_as_received_then(feed: Feed, tmp_path: Path) -> None:
    path = feed.start(tmp_path)
    feed.run(20)
    feed.run(4, silent=('leader',))
    made_ns = feed.now_ns
    late = Sample(made_ns - 30_000_000, made_ns - 29_000_000, feed.message('leader'))
    feed.recorder.push('leader', late)
    feed.run(10, silent=('leader',))
    feed.recorder.stop()
    with EpisodeReader(path) as episode:
        stamps = episode.stamps('leader')
        [row] = np.flatnonzero(np.diff(stamps.header_ns) > 0)[-1:]
        first = row + 1
        assert stamps.header_ns[first] == late.header_ns
        assert stamps.receive_ns[first] == made_ns <= episode.time_ns[first]


def test_a_stall_of_seconds_ends_nothing(feed: Feed, tmp_path: Path) -> None:
    """What waited is recorded as if it had been taken at once."""
    path = feed.start(tmp_path)
    feed.run(20)
    begin_ns, feed.stalled = feed.now_ns, True
    feed.run(600)
    feed.stalled = False
    feed.run(20)
    result = feed.recorder.stop()
    assert (result.ended, result.rows) == ('', 320)
    with EpisodeReader(path) as episode:
        waited = episode.time_ns > begin_ns
        assert episode.stamps('state').age_ns[waited].max() == TICK_NS


def test_images_wait_where_they_came_while_there_is_no_room(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Room is what the threads have done, and there always is some while they rest."""
    may_encode = threading.Event()
    encode = frame_pool.encode_jpeg

    def wait_and_encode(*image: Any) -> Any:
        may_encode.wait()
        return encode(*image)

    monkeypatch.setattr(frame_pool, 'encode_jpeg', wait_and_encode)
    monkeypatch.setattr(frame_pool, 'MOST_BYTES', 3 * 128 * 128 * 3)
    feed.start(tmp_path)
    assert feed.recorder.has_room()
    pushed = 0
    while feed.recorder.has_room():
        feed.now_ns += 4 * TICK_NS
        for name in PERIODS:
            sample = Sample(feed.now_ns, feed.now_ns + DELAY_NS, feed.message(name))
            feed.recorder.push(name, sample)
        pushed += 1
    assert pushed == 2
    may_encode.set()
    feed.run(40)
    assert feed.recorder.has_room()
    assert feed.recorder.stop().rows == 24


def test_a_disk_that_stops_lets_images_wait_and_ends_the_episode_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write = stopped_disk(monkeypatch)
    recorder = EpisodeRecorder(recordings.tabletop(), queue_s=0.8)
    feed = Feed(recorder)
    feed.run(20)
    path = feed.start(tmp_path)
    feed.run(20)
    assert recorder.has_room() and not recorder.has_room(feed.now_ns + 600_000_000)
    feed.run(30)
    assert not recorder.has_room()  # 24 rows wait, 20 may
    recorder.watch(feed.now_ns + 9 * 10**9)
    assert recorder.recording
    recorder.watch(feed.now_ns + 11 * 10**9)
    assert not recorder.recording and recorder.has_room()
    may_write.set()
    with pytest.raises(EpisodeError, match=r'rows are 11\.0 s behind: the disk is too slow'):
        recorder.stop()
    assert check_episode(path) == []


def test_a_clock_that_jumps_ends_the_episode(feed: Feed, tmp_path: Path) -> None:
    """A restarted simulation does not stretch an episode over its gap."""
    path = feed.start(tmp_path)
    feed.run(40)
    feed.now_ns -= 100 * 10**9
    feed.run(20)
    with pytest.raises(EpisodeError, match='clock jumped by -'):
        feed.recorder.stop()
    with EpisodeReader(path) as episode:
        assert episode.length == 20
    assert feed.start(tmp_path).name == 'episode_000001.hdf5'


def test_what_is_discarded_is_kept_apart(feed: Feed, tmp_path: Path) -> None:
    """While recording and after a stop, the last episode can be discarded, once."""
    feed.start(tmp_path)
    feed.run(20)
    first = feed.recorder.discard()
    assert first == tmp_path / 'discarded' / 'episode_000000.hdf5'
    path = feed.start(tmp_path)
    feed.run(20)
    assert feed.recorder.stop().path == path == tmp_path / 'episode_000001.hdf5'
    second = feed.recorder.discard()
    assert second == tmp_path / 'discarded' / path.name
    assert [check_episode(each) for each in (first, second)] == [[], []]
    assert [entry.name for entry in tmp_path.iterdir()] == ['discarded']
    with pytest.raises(EpisodeError, match='nothing to discard'):
        feed.recorder.discard()
    feed.start(tmp_path)
    assert feed.recorder.discard() is None
    assert [entry.name for entry in tmp_path.iterdir()] == ['discarded']


def test_what_was_moved_meanwhile_is_not_called_an_empty_recording(
    feed: Feed, tmp_path: Path
) -> None:
    """For of an empty one nothing is left, its bag included."""
    path = feed.start(tmp_path)
    feed.run(20)
    feed.recorder.stop()
    path.rename(tmp_path / 'good.hdf5')
    with pytest.raises(EpisodeError, match=r'000000\.hdf5: is not there any more'):
        feed.recorder.discard()
    assert [entry.name for entry in tmp_path.iterdir()] == ['good.hdf5']


def test_a_name_that_was_taken_meanwhile_stays_with_who_has_it(feed: Feed, tmp_path: Path) -> None:
    """As when a set is copied into the folder of a recording: both are kept."""
    path = feed.start(tmp_path)
    feed.run(20)
    path.write_bytes(b'of another recorder')
    with pytest.raises(EpisodeError, match=r'exists; the first 10 rows stay in .*\.part'):
        feed.recorder.stop()
    place = feed.recorder.discard()
    assert place is not None and place.name == 'episode_000000.hdf5.part'
    assert path.read_bytes() == b'of another recorder'
    assert repair_episode(place).name == 'episode_000000.hdf5'


def test_what_is_discarded_takes_the_name_of_nothing(tmp_path: Path) -> None:
    """Also what a failing disk left goes there, with the log that it is read with."""
    for content in (b'first', b'second'):
        part = tmp_path / 'episode_000000.hdf5.part'
        part.write_bytes(content)
        log_path(part).write_bytes(content)
        place = discard_episode(part)
        assert (place.read_bytes(), log_path(place).read_bytes()) == (content, content)
    assert sorted(path.name for path in (tmp_path / 'discarded').glob('*.part')) == [
        'episode_000000.2.hdf5.part', 'episode_000000.hdf5.part',
    ]  # fmt: skip
    (tmp_path / 'discarded').rename(tmp_path / 'moved')
    (tmp_path / 'discarded').touch()
    part.touch()
    with pytest.raises(EpisodeError, match=r'\.part: cannot be moved to .*discarded'):
        discard_episode(part)
    assert part.exists()


def test_a_recording_ends_in_good_order_before_the_disk_is_full(
    feed: Feed, tmp_path: Path
) -> None:
    with (
        small_disk(tmp_path / 'disk', '100m') as disk,
        small_disk(tmp_path / 'less', '60m') as less,
    ):
        with pytest.raises(
            EpisodeError,
            match=r'less/data: 62\.9 MB are free, expected at least 93\.\d MB: 60 s of recording',
        ):
            feed.start(less / 'data')
        assert list(less.iterdir()) == []
        path = feed.start(disk)
        with (disk / 'of others').open('wb') as others:
            os.posix_fallocate(others.fileno(), 0, int(free_bytes(disk) or 0) - 45_000_000)
        run_until(feed, lambda now: 'the disk has room for 0.' in now.few_left)
        with (disk / 'more').open('wb') as others:
            os.posix_fallocate(others.fileno(), 0, int(free_bytes(disk) or 0) - 30_000_000)
        while feed.recorder.recording:
            feed.run(20)
        with pytest.raises(
            EpisodeError, match=r'ended early: the disk is nearly full: .* free in'
        ):
            feed.recorder.stop()
        assert check_episode(path) == []
        with EpisodeReader(path) as episode:
            assert episode.ended.startswith('the disk is nearly full')
            assert feed.recorder.last is not None and feed.recorder.last.quality


@pytest.mark.parametrize('success', [True, False])
@pytest.mark.parametrize('when', ['while recording', 'after'])
def test_the_judgement_is_kept(feed: Feed, tmp_path: Path, when: str, success: bool) -> None:
    """An operator judges the demonstration before or after its end."""
    with pytest.raises(EpisodeError, match='nothing to judge'):
        feed.recorder.mark(success)
    path = feed.start(tmp_path)
    feed.run(20)
    if when == 'after':
        feed.recorder.stop()
    feed.recorder.mark(success)
    if when != 'after':
        feed.recorder.stop()
    with EpisodeReader(path) as episode:
        assert episode.success is success
    assert check_episode(path) == []


def test_commands_out_of_place_say_so(feed: Feed, tmp_path: Path) -> None:
    """Stopping what does not run and starting twice are refused."""
    with pytest.raises(EpisodeError, match='not recording'):
        feed.recorder.stop()
    feed.start(tmp_path)
    with pytest.raises(EpisodeError, match='already recording'):
        feed.start(tmp_path)


def test_a_shutdown_finishes_the_file(feed: Feed, tmp_path: Path) -> None:
    """What was recorded when the recorder is closed stands in a finished file."""
    path = feed.start(tmp_path)
    feed.run(30)
    result = feed.recorder.close()
    assert result is not None and 'shut down' in result.ended
    with EpisodeReader(path) as episode:
        assert episode.length == 15
    assert feed.recorder.close() is None


def test_the_recorder_outlives_a_full_disk(feed: Feed, tmp_path: Path) -> None:
    """What was written is kept; once there is room the next start records as ever."""
    with small_disk(tmp_path / 'disk', '100m') as disk:
        path = feed.start(disk)
        run_until(feed, lambda now: now.rows_on_disk > 0)
        fill_disk(disk / 'of others')
        feed.run(90)
        # Seen in time, the file may still be finished in what little room was left.
        with pytest.raises(EpisodeError, match=r'No space left|nearly full') as caught:
            feed.recorder.stop()
        assert '\n' not in str(caught.value)
        with pytest.raises(EpisodeError, match='are free, expected at least'):
            feed.start(disk)
        (disk / 'of others').unlink()
        assert path.exists() != part_path(path).exists()
        again = feed.start(disk)
        feed.run(20)
        feed.recorder.stop()
        assert check_episode(again) == []


def test_a_recording_is_judged_at_once_as_check_judges_it(feed: Feed, tmp_path: Path) -> None:
    """Pixels are kept as they are here; of a JPEG check sees what its decoder makes of it."""
    feed.start(tmp_path, compress=False)
    feed.run(120)
    first = feed.recorder.stop()
    [line] = first.odd_lines  # of the swings by formula
    assert (first.quality, 'jerk' in line) == ('fail', True)
    feed.start(tmp_path, compress=False)
    feed.run(20)
    short = feed.recorder.stop()
    assert any(line.startswith('fail: the episode lasts 0.20 s') for line in short.odd_lines)
    for result in (first, short):
        known = EpisodeSet()
        expected = examine_episode(result.path, known).verdicts
        with h5py.File(result.path) as file:
            assert file.attrs['quality'] == result.quality
            told = json.loads(file.attrs['verdicts'])
        own = {(each.kind, each.of): as_values(each) for each in expected}
        assert {key: own[key] for key in own} == {
            key: each for each in told if (key := (each['kind'], each['of'])) in own
        }


def test_what_lies_in_the_folder_does_not_end_a_recording(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / 'episode_000000.hdf5').write_bytes(b'no episode')
    (tmp_path / 'episode_000001.hdf5').mkdir()
    feed.start(tmp_path, compress=False)
    feed.run(120)
    result = feed.recorder.stop()
    assert (result.path.name, result.ended, result.odd) == ('episode_000002.hdf5', '', '')
    assert {each.kind for each in result.verdicts} >= {'duration', 'frozen', 'idle_tail'}
