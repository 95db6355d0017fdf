# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: what a spec says of its tool needs no other file, and a mistake is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from chain_arm import SIX, chain_urdf

from motion_policy.robot import RobotSpecError, load_robot_spec, robot_spec_from_yaml
from motion_policy.robot.kinematics import Kinematics

NAMES = [*(f'joint{number}' for number in range(1, 7)), 'gripper']


def spec_text(tool: object, limits: str = '', names: list[str] = NAMES) -> str:
    count = len(names)
    given = limits or f'position: {[[-2.5, 2.5]] * count}, velocity: {[2.0] * count}, '
    return f"""
name: chain
rate: 50
joints:
  names: {names}
  state: {{topic: joint_states, type: sensor_msgs/msg/JointState}}
  command: {{topic: command, type: std_msgs/msg/Float64MultiArray}}
  limits: {{{given} acceleration: {[8.0] * count}}}
tool: {yaml.safe_dump(tool, default_flow_style=True).removesuffix('...')}
"""


def write_spec(folder: Path, text: str) -> Path:
    file = folder / 'robot.yaml'
    file.write_text(text)
    return file


@pytest.mark.parametrize('short', [False, True])
def test_the_copy_of_a_spec_holds_the_kinematics_as_text(tmp_path: Path, short: bool) -> None:
    urdf = chain_urdf(tmp_path / 'arm.urdf')
    text = spec_text({'link': 'tool', 'urdf': 'arm.urdf'})
    if short:
        text = spec_text('tool', 'urdf: arm.urdf,')
    robot = load_robot_spec(write_spec(tmp_path, text))
    whole = Kinematics(urdf, NAMES, 'urdf')
    urdf.unlink()
    copy = robot_spec_from_yaml(robot.to_yaml(), 'elsewhere')
    assert copy == robot and copy.tool is not None and copy.to_yaml() == robot.to_yaml()
    assert copy.tool.urdf.startswith('<robot') and 'mesh' not in copy.tool.urdf
    reduced = Kinematics(copy.tool.urdf, NAMES, 'tool')
    joints = np.random.default_rng(0).uniform(-2, 2, (10, 7))
    for link in ('tool', 'right'):  # right follows the gripper
        for one, other in zip(
            reduced.poses(reduced.link(link, 'tool'), joints),
            whole.poses(whole.link(link, 'tool'), joints),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_a_spec_without_a_tool_says_nothing_of_one() -> None:
    robot = load_robot_spec('tabletop_sim')
    assert robot.tool is None and 'tool' not in yaml.safe_load(robot.to_yaml())


@pytest.mark.parametrize(
    ('tool', 'line'),
    [
        ('tool', r"tool: 'tool' without a URDF, expected tool: \{link: tool, urdf: PATH\}"),
        ({'link': 'flange', 'urdf': 'arm.urdf'}, "no link 'flange', expected one of: base, tool"),
        ({'link': 'tool', 'urdf': 'none.urdf'}, r'tool\.urdf: .*none\.urdf'),
        ({'link': 'tool', 'urdf': 'package://nowhere/arm.urdf'}, r"tool\.urdf: package 'nowhere'"),
        ({'link': 'tool', 'urdf': '<robot'}, r'tool\.urdf: the URDF is not XML'),
        ({'link': 'tool', 'urdf': '<sdf/>'}, r'the URDF holds <sdf>, expected <robot>'),
        ({'link': 'base', 'urdf': 'arm.urdf'}, "no joint moves 'base'"),
        ({'link': 'tool', 'urdf': 'arm.urdf', 'mesh': 1}, r'tool\.mesh: unknown key'),
        ({'urdf': 'arm.urdf'}, r'tool\.link: missing'),
        ({'link': 'tool', 'urdf': 3}, r'tool\.urdf: found 3, expected a path'),
        (5, r'tool: found 5'),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, tool: object, line: str) -> None:
    chain_urdf(tmp_path / 'arm.urdf')
    file = write_spec(tmp_path, spec_text(tool))
    with pytest.raises(RobotSpecError, match=line) as caught:
        load_robot_spec(file)
    assert str(caught.value).startswith(str(file)) and '\n' not in str(caught.value)


def test_a_joint_that_is_not_the_robots_or_moves_in_several_ways(tmp_path: Path) -> None:
    urdf = chain_urdf(tmp_path / 'arm.urdf')
    tool = {'link': 'tool', 'urdf': 'arm.urdf'}
    file = write_spec(tmp_path, spec_text(tool, names=[*NAMES[:3], 'gripper']))
    with pytest.raises(RobotSpecError, match="tool: joint 'joint6' moves 'tool', expected only"):
        load_robot_spec(file)
    write_spec(tmp_path, spec_text({**tool, 'link': 'right'}, names=NAMES[:6]))
    with pytest.raises(RobotSpecError, match="tool: joint 'follower' moves 'right'"):
        load_robot_spec(file)
    text = urdf.read_text()
    write_spec(tmp_path, spec_text(tool))
    urdf.write_text(text.replace('"joint2" type="revolute"', '"joint2" type="planar"'))
    with pytest.raises(RobotSpecError, match="joint 'joint2' is planar, expected revolute or"):
        load_robot_spec(file)
    last = f'<parent link="link{len(SIX) - 1}"/>'
    urdf.write_text(text.replace('<parent link="base"/>', last.replace('5', '6')))
    with pytest.raises(RobotSpecError, match="the joints above 'tool' go round in a circle"):
        load_robot_spec(file)


def test_a_urdf_without_end_is_refused_before_anybody_builds_it(tmp_path: Path) -> None:
    chain_urdf(tmp_path / 'arm.urdf', SIX * 50)
    file = write_spec(tmp_path, spec_text({'link': 'tool', 'urdf': 'arm.urdf'}))
    with pytest.raises(RobotSpecError, match='303 joints, 302 of which move, expected at'):
        load_robot_spec(file)
