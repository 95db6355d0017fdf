# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A bag becomes the rows that the recorder wrote, or one line says why not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import bag_files
import numpy as np
import pytest
import recordings
import yaml
from recordings import assert_same_rows
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Writer

from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    bag_topics,
    check_episode,
    import_bag,
    is_bag,
    read_bag,
)
from motion_policy.streams import GridSampler, Sample, observation_from_row

ROBOT = recordings.tabletop()
NAMES = {stream.topic: stream.name for stream in ROBOT.streams()}
SECONDS = 2.0


def record_live(events: list[bag_files.Event], path: Path) -> Path:
    """Record the same messages as the recorder does: samples as they come, rows from a timer."""
    sampler = GridSampler(ROBOT.streams(), ROBOT.rate, events[0][0])
    with EpisodeWriter(path, ROBOT) as writer:
        now_ns, waiting = events[0][0], list(events)
        while now_ns < events[-1][0]:
            now_ns = min(now_ns + 7_000_000, events[-1][0])
            while waiting and waiting[0][0] <= now_ns:
                receive_ns, stamp_ns, topic, message = waiting.pop(0)
                name = NAMES[topic.removesuffix('/compressed').lstrip('/')]
                sampler.push(name, Sample(stamp_ns, receive_ns, message))
            for row in sampler.advance(now_ns):
                if row.complete:
                    writer.append(row.time_ns, observation_from_row(row, ROBOT), row)
    return path


@pytest.mark.parametrize('compressed', [False, True], ids=['raw', 'compressed'])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bag_gives_the_rows_of_the_recorder(
    tmp_path: Path, storage: str, compressed: bool
) -> None:
    events = bag_files.demonstration(SECONDS, ROBOT, compressed=compressed)
    bag = bag_files.write_bag(tmp_path / 'bag', events, storage)
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', task='grasp')
    assert episode == tmp_path / 'out' / 'episode_000000.hdf5'
    assert check_episode(episode) == []
    assert_same_rows(episode, record_live(events, tmp_path / 'live.hdf5'))
    with EpisodeReader(episode) as reader:
        assert reader.task == 'grasp'
        assert reader.stamps('state').counters.received > 190


def test_the_numbers_are_those_of_the_messages(tmp_path: Path) -> None:
    events = bag_files.demonstration(SECONDS, ROBOT)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', compress=False)
    with EpisodeReader(episode) as reader:
        for row in (0, 40, reader.length - 1):
            since_ns = reader.stamps('state').header_ns[row] - recordings.START_NS - 3_000_000
            turn = np.sin(0.05 * (since_ns / 20_000_000) * (1 + np.arange(5)))
            expected = recordings.swing() * turn
            np.testing.assert_allclose(reader.qpos[row], expected, atol=1e-6)
            np.testing.assert_allclose(reader.qvel[row], 0.1 * expected, atol=1e-6)
            index = (reader.stamps('top').header_ns[row] - recordings.START_NS) // 40_000_000
            np.testing.assert_array_equal(reader.image('top', row), recordings.scene(int(index)))


def with_file_compression(writer: Writer) -> None:
    writer.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)


def with_message_compression(writer: Writer) -> None:
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)


@pytest.mark.parametrize(
    ('storage', 'change'),
    [('sqlite3', with_file_compression), ('sqlite3', with_message_compression)],
)
def test_compressed_bags_are_read(tmp_path: Path, storage: str, change: Any) -> None:
    events = bag_files.demonstration(1.0, ROBOT)
    bag = bag_files.write_bag(tmp_path / 'bag', events, storage, change)
    assert sum(1 for _ in read_bag(bag, ROBOT)) == len(events)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_are_not_lost_where_metadata_and_storage_differ_in_qos(
    tmp_path: Path, storage: str
) -> None:
    events = bag_files.demonstration(1.0, ROBOT)
    bag = bag_files.write_bag(tmp_path / 'bag', events, storage)
    metadata = bag / 'metadata.yaml'
    content = yaml.safe_load(metadata.read_text())
    for topic in content['rosbag2_bagfile_information']['topics_with_message_count']:
        topic['topic_metadata']['offered_qos_profiles'] = [
            {
                'history': 'keep_last',
                'depth': 3,
                'reliability': 'best_effort',
                'durability': 'volatile',
                'deadline': {'sec': 0, 'nsec': 0},
                'lifespan': {'sec': 0, 'nsec': 0},
                'liveliness': 'automatic',
                'liveliness_lease_duration': {'sec': 0, 'nsec': 0},
                'avoid_ros_namespace_conventions': False,
            }
        ]
    metadata.write_text(yaml.safe_dump(content))
    assert sum(1 for _ in read_bag(bag, ROBOT)) == len(events)


def test_a_storage_file_alone_is_read(tmp_path: Path) -> None:
    events = bag_files.demonstration(1.0, ROBOT)
    for storage, suffix in (('mcap', '.mcap'), ('sqlite3', '.db3')):
        bag = bag_files.write_bag(tmp_path / storage, events, storage)
        (file,) = bag.glob(f'*{suffix}')
        assert is_bag(file)
        assert sum(1 for _ in read_bag(file, ROBOT)) == len(events)
        # A recorder that crashed leaves no metadata.
        (bag / 'metadata.yaml').unlink()
        assert is_bag(bag)
        assert sum(1 for _ in read_bag(bag, ROBOT)) == len(events)


def test_a_bag_in_several_files_is_read_in_order(tmp_path: Path) -> None:
    events = bag_files.demonstration(1.0, ROBOT)
    first = bag_files.write_bag(tmp_path / 'first', events[: len(events) // 2])
    second = bag_files.write_bag(tmp_path / 'second', events[len(events) // 2 :])
    both = tmp_path / 'both'
    shutil.copytree(first, both)
    shutil.copy(second / 'second.mcap', both)
    content = yaml.safe_load((both / 'metadata.yaml').read_text())
    information = content['rosbag2_bagfile_information']
    more = yaml.safe_load((second / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    information['relative_file_paths'] = ['second.mcap', 'first.mcap']
    information['topics_with_message_count'] += more['topics_with_message_count']
    (both / 'metadata.yaml').write_text(yaml.safe_dump(content))
    received = [sample.receive_ns for _, sample in read_bag(both, ROBOT)]
    assert received == [event[0] for event in events]


def test_fewer_messages_than_the_metadata_says_is_an_error(tmp_path: Path) -> None:
    events = bag_files.demonstration(1.0, ROBOT)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    metadata = bag / 'metadata.yaml'
    content = yaml.safe_load(metadata.read_text())
    for topic in content['rosbag2_bagfile_information']['topics_with_message_count']:
        if topic['topic_metadata']['name'] == '/joint_states':
            topic['message_count'] += 5
    metadata.write_text(yaml.safe_dump(content))
    with pytest.raises(EpisodeError, match=r"'/joint_states' gave 100 messages, expected 105"):
        import_bag(bag, ROBOT, tmp_path / 'out')
    assert list((tmp_path / 'out').glob('*')) == []


def test_a_namespace_goes_before_the_topics(tmp_path: Path) -> None:
    events = [(r, s, f'/lab/arm{t}', m) for r, s, t, m in bag_files.demonstration(1.0, ROBOT)]
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    assert sum(1 for _ in read_bag(bag, ROBOT, namespace='lab/arm')) == len(events)
    with pytest.raises(EpisodeError, match="'/top/image_raw'"):
        next(read_bag(bag, ROBOT))


def change_type(events: list[bag_files.Event]) -> list[bag_files.Event]:
    text = bag_files.T['std_msgs/msg/String'](data='x')
    return [(r, s, t, text if t == '/joint_states' else message) for r, s, t, message in events]


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (
            lambda events: bag_files.without(events, '/side/image_raw', 0),
            ["no topic '/side/image_raw'", "'side'", '/joint_states, /leader/joint_states'],
        ),
        (change_type, ["'/joint_states'", 'std_msgs/msg/String', 'sensor_msgs/msg/JointState']),
        (
            lambda events: bag_files.without(events, '/top/image_raw', 0.8, 1.4),
            ['gap from', "'top' (top/image_raw)", 'stale', '--split-at-gaps'],
        ),
    ],
)
def test_a_bag_that_does_not_fit_is_one_line_and_leaves_nothing(
    tmp_path: Path, damage: Any, words: list[str]
) -> None:
    events = damage(bag_files.demonstration(SECONDS, ROBOT))
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    with pytest.raises(EpisodeError) as caught:
        import_bag(bag, ROBOT, tmp_path / 'out')
    assert '\n' not in str(caught.value)
    for word in [str(bag), *words]:
        assert word in str(caught.value)
    assert list(tmp_path.glob('out/*')) == []


def test_streams_that_never_overlap_are_one_line(tmp_path: Path) -> None:
    events = bag_files.demonstration(SECONDS, ROBOT)
    events = bag_files.without(events, '/top/image_raw', 0, 1.9)
    for topic in ('/joint_states', '/leader/joint_states'):
        events = bag_files.without(events, topic, 1.0)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    with pytest.raises(EpisodeError, match=r"at no time all streams are fresh.*'state'.*stamp"):
        import_bag(bag, ROBOT, tmp_path / 'out')
    assert list(tmp_path.glob('out/*')) == []


def test_a_bag_can_be_split_at_its_gaps(tmp_path: Path) -> None:
    events = bag_files.demonstration(4.0, ROBOT)
    events = bag_files.without(events, '/top/image_raw', 1.4, 2.0)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    notes: list[str] = []
    first, second = import_bag(bag, ROBOT, tmp_path / 'out', split_at_gaps=True, note=notes.append)
    assert check_episode(first) == check_episode(second) == []
    with EpisodeReader(first) as before, EpisodeReader(second) as after:
        assert 70 < before.length < 85
        assert 95 < after.length < 105
        assert before.time_ns[-1] < after.time_ns[0]
    assert len(notes) == 1
    assert "'top' (top/image_raw)" in notes[0]


def test_what_is_left_out_at_the_start_is_said(tmp_path: Path) -> None:
    events = bag_files.without(bag_files.demonstration(4.0, ROBOT), '/top/image_raw', 0.0, 1.5)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    notes: list[str] = []
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append)
    with EpisodeReader(episode) as reader:
        assert 115 < reader.length < 130
    (line,) = notes
    assert line.startswith(f'{bag}: left out the first 1.5') and line.endswith(
        " s: stream 'top' (top/image_raw): missing"
    )


def test_what_is_left_out_at_the_end_is_said(tmp_path: Path) -> None:
    events = bag_files.demonstration(SECONDS, ROBOT)
    bag = bag_files.write_bag(
        tmp_path / 'bag', bag_files.without(events, '/leader/joint_states', 1.2)
    )
    notes: list[str] = []
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append)
    assert check_episode(episode) == []
    with EpisodeReader(episode) as reader:
        assert 65 < reader.length < 75
    assert len(notes) == 1
    assert 'left out the last 0.6' in notes[0]
    assert "'leader'" in notes[0]


def test_rows_begin_when_every_stream_has_spoken(tmp_path: Path) -> None:
    events = bag_files.demonstration(SECONDS, ROBOT)
    bag = bag_files.write_bag(
        tmp_path / 'bag', bag_files.without(events, '/side/image_raw', 0, 0.5)
    )
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out')
    with EpisodeReader(episode) as reader:
        begin_s = (reader.time_ns[0] - recordings.START_NS) / 1e9
        assert 0.5 < begin_s < 0.6
    assert check_episode(episode) == []


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_torn_bag_is_one_line(tmp_path: Path, storage: str) -> None:
    bag = bag_files.write_bag(tmp_path / 'bag', bag_files.demonstration(1.0, ROBOT), storage)
    (file,) = [entry for entry in bag.iterdir() if entry.suffix != '.yaml']
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(EpisodeError, match='bag: ') as caught:
        import_bag(bag, ROBOT, tmp_path / 'out')
    assert '\n' not in str(caught.value)
    assert list(tmp_path.glob('out/*')) == []


def test_a_file_that_a_bag_lacks_is_named(tmp_path: Path) -> None:
    bag = bag_files.write_bag(tmp_path / 'bag', bag_files.demonstration(1.0, ROBOT))
    (bag / 'bag.mcap').unlink()
    with pytest.raises(EpisodeError, match=r'bag\.mcap: no such file, expected it as metadata'):
        bag_topics(bag)


@pytest.mark.parametrize(
    ('content', 'words'),
    [(None, 'no such file'), ('a: 1', 'rosbag2_bagfile_information'), ('a: [', 'not YAML')],
)
def test_what_is_no_bag_is_one_line(tmp_path: Path, content: str | None, words: str) -> None:
    bag = tmp_path / 'bag'
    if content is not None:
        bag.mkdir()
        (bag / 'metadata.yaml').write_text(content)
    with pytest.raises(EpisodeError, match=words):
        bag_topics(bag)


def test_the_topics_of_a_bag_are_listed(tmp_path: Path) -> None:
    bag = bag_files.write_bag(tmp_path / 'bag', bag_files.demonstration(1.0, ROBOT))
    topics = {entry.topic: (entry.type, entry.count) for entry in bag_topics(bag)}
    assert topics['/joint_states'] == ('sensor_msgs/msg/JointState', 100)
    assert topics['/top/image_raw'] == ('sensor_msgs/msg/Image', 25)
