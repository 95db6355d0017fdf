# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A node that drives a base over real DDS leaves it at zero, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mobile_robots import mobile_robot

pytest.importorskip('rclpy')

from rclpy.parameter import Parameter
from recordings import row_at
from ros_testing import Bench
from std_srvs.srv import SetBool

from motion_policy.episodes import EpisodeWriter
from motion_policy.nodes.endpoints import Origin
from motion_policy.nodes.rehearsal_node import RehearsalNode
from motion_policy.nodes.stand_in import StandInDriver
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.commands import CommandPort
from motion_policy.robot import JointTopic
from motion_policy.streams import Observation

pytestmark = pytest.mark.slow

# Odometry may be seldom, and is gone after a moment.
ROBOT = mobile_robot('nav_msgs/msg/Odometry, max_age: 1.0', 'nav_msgs/msg/Odometry, max_age: 0.3')
FORWARD, TURN = 0.3, -0.4
ROWS = 1000  # twenty seconds: longer than any test


class Driver:
    """An arm on a base, its topics, and what it was told."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.arm = StandInArm(ROBOT)
        self.lines: list[str] = []
        self.ports = {
            topic: CommandPort(ROBOT, topic, self.arm, self.lines.append)
            for topic in ROBOT.joints.command
        }
        self.velocities: list[np.ndarray] = []
        self.odometry_every = 1
        self.stand_in = StandInDriver(
            bench.client, ROBOT, self.arm, image_of=np.asarray, on_command=self._take
        )
        self.stand_in.publishers.pop('leader_0'), self.stand_in.publishers.pop('leader_1')
        self._ticks = 0
        bench.client.create_timer(0.01, self._tick)

    @property
    def now_ns(self) -> int:
        return self.bench.client.get_clock().now().nanoseconds

    def _take(self, topic: JointTopic, message: Any, origin: Origin) -> None:
        self.ports[topic].take(message, origin.received_ns or self.now_ns, origin.stamp_ns)
        if topic.of_velocities:
            self.velocities.append(self.arm.target[2:].copy())

    def _tick(self) -> None:
        for port in self.ports.values():
            port.step(self.now_ns)
        self.arm.step(self.now_ns)
        self.stand_in.publish('state_0')
        self._ticks += 1
        if self._ticks % self.odometry_every == 0:
            self.stand_in.publish('state_1')

    def drive(self) -> None:
        """Enable the node, and wait until the base drives."""
        request = SetBool.Request(data=True)

        def enabled() -> bool:
            return bool(self.bench.call(SetBool, 'replay_node/enable', request).success)

        self.bench.spin_until(enabled, 'a successful enable')
        self.bench.spin_until(lambda: self.arm.position[2] > 0.9 * FORWARD, 'a base that drives')

    def assert_stopped(self) -> None:
        """Zero was the last command, and came twice; nothing came too suddenly."""
        base = self.ports[ROBOT.joints.command[1]].felt
        self.bench.spin_until(lambda: base._last_ns is None, 'silence')  # and what is said of it
        assert np.array(self.velocities[-2:]).tolist() == [[0.0, 0.0]] * 2
        assert self.lines == [] and all(joint.kept for joint in base.joints.values())


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The robot spec, and an episode in which the base drives on and on."""
    folder = tmp_path_factory.mktemp('mobile')
    (folder / 'mobile.yaml').write_text(ROBOT.to_yaml())
    qpos = np.array([0.1, 0.2, FORWARD, TURN], np.float32)
    with EpisodeWriter(folder / 'episode_000000.hdf5', ROBOT) as writer:
        for index in range(ROWS):
            row = row_at(index, ROBOT)
            writer.append(row.time_ns, Observation(qpos, 0 * qpos, None, {}, qpos), row)
    return {'robot': folder / 'mobile.yaml', 'episode': folder / 'episode_000000.hdf5'}


def ends(
    bench: Bench, files: dict[str, Path], log_dir: Path, what: Callable[[Driver, Any], None]
) -> str:
    """Let a process drive the base, do that with it, and return its log."""
    driver = Driver(bench)
    command = [sys.executable, '-m', 'motion_policy.nodes.replay_node', '--ros-args']
    for name, value in {**files, 'qos_overrides./cmd_vel.publisher.depth': 100}.items():
        command += ['-p', f'{name}:={value}']
    environment = {**os.environ, 'ROS_LOG_DIR': str(log_dir)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            driver.drive()
            what(driver, process)
            driver.assert_stopped()
            process.send_signal(signal.SIGINT)
            bench.spin_until(lambda: process.poll() is not None, 'the end of the node')
        finally:
            process.kill()
        assert process.stderr is not None
        return process.stderr.read()


def test_ctrl_c_while_the_base_drives_ends_with_zero(
    bench: Bench, files: dict[str, Path], tmp_path: Path
) -> None:
    def interrupt(_driver: Driver, process: Any) -> None:
        process.send_signal(signal.SIGINT)

    # While it brakes no messages are taken: that is no fault of their senders.
    assert 'stale' not in ends(bench, files, tmp_path, interrupt)


def test_odometry_may_be_seldom_and_stops_the_base_when_it_is_nan(
    bench: Bench, files: dict[str, Path], tmp_path: Path
) -> None:
    def corrupt(driver: Driver, _process: Any) -> None:
        driver.odometry_every = 12
        before = len(driver.velocities)
        bench.spin_until(lambda: len(driver.velocities) > before + 50, 'a base that goes on')
        assert driver.velocities[-1][0] == pytest.approx(FORWARD)
        message = driver.stand_in.publishers['state_1']
        driver.stand_in.publishers['state_1'] = Corrupted(message)
        bench.spin_until(lambda: not driver.velocities[-1].any(), 'a base that is stopped')

    said = ends(bench, files, tmp_path, corrupt)
    assert "joint 'base_forward': velocity is nan" in said


class Corrupted:
    """A publisher of odometry that is no number."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher

    def publish(self, message: Any) -> None:
        message.twist.twist.linear.x = float('nan')
        self._publisher.publish(message)


def test_a_base_that_its_leader_commands_is_guided_beside_the_arm(
    bench: Bench, tmp_path: Path
) -> None:
    """Who teaches a base sends it commands; the leader of the arm has a topic of its own."""
    leader = '{topic: teleop/cmd_vel, type: geometry_msgs/msg/Twist}'
    robot = mobile_robot(leader, '{topic: cmd_vel, type: geometry_msgs/msg/TwistStamped}')
    file = tmp_path / 'mobile.yaml'
    file.write_text(robot.to_yaml())
    nodes: list[RehearsalNode] = []
    values = {'robot': str(file), 'guide': True}
    options = [Parameter(name, value=value) for name, value in values.items()]

    def make() -> RehearsalNode:
        lines: list[str] = []
        node = RehearsalNode(tell=lines.append, context=bench.context, parameter_overrides=options)
        nodes.append(node)
        return node

    bench.run_apart(make)
    bench.spin_until(
        lambda: nodes and (np.abs(nodes[0]._arm.position - robot.home) > 0.02).all(),
        'all joints to be guided',
    )
