# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whole action chunks over real DDS: a controller that plays them never leaves the limits.

Whatever goes wrong, a braking trajectory is the last it hears.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from builtin_interfaces.msg import Time
from fake_arm import (
    HOME,
    Commands,
    MakeNode,
    assert_safe,
    save_random_chunk_policy,
    save_random_policy,
    stand_before_policy,
)
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from ros_testing import PATIENCE_S, Bench
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_arm import CHUNKS, EVERY_TRAJECTORY, TrajectoryArm, nanoseconds
from trajectory_msgs.msg import JointTrajectory

from motion_policy.control import Command, GuardChain
from motion_policy.control.action_buffer import ActionBuffer
from motion_policy.control.lookahead import Lookahead, Plan
from motion_policy.control.monitors import TrackingMonitor
from motion_policy.errors import UserError
from motion_policy.nodes.chunk_output import ChunkOutput
from motion_policy.robot import RobotSpec, RobotSpecError

pytestmark = pytest.mark.slow

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
    """The last trajectory brakes within a period of when it was sent, as fast as it may, and
    stays there so long that no delay lets it end in the past.
    """
    (sent_ns, last), period_ns = arm.sent()[-1], ROBOT.period_ns
    times_ns = last.after_ns + (last.stamp_ns or sent_ns)
    assert times_ns[-1] > sent_ns + 500_000_000
    np.testing.assert_array_equal(last.positions[-1], last.positions[-2])
    brakes = times_ns[:-1] > sent_ns
    assert (np.diff(times_ns[:-1]) == period_ns).all()
    told = arm.told()[: -1 if len(arm.trajectories[-1].points) > 1 else None]
    limits, dt = ROBOT.joints.limits, period_ns * 1e-9
    speed = np.abs(np.diff(told[-int(brakes.sum()) - 2 :], axis=0)) / dt
    slower = np.maximum(speed[1:-1] - limits.acceleration_array() * dt, 0)
    np.testing.assert_allclose(speed[2:], slower, atol=1e-3)
    assert not speed[-1].any()


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
    reach = [m.stamp_ns + m.after_ns[-1] - sent_ns for sent_ns, m in arm.sent() if m.stamp_ns]
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
    reach = [m.stamp_ns + m.after_ns[-1] - sent_ns for sent_ns, m in arm.sent() if m.stamp_ns]
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
    running(arm, make_node, auto_resume=60.0)
    fault(arm)
    lost = fault is stop_joints  # nobody knows where the arm is
    arm.wait_for_diagnostic('control', 'state', 'disabled' if lost else 'hold')
    arm.wait_for_silence()
    assert_brakes_at_once(arm)
    # Without joint states nobody knows what time it is there.
    assert (arm.sent()[-1][1].stamp_ns == 0) == lost
    heard = len(arm.trajectories)
    arm.wait_until_played()
    assert len(arm.trajectories) == heard
    arm.camera_works = arm.joints_work = True
    if lost:
        arm.enable_when_ready()
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
    running(arm, make_node, auto_resume=60.0)
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


def test_a_brake_that_took_long_to_compute_begins_where_the_arm_is_by_then(
    arm: TrajectoryArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the point from which it brakes may be over before it is sent."""
    running(arm, make_node)
    braked, calls = Lookahead.braked, []

    def late(self: Lookahead, now_ns: int) -> Any:
        if not calls:
            time.sleep(3 * ROBOT.period_ns * 1e-9)
        calls.append(now_ns)
        return braked(self, now_ns)

    monkeypatch.setattr(Lookahead, 'braked', late)
    assert arm.enable(False).success
    arm.wait_for_idle()
    arm.assert_told_safely()


def test_an_arm_that_does_not_follow_is_disabled(arm: TrajectoryArm, make_node: MakeNode) -> None:
    running(arm, make_node)
    arm.obeys = False
    arm.position = arm.position + 1.0
    arm.wait_for_diagnostic('control', 'reason', 'tracking error')
    arm.wait_for_idle()
    assert_brakes_at_once(arm)
    arm.assert_told_safely()


@pytest.mark.parametrize('skew_s', [0.3, -0.3])
def test_trajectories_are_not_sent_to_a_controller_whose_clock_disagrees(
    arm: TrajectoryArm, make_node: MakeNode, skew_s: float
) -> None:
    running(arm, make_node)
    arm.clock_ahead_ns = round(skew_s * 1e9)
    arm.wait_for_idle()
    assert re.search('clock|tracking error', arm.diagnostic('control', 'reason'))
    assert_brakes_at_once(arm)
    refused = 'clock' if skew_s < 0 else 'clocks disagree|clock of the joint states'
    arm.bench.spin_until(lambda: re.search(refused, arm.enable().message), 'a refusal')
    arm.clock_ahead_ns = 0
    arm.enable_when_ready()
    arm.hear_trajectories(2)
    arm.enable(False)
    arm.wait_for_idle()


def test_no_trajectory_is_sent_while_nobody_knows_the_controllers_clock(
    arm: TrajectoryArm, make_node: MakeNode
) -> None:
    arm.stamp = Time  # type: ignore[method-assign]
    make_node()
    told = 'the joint states have no stamps'
    arm.bench.spin_until(lambda: told in arm.enable().message, told)
    assert not arm.trajectories
    del arm.stamp
    arm.enable_when_ready()
    arm.hear_trajectories(1)


def test_an_arm_at_its_following_error_is_held(
    arm: TrajectoryArm, make_node: MakeNode, tmp_path: Path
) -> None:
    unwatched = tmp_path / 'robot.yaml'
    unwatched.write_text(ROBOT.model_copy(update={'tracking_error': (0.0, 0.0, 0.0)}).to_yaml())
    running(arm, make_node, robot=str(unwatched), max_following_error=0.5)
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

    def hear_third(message: Float64MultiArray, info: Any) -> None:
        (value,) = message.data
        third.append((value, int(info['source_timestamp'])))

    bench.client.create_subscription(Float64MultiArray, 'gripper', hear_third, 100)
    arm.obeys = False
    make_node(
        robot=str(tmp_path / 'mixed.yaml'), **{'qos_overrides./gripper.publisher.depth': 100}
    )
    arm.enable_when_ready()
    arm.hear_trajectories(3)
    assert arm.enable(False).success
    arm.wait_for_idle()
    assert all(message.joint_names == ['joint1', 'joint2'] for message in arm.trajectories)
    assert len(third) > 20
    ahead = arm.told()
    commands = Commands()
    for number, row in enumerate(np.column_stack((ahead, np.full(len(ahead), 0.1)))):
        commands.add(row, number)
    assert_safe(commands, ROBOT, simulated_time=True)
    alone = Commands()
    for value, sent_ns in third:
        alone.add(np.array([0.1, 0.1, value]), sent_ns)
    assert_safe(alone, ROBOT)


def test_only_trajectories_can_be_sent_ahead() -> None:
    with pytest.raises(RobotSpecError, match=r"command: send is 'chunk' with std_msgs") as caught:
        formula_arm(command=CHUNKS.replace('trajectory_msgs/msg/JointTrajectory', ARRAY))
    assert isinstance(caught.value, UserError) and '\n' not in str(caught.value)


class OtherPlanAllTheTime:
    """A controller and its node whose plan is another one whenever one was computed."""

    def __init__(self) -> None:
        self.robot, self.control_period_ns = ROBOT, ROBOT.period_ns
        self.tracking = TrackingMonitor(ROBOT)
        self.output: Any = None
        self.numbers = 0
        self.sent: list[bool] = []  # whether each was one that brakes
        self.holds = False
        self.writing_lasts: list[float] = []  # [s], the messages of the next trajectories

    def plan(self) -> Plan | None:
        self.numbers += 1
        buffer = ActionBuffer('hold')
        buffer.add(np.full((1, 3), 0.3), 0, 1, join_position=np.full(3, 0.3))
        return None if self.holds else Plan(self.numbers, buffer)

    def follow(self) -> None:
        still = np.full(3, HOME)
        now_ns = time.time_ns()
        # So that a trajectory that brakes is known by being played at once.
        self.output.follow(now_ns, Command(still, 0 * still, 'run'), clocks_agree=False)

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=time.time_ns()))

    def trajectories(self, *_: Any, at_once: bool) -> list[tuple[Any, Any]]:
        if self.writing_lasts:
            time.sleep(self.writing_lasts.pop())
        return [(SimpleNamespace(publish=self.sent.append), at_once)]


@pytest.mark.parametrize('holds', [False, True])
def test_a_plan_that_changes_faster_than_it_is_computed_is_sent_and_one_before_a_hold_is_not(
    monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    fake = OtherPlanAllTheTime()
    planned = Lookahead.planned
    computed = []

    def plan_anew(*args: Any) -> Any:
        trajectory = planned(*args)
        computed.append(trajectory)
        fake.holds = holds
        fake.follow()
        return trajectory

    monkeypatch.setattr(Lookahead, 'planned', plan_anew)
    robot: Any = fake
    fake.output = ChunkOutput(robot, robot, robot, GuardChain(ROBOT), 1_000_000_000)
    fake.follow()
    end = time.monotonic() + PATIENCE_S
    while len(fake.sent) < (1 if holds else 3) and time.monotonic() < end:
        time.sleep(0.01)
    fake.output.close()
    assert computed
    assert fake.sent[:3] == ([True] if holds else [False] * 3)


def test_a_trajectory_whose_beginning_is_over_when_it_is_written_is_computed_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = OtherPlanAllTheTime()
    planned = Lookahead.planned
    computed = []

    def plan(*args: Any) -> Any:
        computed.append(planned(*args))
        return computed[-1]

    monkeypatch.setattr(Lookahead, 'planned', plan)
    fake.writing_lasts = [0.3]
    robot: Any = fake
    fake.output = ChunkOutput(robot, robot, robot, GuardChain(ROBOT), 1_000_000_000)
    fake.follow()
    end = time.monotonic() + PATIENCE_S
    while not fake.sent and time.monotonic() < end:
        time.sleep(0.01)
    fake.output.close()
    assert len(fake.sent) == 1 and len(computed) > 1
    assert computed[-1].start_ns > computed[0].start_ns + 300_000_000
