# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm feels is told: every broken limit by joint and number, and nothing that was kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chain_arm import tool_arm
from control_robots import formula_arm

from motion_policy.control import Controller
from motion_policy.control.tick_trajectory import tick_trajectory
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.commands import CommandPort
from motion_policy.rehearsal.report import RehearsalReport, TopicFelt
from motion_policy.robot import RobotSpec

TRAJECTORY = '{topic: arm/joint_trajectory, type: trajectory_msgs/msg/JointTrajectory}'
ROBOT = formula_arm()
PERIOD_NS = ROBOT.period_ns
START_NS = 1_700_000_000_000_000_000
TRANSIT_NS = 300_000


class Felt:
    """An arm and the port of its commands."""

    def __init__(self, robot: RobotSpec = ROBOT) -> None:
        self.lines: list[str] = []
        self.arm = StandInArm(robot, lags=False)
        self.port = CommandPort(robot, robot.joints.command[0], self.arm, self.lines.append)
        self.now_ns = START_NS

    def send(self, position: Any, after_ns: int = PERIOD_NS, late_ns: int = 0) -> None:
        """Send numbers, so long after the last."""
        self.take(SimpleNamespace(data=list(position)), after_ns, late_ns)

    def take(self, message: Any, after_ns: int = PERIOD_NS, late_ns: int = 0) -> None:
        """Send a message."""
        self.now_ns += after_ns
        received_ns = self.now_ns + TRANSIT_NS + late_ns
        self.port.take(message, received_ns, self.now_ns)
        self.port.step(received_ns)

    @property
    def report(self) -> RehearsalReport:
        """What was felt."""
        topic = self.port.topic
        return RehearsalReport('r', 1.0, [TopicFelt(topic.topic, topic.type, self.port.felt)], ())

    @property
    def joints(self) -> Any:
        """The figures by joint."""
        return self.report.as_json()['joints']


def trajectory(positions: Any, period_ns: int, stamp_ns: int = 0, names: Any = None) -> Any:
    """A JointTrajectory of one point per period, in the order of `names`."""
    points = [
        SimpleNamespace(
            positions=list(row),
            velocities=[],
            time_from_start=SimpleNamespace(sec=0, nanosec=(i + 1) * period_ns),
        )
        for i, row in enumerate(positions)
    ]
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp),
        joint_names=list(names or ROBOT.joints.names),
        points=points,
    )


def test_commands_of_our_controller_keep_every_limit_also_where_they_come_late() -> None:
    felt, random = Felt(), np.random.default_rng(0)
    controller = Controller(ROBOT, 100_000_000)
    controller.enable(felt.now_ns, felt.arm.position)
    low, high = ROBOT.joints.limits.position_array().T
    for tick in range(600):
        now_ns = START_NS + tick * PERIOD_NS
        if controller.policy_due(now_ns):
            controller.add_chunk(random.uniform(low, high)[None], now_ns)
        command = controller.tick(now_ns, felt.arm.position, {}, steady_ns=tick * PERIOD_NS)
        if command is not None:
            felt.send(command.position, now_ns - felt.now_ns, int(random.integers(0, 8_000_000)))
    assert felt.report.kept and felt.lines == []
    figures = felt.joints
    for j, name in enumerate(ROBOT.joints.names):  # it went to its limits
        assert figures[name]['velocity']['greatest'] > 0.3 * ROBOT.joints.limits.velocity[j]
        assert figures[name]['velocity']['beyond'] == 0
    arrivals = felt.report.as_json()['topics']['forward_position_controller/commands']
    assert 45 < arrivals['rate_hz'] < 55 and arrivals['latest_s'] > 0.005


def test_each_broken_limit_is_told_with_joint_and_number() -> None:
    felt = Felt()
    start = felt.arm.position.copy()
    for _ in range(5):
        felt.send(start)
    assert felt.report.kept
    felt.send(start + [0.05, 0, 0])  # 2.5 per second, limit 1
    assert "joint 'joint1' at 2.25 per second, limit 1" in felt.lines
    assert "joint 'joint1' jumped by 0.05" in felt.lines
    for _ in range(3):
        felt.send(start + [0.05, 0, 0])
    felt.send(start + [0.05, 0.004, 0])  # 0.2 per second within a period: 10 per second squared
    assert any("joint 'joint2' accelerated by" in line for line in felt.lines)
    assert felt.joints['joint2']['velocity']['beyond'] == 0
    felt.send([start[0], start[1], 99.0])
    assert any("joint 'joint3' sent to 99, limits" in line for line in felt.lines)
    assert not felt.report.kept
    assert felt.joints['joint3']['position']['beyond'] == 1
    verdicts = {row[0]: row[-1] for row in felt.report.rows()}
    assert 'too fast' in verdicts['joint1'] and 'beyond position' in verdicts['joint3']


def test_gaps_are_counted_while_the_arm_moves_only() -> None:
    felt = Felt()
    position = felt.arm.position.copy()
    for _ in range(5):
        felt.send(position)
    felt.send(position, 3 * PERIOD_NS)
    assert felt.port.felt.arrivals.gaps == 0
    for _ in range(5):
        position = position + 0.0004
        felt.send(position)
    felt.send(position + 0.0004, 3 * PERIOD_NS)
    assert felt.port.felt.arrivals.gaps == 1
    assert felt.port.felt.arrivals.longest_gap_s == pytest.approx(0.06)
    assert felt.report.kept
    felt.port.forget()  # the driver itself is gone
    felt.port.step(felt.now_ns + 10**9)
    assert felt.report.kept
    felt.now_ns += 2 * 10**9
    for step in range(1, 6):
        felt.send(felt.arm.position + 0.0004 * (step > 1))
    felt.port.step(felt.now_ns + 10**9)
    assert "joint 'joint1': commands ended while it moved" in felt.lines
    assert not felt.report.kept


def test_after_a_silence_the_first_command_must_be_where_the_arm_is() -> None:
    felt = Felt()
    start = felt.arm.position.copy()
    for _ in range(3):
        felt.send(start)
    felt.port.step(felt.now_ns + 10**9)
    felt.arm.place(start + 0.3)  # somebody moved it
    felt.send(start + 0.3, 2 * 10**9)
    assert felt.report.kept
    felt.send(start + 0.3)
    felt.send(start, 2 * 10**9)
    assert felt.joints['joint1']['jumps']['number'] == 1


@pytest.mark.parametrize(
    ('message', 'said'),
    [
        (SimpleNamespace(data=[0.0, 0.0]), '2 numbers, expected 3'),
        (SimpleNamespace(data=[0.0, float('nan'), 0.0]), "joint 'joint2'"),
    ],
)
def test_what_no_arm_would_take_moves_nothing_and_is_counted(message: Any, said: str) -> None:
    felt = Felt()
    start = felt.arm.position.copy()
    felt.take(message)
    felt.take(message)
    assert len(felt.lines) == 1 and said in felt.lines[0]
    assert list(felt.port.felt.arrivals.refused.values()) == [2]
    np.testing.assert_array_equal(felt.arm.position, start)
    assert not felt.report.kept


def test_a_trajectory_is_played_and_judged_at_its_points() -> None:
    robot = formula_arm(command=TRAJECTORY[:-1] + ', send: chunk}')
    felt = Felt(robot)
    start = felt.arm.position.copy()
    names = list(reversed(robot.joints.names))
    way = np.array([start + 0.0008 * (i + 1) for i in range(10)])
    felt.take(trajectory(way[:, ::-1], PERIOD_NS, START_NS + PERIOD_NS, names))
    for tick in range(60):
        felt.port.step(felt.now_ns + tick * PERIOD_NS)
        felt.arm.step(felt.now_ns + tick * PERIOD_NS)
    np.testing.assert_allclose(felt.arm.position, way[-1], atol=1e-9)
    assert felt.joints['joint1']['position']['highest'] == pytest.approx(way[-1, 0])
    # It ends at 0.04 per second, from which the arm stops dead.
    assert {row[-1] for row in felt.report.rows()} == {'1 left moving'}
    fast = Felt(robot)
    fast.take(trajectory([start + 0.2, start + 0.4], PERIOD_NS, START_NS + PERIOD_NS))
    fast.port.step(fast.now_ns + 10**8)
    assert any('per second, limit' in line for line in fast.lines)
    wrong = Felt(robot)
    wrong.take(trajectory([start], PERIOD_NS, names=['a', 'b', 'c']))
    assert 'the trajectory has joints [a, b, c]' in wrong.lines[0]


def test_a_trajectory_per_tick_is_followed_from_when_it_comes() -> None:
    robot = formula_arm(command=TRAJECTORY)
    felt = Felt(robot)
    start = felt.arm.position.copy()
    for tick in range(20):
        felt.take(trajectory([start + 0.0004 * min(tick, 9)], PERIOD_NS))
    felt.port.step(felt.now_ns + 10**8)
    assert felt.report.kept, felt.lines
    assert felt.port.felt.arrivals.received == 20
    np.testing.assert_allclose(felt.arm.position, start + 0.0036, atol=1e-9)


def test_commands_with_velocities_are_judged_as_the_commands_that_they_were_made_of() -> None:
    robot = formula_arm(command=TRAJECTORY[:-1] + ', velocities: true}')
    felt, controller = Felt(robot), Controller(robot, 100_000_000)
    controller.enable(felt.now_ns, felt.arm.position)
    acceleration = robot.joints.limits.acceleration_array()
    for tick in range(200):
        now_ns = START_NS + tick * PERIOD_NS
        if controller.policy_due(now_ns):
            controller.add_chunk(np.array([[0.8, 0.9, -0.5]]), now_ns)
        if tick == 150:
            controller.disable(now_ns)
        command = controller.tick(now_ns, felt.arm.position, {}, steady_ns=tick * PERIOD_NS)
        if command is None:
            break
        times, positions, velocities = tick_trajectory(
            command.position, command.velocity, acceleration, PERIOD_NS
        )
        message = trajectory(positions, PERIOD_NS)
        for point, after_ns, row in zip(message.points, times.tolist(), velocities, strict=True):
            point.time_from_start.nanosec, point.velocities = after_ns, list(row)
        felt.take(message, now_ns - felt.now_ns)
        last = command.position
    for later in range(20):
        felt.port.step(felt.now_ns + later * PERIOD_NS)
    assert felt.report.kept, felt.lines
    assert felt.joints['joint1']['velocity']['greatest'] > 0.2
    np.testing.assert_allclose(felt.arm.position, last, atol=1e-9)


class FeltTool(Felt):
    """An arm that is sent velocities of its tool."""

    def __init__(self, folder: Path) -> None:
        robot = tool_arm(folder, 'geometry_msgs/msg/TwistStamped')
        super().__init__(robot)
        self.arm.place(np.array(robot.home))

    def turn(self, speed: float, frame: str = 'base') -> None:
        """Turn about the first joint, which stands upright."""
        at = self.port._twist._kinematics.position(self.port._twist._link, self.arm.target)
        x, y, _ = at * speed
        linear = SimpleNamespace(x=-y, y=x, z=0.0)
        angular = SimpleNamespace(x=0.0, y=0.0, z=speed)
        twist = SimpleNamespace(linear=linear, angular=angular)
        self.take(SimpleNamespace(header=SimpleNamespace(frame_id=frame), twist=twist))


def test_velocities_of_the_tool_turn_the_joints_and_each_limit_that_they_break_is_told(
    tmp_path: Path,
) -> None:
    felt = FeltTool(tmp_path)
    start = felt.arm.target.copy()
    for tick in range(40):
        felt.turn(0.1 * min(tick, 5))
    for _ in range(5):
        felt.turn(0.0)
    assert felt.report.kept, felt.lines
    moved = felt.arm.target - start
    assert moved[0] == pytest.approx(0.02 * 0.1 * (1 + 2 + 3 + 4 + 35 * 5), rel=0.01)
    assert np.abs(moved[1:]).max() < 5e-3
    felt.turn(4.0)
    assert any("joint 'joint1' at 3." in line and 'limit 2.2' in line for line in felt.lines)
    assert any("joint 'joint1' accelerated by" in line for line in felt.lines)


def test_without_a_next_velocity_the_arm_stands_after_a_tenth_of_a_second(tmp_path: Path) -> None:
    felt = FeltTool(tmp_path)
    for _ in range(10):
        felt.turn(0.1)
    before = felt.arm.target.copy()
    for later in range(100):
        felt.port.step(felt.now_ns + later * PERIOD_NS)
    assert felt.arm.target[0] - before[0] == pytest.approx(0.01, rel=0.05)
    assert "joint 'joint1': commands ended while it moved" in felt.lines


def test_a_velocity_of_another_frame_or_none_is_refused(tmp_path: Path) -> None:
    felt = FeltTool(tmp_path)
    felt.turn(0.1, 'camera')
    felt.turn(float('nan'))
    assert "the velocity is one in 'camera', expected 'base'" in felt.lines[0]
    assert 'is no velocity' in felt.lines[1]
    felt.port.step(felt.now_ns + PERIOD_NS)
    np.testing.assert_array_equal(felt.arm.target, felt.arm.position)
