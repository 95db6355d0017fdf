# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The cells of the matrix: a robot each, an arm of six joints with a gripper beside a camera."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_policy.documents import dump_yaml
from motion_policy.robot.joint_topic import (
    FLOAT64,
    FLOAT64_MULTI_ARRAY,
    JOINT_STATE,
    JOINT_TRAJECTORY,
    POSE_STAMPED,
)
from motion_policy.robot.twist import ODOMETRY, TWIST, TWIST_STAMPED

STATES = ('whole', 'partial', 'two topics')
COMMANDS = (
    'Float64MultiArray', 'Float64', 'JointTrajectory', 'JointTrajectory in chunks', 'JointState',
    'PoseStamped', 'TwistStamped', 'gripper by action', 'Twist of a base',
)  # fmt: skip
SIGNALS = ('nothing more', 'vectors', 'depth')

RATE_HZ = 50
ARM = tuple(f'joint{number}' for number in range(1, 7))
GRIPPER = 'gripper'
BASE = ('base_forward', 'base_turn')
# Axis of each joint and where it stands on the link before [m]: a spherical wrist.
CHAIN = (
    ('0 0 1', '0 0 0.2'), ('0 1 0', '0 0.05 0.1'), ('0 1 0', '0 0 0.4'),
    ('1 0 0', '0.1 0 0.05'), ('0 1 0', '0.3 0 0'), ('1 0 0', '0 0 0'),
)  # fmt: skip
CAMERA = {'topic': 'top/image_raw', 'width': 64, 'height': 48, 'rate': 30.0, 'max_age': 1.0}
VECTORS = {
    'wrench': {
        'topic': 'wrench', 'type': 'geometry_msgs/msg/WrenchStamped', 'fields': ['wrench'],
        'window': 'mean', 'rate': 200.0, 'max_age': 1.0,
    },
    'skin': {
        'topic': 'skin', 'type': 'std_msgs/msg/Float32MultiArray', 'fields': ['data[4]'],
        'rate': 60.0, 'max_age': 1.0,
    },
}  # fmt: skip
DEPTH = {'topic': 'top/depth', 'width': 64, 'height': 48, 'rate': 30.0, 'max_age': 1.0}
# An action of ROS's own test messages, whose goal has the numbers that a gripper's has.
ACTION = {
    'name': 'hand/move',
    'type': 'test_msgs/action/NestedMessage',
    'position': 'nested_field.float64_value',
}


@dataclass(frozen=True)
class Cell:
    """How joint states come, commands leave, and what is sensed beside a camera."""

    state: str
    command: str
    signal: str

    def __str__(self) -> str:
        return f'joint states {self.state}, {self.command}, {self.signal}'


def all_cells() -> list[Cell]:
    """The whole matrix."""
    return [Cell(*values) for values in itertools.product(STATES, COMMANDS, SIGNALS)]


def write_specs(cell: Cell, folder: Path) -> tuple[Path, Path]:
    """Write the robot spec of a cell, and that of its driver, which may send a topic in parts."""
    (folder / 'arm.urdf').write_text(_urdf(), encoding='utf-8')
    robot, driver = folder / 'robot.yaml', folder / 'driver.yaml'
    robot.write_text(dump_yaml(_spec(cell, cell.state)), encoding='utf-8')
    sent = 'two publishers' if cell.state == 'partial' else cell.state
    driver.write_text(dump_yaml(_spec(cell, sent)), encoding='utf-8')
    return robot, driver


def _spec(cell: Cell, state: str) -> dict[str, Any]:
    joints: dict[str, Any] = {
        'names': [*ARM, GRIPPER],
        'state': _state(state),
        'leader': {'topic': 'leader', **_told(JOINT_STATE)},
        'command': _command(cell.command),
        'limits': {
            'position': [[-2.5, 2.5]] * len(ARM) + [[0.0, 0.04]],
            'velocity': [2.0] * len(ARM) + [0.2],
            'acceleration': [20.0] * len(ARM) + [2.0],
        },
    }
    if cell.command == 'gripper by action':
        positions = {'closed': 0.0, 'close_at': 0.015, 'open_at': 0.025, 'open': 0.04}
        joints['grippers'] = {GRIPPER: {**positions, 'action': ACTION}}
    if cell.command == 'Twist of a base':
        _put_on_a_base(joints)
    more = {'vectors': {'vectors': VECTORS}, 'depth': {'depth': {'top': DEPTH}}}
    return {
        'name': 'matrix',
        'rate': float(RATE_HZ),
        'joints': joints,
        'cameras': {'top': CAMERA},
        'home': [0.1, 0.3, 0.6, 0.2, 0.5, 0.1, 0.02] + [0.0] * (len(joints['names']) - 7),
        'tool': {'link': 'tool', 'urdf': 'arm.urdf'},
        **more.get(cell.signal, {}),
    }


def _put_on_a_base(joints: dict[str, Any]) -> None:
    joints['names'] += BASE
    joints['velocities'] = [*BASE]
    joints['state'].append({'topic': 'odom', **_told(ODOMETRY)})
    joints['leader'] = [joints['leader'], {'topic': 'teleop/cmd_vel', **_told(TWIST)}]
    joints['command'].append({'topic': 'cmd_vel', 'type': TWIST})
    base = {
        'position': [[-0.2, 0.5], [-1.0, 1.0]],
        'velocity': [1.0, 2.0],
        'acceleration': [10.0, 20.0],
    }
    for kind, values in base.items():
        joints['limits'][kind] += values


def _told(kind: str) -> dict[str, Any]:
    return {'type': kind, 'rate': 100.0, 'max_age': 1.0}


def _state(state: str) -> list[dict[str, Any]]:
    topics = {
        'whole': [('joint_states', [*ARM, GRIPPER])],
        'partial': [('joint_states', [*ARM, GRIPPER])],
        'two publishers': [('joint_states', [*ARM]), ('joint_states', [GRIPPER])],
        'two topics': [('arm/joint_states', [*ARM]), ('hand/joint_states', [GRIPPER])],
    }[state]
    return [{'topic': topic, **_told(JOINT_STATE), 'joints': names} for topic, names in topics]


def _command(command: str) -> list[dict[str, Any]]:
    arm: dict[str, Any] = {'topic': 'arm/command', 'joints': [*ARM]}
    hand = {'topic': 'hand/command', 'type': FLOAT64, 'joints': [GRIPPER]}
    by_topic: dict[str, list[dict[str, Any]]] = {
        'Float64MultiArray': [
            {'topic': 'commands', 'type': FLOAT64_MULTI_ARRAY, 'joints': [*ARM, GRIPPER]}
        ],
        'Float64': [
            *({'topic': f'{joint}/command', 'type': FLOAT64, 'joints': [joint]} for joint in ARM),
            hand,
        ],
        'JointTrajectory': [{**arm, 'type': JOINT_TRAJECTORY}, hand],
        'JointTrajectory in chunks': [{**arm, 'type': JOINT_TRAJECTORY, 'send': 'chunk'}, hand],
        'JointState': [{**arm, 'type': JOINT_STATE}, hand],
        'PoseStamped': [{**arm, 'type': POSE_STAMPED}, hand],
        'TwistStamped': [{**arm, 'type': TWIST_STAMPED}, hand],
        'gripper by action': [{**arm, 'type': FLOAT64_MULTI_ARRAY}],
    }
    by_topic['Twist of a base'] = by_topic['Float64MultiArray']
    return by_topic[command]


def _urdf() -> str:
    text = '<link name="base"/><link name="tool"/>'
    for number, (joint, (axis, place)) in enumerate(zip(ARM, CHAIN, strict=True), 1):
        parent = f'link{number - 1}' if number > 1 else 'base'
        text += (
            f'<link name="link{number}"/><joint name="{joint}" type="revolute">'
            f'<parent link="{parent}"/><child link="link{number}"/><origin xyz="{place}"/>'
            f'<axis xyz="{axis}"/>'
            '<limit lower="-2.5" upper="2.5" velocity="2" effort="1"/></joint>'
        )
    text += (
        f'<joint name="flange" type="fixed"><parent link="link{len(ARM)}"/><child link="tool"/>'
        '<origin xyz="0.1 0 0"/></joint>'
    )
    return f'<robot name="matrix">{text}</robot>'
