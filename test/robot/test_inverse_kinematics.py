# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: joints that bring the tool where it should be, within limits and the greatest step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain_arm import SEVEN, SIX, chain_urdf

from motion_policy.policies.action_space import angles_between
from motion_policy.robot.inverse_kinematics import LEVER_M, InverseKinematics, damped_step
from motion_policy.robot.kinematics import Kinematics

FAR = np.inf


class Arm:
    """The joints of a chain and its gripper, with limits of 2.5 rad."""

    def __init__(self, folder: Path, chain: tuple = SIX, kind: str = 'revolute') -> None:
        names = ['gripper', *(f'joint{number}' for number in range(1, len(chain) + 1))]
        self.kinematics = Kinematics(
            chain_urdf(folder / 'arm.urdf', chain, kind=kind), names, 'urdf'
        )
        self.tool = self.kinematics.link('tool', 'tool')
        self.lower = np.array([0.0, *[-2.5] * len(chain)])
        self.upper = np.array([0.04, *[2.5] * len(chain)])
        self.inverse = InverseKinematics(self.kinematics, self.tool, self.lower, self.upper)

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        positions, rotations = self.kinematics.poses(self.tool, joints[None])
        return positions[0], rotations[0]


@pytest.mark.parametrize(
    ('chain', 'kind'), [(SIX, 'revolute'), (SEVEN, 'revolute'), (SIX, 'continuous')]
)
def test_the_tool_comes_to_within_a_tenth_of_a_millimetre(
    tmp_path: Path, chain: tuple, kind: str
) -> None:
    arm, random = Arm(tmp_path, chain, kind), np.random.default_rng(1)
    for _ in range(60):
        goal = random.uniform(arm.lower, arm.upper)
        start = np.clip(goal + random.normal(0, 0.15, len(goal)), arm.lower, arm.upper)
        position, rotation = arm.pose(goal)
        reached = arm.inverse.solve(position, rotation, start, np.full(len(goal), FAR))
        at, turned = arm.pose(reached.joints)
        assert np.linalg.norm(at - position) < 1e-4
        assert np.linalg.norm(turned - rotation) < 1e-3
        assert reached.position_error == pytest.approx(np.linalg.norm(at - position), abs=1e-9)
        assert reached.joints[0] == start[0]  # the gripper moves no tool
        assert np.abs(reached.joints - start).max() < 1.5  # no other branch, no spinning elbow


def test_on_a_way_through_singular_places_no_joint_is_faster_than_it_may(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    joints = np.array([0.0, 0.2, 0.4, 0.3, 0.3, 0.05, -0.3])  # the wrist is all but straight
    begin, rotation = arm.pose(joints)
    most = np.full(7, 0.05)
    # Down through the straight wrist, then out beyond where the arm is stretched, and back.
    ways = [
        (0, 0, -0.01),
        (0, 0, 0.01),
        (0.02, 0, 0),
        (-0.02, 0, 0),
        (0, 0.01, 0),
        (0, -0.01, 0),
        (0, 0, 0),
    ]
    position, behind = begin.copy(), []
    for way in ways:
        for _ in range(40):
            position = position + way
            reached = arm.inverse.solve(position, rotation, joints, most)
            assert np.abs(reached.joints - joints).max() <= 0.05 + 1e-12
            assert (reached.joints >= arm.lower).all() and (reached.joints <= arm.upper).all()
            joints = reached.joints
            behind.append(reached.position_error)
    assert max(behind) > 0.1  # it went where the arm does not reach
    assert behind[-1] < 1e-4  # and came back


def test_a_start_outside_the_limits_and_a_goal_behind_them_end_inside(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    goal = np.array([0.0, 2.9, 0.4, 0.3, 0.3, 0.5, -0.3])  # joint1 may go to 2.5
    start = goal - [0, 0.3, 0, 0, 0, 0, 0.1]
    start[4] = 2.6
    reached = arm.inverse.solve(*arm.pose(goal), start, np.full(7, FAR))
    assert (reached.joints >= arm.lower).all() and (reached.joints <= arm.upper).all()
    assert reached.joints[1] == 2.5
    held = np.where(np.arange(7) == 1, 2.5, goal)
    missed = np.linalg.norm(arm.pose(held)[0] - arm.pose(goal)[0])
    assert 0 < reached.position_error < missed  # the other joints make up for some of it


def test_joints_that_do_not_move_the_tool_and_those_that_follow(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    assert arm.kinematics.movers(arm.tool).tolist() == [1, 2, 3, 4, 5, 6]
    fingertip = arm.kinematics.link('right', 'tool')
    assert arm.kinematics.movers(fingertip).tolist() == [0, 1, 2, 3, 4, 5, 6]
    inverse = InverseKinematics(arm.kinematics, fingertip, arm.lower, arm.upper)
    joints = np.array([0.01, 0.2, 0.4, 0.3, 0.3, 0.5, -0.3])
    moved = joints + [0.02, 0, 0, 0, 0, 0, 0]  # the follower closes as far as the gripper
    positions, rotations = arm.kinematics.poses(fingertip, moved[None])
    reached = inverse.solve(positions[0], rotations[0], joints, np.full(7, FAR))
    assert reached.position_error < 1e-4
    nothing = InverseKinematics(
        arm.kinematics, arm.kinematics.link('base', 'tool'), arm.lower, arm.upper
    )
    stays = nothing.solve(np.ones(3), np.eye(3), joints, np.full(7, FAR))
    np.testing.assert_array_equal(stays.joints, joints)


@pytest.mark.parametrize('chain', [SIX, SEVEN])
def test_out_of_reach_the_tool_is_as_near_as_the_steps_allow(tmp_path: Path, chain: tuple) -> None:
    arm, random, most = Arm(tmp_path, chain), np.random.default_rng(5), 0.04
    for number in range(15):
        start = np.clip(random.uniform(arm.lower, arm.upper), arm.lower + 0.01, arm.upper - 0.01)
        position, rotation = arm.pose(start)
        position = position + random.normal(0, 300.0 if number % 3 == 0 else 0.3, 3)
        reached = arm.inverse.solve(position, rotation, start, np.full(len(start), most))
        cost = np.hypot(reached.position_error, LEVER_M * reached.rotation_error)
        low, high = np.maximum(arm.lower, start - most), np.minimum(arm.upper, start + most)
        assert (reached.joints >= low).all() and (reached.joints <= high).all()
        # From anywhere in the box of the steps, small moves of all joints find nothing better.
        best, found = np.inf, start
        for width in (0.08, *[0.02, 0.005] * 8):
            tried = np.clip(found + random.uniform(-width, width, (60, len(start))), low, high)
            positions, rotations = arm.kinematics.poses(arm.tool, tried)
            lever = LEVER_M * angles_between(rotations, np.broadcast_to(rotation, rotations.shape))
            costs = np.hypot(np.linalg.norm(positions - position, axis=1), lever)
            if costs.min() < best:
                best, found = costs.min(), tried[costs.argmin()]
        assert cost < best + 1e-3


def test_a_step_is_the_least_squares_one_between_limits() -> None:
    random = np.random.default_rng(2)
    for joints in (0, 1, 6, 7, 9):  # more joints than numbers of a pose: singular but for damping
        for _ in range(60):
            jacobian, error = random.normal(size=(6, joints)), random.normal(size=6)
            damping = 10.0 ** random.uniform(-9, 0)
            down, up = -random.uniform(0, 0.3, joints), random.uniform(0, 0.3, joints)
            down[random.random(joints) < 0.2] = 0.0  # at its limit, or not to move at all
            up[random.random(joints) < 0.2] = 0.0
            step = damped_step(jacobian, error, damping, down, up)
            assert (step >= down).all() and (step <= up).all()
            # Where a joint is free its gradient vanishes, and at a limit it points outwards.
            pull = jacobian.T @ (error - jacobian @ step) - damping * step
            inwards = np.where(
                step >= up, np.minimum(pull, 0), np.where(step <= down, np.maximum(pull, 0), pull)
            )
            inwards[down == up] = 0.0
            np.testing.assert_allclose(inwards, 0, atol=1e-7)
