# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a robot spec says of who leads the arm is checked in one line, and kept."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from motion_policy.robot import RobotSpec, RobotSpecError, load_robot_spec, robot_spec_from_yaml

STATE = 'sensor_msgs/msg/JointState'
TWIST = 'geometry_msgs/msg/Twist'
JAW = {'leader': [0.0, 1.0], 'arm': [-0.01, 0.019]}
COMMANDS = 'forward_position_controller/commands'


def robot(teleop: Any) -> RobotSpec:
    values = yaml.safe_load(load_robot_spec('tabletop_sim').to_yaml())
    return robot_spec_from_yaml(yaml.safe_dump({**values, 'teleop': teleop}), 'arm.yaml')


def leader(**keys: Any) -> dict[str, Any]:
    return {'topic': 'lead', 'type': STATE, **keys}


def test_a_leader_has_all_joints_by_default_or_some_of_them() -> None:
    assert robot({'leader': leader()}).teleop.leader[0].joints == tuple(  # type: ignore[union-attr]
        load_robot_spec('tabletop_sim').joints.names
    )
    some = robot({
        'leader': [leader(joints=['joint1', 'gripper'], message_names=['pan', 'jaw'])],
        'ranges': {'gripper': JAW}, 'apart': [0.5, 0, 0, 0, 0],
    })  # fmt: skip
    assert robot_spec_from_yaml(some.to_yaml(), 'copy') == some
    assert load_robot_spec('tabletop_sim').teleop is None
    assert 'teleop' not in load_robot_spec('tabletop_sim').to_yaml()


@pytest.mark.parametrize(
    ('teleop', 'told'),
    [
        ({'leaders': leader()}, 'teleop.leaders: unknown key'),
        ({'leader': leader(joints=['knee'])}, "teleop.leader carries 'knee', expected joints of"),
        ({'leader': leader(type=TWIST)}, "carries 'joint1', a position, by geometry_msgs/msg/Tw"),
        ({'leader': leader(topic=COMMANDS)}, 'a topic of joints.command, expected the topic of'),
        ({'leader': leader(), 'apart': [1.0]}, 'teleop.apart has 1 entries, expected 5'),
        ({'leader': leader(), 'jump': [-1.0] * 5}, 'teleop.jump'),
        ({'ranges': {'gripper': JAW}}, "ranges has 'gripper', expected only joints of leader"),
        (
            {'leader': leader(), 'ranges': {'gripper': {**JAW, 'arm': [0.0, 1.0]}}},
            'teleop.ranges.gripper.arm has 1, expected it within the limits [-0.01, 0.019]',
        ),
        (
            {'leader': leader(), 'ranges': {'gripper': {**JAW, 'leader': [1.0, 1.0]}}},
            'leader is [1, 1], expected two different numbers',
        ),
        (
            {'leader': leader(scale=[1, 1, 1, 1, 2]), 'ranges': {'gripper': JAW}},
            "leader converts 'gripper' by scale or offset, and ranges has it",
        ),
        (
            {'leader': [leader(joints=['joint1']), leader(topic='other', joints=['joint1'])]},
            "leader joints holds 'joint1' more than once",
        ),
        (
            {'leader': leader(), 'twist': {'topic': 't'}},
            'has leader and twist, expected one of them',
        ),
        ({'twist': {'topic': 't'}}, 'teleop has twist, expected tool: what it moves'),
        ({'twist': {'topic': 't', 'type': STATE}}, f"'{STATE}' is not supported"),
        ({'twist': {'topic': 't', 'linear': -1.0}}, 'teleop.twist.linear'),
        ({'joy': {'axes': {'joint1': 0}}}, 'teleop.joy.dead_man: missing'),
        ({'joy': {'axes': {'linear.x': 0}, 'dead_man': 0}}, 'teleop has joy, expected tool'),
        ({'joy': {'axes': {'knee': 0}, 'dead_man': 0}}, "teleop.joy.axes has 'knee', expected"),
        ({'joy': {'axes': {'linear.x': 0, 'knee': 1}, 'dead_man': 0}}, "axes has 'knee' beside"),
        (
            {'joy': {'axes': {'joint1': 0}, 'dead_man': 0, 'home': 0}},
            'home is button 0, as dead_man is',
        ),
        (
            {'joy': {'axes': {'joint1': 0}, 'dead_man': 0, 'reversed': ['joint2']}},
            "reversed has 'joint2', expected only keys of axes",
        ),
        (
            {'gripper': {'joint': 'gripper', 'open': 0.01, 'closed': 0.0}},
            'has gripper without twist or joy',
        ),
    ],
)
def test_what_does_not_fit_is_one_line(teleop: Any, told: str) -> None:
    with pytest.raises(RobotSpecError) as caught:
        robot(teleop)
    line = str(caught.value)
    assert told in line and line.startswith('arm.yaml: ') and '\n' not in line
