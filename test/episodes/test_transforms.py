# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms in episodes: rotations that go on without a jump, here and in LeRobot's sets."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import recordings
from control_robots import formula_arm
from lerobot_sets import read_info, write_set
from policy_examples import small_policy, small_robot, spec
from rosbags.rosbag2 import StoragePlugin, Writer
from transform_messages import STORE, TYPE, transform_bytes, turned

from motion_policy.cli.main import main
from motion_policy.control import PolicyRunner
from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    import_bag,
)
from motion_policy.episodes.formats.export_set import export_set
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot
from motion_policy.episodes.recorder import EpisodeRecorder
from motion_policy.episodes.repair import repair
from motion_policy.errors import UserError
from motion_policy.policies import check_robot
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.robot.vector import ROTATION, TRANSLATION
from motion_policy.streams import Observation, Sample
from motion_policy.streams.transforms import TransformMessage

ROWS = 60
VECTOR = '\nvectors:\n  tcp: {transform: [base, tool]}\n'


def with_transform(robot: RobotSpec, vector: str = VECTOR) -> RobotSpec:
    return robot_spec_from_yaml(robot.to_yaml() + vector, 'arm')


ROBOT = with_transform(recordings.tabletop().model_copy(update={'cameras': {}}))


def pose(row: int) -> np.ndarray:
    """Turns twice, as if each row came with one of its two quaternions by chance."""
    found = np.float32(turned([0, 1, 1], 4 * math.pi * row / ROWS, [0.01 * row, 0.2, 0.3]))
    found[3:] *= -1 if row % 3 == 0 else 1
    return found


def observation(row: int, robot: RobotSpec = ROBOT) -> Observation:
    return replace(recordings.observation(row, robot), vectors={'tcp': pose(row)})


def write(path: Path, robot: RobotSpec = ROBOT) -> EpisodeWriter:
    writer = EpisodeWriter(path, robot)
    for index in range(ROWS):
        row = recordings.row_at(index, robot)
        writer.append(row.time_ns, observation(index, robot), row)
    return writer


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    path = tmp_path / 'there' / 'episode_000000.hdf5'
    write(path).close()
    return path


def expected() -> np.ndarray:
    """Rows that begin with the rotation of no turn, and go on from there."""
    turns = 4 * math.pi * np.arange(ROWS) / ROWS
    return np.stack(
        [turned([0, 1, 1], each, [0.01 * row, 0.2, 0.3]) for row, each in enumerate(turns)]
    )


def test_rotations_are_written_without_a_jump_and_come_back(
    episode: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_episode(episode) == []
    with EpisodeReader(episode) as reader:
        assert reader.robot == ROBOT
        np.testing.assert_allclose(reader.vector('tcp'), expected(), atol=1e-6)
        written = reader.vector('tcp')
    part = tmp_path / 'crashed.hdf5.part'
    recordings.leave_as_a_crash(write(tmp_path / 'crashed.hdf5'), part)
    with EpisodeReader(repair(part).path) as reader:
        np.testing.assert_array_equal(reader.vector('tcp'), written[: reader.length])
        assert reader.length > 20
    assert main(['inspect', str(episode)]) == 0
    assert 'vectors tcp (7, base -> tool)' in ' '.join(capsys.readouterr().out.split())
    there = write_set(episode.parent, tmp_path / 'set')
    feature = read_info(there)['features']['observation.tcp']
    assert (feature['shape'], tuple(feature['names'])) == ([7], (*TRANSLATION, *ROTATION))
    [(path, _)] = import_lerobot(there, ROBOT, tmp_path / 'here')
    assert check_episode(path) == []
    with EpisodeReader(path) as reader:
        np.testing.assert_array_equal(reader.vector('tcp'), written)


def test_what_is_no_rotation_or_jumps_is_a_problem(episode: Path) -> None:
    with h5py.File(episode, 'r+') as file:
        tcp = file['observations/vectors/tcp']
        tcp[10:12, 3:] = 0.0
        tcp[30:, 3:] *= -1
    no_rotation, jump = check_episode(episode)
    assert "vectors/tcp' has no rotation in 2 rows, the first is row 10" in no_rotation
    assert "vectors/tcp' changes the sign of its quaternion at row 30 (1 such rows)" in jump


def test_a_policy_sees_rotations_as_an_episode_has_them() -> None:
    ranges = {**spec().normalisation.model_dump(), 'inputs': {'min': [-1.0] * 7, 'max': [1.0] * 7}}
    robot = with_transform(small_robot())
    policy = small_policy(
        0, kind='sarnn', hyper={'rec_dim': 8, 'k_dim': 2}, robot=robot, inputs=('tcp',),
        normalisation=ranges,
    )  # fmt: skip
    chunks = []
    for continuous in (False, True):
        runner = PolicyRunner(policy, robot)
        for _ in range(2):  # after a reset as before
            runner.reset()
            rows = []
            for row in range(0, ROWS, 6):
                seen = observation(row, robot)
                if continuous:
                    seen.vectors['tcp'] = expected()[row].astype(np.float32)
                rows.append(runner.infer(seen, explain=False)[0])
        chunks.append(np.stack(rows))
    np.testing.assert_allclose(chunks[0], chunks[1], atol=1e-5)
    other = with_transform(small_robot(), VECTOR.replace('tool', 'hand'))
    with pytest.raises(
        UserError, match=r"'tcp' was newest of base -> tool: .* has newest of base"
    ):
        check_robot(policy, other)
    check_robot(policy, with_transform(small_robot(), VECTOR.replace(']}', '], topic: /tf}')))


def test_transforms_of_other_frames_are_not_taken_together(episode: Path) -> None:
    other = with_transform(
        recordings.tabletop().model_copy(update={'cameras': {}}), VECTOR.replace('tool', 'hand')
    )
    second = episode.parent / 'episode_000001.hdf5'
    write(second, other).close()
    with pytest.raises(
        EpisodeError, match=r'its vectors: tcp newest of base -> hand: .* base -> t'
    ):
        export_set([episode, second])


def test_what_was_said_once_holds_after_the_clock_was_set_back(tmp_path: Path) -> None:
    """Of a recorder, and of a bag: the transform that does not move comes at the very start."""
    joints = list(ROBOT.joints.names)
    start_ns, message = recordings.START_NS, STORE.types['sensor_msgs/msg/JointState']
    header = STORE.types['std_msgs/msg/Header'](
        STORE.types['builtin_interfaces/msg/Time'](0, 0), ''
    )
    state = message(header, joints, np.zeros(5), np.zeros(0), np.zeros(0))
    kinds = {'joint_states': 'sensor_msgs/msg/JointState', 'tf': TYPE, 'tf_static': TYPE}
    recorder = EpisodeRecorder(ROBOT)
    fixed = transform_bytes(('link', 'tool', 0, turned([0, 0, 1], 1)))
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        topics = {t: bag.add_connection(f'/{t}', k, typestore=STORE) for t, k in kinds.items()}
        bag.write(topics['tf_static'], start_ns, fixed)
        recordings.hear(
            recorder, 'tcp', Sample(0, start_ns, TransformMessage(fixed, is_static=True))
        )
        for t_ms in (*range(0, 1500, 10), *range(-60_000, -58_500, 10)):
            time_ns = start_ns + t_ms * 1_000_000
            moving = transform_bytes(('base', 'link', time_ns, turned([0, 0, 1], 0)))
            bag.write(topics['tf'], time_ns, moving)
            bag.write(
                topics['joint_states'], time_ns, STORE.serialize_cdr(state, kinds['joint_states'])
            )
            for name, value in (('state', state), ('tcp', TransformMessage(moving))):
                recordings.hear(recorder, name, Sample(0, time_ns, value))
    assert recorder.row is not None and recorder.row.faults.keys() <= {'leader'}
    without_leader = ROBOT.model_copy(
        update={'joints': ROBOT.joints.model_copy(update={'leader': ()})}
    )
    found = import_bag(tmp_path / 'bag', without_leader, tmp_path / 'here', split_at_gaps=True)
    assert len(found) == 2
    for path in found:
        with EpisodeReader(path) as reader:
            angle = reader.vector('tcp')[0]
            np.testing.assert_allclose(angle[5:], [math.sin(0.5), math.cos(0.5)], atol=1e-6)


def test_specs_without_transforms_are_written_as_before() -> None:
    text = recordings.with_vectors(formula_arm()).to_yaml()
    assert 'transform' not in text and 'static_topic' not in text
