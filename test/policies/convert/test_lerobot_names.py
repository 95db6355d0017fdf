# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras and joints of a folder of LeRobot go by their names, and its chunks are told about."""

from __future__ import annotations

from pathlib import Path

import lerobot_folders as lerobot
import pytest
import torch
import yaml
from policy_examples import small_robot

from motion_policy.errors import UserError
from motion_policy.policies.convert.lerobot import LeRobotOptions, from_lerobot, to_lerobot
from motion_policy.robot import RobotSpec, robot_spec_from_yaml


def test_cameras_take_the_names_of_the_robot(tmp_path: Path) -> None:
    renamed = {'observation.images.front': 'observation.images.top'}
    source = lerobot.folder(tmp_path / 'theirs', renamed=renamed)
    converted = from_lerobot(source, LeRobotOptions())
    # What the robot calls front is what the policy, by another name, was trained with.
    assert converted.model.cameras == ('cam_high', 'front')
    told = ' '.join(converted.notes)
    assert 'observation.images.front as observation.images.top; --cameras takes' in told
    found = from_lerobot(source, LeRobotOptions(cameras=('high', 'front')))
    assert found.model.cameras == ('high', 'front')
    with pytest.raises(UserError, match=r'found 1 .front.*has 2: cam_high, front'):
        from_lerobot(source, LeRobotOptions(cameras=('front',)))


def test_two_cameras_that_swap_their_names_are_not_swapped(tmp_path: Path) -> None:
    first, second = (f'observation.images.{camera}' for camera in lerobot.CAMERAS)
    source = lerobot.folder(tmp_path / 'theirs', renamed={first: second, second: first})
    assert from_lerobot(source, LeRobotOptions()).model.cameras == lerobot.CAMERAS[::-1]


def turned(order: list[int]) -> RobotSpec:
    """The small robot with its joints in another order."""
    content = yaml.safe_load(small_robot(*lerobot.IMAGE).to_yaml())
    joints = content['joints']
    joints['names'] = [joints['names'][index] for index in order]
    joints.pop('grippers', None)
    for limits in joints['limits'].values():
        limits[:] = [limits[index] for index in order]
    for role in ('state', 'leader', 'command'):
        for topic in joints.get(role, ()):
            for key in ('joints', 'message_names', 'scale', 'offset'):
                topic.pop(key, None)
    return robot_spec_from_yaml(yaml.safe_dump(content), 'test')


def test_our_own_export_goes_to_a_robot_of_another_order_by_name(tmp_path: Path) -> None:
    policy = lerobot.ours_policy()
    folder, _ = to_lerobot(policy, tmp_path / 'theirs')
    order = [4, 2, 0, 1, 3]
    found = from_lerobot(folder, LeRobotOptions(robot=turned(order)))
    assert any('in another order than the robot: by name' in note for note in found.notes)
    seen = lerobot.observation(('top',), joints=5)
    expected = policy.act(seen, None)[0][..., order]
    other = {**seen, 'qpos': seen['qpos'][:, order]}
    torch.testing.assert_close(found.model.act(other, None)[0], expected, atol=1e-6, rtol=0)
    content = yaml.safe_load(turned(order).to_yaml())
    content['joints']['names'][0] = 'hand'
    for role in ('state', 'leader', 'command'):
        content['joints'].pop(role)
        content['joints'][role] = {'topic': role, 'type': 'sensor_msgs/msg/JointState'}
    robot = robot_spec_from_yaml(yaml.safe_dump(content), 'test')
    with pytest.raises(UserError, match=r'the robot has hand, .*expected the same names'):
        from_lerobot(folder, LeRobotOptions(robot=robot))
    name = small_robot().joints.names[4]
    again = from_lerobot(folder, LeRobotOptions(robot=robot, joints={'hand': name})).model
    torch.testing.assert_close(again.act(other, None)[0], expected, atol=1e-6, rtol=0)


def test_how_lerobot_played_its_chunks_is_said(tmp_path: Path) -> None:
    played = {'temporal_ensemble_coeff': 0.01, 'n_action_steps': 1}
    source = lerobot.folder(tmp_path / 'one', content=lerobot.config(**played))
    notes = from_lerobot(source, LeRobotOptions()).notes
    assert any('coefficient 0.01: set chunk.ensemble: 0.01 of policy_node' in n for n in notes)
    notes = from_lerobot(lerobot.folder(tmp_path / 'two'), LeRobotOptions()).notes
    assert any('played 4 rows of each chunk: set chunk.execute: 4' in note for note in notes)
    source = lerobot.folder(tmp_path / 'three', content=lerobot.config(see_depth=True))
    notes = from_lerobot(source, LeRobotOptions()).notes
    assert any('not known and not carried over: see_depth: True' in note for note in notes)


def test_a_configuration_that_is_silent_normalises_as_lerobot_does(tmp_path: Path) -> None:
    content = lerobot.config(type='absent', normalization_mapping='absent')
    found = from_lerobot(lerobot.old_folder(tmp_path / 'old', content), LeRobotOptions()).model
    said = from_lerobot(
        lerobot.old_folder(tmp_path / 'said', lerobot.config(type='absent')), LeRobotOptions()
    ).model
    assert found.spec.normalisation == said.spec.normalisation


def test_features_of_another_type_are_refused(tmp_path: Path) -> None:
    inputs = lerobot.config()['input_features']
    inputs['observation.state'] = {**inputs['observation.state'], 'type': 'ENV'}
    source = lerobot.folder(tmp_path / 'theirs', content=lerobot.config(input_features=inputs))
    with pytest.raises(UserError, match=r"observation\.state is of type 'ENV', expected STATE"):
        from_lerobot(source, LeRobotOptions())
