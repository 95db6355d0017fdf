# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes and bags of the same demonstration are judged alike; those of other robots are not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import bag_files
import numpy as np
import pytest
import recordings
import torch
from judged_policies import echo_policy, echo_runner, line_arm, sarnn_checkpoint
from policy_examples import small_policy, small_robot, spec

from motion_policy.control import Mix, PolicyRunner
from motion_policy.episodes import EpisodeWriter, import_bag
from motion_policy.episodes.formats.rosbag.read import read_bag_rows
from motion_policy.errors import UserError
from motion_policy.evaluation import hidden_state_report
from motion_policy.evaluation.offline import (
    evaluate_recordings,
    joint_table,
    write_first_video,
)
from motion_policy.evaluation.offline_report import write_recorded_report
from motion_policy.evaluation.recordings import conditions, find_recordings
from motion_policy.evaluation.tool_errors import tool_errors
from motion_policy.policies import Policy, load_policy
from motion_policy.policies.action_space import ActionSpace
from motion_policy.policies.normalisation import MinMax
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.robot.load import robot_spec_from
from motion_policy.share import share_dir
from motion_policy.streams import observation_from_row

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope='module')
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A tiny policy of the tabletop robot."""
    return load_policy(sarnn_checkpoint(tmp_path_factory.mktemp('models') / 'tiny'))


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden states turn in few frames; test_hidden.py looks at all of them."""
    few = partial(hidden_state_report.write_hidden_state_video, frames=5)
    monkeypatch.setattr(hidden_state_report, 'write_hidden_state_video', few)


def test_a_bag_and_its_imported_episode_give_the_same_numbers(
    tmp_path: Path, policy: Policy
) -> None:
    robot = recordings.tabletop()
    bag = bag_files.write_bag(tmp_path / 'bag', bag_files.demonstration(2.0, robot))
    episode = tmp_path / 'episode_000000.hdf5'
    with EpisodeWriter(episode, robot, compress=False) as writer:
        for row in read_bag_rows(bag, robot):
            if row.complete:
                writer.append(row.time_ns, observation_from_row(row, robot), row)
    found = find_recordings([bag, episode], policy)
    runner = PolicyRunner(policy, policy.spec.robot, Mix(0.7, 0.7))
    evaluation = evaluate_recordings(runner, found)
    of_bag, of_episode = evaluation.results
    assert of_bag.truth_kind == of_episode.truth_kind == 'action'
    np.testing.assert_array_equal(of_bag.predicted, of_episode.predicted)
    np.testing.assert_array_equal(of_bag.truth, of_episode.truth)
    assert of_bag.image_mse == of_episode.image_mse
    pooled = evaluation.pooled()
    assert pooled.steps == of_bag.errors().steps + of_episode.errors().steps
    np.testing.assert_allclose(pooled.rmse, of_bag.errors().rmse)


FEELING = """
vectors:
  wrench: {topic: wrench, type: geometry_msgs/msg/WrenchStamped, window: mean,
    fields: [wrench.force.x, wrench.torque.z]}
  unused: {topic: unused, type: nowhere_msgs/msg/Unknown, fields: [data]}
"""
SPAN = MinMax(min=(0.0, 0.0), max=(1.0, 1.0))


def wrenches(seconds: float) -> list[bag_files.Event]:
    """A wrench every 5 ms that grows by 1 N with each."""
    types = bag_files.T
    events = []
    for index in range(int(seconds * 200)):
        stamp_ns = recordings.START_NS + index * 5_000_000
        force, torque = (
            types['geometry_msgs/msg/Vector3'](x=value, y=0.0, z=-value)
            for value in (float(index), index / 8)
        )
        wrench = types['geometry_msgs/msg/Wrench'](force=force, torque=torque)
        message = types['geometry_msgs/msg/WrenchStamped'](bag_files.header(stamp_ns), wrench)
        events.append((stamp_ns + 500_000, stamp_ns, '/wrench', message))
    return events


def test_a_policy_with_inputs_is_judged_alike_on_a_bag_and_its_episode(tmp_path: Path) -> None:
    """It sees the mean of a row's messages; the robot's other vectors are not asked for."""
    whole = robot_spec_from_yaml(recordings.tabletop().to_yaml() + FEELING, 'feeling')
    robot = whole.model_copy(update={'vectors': {'wrench': whole.vectors['wrench']}})
    events = bag_files.demonstration(2.0, robot) + wrenches(2.0)
    bag = bag_files.write_bag(tmp_path / 'bag', sorted(events, key=lambda event: event[:3]))
    import_bag(bag, robot, tmp_path / 'episodes')
    plain = echo_policy(whole).spec.normalisation
    normalisation = plain.model_copy(update={'inputs': SPAN})
    runner = echo_runner(whole, inputs=('wrench',), normalisation=normalisation)
    found = find_recordings([bag, tmp_path / 'episodes'], runner.policy)
    of_bag, of_episode = evaluate_recordings(runner, found).results
    np.testing.assert_array_equal(of_bag.predicted, of_episode.predicted)
    assert of_bag.hidden is not None and of_episode.hidden is not None
    np.testing.assert_array_equal(of_bag.hidden[:, :7], of_episode.hidden[:, :7])
    force, torque = of_bag.hidden[:, 5:7].T
    # Of 0 to 20 ms those of 5, 10 and 15, as the last came later; a policy step is 20 of them.
    np.testing.assert_allclose(force, 2.0 + 20.0 * np.arange(len(force)), rtol=1e-5)
    np.testing.assert_allclose(torque, -force / 8, rtol=1e-5)


def test_a_bag_whose_wrench_pauses_or_never_speaks_says_so(tmp_path: Path) -> None:
    robot = robot_spec_from_yaml(recordings.tabletop().to_yaml() + FEELING, 'feeling')
    spec = echo_policy(robot).spec
    normalisation = spec.normalisation.model_copy(update={'inputs': SPAN})
    policy = echo_policy(robot, inputs=('wrench',), normalisation=normalisation)
    joints = bag_files.demonstration(2.0, recordings.tabletop())
    paused = joints + bag_files.without(wrenches(2.0), '/wrench', 0.5, 1.5)
    bag = bag_files.write_bag(tmp_path / 'paused', sorted(paused, key=lambda event: event[:3]))
    (recording,) = find_recordings([bag], policy)
    times_s = np.array([row.time_ns for row in recording.rows()]) / 1e9
    assert np.diff(times_s).max() == pytest.approx(0.8, abs=0.05)  # 1 s, of which 0.2 s stand
    silent = bag_files.write_bag(tmp_path / 'silent', joints)
    with pytest.raises(UserError, match=r'silent: .*wrench'):
        list(find_recordings([silent], policy)[0].rows())


def test_a_bag_without_a_leader_is_judged_by_its_joints(tmp_path: Path, policy: Policy) -> None:
    events = bag_files.demonstration(1.0, recordings.tabletop())
    events = bag_files.without(events, '/leader/joint_states', 0.0)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    runner = PolicyRunner(policy, policy.spec.robot)
    (result,) = evaluate_recordings(runner, find_recordings([bag], policy)).results
    assert result.truth_kind == 'qpos'


def test_a_camera_that_pauses_leaves_a_hole(tmp_path: Path, policy: Policy) -> None:
    events = bag_files.demonstration(3.0, recordings.tabletop())
    events = bag_files.without(events, '/top/image_raw', 1.0, 2.0)
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    (recording,) = find_recordings([bag], policy)
    times_s = np.array([row.time_ns for row in recording.rows()]) / 1e9
    gaps = np.diff(times_s)
    assert gaps.max() == pytest.approx(0.8, abs=0.1)
    assert np.median(gaps) == pytest.approx(0.02)


def test_a_folder_gives_its_episodes_in_order(tmp_path: Path, policy: Policy) -> None:
    folder = tmp_path / 'takes'
    folder.mkdir()
    for index in (1, 0):
        recordings.write_episode(folder / f'episode_{index:06d}.hdf5', 8)
    found = find_recordings([folder], policy)
    assert [Path(entry.name).name for entry in found] == [
        'episode_000000.hdf5',
        'episode_000001.hdf5',
    ]


def test_an_episode_of_another_robot_is_refused(tmp_path: Path, policy: Policy) -> None:
    robot = line_arm()
    path = recordings.write_episode(tmp_path / 'other.hdf5', 8, robot=robot)
    with pytest.raises(UserError, match=r'other\.hdf5: has joints \[shoulder, slide\]'):
        find_recordings([path], policy)


def test_an_episode_without_the_camera_is_refused(tmp_path: Path, policy: Policy) -> None:
    robot = recordings.tabletop()
    blind = robot.model_copy(update={'cameras': {'side': robot.cameras['side']}})
    path = recordings.write_episode(tmp_path / 'blind.hdf5', 8, robot=blind)
    with pytest.raises(UserError, match=r"blind\.hdf5: has no camera 'top'.*side"):
        find_recordings([path], policy)


def test_an_episode_or_bag_without_efforts_is_refused_by_a_policy_taught_with_them(
    tmp_path: Path,
) -> None:
    policy = load_policy(sarnn_checkpoint(tmp_path / 'tiny', effort=True))
    path = recordings.write_episode(tmp_path / 'weak.hdf5', 30, effort=False)
    with pytest.raises(UserError, match=r'weak\.hdf5: holds no joint efforts, .*tiny'):
        find_recordings([path], policy)
    events = bag_files.demonstration(1.0, recordings.tabletop())
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    (recording,) = find_recordings([bag], policy)
    with pytest.raises(UserError, match='bag: holds no joint efforts'):
        list(recording.rows())


def test_efforts_are_seen_and_judged(tmp_path: Path) -> None:
    policy = load_policy(sarnn_checkpoint(tmp_path / 'tiny', effort=True))
    path = recordings.write_episode(tmp_path / 'strong.hdf5', 40)
    runner = PolicyRunner(policy, policy.spec.robot)
    evaluation = evaluate_recordings(runner, find_recordings([path], policy))
    content = evaluation.to_json()
    joints = {'joint1', 'joint2', 'joint3', 'joint4', 'gripper'}
    assert set(content['all']['efforts']) == set(content['all']['joints']) == joints
    assert content['free_running']['mix'] == {'joint': 0, 'image': 0, 'effort': 0}
    table = joint_table(evaluation.pooled(), evaluation.image_mse(), evaluation.pooled_efforts())
    assert [row[0] for row in table.rows][5] == 'effort of joint1 (N m; N)'


def test_every_camera_is_judged_and_shown(tmp_path: Path) -> None:
    policy = load_policy(sarnn_checkpoint(tmp_path / 'tiny', cameras=('top', 'side')))
    path = recordings.write_episode(tmp_path / 'both.hdf5', 40)
    runner = PolicyRunner(policy, policy.spec.robot, Mix(0.5, 0.5))
    evaluation = evaluate_recordings(runner, find_recordings([path], policy))
    content = evaluation.to_json()['all']
    errors = [content['cameras'][camera]['image_mse'] for camera in ('top', 'side')]
    assert content['image_mse'] == pytest.approx(np.mean(errors))
    write_first_video(evaluation, tmp_path / 'video.mp4')
    write_recorded_report(evaluation, tmp_path / 'out', tmp_path / 'video.mp4')
    report = (tmp_path / 'out' / 'report.html').read_text()
    assert 'next image of &#x27;side&#x27;' in report


def test_what_the_checkpoint_was_trained_on_is_taught(tmp_path: Path) -> None:
    for folder in ('demos', 'others'):
        (tmp_path / folder).mkdir()
        for index in range(2):
            recordings.write_episode(tmp_path / folder / f'episode_{index:06d}.hdf5', 8)
    data = {'train': ['episode_000000.hdf5']}
    cases = [
        ({}, {}, [None, None, None, None]),
        (data, {}, [True, False, True, False]),
        (data, {'data': {'train': ['somewhere/else/demos']}}, [False] * 4),
        (data, {'data': {'train': [f'../{tmp_path.name}/demos']}}, [True, False, False, False]),
        (data, {'data': {'train': ['demos/*.hdf5']}}, [True, False, False, False]),
        (data, {'data': {'train': [str(tmp_path / 'others')]}}, [False, False, True, False]),
    ]
    for number, (names, training, expected) in enumerate(cases):
        folder = sarnn_checkpoint(tmp_path / f'tiny{number}', data=names, training=training)
        found = find_recordings([tmp_path / 'demos', tmp_path / 'others'], load_policy(folder))
        assert [recording.taught for recording in found] == expected, training
    assert conditions(found) == ['demos', 'demos', 'others', 'others']


def test_the_task_is_the_condition_where_tasks_differ(tmp_path: Path, policy: Policy) -> None:
    for index, task in enumerate(('push', 'grasp')):
        recordings.write_episode(tmp_path / f'episode_{index:06d}.hdf5', 8, task=task)
    found = find_recordings([tmp_path / f'episode_{i:06d}.hdf5' for i in range(2)], policy)
    assert conditions(found) == ['push', 'grasp']
    assert conditions(found[:1]) == ['recordings']


def test_a_policy_that_predicts_no_image_runs_freely_on_its_joints(tmp_path: Path) -> None:
    robot = line_arm()
    path = recordings.write_episode(tmp_path / 'line.hdf5', 40, robot=robot)
    runner = echo_runner(robot, hyper={'blind': True})
    evaluation = evaluate_recordings(runner, find_recordings([path], runner.policy))
    content = evaluation.to_json()
    assert content['free_running']['mix'] == {'joint': 0, 'image': 1, 'effort': 1}
    assert content['all']['image_mse'] is None and content['all']['cameras'] == {}
    write_recorded_report(evaluation, tmp_path / 'out', None)
    assert 'next image' not in (tmp_path / 'out' / 'report.html').read_text()


def test_a_path_that_holds_nothing_is_named(tmp_path: Path, policy: Policy) -> None:
    with pytest.raises(UserError, match='nowhere'):
        find_recordings([tmp_path / 'nowhere'], policy)


def test_a_bag_that_lacks_a_joint_is_named(tmp_path: Path, policy: Policy) -> None:
    events = bag_files.demonstration(1.0, recordings.tabletop())
    for _, _, topic, message in events:
        if topic == '/joint_states':
            message.name[:] = ['elbow' if name == 'joint3' else name for name in message.name]
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    (recording,) = find_recordings([bag], policy)
    with pytest.raises(UserError, match=r"bag: stream 'state'.*'joint3'.*elbow"):
        list(recording.rows())


def test_the_error_of_a_known_tool_is_told_in_mm_and_degrees(tmp_path: Path) -> None:
    urdf = share_dir() / 'config' / 'robots' / 'tabletop_arm.urdf'
    policy = load_policy(sarnn_checkpoint(tmp_path / 'tiny'))
    path = recordings.write_episode(tmp_path / 'a.hdf5', 40)
    runner = PolicyRunner(policy, policy.spec.robot)
    evaluation = evaluate_recordings(runner, find_recordings([path], policy))
    assert 'tool' not in evaluation.to_json()['all'] and evaluation.pooled_tool() is None
    spec = policy.spec.robot.model_dump(mode='json', exclude_none=True)
    robot = robot_spec_from({**spec, 'tool': {'link': 'tool', 'urdf': str(urdf)}}, 'robot')
    policy.spec = policy.spec.model_copy(update={'robot': robot})
    found = evaluation.to_json()['all']['tool']
    assert 0 < found['position_mm']['mean'] < found['position_mm']['max'] < 1000
    assert 0 < found['rotation_degrees']['rmse'] < 180
    joints = np.zeros((2, 5))
    assert 'predicted' not in found
    turned = joints + [0.1, 0, 0, 0, 0.01]  # about the axis that is 12 mm from the base
    errors = tool_errors(robot, turned, joints)
    assert errors is not None
    reach = 1000 * (0.024 + 0.124 + 0.126)
    np.testing.assert_allclose(errors.away_mm, 2 * reach * np.sin(0.05))
    np.testing.assert_allclose(errors.turned_degrees, np.degrees(0.1))
    rows = joint_table(evaluation.pooled(), {}, None, evaluation.pooled_tool()).rows
    assert [row[0] for row in rows[-2:]] == ['tool (mm)', 'rotation of the tool (degrees)']


@pytest.mark.parametrize('space', ['tool', 'tool_relative'])
def test_the_error_of_predicted_poses_is_told_before_inverse_kinematics(
    tmp_path: Path, space: Any
) -> None:
    urdf = share_dir() / 'config' / 'robots' / 'tabletop_arm.urdf'
    robot = small_robot(128, 128, tool={'link': 'tool', 'urdf': str(urdf)})
    count = len(ActionSpace(space, robot, 10.0).columns)
    target = {'min': [-0.2] * count, 'max': [0.3] * count}
    normalisation = {**spec().normalisation.model_dump(), 'target': target}
    policy = small_policy(robot=robot, action_space=space, normalisation=normalisation)
    path = recordings.write_episode(tmp_path / 'a.hdf5', 40)
    runner = PolicyRunner(policy, robot)
    evaluation = evaluate_recordings(runner, find_recordings([path], policy))
    (result,) = evaluation.results
    poses = result.scored_poses()
    assert poses is not None and len(poses) == evaluation.pooled().steps < len(result.predicted)
    told = evaluation.to_json()['all']['tool']
    # An arm of four joints comes nowhere near what an untrained network asks for.
    assert told['predicted']['rotation_degrees']['max'] > 1
    assert told['predicted'] != {key: told[key] for key in told['predicted']}
    names = [
        row[0] for row in joint_table(evaluation.pooled(), {}, None, evaluation.pooled_tool()).rows
    ]
    assert names[-2:] == [
        'predicted pose (mm)',
        'its rotation (degrees)',
    ]


def test_interventions_of_rollouts_are_told_per_minute(tmp_path: Path, policy: Policy) -> None:
    for number, driven in enumerate(([(3, 6), (10, 12)], None)):
        recordings.write_episode(tmp_path / f'episode_00000{number}.hdf5', 30, driven=driven)
    found = find_recordings([tmp_path], policy)
    evaluation = evaluate_recordings(PolicyRunner(policy, policy.spec.robot), found)
    told = evaluation.to_json()['rollouts']
    assert told['rollouts'] == 1
    assert told['interventions_per_minute'] == pytest.approx(2 / (30 / 50 / 60))
    assert told['human_rows'] == 5
