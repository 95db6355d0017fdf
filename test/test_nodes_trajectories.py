# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whole chunks over real DDS: a controller that plays trajectories never leaves the limits, and
whatever goes wrong, a braking trajectory is the last it hears.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from fake_arm import (
    MakeNode,
    assert_safe,
    save_random_chunk_policy,
    save_random_policy,
    stand_before_policy,
)
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from ros_testing import Bench
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_arm import CHUNKS, EVERY_TRAJECTORY, TrajectoryArm, nanoseconds
from trajectory_msgs.msg import JointTrajectory

from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, RobotSpecError

ROBOT = formula_arm(command=CHUNKS)
ROWS = 60
ARRAY = 'std_msgs/msg/Float64MultiArray'


@pytest.fixture
def arm(bench: Bench) -> TrajectoryArm:
    return TrajectoryArm(bench, ROBOT)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_random_chunk_policy(tmp_path_factory.mktemp('models') / 'act', ROBOT, ROWS)


@pytest.fixture
def usual_parameters() -> dict[str, Any]:
    return {
        'backend': 'eager', 'max_frozen': 0.0, 'inference.isolation': 'thread',
        **EVERY_TRAJECTORY,
    }  # fmt: skip


def running(arm: TrajectoryArm, make_node: MakeNode, **parameters: Any) -> Any:
    """A node whose policy moves the arm."""
    node = make_node(**parameters)
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    arm.hear_trajectories(3)
    return node


def stamp(message: JointTrajectory) -> int:
    return nanoseconds(message.header.stamp)


def end(message: JointTrajectory) -> int:
    return stamp(message) + nanoseconds(message.points[-1].time_from_start)


def assert_brakes_at_once(arm: TrajectoryArm) -> None:
    """The last trajectory brakes from its second point on, and as fast as it may."""
    last, told = arm.trajectories[-1], arm.told()
    limits, dt = ROBOT.joints.limits, ROBOT.period_ns * 1e-9
    count = len(last.points)
    speed = np.abs(np.diff(told[-count - 1 :], axis=0)) / dt
    slower = np.maximum(speed[:-1] - limits.acceleration_array() * dt, 0)
    np.testing.assert_allclose(speed[1:], slower, atol=1e-3)
    assert not speed[-1].any()
    assert nanoseconds(last.points[0].time_from_start) <= ROBOT.period_ns
    assert nanoseconds(last.points[-1].time_from_start) <= ROBOT.period_ns * count


@pytest.mark.parametrize('interpolation', ['linear', 'cubic'])
def test_every_chunk_is_one_trajectory_that_replaces_the_rest_of_the_one_before(
    arm: TrajectoryArm, make_node: MakeNode, interpolation: str
) -> None:
    running(arm, make_node, interpolation=interpolation)

    def replaced() -> list[tuple[Any, Any]]:  # on a busy machine an arm brakes now and then
        whole = [len(message.points) > ROWS / 2 for message in arm.trajectories]
        pairs = zip(pairwise(arm.trajectories), pairwise(whole), strict=True)
        return [pair for pair, both in pairs if all(both) and stamp(pair[1]) < end(pair[0])]

    arm.bench.spin_until(replaced, 'two whole chunks, the second before the end of the first')
    for message in replaced()[0]:
        last = [point.positions for point in message.points[-2:]]
        np.testing.assert_allclose(last[0], last[1], atol=1e-9)
    assert arm.enable(False).success
    arm.wait_for_idle()
    assert np.abs(arm.told()[-1] - arm.told()[0]).max() > 0.02
    arm.assert_told_safely()


def waving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the policy answer waves by the clock: every chunk goes on where the one before is."""

    def wave(act: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any) -> Any:
            _, *rest = act(*args)
            times = time.time() + torch.arange(ROWS, dtype=torch.float64)[:, None] / ROBOT.rate
            phases = torch.arange(3, dtype=torch.float64)
            return (0.1 + 0.3 * torch.sin(2 * times + phases)).float()[None], *rest

        return answer

    stand_before_policy(monkeypatch, wave, 'act', 'act_and_explain')


def longest_motion(told: np.ndarray) -> int:
    """The most points in a row at which no joint's way to the next made the arm rest."""
    moving = np.abs(np.diff(told, axis=0)).max(axis=1) > 1e-3
    runs = np.diff(np.flatnonzero(np.concatenate(([True], ~moving, [True]))))
    return int(runs.max()) - 1


def test_no_trajectory_reaches_further_than_it_may_and_the_arm_never_rests_between_them(
    arm: TrajectoryArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    waving(monkeypatch)
    # Asked when the plan ends: without more pieces in between the arm would rest before that.
    running(arm, make_node, **{'chunk.send_ahead': 0.6, 'chunk.execute': ROWS})
    whole = 2 * ROWS  # two plans
    arm.bench.spin_until(lambda: longest_motion(arm.told()) > whole, 'a long motion')
    reach = [nanoseconds(message.points[-1].time_from_start) for message in arm.trajectories]
    assert max(reach) <= 600_000_000
    for message in arm.trajectories:
        last = [point.positions for point in message.points[-2:]]
        np.testing.assert_allclose(last[0], last[-1], atol=1e-9)
    assert arm.enable(False).success
    arm.wait_for_idle()
    arm.assert_told_safely()


def slow_arm(seconds: float) -> RobotSpec:
    """The arm, if it took so long to brake from its full speed."""
    limits = ROBOT.joints.limits
    accelerations = tuple(v / seconds for v in limits.velocity)
    limits = limits.model_copy(update={'acceleration': accelerations})
    joints = ROBOT.joints.model_copy(update={'limits': limits})
    return ROBOT.model_copy(update={'name': 'slow_arm', 'joints': joints})


def test_an_arm_that_takes_long_to_brake_is_sent_so_much_more_ahead(
    bench: Bench, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waving(monkeypatch)
    slow = slow_arm(1.5)
    (tmp_path / 'slow.yaml').write_text(slow.to_yaml())
    arm, lines = TrajectoryArm(bench, slow), []
    bench.client.create_subscription(Log, '/rosout', lambda m: lines.append(m.msg), 100)
    running(arm, make_node, robot=str(tmp_path / 'slow.yaml'), **{'chunk.execute': ROWS})
    said = "trajectories reach 2.10 s ahead: 'slow_arm' takes 1.50 s to brake from full speed"
    bench.spin_until(lambda: said in lines, said)
    arm.bench.spin_until(lambda: longest_motion(arm.told()) > 2 * ROWS, 'a long motion')
    reach = [nanoseconds(message.points[-1].time_from_start) for message in arm.trajectories]
    assert max(reach) <= 2_100_000_000
    assert arm.enable(False).success
    arm.wait_for_idle()
    arm.assert_told_safely()


@pytest.mark.parametrize(
    ('brakes_s', 'ahead_s', 'said'),
    [
        (1 / 3, 0.5, 'chunk.send_ahead is 0.5 s, expected 0, -1 or at least 0.53 s: '
         "'slow_arm' takes 0.33 s to brake"),
        (1.5, 1.0, 'chunk.send_ahead is 1 s, expected 0, -1 or at least 1.70 s: '
         "'slow_arm' takes 1.50 s to brake"),
        (80.0, -1.0, "chunk.send_ahead: 'slow_arm' takes 80.00 s to brake from full speed, "
         'expected that trajectories reach at most 60 s ahead'),
    ],
)  # fmt: skip
def test_a_reach_in_which_the_arm_cannot_brake_is_one_line(
    brakes_s: float,
    ahead_s: float,
    said: str,
    make_node: MakeNode,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'slow.yaml').write_text(slow_arm(brakes_s).to_yaml())
    robot = str(tmp_path / 'slow.yaml')
    node = make_node(autostart=False, robot=robot, **{'chunk.send_ahead': ahead_s})
    capfd.readouterr()
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    lines = [x for x in capfd.readouterr().err.strip().splitlines() if 'ERROR' in x]
    assert len(lines) == 1 and said in lines[0]


def test_disable_ends_with_a_braking_trajectory_and_then_silence(
    arm: TrajectoryArm, make_node: MakeNode
) -> None:
    running(arm, make_node)
    assert arm.enable(False).success
    arm.wait_for_idle()
    heard = len(arm.trajectories)
    assert_brakes_at_once(arm)
    arm.wait_until_played()
    assert len(arm.trajectories) == heard
    arm.assert_told_safely()
    arm.enable_when_ready()  # and from there it goes on
    arm.hear_trajectories(3)
    arm.enable(False)
    arm.wait_for_idle()
    arm.assert_told_safely()


def stop_camera(arm: TrajectoryArm) -> None:
    arm.camera_works = False


def stop_joints(arm: TrajectoryArm) -> None:
    arm.joints_work = False


@pytest.mark.parametrize('fault', [stop_camera, stop_joints])
def test_a_fault_is_answered_by_a_braking_trajectory_and_the_arm_goes_on_after_it(
    arm: TrajectoryArm, make_node: MakeNode, fault: Callable[[TrajectoryArm], None]
) -> None:
    running(arm, make_node)
    fault(arm)
    arm.wait_for_diagnostic('control', 'state', 'hold')
    arm.wait_for_silence()
    assert_brakes_at_once(arm)
    heard = len(arm.trajectories)
    arm.wait_until_played()
    assert len(arm.trajectories) == heard
    arm.camera_works = arm.joints_work = True
    arm.wait_for_diagnostic('control', 'state', 'run')
    arm.hear_trajectories(2)
    arm.enable(False)
    arm.wait_for_idle()
    arm.assert_told_safely()


@pytest.mark.parametrize(
    ('spoil', 'holds'),
    [
        (lambda chunk: chunk * torch.nan, True),
        (lambda chunk: chunk[..., :2], True),
        (lambda chunk: torch.where(torch.rand(chunk.shape) < 0.5, -1e30, 1e30), False),
    ],
)
def test_a_policy_gone_wrong_never_leads_a_trajectory_out_of_the_limits(
    arm: TrajectoryArm,
    make_node: MakeNode,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Any], Any],
    holds: bool,
) -> None:
    wrong = [False]

    def spoiled(act: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any) -> Any:
            chunk, *rest = act(*args)
            return (spoil(chunk) if wrong[0] else chunk, *rest)

        return answer

    stand_before_policy(monkeypatch, spoiled, 'act', 'act_and_explain')
    running(arm, make_node)
    wrong[0] = True
    if holds:
        arm.wait_for_diagnostic('control', 'state', 'hold')
        assert_brakes_at_once(arm)
    else:
        arm.hear_trajectories(4)
    wrong[0] = False
    arm.wait_for_diagnostic('control', 'state', 'run')
    arm.hear_trajectories(2)
    assert arm.enable(False).success
    arm.wait_for_idle()
    arm.assert_told_safely()


def test_an_emergency_stop_is_answered_by_a_braking_trajectory(
    bench: Bench, arm: TrajectoryArm, make_node: MakeNode
) -> None:
    button = bench.client.create_publisher(Bool, 'emergency_stop', 1)
    running(arm, make_node)
    bench.spin_until(lambda: button.get_subscription_count() > 0, 'a listener')
    button.publish(Bool(data=True))
    arm.wait_for_idle()
    assert_brakes_at_once(arm)
    arm.assert_told_safely()


def test_an_arm_that_does_not_follow_is_stopped(arm: TrajectoryArm, make_node: MakeNode) -> None:
    running(arm, make_node, max_following_error=0.5)
    arm.obeys = False
    arm.position = arm.position + 1.0
    arm.bench.spin_until(
        lambda: arm.diagnostic('control', 'clamped by following_error') not in ('', '0'), 'a clamp'
    )
    arm.wait_until_played()
    assert arm.enable(False).success
    arm.wait_for_idle()
    arm.assert_told_safely()


def test_a_policy_of_single_rows_moves_such_an_arm_too(
    arm: TrajectoryArm, make_node: MakeNode, tmp_path: Path
) -> None:
    folder = save_random_policy(tmp_path / 'random', ROBOT)
    running(arm, make_node, checkpoint=str(folder))
    arm.hear_trajectories(10)
    assert arm.enable(False).success
    arm.wait_for_idle()
    assert np.abs(arm.told()[-1] - arm.told()[0]).max() > 0.02
    arm.assert_told_safely()


def test_deactivate_ends_with_a_braking_trajectory(
    arm: TrajectoryArm, make_node: MakeNode
) -> None:
    node = running(arm, make_node)
    node.trigger_deactivate()
    node.trigger_cleanup()
    arm.wait_for_silence()
    arm.wait_until_played()
    assert_brakes_at_once(arm)
    arm.assert_told_safely()


def test_one_topic_may_get_chunks_and_another_every_command(
    bench: Bench, make_node: MakeNode, tmp_path: Path
) -> None:
    arm_topic = CHUNKS[:-1] + ', joints: [joint1, joint2]}'
    gripper = f'{{topic: gripper, type: {ARRAY}, joints: [joint3]}}'
    robot = formula_arm(command=f'[{arm_topic}, {gripper}]')
    (tmp_path / 'mixed.yaml').write_text(robot.to_yaml())
    arm, third = TrajectoryArm(bench, ROBOT), []
    bench.client.create_subscription(
        Float64MultiArray, 'gripper', lambda m: third.append(list(m.data)), 100
    )
    arm.obeys = False
    make_node(
        robot=str(tmp_path / 'mixed.yaml'), **{'qos_overrides./gripper.publisher.depth': 100}
    )
    arm.enable_when_ready()
    arm.hear_trajectories(3)
    assert arm.enable(False).success
    arm.wait_for_idle()
    assert all(message.joint_names == ['joint1', 'joint2'] for message in arm.trajectories)
    assert {len(values) for values in third} == {1} and len(third) > 20
    ahead = arm.told()
    assert_safe(list(np.column_stack((ahead, np.full(len(ahead), 0.1)))), ROBOT)
    alone = np.column_stack((np.full((len(third), 2), 0.1), np.array(third)))
    assert_safe(list(alone), ROBOT)


def test_only_trajectories_can_be_sent_ahead() -> None:
    with pytest.raises(RobotSpecError, match=r"command: send is 'chunk' with std_msgs") as caught:
        formula_arm(command=CHUNKS.replace('trajectory_msgs/msg/JointTrajectory', ARRAY))
    assert isinstance(caught.value, UserError) and '\n' not in str(caught.value)
