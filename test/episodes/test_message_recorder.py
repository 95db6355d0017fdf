# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags beside episodes: all messages or an exact count, whatever happens to disk and process."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import bag_files
import numpy as np
import pytest
import recordings
from full_disks import largest_file, small_disk
from rosbags.highlevel import AnyReader

from motion_policy.cli.main import main
from motion_policy.documents import read_yaml
from motion_policy.episodes import EpisodeError, EpisodeReader, import_bag, next_episode_path
from motion_policy.episodes.editing import journal
from motion_policy.episodes.formats.rosbag.write import BagChannel, BagWriter, repair_bag
from motion_policy.episodes.message_recorder import BagMessage, MessageRecorder, PreRoll
from motion_policy.errors import UserError

ROBOT = recordings.tabletop()
TOPICS = {stream.topic: f'/{stream.topic}' for stream in ROBOT.streams()}
TYPES = {f'/{stream.topic}': stream.type for stream in ROBOT.streams()}
DEFINITIONS = {
    kind: bag_files.STORE.generate_msgdef(kind, ros_version=2)[0] for kind in TYPES.values()
}
CHANNELS = [BagChannel(topic, kind, DEFINITIONS[kind]) for topic, kind in TYPES.items()]
Capture = pytest.CaptureFixture[str]


def messages(seconds: float) -> list[BagMessage]:
    """Return a demonstration as it comes over the wire."""
    return [
        BagMessage(topic, receive_ns, stamp_ns, serialized(topic, message))
        for receive_ns, stamp_ns, topic, message in bag_files.demonstration(seconds, ROBOT)
    ]


def serialized(topic: str, message: Any) -> bytes:
    return bytes(bag_files.STORE.serialize_cdr(message, TYPES[topic]))


def recorder(**options: Any) -> MessageRecorder:
    found = MessageRecorder(PreRoll(ROBOT, TOPICS, []), lambda: CHANNELS, **options)
    found.enabled = True
    return found


def read(bag: Path) -> list[tuple[str, int, bytes]]:
    with AnyReader([bag]) as reader:
        return [(each.topic, time_ns, data) for each, time_ns, data in reader.messages()]


def as_read(sent: list[BagMessage]) -> list[tuple[str, int, bytes]]:
    return [(each.topic, each.receive_ns, each.data) for each in sent]


def test_a_bag_has_every_message_since_those_of_the_first_row(tmp_path: Path) -> None:
    sent = messages(3.0)
    before, during = sent[:200], sent[200:]
    keeper = recorder()
    for message in before:
        keeper.add(message)
    keeper.start(tmp_path / 'episode_000004.hdf5')
    for message in during:
        keeper.add(message)
    bag = keeper.stop()
    assert bag is not None and bag.path == tmp_path / 'episode_000004_bag' and not bag.ended
    found = read(bag.path)
    assert len(found) == bag.messages
    assert found[-len(during) :] == as_read(during)
    # Of what came before: as long as a sample counts, and two rows.
    first = found[: -len(during)]
    assert first and first == [each for each in as_read(before) if each in first]
    span_ns = max(stream.max_age_ns for stream in ROBOT.streams()) + 2 * ROBOT.period_ns
    for topic in TYPES:
        times = [time_ns for each, time_ns, _ in first if each == topic]
        newest_ns = max(each.receive_ns for each in before if each.topic == topic)
        assert times[-1] == newest_ns and 0.8 * span_ns < newest_ns - times[0] <= span_ns
    assert next_episode_path(tmp_path).name == 'episode_000005.hdf5'
    information = read_yaml(bag.path / 'metadata.yaml')['rosbag2_bagfile_information']
    assert information['relative_file_paths'] == ['episode_000004_bag.mcap']
    assert information['message_count'] == bag.messages
    types = {
        each['topic_metadata']['name']: each['topic_metadata']['type']
        for each in information['topics_with_message_count']
    }
    assert types == TYPES


def test_every_mcap_reader_finds_definitions_and_both_times(tmp_path: Path) -> None:
    reader_of = pytest.importorskip('mcap.reader')
    sent = messages(1.0)
    keeper = recorder()
    keeper.start(tmp_path / 'e.hdf5')
    for message in sent:
        keeper.add(message)
    keeper.stop()
    with (tmp_path / 'e_bag' / 'e_bag.mcap').open('rb') as file:
        reader = reader_of.make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        found = list(reader.iter_messages(log_time_order=False))
        assert reader.get_header().profile == 'ros2'
    assert summary.statistics.message_count == len(sent) and len(summary.chunk_indexes) > 1
    times = {(c.topic, m.log_time, m.publish_time) for _, c, m in found}
    assert times == {(each.topic, each.receive_ns, each.publish_ns) for each in sent}
    for schema, channel, _ in found:
        assert schema.encoding == 'ros2msg' and schema.data.decode() == DEFINITIONS[schema.name]
        assert channel.message_encoding == 'cdr'


def test_a_full_queue_ends_the_bag_without_a_hole_and_counts_the_rest(tmp_path: Path) -> None:
    sent = messages(2.0)
    keeper = recorder(most_waiting_bytes=100_000)
    keeper.start(tmp_path / 'e.hdf5')
    for message in sent:
        keeper.add(message)
    bag = keeper.stop()
    assert bag is not None and 'faster than they could be written' in bag.ended
    found = read(bag.path)
    assert found == as_read(sent[: len(found)]) and len(found) == bag.messages > 0
    assert bag.left_out == Counter(each.topic for each in sent[len(found) :])
    facts = read_yaml(bag.path / 'metadata.yaml')['rosbag2_bagfile_information']['custom_data']
    assert facts['messages_left_out'] == str(len(sent) - len(found))
    assert facts['ended'] == bag.ended


def test_a_clock_that_is_set_back_leaves_nothing_of_the_time_before(tmp_path: Path) -> None:
    """As at a restart of a simulation: memory does not grow, and no bag begins with it."""
    sent = messages(1.0)
    pre_roll = PreRoll(ROBOT, TOPICS, [])
    for _ in range(3):
        for message in sent:
            pre_roll.add(message, moving=True)
    once = PreRoll(ROBOT, TOPICS, [])
    for message in sent:
        once.add(message, moving=True)
    assert pre_roll.messages() == once.messages()


def test_a_bag_that_cannot_begin_costs_only_itself(tmp_path: Path) -> None:
    def unknown() -> list[BagChannel]:
        return [BagChannel('/a', 'a_msgs/msg/A', 'wchar letter')]

    keeper = MessageRecorder(PreRoll(ROBOT, TOPICS, []), unknown)
    keeper.enabled = True
    with pytest.raises(UserError, match='e_bag: cannot be written'):
        keeper.start(tmp_path / 'e.hdf5')
    keeper.add(messages(0.1)[0])
    assert keeper.stop() is None and list(tmp_path.iterdir()) == []


def test_a_bag_leaves_room_for_episodes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='GB are free on its disk'):
        recorder(least_free_bytes=10**18).start(tmp_path / 'e.hdf5')
    assert list(tmp_path.iterdir()) == []


def test_a_bag_ends_before_a_disk_is_full_and_is_whole(tmp_path: Path) -> None:
    sent = messages(6.0)
    with small_disk(tmp_path / 'disk', '12m') as disk:
        keeper = recorder(least_free_bytes=5 * 2**20)
        keeper.start(disk / 'e.hdf5')
        for message in sent:
            keeper.add(message)
        bag = keeper.stop()
        assert bag is not None and bag.path == disk / 'e_bag'
        assert bag.ended.endswith('GB are free on its disk, of which 0.01 GB are left free')
        assert read(bag.path) == as_read(sent[: bag.messages]) and bag.messages > 100
        assert bag.messages + sum(bag.left_out.values()) == len(sent)


def test_what_a_full_disk_left_is_counted_and_can_be_finished(
    tmp_path: Path, capsys: Capture
) -> None:
    sent = messages(6.0)
    keeper = recorder()
    with largest_file(4_000_000):
        keeper.start(tmp_path / 'episode_000000.hdf5')
        for message in sent:
            keeper.add(message)
        bag = keeper.stop()
    assert bag is not None and bag.ended == 'cannot be written: File too large'
    assert bag.path.name == 'episode_000000_bag.part'
    assert bag.messages + sum(bag.left_out.values()) == len(sent) and bag.messages > 100
    assert main(['import', str(bag.path), '--out', str(tmp_path), '--robot', 'tabletop_sim']) == 2
    assert f'`motion-policy check --repair {bag.path}`' in capsys.readouterr().err
    assert main(['check', '--repair', str(bag.path)]) == 0
    assert f'{bag.messages} messages are kept' in capsys.readouterr().out
    assert read(tmp_path / 'episode_000000_bag') == as_read(sent[: bag.messages])
    assert not bag.path.exists()


@pytest.mark.slow
def test_a_killed_process_loses_no_more_than_the_last_chunk(
    tmp_path: Path, capsys: Capture
) -> None:
    """Half a second of messages, and half that in which none comes."""
    program = (
        'import os, signal, sys; from pathlib import Path; import test_message_recorder as t\n'
        'keeper = t.recorder(); keeper.start(Path(sys.argv[1]))\n'
        'for message in t.messages(2.0): keeper.add(message)\n'
        'while keeper.current.messages < 340: pass\n'
        'os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    episode = tmp_path / 'episode_000000.hdf5'
    folders = [str(Path(__file__).parent), str(Path(bag_files.__file__).parent)]
    subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path[:0] = {folders}\n{program}', str(episode)],
        check=False,
    )
    recordings.write_episode(tmp_path / 'episode_000001.hdf5', 5)
    assert main(['check', str(tmp_path)]) == 0
    assert 'the messages of an episode, unfinished' in capsys.readouterr().out
    assert main(['check', str(tmp_path), '--repair']) == 0
    found, sent = read(tmp_path / 'episode_000000_bag'), messages(2.0)
    assert found == as_read(sent[: len(found)])
    lost = sent[len(found) : 340]
    assert found and (not lost or lost[-1].receive_ns - lost[0].receive_ns <= 500_000_000)


def test_a_bag_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / 'e_bag', CHANNELS)
    with pytest.raises(EpisodeError, match='is still being written'):
        repair_bag(writer.part)
    with pytest.raises(EpisodeError, match='is there already'):
        BagWriter(tmp_path / 'e_bag', CHANNELS)
    writer.abort()
    with pytest.raises(EpisodeError, match='no message in it is whole'):
        repair_bag(writer.part)
    assert [path.name for path in tmp_path.iterdir()] == ['e_bag.part']


def test_rows_of_a_finished_bag_are_those_of_the_messages(tmp_path: Path) -> None:
    sent = messages(2.0)
    keeper = recorder()
    keeper.start(tmp_path / 'e.hdf5')
    for message in sent:
        keeper.add(message)
    keeper.stop()
    other = bag_files.write_bag(tmp_path / 'other', bag_files.demonstration(2.0, ROBOT))
    [ours], [theirs] = (
        import_bag(bag, ROBOT, tmp_path / f'from_{bag.name}')
        for bag in (tmp_path / 'e_bag', other)
    )
    with EpisodeReader(ours) as a, EpisodeReader(theirs) as b:
        np.testing.assert_array_equal(a.time_ns, b.time_ns)
        np.testing.assert_array_equal(a.qpos, b.qpos)
        np.testing.assert_array_equal(a.images('top', range(5)), b.images('top', range(5)))


def test_a_bag_goes_to_discarded_with_its_episode_and_comes_back(tmp_path: Path) -> None:
    episode = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 30)
    bag = tmp_path / 'episode_000000_bag'
    keeper = recorder()
    keeper.start(episode)
    for message in messages(0.2):
        keeper.add(message)
    keeper.stop()
    before = read(bag)
    assert main(['edit', 'delete', str(episode)]) == 0
    moved = tmp_path / 'discarded' / bag.name
    assert not bag.exists() and read(moved) == before
    assert next_episode_path(tmp_path).name == 'episode_000001.hdf5'
    assert main(['edit', 'undo', str(tmp_path)]) == 0
    assert read(bag) == before and not moved.exists()


def test_an_edit_that_is_interrupted_is_finished_with_the_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 30)
    bag, moved = tmp_path / 'episode_000000_bag', tmp_path / 'discarded' / 'episode_000000_bag'
    keeper = recorder()
    keeper.start(episode)
    keeper.add(messages(0.1)[0])
    keeper.stop()

    def interrupted(*_paths: Path) -> None:
        raise KeyboardInterrupt

    for arguments, there in ((['delete', str(episode)], moved), (['undo', str(tmp_path)], bag)):
        with monkeypatch.context() as patched:
            patched.setattr(journal, 'move_bag_along', interrupted)
            assert main(['edit', *arguments]) == 130
        assert main(['edit', 'list', str(tmp_path)]) == 0
        assert len(read(there)) == 1 and bag.exists() != moved.exists()
        assert episode.exists() == bag.exists()
    assert not (tmp_path / 'discarded').exists()
