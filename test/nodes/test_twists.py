# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm that is driven by velocities of its tool over real DDS: it gets where the joints are led.

Whatever ends the motion, the last message is a velocity of zero.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from chain_arm import tool_arm
from rclpy.parameter import Parameter
from ros_testing import Bench
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from twist_arm import TwistArm, write_way

from motion_policy.nodes.replay_node import ReplayNode

pytestmark = pytest.mark.slow

TWIST = 'geometry_msgs/msg/TwistStamped'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
WAY = np.array([0.9, 0.7, -0.6, 0.5, 0.4, 0.8, 0.0])
SMOOTH = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 60))[:, None]


class Scene:
    """An arm, an episode of a way from its home, and the parameters of a node that plays it."""

    def __init__(
        self, bench: Bench, folder: Path, more: str = '', obeyed: float = 1.0, kind: str = TWIST
    ) -> None:
        self.robot = tool_arm(folder, kind, more)
        self.home = np.array(self.robot.home)
        self.goal = self.home + WAY
        rows = np.concatenate((self.home + WAY * SMOOTH, np.repeat(self.goal[None], 50, axis=0)))
        episode = write_way(folder / 'episode_000000.hdf5', self.robot, rows)
        self.parameters = {'episode': str(episode), 'robot': str(folder / 'tool_arm.yaml')}
        self.parameters['qos_overrides./tool_command.publisher.depth'] = 100
        self.bench, self.arm = bench, TwistArm(bench, self.robot, obeyed)

    def play(self, end: Callable[[], object] = lambda: None, **more: object) -> None:
        """Play the episode, do something on the way, and wait for the arm to be left."""

        def drive() -> None:
            self.arm.enable_when_ready()
            self.arm.hear(20)
            self.bench.spin_until(lambda: self.arm.away_m(self.home) > 0.05, 'the motion')
            end()

        self.drive(drive, **more)

    def drive(self, what: Callable[[], object], **more: object) -> None:
        """Do something with a node that drives the arm, and wait for the arm to be left."""
        parameters = {**self.parameters, **more}
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = ReplayNode(context=self.bench.context, parameter_overrides=overrides)
        self.bench.add(node)
        try:
            what()
            self.arm.wait_for_idle()
        finally:
            node.close()
        self.assert_left_at_rest()

    def assert_left_at_rest(self) -> None:
        """The last messages are zeros, and no limit was felt to be broken."""
        for twist in self.arm.twists[-2:]:
            np.testing.assert_array_equal(twist, np.zeros(6))
        assert self.arm.lines == []


@pytest.fixture
def make_scene(bench: Bench, tmp_path: Path) -> Callable[..., Scene]:
    """Give what makes a scene."""
    return lambda *args, **named: Scene(bench, tmp_path, *args, **named)


def test_an_arm_that_follows_nine_tenths_of_it_gets_where_the_joints_do(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene(obeyed=0.9)
    scene.play()
    assert scene.arm.away_m(scene.goal) < 4e-3


def test_without_a_correction_it_does_not(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene('gain: 0.0, frame: tool', obeyed=0.9)
    scene.play()
    assert 0.02 < scene.arm.away_m(scene.goal) < 0.08


def test_the_tool_is_never_faster_than_its_limit(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(obeyed=0.9)
    urdf = str(Path(scene.parameters['robot']).parent / 'arm.urdf')
    guards = {'workspace.urdf': urdf, 'workspace.tool': 'tool', 'tool_speed_limit': 0.15}
    scene.play(**guards)
    fastest = max(np.linalg.norm(twist[:3]) for twist in scene.arm.twists)
    assert 0.1 < fastest <= 0.15 + 1e-12


@pytest.mark.parametrize('kind', [TWIST, TRAJECTORY])
def test_an_emergency_stop_ends_in_zero_velocity(
    bench: Bench, make_scene: Callable[..., Scene], kind: str
) -> None:
    scene = make_scene('velocities: true' if kind == TRAJECTORY else '', kind=kind)
    button = bench.client.create_publisher(Bool, 'emergency_stop', 1)

    def press() -> None:
        bench.spin_until(button.get_subscription_count, 'a listener')
        button.publish(Bool(data=True))

    scene.play(press)
    assert scene.arm.away_m(scene.goal) > 0.05
    for message in scene.arm.trajectories:
        assert not any(message.points[-1].velocities)
    for message in scene.arm.trajectories[-2:]:
        assert len(message.points) == 1
    assert kind == TWIST or max(len(m.points) for m in scene.arm.trajectories) == 8


def test_home_is_reached_and_then_the_velocity_is_zero(
    bench: Bench, make_scene: Callable[..., Scene]
) -> None:
    scene = make_scene(obeyed=0.9)
    scene.arm.position = scene.home + 0.3 * WAY

    def go_home() -> None:
        bench.spin_until(lambda: bench.call(Trigger, 'replay_node/home').success, 'the way home')
        scene.arm.hear(20)

    scene.drive(go_home)
    assert scene.arm.away_m(scene.home) < 0.02


def test_sigint_ends_in_zero_velocity(make_scene: Callable[..., Scene], tmp_path: Path) -> None:
    scene = make_scene()
    command = [sys.executable, '-m', 'motion_policy.nodes.replay_node', '--ros-args']
    for name, value in scene.parameters.items():
        command += ['-p', f'{name}:={value}']
    environment = {**os.environ, 'ROS_LOG_DIR': str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            scene.arm.enable_when_ready()
            scene.bench.spin_until(lambda: scene.arm.away_m(scene.home) > 0.05, 'the motion')
            process.send_signal(signal.SIGINT)
            scene.bench.spin_until(lambda: process.poll() is not None, 'the end of the node')
        finally:
            process.kill()
        assert process.returncode == 0, process.stderr and process.stderr.read()
    scene.arm.wait_for_silence()
    scene.assert_left_at_rest()
    assert scene.arm.away_m(scene.goal) > 0.05
