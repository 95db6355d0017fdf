# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Velocities of a base in policies: never relative, never taken for positions, with their unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from mobile_robots import mobile_robot
from policy_examples import small_policy, small_robot

from motion_policy.errors import UserError
from motion_policy.evaluation.joint_errors import joint_errors
from motion_policy.evaluation.offline import joint_table
from motion_policy.policies import check_robot
from motion_policy.policies.action_space import ActionSpace
from motion_policy.policies.checkpoint import CheckpointError
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.robot.joint_order import joint_order
from motion_policy.robot.units import unit_conversion
from motion_policy.training import train_config
from motion_policy.training.config import action_space

ROBOT = mobile_robot()
BASE = ROBOT.joints.velocities
TWIST = 'geometry_msgs/msg/Twist'


def config(**changes: object) -> object:
    return train_config(
        {
            'policy': {'kind': 'sarnn'},
            'data': {'train': ['data']},
            'output': 'run',
            'epochs': 1,
            'rate': 10.0,
            'cameras': ['top'],
            'image_size': [24, 32],
            'action_space': 'joints_relative',
            **changes,
        }
    )


@pytest.mark.parametrize('chosen', [{}, {'absolute_joints': ['elbow']}])
def test_relative_joints_leave_velocities_as_they_are(chosen: dict[str, list[str]]) -> None:
    space = action_space(config(**chosen), ROBOT)  # type: ignore[arg-type]
    assert space.absolute == (*chosen.get('absolute_joints', ()), *BASE)
    observed = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    targets = torch.tensor([[[0.5, 0.6, 0.7, 0.8]]])
    actions = space.express(targets, observed[:, None])
    elbow = 0.6 if chosen else 0.4
    torch.testing.assert_close(actions, torch.tensor([[[0.4, elbow, 0.7, 0.8]]]))
    torch.testing.assert_close(space.joints(actions, observed), targets)


def test_a_policy_whose_velocities_are_relative_is_refused() -> None:
    with pytest.raises(ValueError, match="'base_forward' is a velocity"):
        ActionSpace('joints_relative', ROBOT, 10.0, ('base_turn',))


def test_a_velocity_in_training_is_no_position_of_the_robot() -> None:
    def driving(robot: RobotSpec) -> RobotSpec:
        content = yaml.safe_load(robot.to_yaml())
        joints = content['joints']
        joints['velocities'] = ['gripper']
        for role, kind in (('state', 'nav_msgs/msg/Odometry'), ('command', TWIST)):
            rest = {'topic': role, 'type': joints[role][0]['type']}
            joints[role] = [rest, {'topic': kind[:3], 'type': kind, 'fields': ['linear.x']}]
        del joints['leader']
        return robot_spec_from_yaml(yaml.safe_dump(content), 'driving')

    policy = small_policy()
    with pytest.raises(CheckpointError, match="'gripper' was a position in training, but is a v"):
        check_robot(policy, driving(small_robot()))
    check_robot(policy, small_robot())


def test_what_lerobots_bases_count_in_becomes_ours() -> None:
    names = ['lift.pos', 'elbow.pos', 'base_turn.vel', 'base_forward.vel']
    assert joint_order(names, ROBOT.joints.names, 'a set') == [0, 1, 3, 2]
    for units in ('degrees', 'normalized'):
        conversion = unit_conversion(ROBOT, units)
        np.testing.assert_allclose(
            conversion.positions([0.0, 0.0, 0.3, 90.0])[2:], [0.3, np.pi / 2]
        )
    with pytest.raises(UserError, match='base_forward'):
        plain = unit_conversion(ROBOT, None)
        plain.check(np.array([0, 0, -30.0, 0]), np.array([0, 0, 30.0, 0]), 'a set')


def test_their_errors_have_their_unit() -> None:
    errors = joint_errors(ROBOT.joints.names, np.zeros((3, 4)), np.ones((3, 4)))
    rows = joint_table(errors, {}, labels=ROBOT.joints.labels).rows
    assert [row[0] for row in rows] == [
        'lift', 'elbow', 'base_forward (m/s)', 'base_turn (rad/s)',
    ]  # fmt: skip
