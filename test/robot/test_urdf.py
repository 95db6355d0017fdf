# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Position and velocity limits can come from a URDF; what the spec says itself goes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_policy.robot import RobotSpecError, load_robot_spec, robot_spec_from_yaml
from motion_policy.robot.urdf import mimic_joints

URDF = """<?xml version="1.0"?>
<robot name="arm">
  <joint name="b" type="prismatic"><limit lower="0" upper="0.02" velocity="0.1"/></joint>
  <joint name="a" type="revolute"><limit lower="-1.5" upper="1.25" velocity="3"/></joint>
  <joint name="spin" type="continuous"><limit lower="0" upper="1" velocity="2"/></joint>
  <ros2_control name="drive" type="system"><joint name="a"/><joint name="b"/></ros2_control>
  <transmission name="gear"><joint name="a"><hardwareInterface/></joint></transmission>
</robot>
"""

SPEC = """
name: arm
rate: 20.0
joints:
  names: [a, b]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits: {urdf: LIMITS, acceleration: [8.0, 1.0]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'urdf').mkdir()
    (tmp_path / 'urdf' / 'arm.urdf').write_text(URDF)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    file = folder / 'arm.yaml'
    file.write_text(text)
    return file


def test_limits_are_read_by_joint_name_beside_the_spec(folder: Path) -> None:
    robot = load_robot_spec(write(folder, SPEC.replace('LIMITS', 'urdf/arm.urdf')))
    assert robot.joints.limits.position == ((-1.5, 1.25), (0.0, 0.02))
    assert robot.joints.limits.velocity == (3.0, 0.1)
    assert robot.joints.limits.acceleration == (8.0, 1.0)


def test_the_copy_in_an_episode_needs_no_urdf(folder: Path) -> None:
    robot = load_robot_spec(write(folder, SPEC.replace('LIMITS', 'urdf/arm.urdf')))
    assert 'urdf' not in robot.to_yaml()
    assert robot_spec_from_yaml(robot.to_yaml(), 'elsewhere') == robot


def test_the_spec_goes_before_the_urdf(folder: Path) -> None:
    text = SPEC.replace('LIMITS', 'urdf/arm.urdf, velocity: [1.0, 0.05]')
    robot = load_robot_spec(write(folder, text))
    assert robot.joints.limits.velocity == (1.0, 0.05)
    assert robot.joints.limits.position == ((-1.5, 1.25), (0.0, 0.02))


def test_a_continuous_joint_turns_as_far_as_the_spec_says(folder: Path) -> None:
    limits = 'urdf/arm.urdf, position: [[-1, 1], [-3.1, 3.1]]'
    text = SPEC.replace('LIMITS', limits).replace('[a, b]', '[a, spin]')
    robot = load_robot_spec(write(folder, text))
    assert robot.joints.limits.position == ((-1.0, 1.0), (-3.1, 3.1))
    assert robot.joints.limits.velocity == (3.0, 2.0)


def test_a_package_is_found_in_the_ament_prefix(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = folder / 'install' / 'share' / 'arm_description'
    share.mkdir(parents=True)
    (folder / 'urdf' / 'arm.urdf').rename(share / 'arm.urdf')
    text = SPEC.replace('LIMITS', 'package://arm_description/arm.urdf')
    with pytest.raises(RobotSpecError, match=r"arm\.yaml.*'arm_description'.*AMENT_PREFIX_PATH"):
        load_robot_spec(write(folder, text))
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(folder / 'install'))
    assert load_robot_spec(folder / 'arm.yaml').joints.limits.velocity == (3.0, 0.1)


@pytest.mark.parametrize(
    ('limits', 'names', 'words'),
    [
        ('urdf/missing.urdf', '[a, b]', ['missing.urdf', 'no such file']),
        ('urdf/arm.urdf', '[a, c]', ['arm.urdf', "'c'"]),
        ('urdf/arm.urdf', '[a, spin]', ["'spin'", 'continuous', 'limits.position']),
        ('arm.yaml', '[a, b]', ['arm.yaml', 'not XML']),
        ('7', '[a, b]', ['urdf', '7', 'path']),
    ],
)
def test_a_mistake_is_one_line(folder: Path, limits: str, names: str, words: list[str]) -> None:
    text = SPEC.replace('LIMITS', limits).replace('[a, b]', names)
    with pytest.raises(RobotSpecError) as caught:
        load_robot_spec(write(folder, text))
    line = str(caught.value)
    assert '\n' not in line
    for word in ['arm.yaml', 'joints.limits.urdf', *words]:
        assert word in line


def test_a_mimic_that_is_no_number_is_one_line(folder: Path) -> None:
    file = folder / 'urdf' / 'arm.urdf'
    assert mimic_joints(file) == {}
    file.write_text(
        URDF.replace('<limit lower="0"', '<mimic joint="a" offset="nan"/><limit low="0"')
    )
    with pytest.raises(RobotSpecError, match=r"arm.urdf: <mimic> of joint 'b' has .*'nan'"):
        mimic_joints(file)


def test_acceleration_has_to_be_given(folder: Path) -> None:
    text = SPEC.replace('LIMITS', 'urdf/arm.urdf').replace(', acceleration: [8.0, 1.0]', '')
    with pytest.raises(RobotSpecError, match=r'joints\.limits\.acceleration: missing'):
        load_robot_spec(write(folder, text))
