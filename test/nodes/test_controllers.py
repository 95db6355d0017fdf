# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a controller that is set so that the arm would shake, refuse or jump is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from fake_arm import MakeNode, save_random_chunk_policy
from rcl_interfaces.msg import Log
from rclpy.node import Node
from ros_testing import Bench
from trajectory_arm import CHUNKS, EVERY_TRAJECTORY, TrajectoryArm

from motion_policy.nodes.controller_check import (
    ControllerCheck,
    controller_name,
    setting_problems,
    states_of,
)

ROBOT = formula_arm(command=CHUNKS)
JOINTS = ['joint1', 'joint2', 'joint3']
GOOD: dict[str, Any] = {
    'interpolate_from_desired_state': True, 'allow_trajectory_replacement': False,
    'allow_partial_joints_goal': False, 'interpolation_method': 'splines', 'joints': JOINTS,
}  # fmt: skip


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_random_chunk_policy(tmp_path_factory.mktemp('models') / 'act', ROBOT, 60)


@pytest.fixture
def usual_parameters() -> dict[str, Any]:
    return {
        'backend': 'eager', 'max_frozen': 0.0, 'inference.isolation': 'thread',
        **EVERY_TRAJECTORY,
    }  # fmt: skip


def add_controller(bench: Bench, name: str = 'arm', **settings: Any) -> Node:
    node = Node(name, context=bench.context)
    for key, value in (GOOD | settings).items():
        if value is not None:
            node.declare_parameter(key, value)
    return bench.add(node)


def warnings(bench: Bench) -> list[str]:
    """What anybody warns of from now on."""
    lines: list[str] = []

    def hear(message: Log) -> None:
        if message.level >= Log.WARN and 'controller' in message.msg:
            lines.append(message.msg)

    bench.client.create_subscription(Log, '/rosout', hear, 100)
    return lines


def test_a_controller_that_starts_from_the_measured_state_is_named_while_the_node_works(
    bench: Bench, make_node: MakeNode
) -> None:
    add_controller(bench, interpolate_from_desired_state=False)
    arm, lines = TrajectoryArm(bench, ROBOT), warnings(bench)
    make_node()
    bench.spin_until(lambda: lines, 'a warning')
    assert 'controller /arm: interpolate_from_desired_state is false, expected true' in lines[0]
    arm.enable_when_ready()


@pytest.mark.parametrize(
    'settings',
    [{}, {'interpolate_from_desired_state': None, 'open_loop_control': True}, {'joints': None}],
)
def test_a_controller_that_fits_is_asked_once_and_not_complained_of(
    bench: Bench, settings: dict[str, Any]
) -> None:
    add_controller(bench, **settings)
    lines = warnings(bench)
    check = ControllerCheck(bench.client, ROBOT)
    bench.spin_until(lambda: check.look() or len(check._values.get('/arm', {})) == 6, 'answers')
    assert not lines and not check.inactive()
    check.destroy()


def test_without_such_a_controller_nothing_is_asked(bench: Bench) -> None:
    lines = warnings(bench)
    check = ControllerCheck(bench.client, ROBOT)
    for _ in range(5):
        check.look()
        bench.executor.spin_once(timeout_sec=0.02)
    assert not lines and not check.inactive()
    check.destroy()


@pytest.mark.parametrize(
    ('changed', 'said'),
    [
        ({'interpolate_from_desired_state': False}, 'interpolate_from_desired_state is false'),
        ({'interpolate_from_desired_state': None, 'open_loop_control': False}, 'open_loop_contr'),
        ({'allow_trajectory_replacement': True}, 'count from their reception'),
        ({'interpolation_method': 'none'}, "expected 'splines'"),
        ({'joints': ['joint1', 'joint2']}, 'refuses all of that'),
        ({'joints': [*JOINTS, 'gripper']}, 'the robot spec sends'),
        ({'joints': [*JOINTS, 'gripper'], 'allow_partial_joints_goal': True}, ''),
    ],
)
def test_each_setting_that_does_not_fit_has_its_line(changed: dict[str, Any], said: str) -> None:
    (topic,) = ROBOT.joints.command
    problems = setting_problems('/arm', topic, GOOD | changed)
    assert len(problems) == bool(said)
    assert all(said in problem for problem in problems)


def test_a_controller_is_known_by_its_topic_and_state() -> None:
    assert controller_name('/left/arm_controller/joint_trajectory') == '/left/arm_controller'
    assert controller_name('/forward_controller/commands') == '/forward_controller'
    assert controller_name('/gripper/target') == ''
    listed = [SimpleNamespace(name='arm', state='inactive'), SimpleNamespace(name='x', state='a')]
    assert states_of('/left', listed) == {'/left/arm': 'inactive', '/left/x': 'a'}


def test_an_inactive_controller_is_no_arm_to_enable(bench: Bench, make_node: MakeNode) -> None:
    arm = TrajectoryArm(bench, ROBOT)
    node = make_node()
    arm.enable_when_ready()
    arm.enable(False)
    arm.wait_for_idle()
    listed = [SimpleNamespace(name='arm', state='inactive')]
    node._driver._controllers._states = states_of('', listed)
    refused = 'controller /arm is inactive, expected active'
    bench.spin_until(lambda: refused in arm.enable().message, 'a refusal')
