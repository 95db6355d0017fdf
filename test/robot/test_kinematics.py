# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: positions, Jacobians and levers are those of the URDF, in the order of the spec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motion_policy.errors import UserError
from motion_policy.robot.inverse_kinematics import InverseKinematics
from motion_policy.robot.kinematics import Kinematics

LIMIT = '<limit lower="-9" upper="9" velocity="2" effort="1"/>'


def joint(
    name: str, kind: str, parent: str, child: str, rest: str = '', xyz: str = '0 0 0'
) -> str:
    limit = '' if kind in ('fixed', 'continuous') else LIMIT
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<axis xyz="0 0 1"/><origin xyz="{xyz}"/>{limit}{rest}</joint>'
    )


def urdf_file(folder: Path, *joints: str, links: str = 'abcdef') -> Path:
    file = folder / 'arm.urdf'
    text = ''.join(f'<link name="{link}"/>' for link in links)
    file.write_text(f'<robot name="arm">{text}{"".join(joints)}</robot>')
    return file


def branched(
    folder: Path, mimic: str = '<mimic joint="turn" multiplier="-2" offset="0.3"/>'
) -> Path:
    """a, raised by 0.5 m, turns b; c, 0.4 m further out, follows it; d spins; e slides."""
    return urdf_file(
        folder,
        joint('stand', 'fixed', 'a', 'b', xyz='0 0 0.5'),
        joint('turn', 'revolute', 'b', 'c'),
        joint('follow', 'revolute', 'c', 'd', mimic, xyz='0.4 0 0'),
        joint('spin', 'continuous', 'd', 'e', xyz='0.3 0 0'),
        joint('slide', 'prismatic', 'e', 'f', xyz='0.2 0 0'),
    )


def by_formula(turn: float, spin: float, slide: float, factor: float = -2.0) -> np.ndarray:
    second = turn + factor * turn + 0.3
    reach = 0.4 * np.exp(1j * turn) + 0.3 * np.exp(1j * second)
    reach = reach + 0.2 * np.exp(1j * (second + spin))
    return np.array([reach.real, reach.imag, 0.5 + slide])


NAMES = ('gripper', 'slide', 'spin', 'turn')


def test_joints_in_any_order_mimics_and_joints_the_urdf_does_not_have(tmp_path: Path) -> None:
    arm = Kinematics(branched(tmp_path), NAMES, 'urdf')
    tool = arm.link('f', 'tool')
    for turn, spin, slide in np.random.default_rng(0).uniform(-4, 4, (20, 3)):
        joints = np.array([9.9, slide, spin, turn])
        np.testing.assert_allclose(arm.position(tool, joints), by_formula(turn, spin, slide))


def test_poses_of_many_rows_at_once_and_of_a_urdf_that_is_text(tmp_path: Path) -> None:
    file = branched(tmp_path)
    joints = np.random.default_rng(0).uniform(-3, 3, (20, 4))
    for urdf in (file, file.read_text()):
        arm = Kinematics(urdf, NAMES, 'urdf')
        positions, rotations = arm.poses(arm.link('f', 'tool'), joints)
        for row, (_, slide, spin, turn) in enumerate(joints):
            np.testing.assert_allclose(positions[row], by_formula(turn, spin, slide))
            angle = turn - 2 * turn + 0.3 + spin
            about_z = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            np.testing.assert_allclose(rotations[row, :2, :2], about_z, atol=1e-12)
            np.testing.assert_allclose(rotations[row, 2], [0, 0, 1], atol=1e-12)


def test_a_link_with_the_name_of_a_joint(tmp_path: Path) -> None:
    arm = Kinematics(
        urdf_file(tmp_path, joint('b', 'fixed', 'a', 'b', xyz='0 0 0.5'), links='ab'),
        NAMES,
        'urdf',
    )
    np.testing.assert_allclose(arm.position(arm.link('b', 'tool'), np.zeros(4)), [0, 0, 0.5])


def test_the_jacobian_is_the_derivative_of_the_position(tmp_path: Path) -> None:
    arm = Kinematics(branched(tmp_path), NAMES, 'urdf')
    tool, step = arm.link('f', 'tool'), 1e-6
    for joints in np.random.default_rng(0).uniform(-3, 3, (10, 4)):
        jacobian = arm.jacobian(tool, joints)
        for column, unit in enumerate(np.eye(4)):
            moved = arm.position(tool, joints + step * unit) - arm.position(
                tool, joints - step * unit
            )
            np.testing.assert_allclose(jacobian[:, column], moved / (2 * step), atol=1e-8)


def test_no_point_moves_further_than_its_lever(tmp_path: Path) -> None:
    arm = Kinematics(branched(tmp_path), NAMES, 'urdf')
    tool = arm.link('f', 'tool')
    most = np.array([1.0, 3.0, 9.0, 3.0])
    lever = arm.lever(arm.mover(tool), np.zeros((1, 3)), arm.slides(-most, most))
    for joints in np.random.default_rng(0).uniform(-most, most, (200, 4)):
        columns = np.linalg.norm(arm.jacobian(tool, joints), axis=0)
        assert (columns <= lever @ np.abs(arm.factors) + 1e-9).all()


@pytest.mark.parametrize('seed', range(5))
def test_levers_hold_for_joints_about_any_axes(tmp_path: Path, seed: int) -> None:
    """A point goes in circles about each axis: the next one sees all of them, not a line."""
    random = np.random.default_rng(seed)
    urdf = urdf_file(
        tmp_path,
        *(
            joint(f'j{at}', 'continuous', 'abcde'[at], 'bcdef'[at], xyz='0.3 0.1 0.2').replace(
                '0 0 1', ' '.join(map(str, random.normal(size=3)))
            )
            for at in range(5)
        ),
    )
    arm = Kinematics(urdf, tuple(f'j{at}' for at in range(5)), 'urdf')
    tool, turns = arm.link('f', 'tool'), np.full(5, 3.0)
    lever = arm.lever(arm.mover(tool), np.zeros((1, 3)), arm.slides(-turns, turns))
    greatest = np.zeros(5)
    for joints in random.uniform(-np.pi, np.pi, (300, 5)):
        columns = np.linalg.norm(arm.jacobian(tool, joints), axis=0)
        greatest = np.maximum(greatest, columns)
    lever = lever @ np.abs(arm.factors)
    assert (greatest <= lever + 1e-9).all()
    assert (greatest >= lever / 2).all()  # nor are they out of all proportion


def test_a_mimic_of_a_mimic_and_one_that_leads_nowhere(tmp_path: Path) -> None:
    urdf = branched(tmp_path, '<mimic joint="spin" multiplier="0.5"/>')
    text = urdf.read_text().replace(
        '<axis xyz="0 0 1"/><origin xyz="0.3 0 0"/>',
        '<mimic joint="turn" offset="0.6"/><axis xyz="0 0 1"/><origin xyz="0.3 0 0"/>',
    )
    urdf.write_text(text)
    arm = Kinematics(urdf, ('turn', 'slide'), 'urdf')
    at = arm.position(arm.link('f', 'tool'), np.array([0.2, 0.1]))
    np.testing.assert_allclose(at, by_formula(0.2, 0.8, 0.1, factor=0.5))
    urdf.write_text(text.replace('joint="turn"', 'joint="follow"'))  # of each other
    arm = Kinematics(urdf, ('turn', 'slide'), 'urdf')
    with pytest.raises(UserError, match=r"joint 'follow' moves 'f', expected only joints"):
        arm.link('f', 'tool')
    arm.link('c', 'tool')


def test_a_joint_that_moves_in_several_ways_is_refused(tmp_path: Path) -> None:
    planar = urdf_file(tmp_path, joint('turn', 'planar', 'a', 'b'), links='ab')
    with pytest.raises(UserError, match=r"urdf: .*joint 'turn' moves in several ways"):
        Kinematics(planar, NAMES, 'urdf')


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        (
            '<axis xyz="0 0 1"/><origin xyz="0.4 0 0"/>',
            '<axis xyz="0 0 0"/>',
            "joint 'follow' has",
        ),
        ('xyz="0.2 0 0"', 'xyz="0.2 0 1e300"', r"'slide' is at \[0.9, 0.0, 1e\+300\] m, expected"),
        ('xyz="0 0 0.5"', 'xyz="0 0 500000"', "'stand' is at"),
    ],
)
def test_what_turns_about_no_axis_or_is_nowhere_is_refused(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Pinocchio makes poses of it, whose rotations are none."""
    text = branched(tmp_path).read_text()
    assert old in text
    with pytest.raises(UserError, match=words):
        Kinematics(text.replace(old, new), NAMES, 'urdf')


@pytest.mark.parametrize('kind', ['revolute', 'continuous', 'prismatic'])
def test_an_arm_of_one_joint_is_an_arm(tmp_path: Path, kind: str) -> None:
    """Of whose Jacobian Pinocchio makes no matrix."""
    flange = joint('flange', 'fixed', 'b', 'c', xyz='0.3 0 0')
    file = urdf_file(tmp_path, joint('one', kind, 'a', 'b'), flange, links='abc')
    arm = Kinematics(file, ['gripper', 'one'], 'urdf')
    tool, slides = arm.link('c', 'tool'), kind == 'prismatic'
    expected = [[0, 0], [0, 0], [0, 1]] if slides else [[0, 0], [0, 0.3], [0, 0]]
    np.testing.assert_allclose(arm.jacobian(tool, np.zeros(2)), expected)
    points = np.array([[0.3, 0.0, 0.1]])
    np.testing.assert_allclose(
        arm.lever(arm.mover(tool), points, np.ones(1)), 1 if slides else 0.3
    )
    positions, rotations = arm.poses(tool, np.array([[0.0, 0.4]]))
    inverse = InverseKinematics(arm, tool, np.full(2, -2.0), np.full(2, 2.0))
    found = inverse.solve(positions[0], rotations[0], np.zeros(2), np.ones(2))
    np.testing.assert_allclose(found.joints, [0, 0.4], atol=1e-4)
