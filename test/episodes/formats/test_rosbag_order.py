# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One bad message is a gap with a name, a clock that is set back is seen, and nothing hangs."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import bag_files
import numpy as np
import pytest
import recordings
from recordings import assert_same_rows
from rosbags.rosbag2 import Reader

from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    bag_summary,
    bag_topics,
    check_episode,
    episode_summary,
    import_bag,
    read_bag_rows,
)
from motion_policy.episodes.formats.rosbag.read import bag_time_steps
from motion_policy.episodes.recorder import EpisodeRecorder
from motion_policy.errors import UserError
from motion_policy.streams import Sample

pytestmark = pytest.mark.slow

ROBOT = recordings.tabletop()
NAMES = {stream.topic: stream.name for stream in ROBOT.streams()}
MS = 1_000_000
Events = list[bag_files.Event]


def set_back(events: Events, after_s: float, by_s: float) -> Events:
    """The same messages, recorded and stamped by a clock that is set back once."""
    at_ns, by_ns = recordings.START_NS + round(after_s * 1e9), round(by_s * 1e9)
    changed = []
    for receive_ns, stamp_ns, topic, message in events:
        shift = by_ns if receive_ns >= at_ns else 0
        stamped = replace(
            message, header=bag_files.header(stamp_ns - (by_ns if stamp_ns >= at_ns else 0))
        )
        changed.append((receive_ns - shift, stamp_ns, topic, stamped))
    return changed


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('by_s', [0.06, 1.0, 1.0037, 3600.0])
def test_a_clock_that_is_set_back_is_refused_or_splits(
    tmp_path: Path, storage: str, by_s: float
) -> None:
    events = set_back(bag_files.demonstration(2.6, ROBOT), 1.3, by_s)
    bag = bag_files.write_bag(tmp_path / 'bag', events, storage)
    told = rf'time goes back by {by_s:.2f} s at message 131 of /joint_states, after 1.30 s'
    with pytest.raises(EpisodeError, match=rf'{told}; expected .*--split-at-gaps'):
        import_bag(bag, ROBOT, tmp_path / 'refused')
    assert not list((tmp_path / 'refused').glob('*'))
    notes: list[str] = []
    options: Any = {'split_at_gaps': True, 'note': notes.append, 'compress': False}
    first, second = import_bag(bag, ROBOT, tmp_path / 'out', **options)
    assert notes == [f'{bag}: {bag_time_steps(bag)[0]}']
    for episode, begin_ms in ((first, 0), (second, 1300 - round(by_s * 1000))):
        assert check_episode(episode) == []
        with EpisodeReader(episode) as reader:
            assert 50 <= reader.length <= 65
            begin_ns = int(reader.time_ns[0]) - recordings.START_NS
            assert begin_ms <= begin_ns / MS < begin_ms + 200
            # The image and the joints of a row are of one true time.
            offset_ms = 0 if episode == first else by_s * 1000
            stamps_ns = reader.stamps('top').header_ns - recordings.START_NS
            for row in range(0, reader.length, 9):
                index = round((stamps_ns[row] / MS + offset_ms - 3) / 40)
                np.testing.assert_array_equal(reader.image('top', row), recordings.scene(index))


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_one_wrong_time_of_reception_is_named_and_nothing_hangs(
    tmp_path: Path, storage: str
) -> None:
    for number, wrong_ns in enumerate((0, 2**62)):
        events = bag_files.demonstration(2.6, ROBOT)
        place = [n for n, event in enumerate(events) if event[2] == '/joint_states'][130]
        events[place] = (wrong_ns, *events[place][1:])
        bag = bag_files.write_bag(tmp_path / f'bag{number}', events, storage)
        with pytest.raises(EpisodeError, match=r'time goes back by .* of /joint_states'):
            import_bag(bag, ROBOT, tmp_path / 'out')
        options: Any = {'split_at_gaps': True, 'compress': False}
        episodes = import_bag(bag, ROBOT, tmp_path / 'out', **options)
        assert len(episodes) == 2
        assert all(check_episode(episode) == [] for episode in episodes)


def test_a_time_far_ahead_is_told_by_how_far_it_is_ahead(tmp_path: Path) -> None:
    events = bag_files.demonstration(3.0, ROBOT)
    row = [index for index, event in enumerate(events) if event[2] == '/joint_states'][150]
    ahead = (events[row][0] + 1000 * 10**9, *events[row][1:])
    bag = tmp_path / 'bag'
    bag_files.write_bag(bag, [*events[:row], ahead, *events[row + 1 :]], 'sqlite3')
    (step,) = bag_time_steps(bag)
    assert step.startswith('time goes back by 1000.0') and 'after 1001.5' in step


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_the_order_in_which_topics_are_written_does_not_matter(
    tmp_path: Path, storage: str
) -> None:
    """A converter writes one topic after the other; a recorder some messages a little late."""
    events = bag_files.demonstration(2.0, ROBOT)
    draw = random.Random(3)
    bag = bag_files.write_bag(tmp_path / 'whole', events, storage)
    (expected,) = import_bag(bag, ROBOT, tmp_path / 'out', compress=False)
    delay = {'/joint_states': 0, '/leader/joint_states': 30, '/top/image_raw': 0,
             '/side/image_raw': 120}  # fmt: skip
    orders = {
        'by topic': sorted(events, key=lambda event: (event[2], event[0])),
        'late': sorted(events, key=lambda event: event[0] + delay[event[2]] * MS),
        'jitter': sorted(events, key=lambda event: event[0] + draw.randrange(9) * MS),
    }
    for name, ordered in orders.items():
        bag = bag_files.write_bag(tmp_path / name, ordered, storage)
        (episode,) = import_bag(bag, ROBOT, tmp_path / f'out {name}', compress=False)
        assert_same_rows(episode, expected)


def spoil(events: Events, topic: str, numbers: range, change: Any) -> Events:
    """Change some messages of a topic."""
    places = [place for place, event in enumerate(events) if event[2] == topic]
    for number in numbers:
        receive_ns, stamp_ns, name, message = events[places[number]]
        events[places[number]] = (receive_ns, stamp_ns, name, change(message, stamp_ns))
    return events


def no_names(message: Any, stamp_ns: int) -> Any:
    return replace(
        message, name=[], position=np.zeros(0), velocity=np.zeros(0), effort=np.zeros(0)
    )


def not_a_number(message: Any, stamp_ns: int) -> Any:
    return replace(message, position=np.full(5, np.nan))


def foreign(message: Any, stamp_ns: int) -> Any:
    return replace(message, name=[f'other_{name}' for name in message.name])


def other_size(message: Any, stamp_ns: int) -> Any:
    return replace(message, height=64, data=message.data[: 64 * message.step])


def empty(message: Any, stamp_ns: int) -> Any:
    return replace(message, data=message.data[:0])


CORRUPTED = {
    'names empty at the start': ('/joint_states', range(50), no_names, 'names is empty'),
    'NaN at the start': ('/joint_states', range(50), not_a_number, 'position is nan'),
    'NaN once': ('/joint_states', range(80, 81), not_a_number, 'position is nan'),
    'other joints once': ('/joint_states', range(80, 81), foreign, ''),
    'another size once': ('/top/image_raw', range(20, 21), other_size, '128x64'),
    'an empty image once': ('/side/image_raw', range(20, 21), empty, '0 bytes'),
    'NaN of the leader': ('/leader/joint_states', range(40, 43), not_a_number, 'is nan'),
}


def record_live(events: Events, folder: Path) -> Path:
    """Record the messages by the live recorder, from its first complete row on."""
    recorder = EpisodeRecorder(ROBOT)
    path = None
    for receive_ns, stamp_ns, topic, message in events:
        recordings.hear(recorder, NAMES[topic.lstrip('/')], Sample(stamp_ns, receive_ns, message))
        if path is None and recorder.row is not None and recorder.row.complete:
            path = recorder.start(folder, compress=False)
            recorder.advance(receive_ns)
    recorder.advance(events[-1][0] + 1)
    assert path is not None
    assert recorder.stop().ended == ''
    return path


@pytest.mark.parametrize('kind', CORRUPTED)
def test_an_unusable_message_is_a_gap_with_a_name_in_a_bag_and_live(
    tmp_path: Path, kind: str
) -> None:
    topic, numbers, change, words = CORRUPTED[kind]
    events = spoil(bag_files.demonstration(1.6, ROBOT), topic, numbers, change)
    # Messages are looked at behind the storage, of which each has its share of the kinds.
    storage = ('mcap', 'sqlite3')[list(CORRUPTED).index(kind) % 2]
    bag = bag_files.write_bag(tmp_path / 'bag', events, storage)
    notes: list[str] = []
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append, compress=False)
    live = record_live(events, tmp_path / 'live')
    assert check_episode(episode) == check_episode(live) == []
    with EpisodeReader(episode) as found, EpisodeReader(live) as wanted:
        # The operator starts the recorder a row after all streams are there.
        skipped = found.length - wanted.length
        assert 0 <= skipped <= 3 and wanted.length > 45
        for name in ('time_ns', 'qpos', 'qvel', 'action'):
            np.testing.assert_array_equal(getattr(found, name)[skipped:], getattr(wanted, name))
        for row in range(0, wanted.length, 5):
            for camera in ROBOT.cameras:
                np.testing.assert_array_equal(
                    found.image(camera, row + skipped), wanted.image(camera, row)
                )
        for stream in ROBOT.stream_names:
            ours, theirs = found.stamps(stream), wanted.stamps(stream)
            for field in ('header_ns', 'receive_ns', 'age_ns'):
                np.testing.assert_array_equal(
                    getattr(ours, field)[skipped:], getattr(theirs, field)
                )
        # Counted from the first row on, as live.
        counted = len(numbers) if words and not kind.endswith('at the start') else 0
        assert found.stamps(NAMES[topic[1:]]).counters.unusable == counted
    assert any(words in note and topic[1:] in note for note in notes) == bool(words)


def by_drivers(events: Events, gripper_feels: bool) -> Events:
    """A broadcaster without interfaces for the gripper's velocity and effort, which its driver
    has (or only the first), at a third of the rate, stamped by a clock 5 ms behind. Every tenth
    message of the broadcaster lacks the gripper.
    """
    changed, number = [], 0
    for event in events:
        receive_ns, stamp_ns, topic, whole = event
        if topic != '/joint_states':
            changed.append(event)
            continue
        number += 1
        none, effort = np.array([np.nan]), 3 * whole.position
        part = slice(1 if number % 10 == 0 else 0, None)
        changed.append((receive_ns, stamp_ns, topic, replace(
            whole, name=whole.name[part], position=whole.position[part],
            velocity=np.concatenate((none, whole.velocity[1:]))[part],
            effort=np.concatenate((none, effort[1:]))[part],
        )))  # fmt: skip
        if number % 3 == 1:
            stamp_ns -= 5 * MS
            changed.append((receive_ns + MS // 2, stamp_ns, topic, replace(
                whole, header=bag_files.header(stamp_ns), name=whole.name[:1],
                position=whole.position[:1], velocity=whole.velocity[:1],
                effort=effort[:1] if gripper_feels else effort[:0],
            )))  # fmt: skip
    return sorted(changed, key=lambda event: event[:3])


@pytest.mark.parametrize('gripper_feels', [True, False])
def test_what_several_drivers_report_in_part_is_the_same_in_a_bag_and_live(
    tmp_path: Path, gripper_feels: bool
) -> None:
    events = by_drivers(bag_files.demonstration(3.0, ROBOT), gripper_feels)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    notes: list[str] = []
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append, compress=False)
    live = record_live(events, tmp_path / 'live')
    with EpisodeReader(episode) as found, EpisodeReader(live) as wanted:
        skipped = found.length - wanted.length
        assert 0 <= skipped <= 3 and wanted.length > 45
        for name in ('time_ns', 'qpos', 'qvel', 'action'):
            np.testing.assert_array_equal(getattr(found, name)[skipped:], getattr(wanted, name))
        assert wanted.qvel.any(axis=0).all()
        counters = wanted.stamps('state').counters
        assert counters.dropped == found.stamps('state').counters.dropped == 0
        if gripper_feels:
            assert found.effort is not None and wanted.effort is not None
            np.testing.assert_array_equal(found.effort[skipped:], wanted.effort)
            np.testing.assert_allclose(wanted.effort[:, :4], 3 * wanted.qpos[:, :4], rtol=1e-6)
        else:
            assert found.effort is None and wanted.effort is None
    told = "'/observations/effort' is left out: not reported of joint 'gripper' in "
    assert sum(told in note for note in notes) == (not gripper_feels)


def test_bytes_that_are_no_message_are_a_gap_with_a_name(tmp_path: Path) -> None:
    events = bag_files.demonstration(2.0, ROBOT)
    bag = bag_files.write_bag(
        tmp_path / 'bag', events, 'sqlite3',
    )  # fmt: skip
    import apsw

    with apsw.Connection(str(next(bag.glob('*.db3')))) as database:
        database.execute(
            "UPDATE messages SET data = x'000100000102' WHERE id = (SELECT messages.id FROM "
            'messages JOIN topics ON topic_id = topics.id WHERE name = ? LIMIT 1 OFFSET 20)',
            ('/top/image_raw',),
        )
    notes: list[str] = []
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append)
    assert check_episode(episode) == []
    assert len(notes) == 1
    assert "'top' (top/image_raw): not taken: 6 bytes are no sensor_msgs" in notes[0]


def test_an_empty_raw_topic_leaves_the_word_to_the_compressed_one(tmp_path: Path) -> None:
    events = bag_files.demonstration(1.0, ROBOT, compressed=True)

    def with_silent_topics(writer: Any) -> None:
        opened = writer.open

        def open_and_add() -> None:
            opened()
            for camera in ROBOT.cameras.values():
                writer.add_connection(
                    f'/{camera.topic}', 'sensor_msgs/msg/Image', typestore=bag_files.STORE
                )

        writer.open = open_and_add

    bag = bag_files.write_bag(tmp_path / 'bag', events, change=with_silent_topics)
    assert [entry.count for entry in bag_topics(bag) if entry.topic == '/top/image_raw'] == [0]
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out')
    assert check_episode(episode) == []


def test_an_mcap_without_message_indexes_is_read(tmp_path: Path) -> None:
    events = bag_files.demonstration(1.0, ROBOT)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    expected = list(read_bag_rows(bag, ROBOT))
    without_message_index(next(bag.glob('*.mcap')))
    with Reader(next(bag.glob('*.mcap'))) as reader:
        assert list(reader.messages()) == []  # what is to be caught
    found = list(read_bag_rows(bag, ROBOT))
    assert [row.time_ns for row in found] == [row.time_ns for row in expected]
    assert [row.faults for row in found] == [row.faults for row in expected]


def without_message_index(file: Path) -> None:
    """Say of every chunk in the index of an mcap that it has no message indexes."""
    data = bytearray(file.read_bytes())
    place = int.from_bytes(data[-28:-20], 'little')  # the summary
    kept = bytearray(data[:place])
    while data[place] != 0x02:
        end = place + 9 + int.from_bytes(data[place + 1 : place + 9], 'little')
        record = data[place + 9 : end]
        if data[place] == 0x08:
            size = int.from_bytes(record[32:36], 'little')
            record = record[:32] + bytes(4) + record[36 + size :]
        if data[place] != 0x0E:  # the offsets of the summary are others now
            kept += data[place : place + 1] + len(record).to_bytes(8, 'little') + record
        place = end
    footer = bytearray(data[place : place + 29])
    footer[17:25] = bytes(8)
    file.write_bytes(kept + footer + data[-8:])


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('relative_file_paths', '3'),
        ('relative_file_paths', '[{a: 1}]'),
        ('topics_with_message_count', 'none'),
        ('topics_with_message_count', '[{topic_metadata: {name: /x}, message_count: many}]'),
        ('compression_mode', '[zstd]'),
    ],
)
def test_wrong_types_in_the_metadata_are_one_line(tmp_path: Path, key: str, value: str) -> None:
    bag = bag_files.write_bag(tmp_path / 'bag', bag_files.demonstration(0.2, ROBOT))
    (bag / 'metadata.yaml').write_text(f'rosbag2_bagfile_information: {{{key}: {value}}}')
    with pytest.raises(EpisodeError, match=rf'metadata.yaml: {key}') as caught:
        bag_topics(bag)
    assert '\n' not in str(caught.value)


def test_a_pipe_in_place_of_a_storage_file_is_not_waited_for(tmp_path: Path) -> None:
    bag = bag_files.write_bag(
        tmp_path / 'bag', bag_files.demonstration(0.2, recordings.tabletop())
    )
    (storage,) = bag.glob('*.mcap')
    storage.unlink()
    os.mkfifo(storage)
    with pytest.raises(UserError, match='is a pipe or a device'):
        bag_topics(bag)


def test_a_field_of_another_length_is_left_out_of_a_bag_and_told_once(tmp_path: Path) -> None:
    events = [
        (receive_ns, stamp_ns, topic, replace(message, effort=np.array([1.0, 2.0])))
        if topic == '/joint_states'
        else (receive_ns, stamp_ns, topic, message)
        for receive_ns, stamp_ns, topic, message in bag_files.demonstration(2.0, ROBOT)
    ]
    (whole,) = import_bag(
        bag_files.write_bag(tmp_path / 'whole', bag_files.demonstration(2.0, ROBOT)),
        ROBOT, tmp_path / 'out',
    )  # fmt: skip
    notes: list[str] = []
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append)
    assert notes == [
        f"{bag}: stream 'state' (joint_states): effort left out: 2 values for 5 names, in "
        '198 of 198 messages'  # up to the last row
    ]
    with EpisodeReader(whole) as expected, EpisodeReader(episode) as found:
        assert found.effort is None
        np.testing.assert_array_equal(found.qpos, expected.qpos)


def test_an_episode_counts_its_own_messages_only(tmp_path: Path) -> None:
    """What a driver sent before the first row does not raise the rate of its stream."""
    begin_ns = recordings.START_NS + 1_000 * MS
    events = []
    for receive_ns, stamp_ns, topic, message in bag_files.demonstration(4.0, ROBOT):
        if topic == '/joint_states' and stamp_ns < begin_ns:
            message = replace(message, position=np.full(5, np.nan))
        if not begin_ns + 1_000 * MS <= stamp_ns < begin_ns + 1_500 * MS:
            events.append((receive_ns, stamp_ns, topic, message))
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    notes: list[str] = []
    options: Any = {'split_at_gaps': True, 'note': notes.append, 'compress': False}
    episodes = import_bag(bag, ROBOT, tmp_path / 'out', **options)
    assert len(episodes) == 2
    rates = [episode_summary(episode)['streams']['state']['rate_hz'] for episode in episodes]
    assert 80 < rates[0] < 105 and 95 < rates[1] < 105  # the first ends with rows of its gap
    assert f"{bag}: stream 'state' (joint_states): 100 of 348 messages were not taken" in notes
    assert len([note for note in notes if 'not taken: ' in note]) == 1


def test_the_summary_of_a_bag_names_where_its_clock_was_set_back(tmp_path: Path) -> None:
    bag = bag_files.write_bag(
        tmp_path / 'bag', set_back(bag_files.demonstration(4.0, ROBOT), 2.0, 1.0)
    )
    (step,) = bag_summary(bag)['time_steps']
    assert step == 'time goes back by 1.00 s at message 201 of /joint_states, after 2.00 s'
