# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: velocities of the tool lead it along the guarded joints, and stand when these stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chain_arm import tool_arm

from motion_policy.control import GuardChain
from motion_policy.control.command import CommandMotion
from motion_policy.control.tool_twist import ToolTwist
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.kinematics import commanded_tool

TWIST = 'geometry_msgs/msg/TwistStamped'
START = np.array([0.3, -0.4, 0.9, 0.2, 0.6, -0.3, 0.01])
WAY = np.array([0.9, 0.7, -0.6, 0.5, 0.4, 0.8, 0.0])


@pytest.fixture
def make_arm(tmp_path: Path) -> Callable[..., RobotSpec]:
    """Six joints that are sent as velocities of the tool, and a gripper."""
    return lambda more='': tool_arm(tmp_path, TWIST, more)


class DrivenArm:
    """An arm that a guarded motion drives by velocities, of which it obeys a share.

    It is measured `delay` periods late.
    """

    def __init__(self, robot: RobotSpec, obeys: float = 1.0, delay: int = 0) -> None:
        self.robot, self.period_ns = robot, robot.period_ns
        self.guard = GuardChain(robot)
        self.guard.start(START)
        self.joints = START.copy()
        self.past = [START.copy()] * (delay + 1)
        topic = robot.joints.command[0]
        self.tool = ToolTwist(topic, robot)
        self.columns = [robot.joints.names.index(joint) for joint in topic.joints]
        self.kinematics, self.link = commanded_tool(topic, robot)
        self.obeys, self.twists, self.commanded, self.reached = obeys, [], [], []

    def tick(self, target: np.ndarray | None, **motion: object) -> np.ndarray:
        """One period towards a target, or braking; return the twist."""
        go_on = self.guard.stop if target is None else None
        result = go_on(self.period_ns) if go_on else self.guard.apply(target, None, self.period_ns)
        age_s = (len(self.past) - 1) * self.period_ns * 1e-9
        measured = self.past[0]
        told = {'braking': target is None, 'measured': measured, 'age_s': age_s, **motion}
        twist = self.tool.twist(result.position, CommandMotion(result.velocity, **told))
        moved = self.kinematics.joint_velocity(self.link, self.joints, twist, self.columns)
        velocity = result.velocity.copy()  # of joints that others move
        velocity[self.columns] = self.obeys * moved
        self.joints = self.joints + velocity * self.period_ns * 1e-9
        self.past = [*self.past[1:], self.joints.copy()]
        self.twists.append(twist)
        self.commanded.append(result.position)
        self.reached.append(velocity)
        return twist

    def error_m(self) -> float:
        """How far the tool is from the last command."""
        missing = self.kinematics.difference(self.link, self.joints, self.commanded[-1])
        return float(np.linalg.norm(missing[:3]))


def to_and_fro(arm: DrivenArm, ticks: int, **motion: object) -> None:
    """Drive there and back several times."""
    for tick in range(ticks):
        arm.tick(START + WAY * (0.5 - 0.5 * np.cos(0.04 * tick)), **motion)


def test_an_arm_that_obeys_is_led_where_the_joints_are_led(
    make_arm: Callable[..., RobotSpec],
) -> None:
    arm = DrivenArm(make_arm())
    to_and_fro(arm, 300)
    assert arm.error_m() < 3e-3
    np.testing.assert_allclose(arm.joints[:6], arm.commanded[-1][:6], atol=0.02)


def test_the_correction_keeps_the_tool_of_an_arm_that_obeys_by_nine_tenths(
    make_arm: Callable[..., RobotSpec],
) -> None:
    errors = {}
    for gain in (0.0, 2.0):
        arm = DrivenArm(make_arm(f'gain: {gain}'), obeys=0.9, delay=1)
        for tick in range(150):
            arm.tick(START + WAY * min(1.0, 0.01 * tick))
        errors[gain] = arm.error_m()
    assert errors[0.0] > 0.03 and errors[2.0] < 2e-3  # of a way of 0.42 m


@pytest.mark.parametrize('joint', [2, 4])  # the elbow, and the wrist
def test_through_a_singular_place_no_joint_is_faster_than_it_may(
    make_arm: Callable[..., RobotSpec], joint: int
) -> None:
    arm = DrivenArm(make_arm(), obeys=0.9, delay=1)
    way = np.array([0.3, 0.2, -0.1, 0.3, 0.1, 0.2, 0.0])
    way[joint] = -1.4  # from one side of stretched to the other
    for tick in range(150):
        arm.tick(START + way * min(1.0, 0.01 * tick))
    assert np.abs(arm.reached).max() < 1.6 and arm.error_m() < 3e-3
    assert (START * (START + way))[joint] < 0


def test_a_joint_that_another_topic_moves_is_not_made_up_for_by_the_others(
    tmp_path: Path,
) -> None:
    lifted = tool_arm(tmp_path, TWIST, joints=[f'joint{number}' for number in range(2, 7)])
    arm = DrivenArm(lifted, obeys=0.9, delay=1)
    only_first = WAY * [1, 0, 0, 0, 0, 0, 0]
    for tick in range(60):
        arm.tick(START + only_first * min(1.0, 0.02 * tick))
    assert not np.any(arm.twists)
    np.testing.assert_allclose(arm.joints[1:], START[1:], atol=1e-12)
    for tick in range(150):
        arm.tick(START + only_first + (WAY - only_first) * min(1.0, 0.01 * tick))
    assert arm.error_m() < 3e-3


def test_a_push_is_made_up_for_by_the_correction_and_stays_without(
    make_arm: Callable[..., RobotSpec],
) -> None:
    one_way = START + WAY
    drifts = []
    for gain in (0.0, 2.0):
        arm = DrivenArm(make_arm(f'gain: {gain}'), obeys=1.0)
        arm.joints = arm.joints + np.array([0.05, 0, 0, 0, 0, 0, 0])  # somebody pushed it
        arm.past = [arm.joints]
        for _ in range(250):
            arm.tick(one_way)
        drifts.append(arm.error_m())
    assert drifts[0] > 0.015 and drifts[1] < 2e-3


def test_the_velocity_is_exactly_zero_where_the_command_stands(
    make_arm: Callable[..., RobotSpec],
) -> None:
    arm = DrivenArm(make_arm(), obeys=0.9)
    for _ in range(20):
        arm.tick(START + WAY)
    moving = arm.tick(None)
    assert moving.any()
    while arm.guard.limiter.velocity.any():
        arm.tick(None)
    assert arm.error_m() > 1e-3  # what is left is not made up for
    twist = arm.tick(None)
    np.testing.assert_array_equal(twist, np.zeros(6))
    assert not np.signbit(twist).any()
    on = arm.tick(arm.commanded[-1])
    assert on.any()  # in a run it is
    for _ in range(400):
        on = arm.tick(arm.commanded[-1])
    np.testing.assert_array_equal(on, np.zeros(6))
    assert arm.error_m() < 1.01e-3
    arm.tick(arm.commanded[-1], speed=0.0)
    assert not arm.twists[-1].any()


def test_after_a_hold_what_is_missing_is_made_up_for_without_a_jerk(
    make_arm: Callable[..., RobotSpec],
) -> None:
    arm = DrivenArm(make_arm(), obeys=0.6, delay=3)
    for _ in range(30):
        arm.tick(START + WAY)
    for _ in range(30):
        arm.tick(None)
    rests = len(arm.twists) - 1
    assert arm.error_m() > 0.1 and not arm.twists[-1].any()
    for _ in range(20):
        arm.tick(arm.commanded[-1], speed=0.25)
    sped_up = np.diff(np.abs(arm.reached[rests:]), axis=0)[:, :6]
    most = 0.6 * 8.0 * arm.period_ns * 1e-9 * 1.05  # by 0.6 of what was sent
    assert sped_up.max() <= most
    assert np.abs(arm.reached[-1]).max() > 0.2  # and it is made up for
    arm.tick(arm.commanded[-1], age_s=0.2)
    assert not arm.twists[-1].any()
    arm.tick(arm.commanded[-1], speed=0.25)
    assert 0 < np.abs(arm.reached[-1]).max() <= most


def test_with_a_speed_of_zero_nothing_is_corrected(make_arm: Callable[..., RobotSpec]) -> None:
    robot = make_arm()
    tool = ToolTwist(robot.joints.command[0], robot)
    off = START + np.array([0.2, 0, 0, 0, 0, 0, 0])
    still = np.zeros(7)
    assert tool.twist(START, CommandMotion(still, off)).any()
    assert not tool.twist(START, CommandMotion(still, off, speed=0.0)).any()


def test_a_correction_never_speeds_up_a_tool_that_brakes(
    make_arm: Callable[..., RobotSpec],
) -> None:
    robot = make_arm()
    tool = ToolTwist(robot.joints.command[0], robot)
    velocity = 0.5 * WAY
    along = tool.twist(START, CommandMotion(velocity))
    for share in (-0.3, 0.3):
        motion = CommandMotion(velocity, START + share * WAY, braking=True)
        twist = tool.twist(START, motion)
        for part in (slice(0, 3), slice(3, 6)):
            assert np.linalg.norm(twist[part]) <= np.linalg.norm(along[part]) + 1e-12
            assert twist[part] @ along[part] >= 0
    far_ahead = CommandMotion(velocity, START + 0.5 * WAY, braking=True)
    assert not tool.twist(START, far_ahead).any()  # it stands, and never turns round


def test_no_correction_is_beyond_what_joints_or_the_tool_may_do(
    make_arm: Callable[..., RobotSpec],
) -> None:
    robot = make_arm('gain: 10.0')
    tool = ToolTwist(robot.joints.command[0], robot)
    kinematics, link = commanded_tool(robot.joints.command[0], robot)
    random = np.random.default_rng(0)
    most = robot.joints.limits.velocity_array()
    for _ in range(50):
        measured = START + random.uniform(-0.3, 0.3, 7)
        velocity = random.uniform(-1.0, 1.0, 7) * most
        twist = tool.twist(START, CommandMotion(velocity, measured, tool_speed_limit=0.25))
        assert np.linalg.norm(twist[:3]) <= 0.25 + 1e-12
    for _ in range(50):
        measured = START + random.uniform(-0.2, 0.2, 7)
        velocity = 0.98 * random.choice([-1.0, 1.0], 7) * most
        free = tool.twist(START, CommandMotion(velocity, measured))
        asked = kinematics.joint_velocity(link, measured, free, range(6))
        assert (np.abs(asked) <= most[:6] + 1e-9).all()


def test_in_the_frame_of_the_tool_the_velocity_is_turned_there(
    make_arm: Callable[..., RobotSpec],
) -> None:
    robot, turned = make_arm(), make_arm('frame: tool')
    velocity = 0.3 * WAY
    motion = CommandMotion(velocity, START)
    base = ToolTwist(robot.joints.command[0], robot).twist(START, motion)
    own = ToolTwist(turned.joints.command[0], turned)
    assert own.frame == 'tool'
    kinematics, link = commanded_tool(robot.joints.command[0], robot)
    _, (rotation,) = kinematics.poses(link, START[None])
    twist = own.twist(START, motion)
    np.testing.assert_allclose(rotation @ twist[:3], base[:3], atol=1e-12)
    np.testing.assert_allclose(rotation @ twist[3:], base[3:], atol=1e-12)
    # The same as from the Jacobian.
    np.testing.assert_allclose(
        base, kinematics.twist_jacobian(link, START) @ velocity, rtol=0.05, atol=0.01
    )


def test_what_is_not_measured_is_not_corrected_and_nan_is_never_sent(
    make_arm: Callable[..., RobotSpec],
) -> None:
    robot = make_arm('frame: tool')
    tool = ToolTwist(robot.joints.command[0], robot)
    along = tool.twist(START, CommandMotion(WAY))
    lost = tool.twist(START, CommandMotion(WAY, np.full(7, np.nan), braking=True))
    np.testing.assert_array_equal(along, lost)
    ages = np.zeros(7)
    ages[6] = 0.5  # of the gripper
    turned = ToolTwist(make_arm().joints.command[0], robot)
    for age_s, corrects in ((0.05, True), (ages, True), (0.11, False), (ages[::-1], False)):
        found = turned.twist(START, CommandMotion(WAY, START + 0.1, age_s))
        straight = turned.twist(START, CommandMotion(WAY))
        assert (found != straight).any() == corrects
    assert np.isfinite(along).all() and along.any()


def test_a_frame_must_be_a_link_and_joints_must_move_the_tool(
    make_arm: Callable[..., RobotSpec],
) -> None:
    robot = make_arm('frame: tol')
    with pytest.raises(UserError, match=r"topic tool_command .*frame: .* no link 'tol'.*base"):
        ToolTwist(robot.joints.command[0], robot)
