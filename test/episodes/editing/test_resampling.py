# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Resampled episodes are those that the recorder would have written at that rate, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings

from motion_policy.episodes import EpisodeError, EpisodeReader, EpisodeWriter, check_episode
from motion_policy.episodes.editing.changes import Amount, trim
from motion_policy.episodes.editing.journal import edit_journal
from motion_policy.episodes.editing.perform import perform
from motion_policy.episodes.editing.pieces import EditStamp
from motion_policy.episodes.editing.resampling import resample
from motion_policy.episodes.rollouts import RolloutRow
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.streams import GridSampler, Row, Sample, observation_from_row

BEGIN_NS = recordings.START_NS
STAMP = EditStamp('resample', '', '2026-01-01T00:00:00+00:00')
JOINTS = ['a', 'b', 'c']


def robot(rate: float, *, leader: bool = True, window: str = 'newest') -> RobotSpec:
    """Two state topics, a camera, depth and the last messages of a vector, at some rate."""
    base = recordings.robot_with_leader('arm', JOINTS, ['top'], 16, 16, rate).to_yaml()
    spec = recordings.with_depth(robot_spec_from_yaml(base, 'arm'), 16, 12)
    text = (
        spec.to_yaml()
        + f"""
vectors:
  skin: {{topic: skin, type: std_msgs/msg/Float32MultiArray, fields: ['data[4]'],
    window: {window}{', count: 3' * (window == 'last')}, stamp: receive}}
"""
    )
    spec = robot_spec_from_yaml(text, 'arm')
    topics = [
        {'topic': name, 'type': 'sensor_msgs/msg/JointState', 'joints': joints}
        for name, joints in (('arm', ['a', 'b']), ('hand', ['c']))
    ]
    values = {**spec.joints.model_dump(mode='json'), 'state': topics}
    if not leader:
        del values['leader']
    return RobotSpec.model_validate({**spec.model_dump(mode='json'), 'joints': values})


def messages(spec: RobotSpec, hz: dict[str, float], seconds: float) -> list[tuple[str, Sample]]:
    """Messages of every stream by formula, each received a few ms after its stamp."""
    found = []
    for number, stream in enumerate(spec.streams()):
        rate = hz.get(stream.name, hz['else'])
        for index in range(int(seconds * rate)):
            stamp_ns = BEGIN_NS + round((index + 0.13 * number) * 1e9 / rate)
            receive_ns = stamp_ns + 1_000_000 * (1 + (index * 7 + number) % 5)
            value: Any
            if stream.role == 'camera':
                pixels = recordings.scene(index, 16, 16)
                value = recordings.image_message(pixels, 'rgb8', stamp_ns=stamp_ns)
            elif stream.role == 'depth':
                depth = recordings.depth_image(index, 12, 16)
                value = recordings.image_message(depth, '16UC1', stamp_ns=stamp_ns)
            elif stream.role == 'vector':
                value = _Array(index)
            else:
                names = list(stream.source.message_names)  # type: ignore[union-attr]
                position = [0.3 * np.sin(0.1 * index + n) for n, _ in enumerate(names)]
                value = recordings.joint_message(names, position, stamp_ns=stamp_ns)
            header_ns = 0 if stream.role == 'vector' else stamp_ns
            found.append((stream.name, Sample(header_ns, receive_ns, value)))
    return sorted(found, key=lambda each: each[1].receive_ns)


class _Array:
    """A message of numbers."""

    def __init__(self, index: int) -> None:
        self.data = recordings.numbers(index, 4)


def record(path: Path, spec: RobotSpec, sent: list[tuple[str, Sample]]) -> Path:
    """What the recorder writes of these messages."""
    sampler = GridSampler(spec.streams(), spec.rate, BEGIN_NS)
    with EpisodeWriter(path, spec, compress=False) as writer:
        for name, sample in sent:
            for row in sampler.advance(sample.receive_ns - 1):
                if row.complete:
                    writer.append(row.time_ns, observation_from_row(row, spec), row, driven(row))
            sampler.push(name, sample)
    return path


def driven(row: Row) -> RolloutRow | None:
    """Who made the command of a row, by formula, where there is one."""
    if 'leader' not in row.samples:
        return None
    stamp_ns = row.samples['leader'].header_ns
    return RolloutRow(stamp_ns // 30_000_000 % 2 == 0, np.full(3, stamp_ns * 1e-9))


def resampled(path: Path, rate: float) -> Path:
    with edit_journal(path.parent) as journal:
        perform(journal, resample([path], rate).changes, STAMP)
    assert check_episode(path) == []
    return path


def assert_alike(path: Path, expected: Path, *, last_action: bool = True) -> None:
    """Compare every array of two episodes, in the rows that both have."""
    with EpisodeReader(path) as found, EpisodeReader(expected) as wanted:
        assert found.robot == wanted.robot and found.rate == wanted.rate
        first = int(np.searchsorted(found.time_ns, wanted.time_ns[0]))
        length = min(found.length - first, wanted.length)
        assert length > 10
        here, there = slice(first, first + length), slice(0, length)
        np.testing.assert_array_equal(found.time_ns[here], wanted.time_ns[there])
        for name in ('qpos', 'qvel'):
            np.testing.assert_array_equal(
                getattr(found, name)[here], getattr(wanted, name)[there], err_msg=name
            )
        till = length - (not last_action)
        np.testing.assert_array_equal(found.action[here][:till], wanted.action[there][:till])
        if found.has_commands:
            assert found.intervention is not None and wanted.intervention is not None
            assert found.policy_action is not None and wanted.policy_action is not None
            assert len(np.unique(found.intervention)) == 2
            for a, b in (
                (found.intervention, wanted.intervention),
                (found.policy_action, wanted.policy_action),
            ):
                np.testing.assert_array_equal(a[here], b[there])
        np.testing.assert_array_equal(found.vector('skin')[here], wanted.vector('skin')[there])
        for row in range(length):
            for stream in ('top', 'depth_top'):
                np.testing.assert_array_equal(
                    found.frame(stream, first + row), wanted.frame(stream, row)
                )
        for stream in found.robot.stream_names:
            for field in ('header_ns', 'receive_ns', 'age_ns'):
                np.testing.assert_array_equal(
                    getattr(found.stamps(stream), field)[here],
                    getattr(wanted.stamps(stream), field)[there],
                    err_msg=f'{stream} {field}',
                )


@pytest.mark.parametrize('leader', [True, False])
def test_each_nth_row_is_what_the_recorder_would_have_written(
    tmp_path: Path, leader: bool
) -> None:
    fast, slow = (robot(rate, leader=leader, window='last') for rate in (50, 12.5))
    sent = messages(fast, {'top': 30, 'depth_top': 15, 'else': 100}, 2.0)
    path = record(tmp_path / 'fast' / 'episode_000000.hdf5', fast, sent)
    wanted = record(tmp_path / 'slow' / 'episode_000000.hdf5', slow, sent)
    assert_alike(resampled(path, 12.5), wanted, last_action=leader)
    with EpisodeReader(path) as found:
        assert found.has_commands is leader


@pytest.mark.parametrize('leader', [True, False])
def test_rows_between_rows_are_those_of_the_sampler_where_all_samples_are_there(
    tmp_path: Path, leader: bool
) -> None:
    fast, slow = (robot(rate, leader=leader) for rate in (250, 30))
    sent = messages(fast, {'top': 30, 'depth_top': 15, 'state_1': 60, 'else': 100}, 1.0)
    path = record(tmp_path / 'fast' / 'episode_000000.hdf5', fast, sent)
    wanted = record(tmp_path / 'slow' / 'episode_000000.hdf5', slow, sent)
    assert_alike(resampled(path, 30), wanted, last_action=leader)


def test_what_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    spec = robot(50)
    sent = messages(spec, {'top': 30, 'depth_top': 15, 'else': 100}, 1.0)
    path = record(tmp_path / 'a' / 'episode_000000.hdf5', spec, sent)
    with pytest.raises(EpisodeError, match=r"stream 'state_0' had 98 messages, of which 47 stand"):
        resample([path], 30)
    with pytest.raises(EpisodeError, match=r'n-th row: 25, 16\.6667, 12\.5, 10 Hz, found 30'):
        resample([path], 30)
    with pytest.raises(EpisodeError, match='has 50 rows per second: what was between'):
        resample([path], 100)
    with pytest.raises(EpisodeError, match='hold 0 at 1 Hz, expected at least 2'):
        resample([path], 1)
    assert resample([path], 50).left == (f'{path}: has 50 rows per second already',)
    # Messages that come in bursts: four of five stand in no row, though rows repeat the fifth.
    held = [
        (name, Sample(s.header_ns, -(-s.receive_ns // 50_000_000) * 50_000_000, s.value))
        for name, s in sent
    ]
    bursts = record(tmp_path / 'c' / 'episode_000000.hdf5', spec, held)
    with pytest.raises(EpisodeError, match=r"stream 'state_0' had .* messages, of which .* stand"):
        resample([bursts], 30)
    mean = robot(50, window='mean')
    averaged = record(tmp_path / 'b' / 'episode_000000.hdf5', mean, sent)
    with pytest.raises(EpisodeError, match="vector 'skin' has the mean of its messages"):
        resample([averaged], 25)


def test_a_trimmed_episode_does_not_tell_what_was_between_its_rows(tmp_path: Path) -> None:
    fast = robot(250)
    sent = messages(fast, {'top': 30, 'depth_top': 15, 'else': 100}, 0.5)
    path = record(tmp_path / 'episode_000000.hdf5', fast, sent)
    assert len(resample([path], 30).changes) == 1
    head, none = Amount(10, in_rows=True), Amount(0)
    with edit_journal(tmp_path) as journal:
        perform(journal, trim([path], head, none, idle=False, margin=none).changes, STAMP)
    with pytest.raises(EpisodeError, match='does not tell how many messages there were'):
        resample([path], 30)
    untimed = tmp_path / 'episode_000001.hdf5'
    with EpisodeWriter(untimed, fast, compress=False) as writer:
        for index in range(30):
            row = recordings.row_at(index, fast, age_ns=0)
            samples = {name: Sample(0, row.time_ns, None) for name in fast.stream_names}
            row.samples.update(samples)
            writer.append(row.time_ns, recordings.observation(index, fast, effort=False), row)
    with pytest.raises(EpisodeError, match='does not tell how many messages there were'):
        resample([untimed], 30)
