# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A fake arm on real ROS topics, for tests of the nodes that drive one.

It is the stand-in of a rehearsal whose joints are at once where they are sent, under a grey
camera; each part can be silenced.
"""

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
import torch
from builtin_interfaces.msg import Time
from control_robots import formula_arm
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from ros_testing import Bench
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool, Trigger

from motion_policy.nodes import policy_node
from motion_policy.nodes.endpoints import Origin
from motion_policy.nodes.stand_in import StandInDriver
from motion_policy.policies import PolicySpec, make_policy, save_policy
from motion_policy.policies.normalisation import MeanStd, MinMax, Normalisation
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.judge import Drive, Limits, breaches
from motion_policy.robot import JointTopic, RobotSpec

MakeNode = Callable[..., policy_node.PolicyNode]
HOME = 0.1
SEND_JITTER_NS = 2_000_000  # how well the time at which a command left is known
# The tests judge every single command, also on a machine so busy that the newest would win.
LOSSLESS = {'qos_overrides./forward_position_controller/commands.publisher.depth': 100}


class Commands(list[np.ndarray]):
    """Commands in the order in which they were sent, and when they were, in ns."""

    def __init__(self) -> None:
        super().__init__()
        self.sent_ns: list[int] = []

    def add(self, position: np.ndarray, sent_ns: int) -> None:
        """Append a command."""
        self.append(position)
        self.sent_ns.append(sent_ns)


class FeelingJoints(StandInArm):
    """Joints that feel where they stand."""

    @property
    def effort(self) -> np.ndarray:
        """Their positions (J,)."""
        return self.position


class FakeArm:
    """Joint states at 100 Hz, images at 25 Hz, and a record of everything it was told."""

    def __init__(
        self,
        bench: Bench,
        robot: RobotSpec,
        node_name: str = 'policy_node',
        publishes: bool = True,
    ) -> None:
        self.bench = bench
        self.robot = robot
        self.node_name = node_name
        self.joints = FeelingJoints(robot, np.full(len(robot.joints.names), HOME), lags=False)
        self.commands = Commands()
        self.diagnostics: list[DiagnosticArray] = []
        self.clock_ahead_ns = 0
        self.camera_works = True
        self.images = 0
        self.grey = 90
        self.joints_work = True
        node = bench.client
        self.stand_in = StandInDriver(
            node,
            robot,
            self.joints,
            image_of=lambda name: self.image_of(name),
            on_command=self._hear_command,
            stamp=lambda: self.stamp(),  # which a test may replace
            reverse=True,
        )
        self.stand_in.tells_velocity = self.stand_in.tells_effort = False
        node.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        if publishes:
            node.create_timer(0.01, self.publish_joints)
            node.create_timer(0.04, self.publish_image)

    @property
    def position(self) -> np.ndarray:
        """Where its joints are (J,); they can be put elsewhere."""
        return self.joints.position

    @position.setter
    def position(self, position: np.ndarray) -> None:
        self.joints.place(position)

    @property
    def feels(self) -> bool:
        """Whether it reports efforts."""
        return self.stand_in.tells_effort

    @feels.setter
    def feels(self, feels: bool) -> None:
        self.stand_in.tells_effort = feels

    @property
    def camera(self) -> Any:
        """The publisher of the camera."""
        return self.stand_in.publishers['top']

    @property
    def listener(self) -> Any:
        """The subscription of the commands."""
        return self.stand_in.subscriptions[0]

    @property
    def obeys(self) -> bool:
        """Whether it heeds commands; it notes them anyway."""
        return self.joints.obeys

    @obeys.setter
    def obeys(self, obeys: bool) -> None:
        self.joints.obeys = obeys

    def enable(self, on: bool = True) -> Any:
        """Call `~/enable`."""
        request = SetBool.Request(data=on)
        return self.bench.call(SetBool, f'{self.node_name}/enable', request)

    def enable_when_ready(self) -> None:
        """Call `~/enable` until it succeeds; the streams need a moment to be discovered."""

        def enabled() -> bool:
            if self.enable().success:
                return True
            self.bench.spin_for(0.03)
            return False

        self.bench.spin_until(enabled, 'a successful enable')

    def reset(self) -> Any:
        """Call `~/reset`."""
        return self.bench.call(Trigger, f'{self.node_name}/reset')

    def hear(self, count: int) -> list[np.ndarray]:
        """Wait for so many more commands and return them."""
        first = len(self.commands)
        self.bench.spin_until(lambda: len(self.commands) >= first + count, f'{count} commands')
        return self.commands[first:]

    def wait_for_silence(self, ticks: int = 25) -> None:
        """Wait until no command came for so many control periods."""
        last, since = -1, 0.0
        clock = self.bench.client.get_clock()

        def silent() -> bool:
            nonlocal last, since
            now = clock.now().nanoseconds
            if len(self.commands) != last:
                last, since = len(self.commands), now
            return bool(now - since > ticks * self.robot.period_ns)

        self.bench.spin_until(silent, 'silence')

    def wait_for_idle(self) -> None:
        """Wait until the node says that it is idle, and until its last commands are here."""
        self.diagnostics.clear()
        self.wait_for_diagnostic('control', 'state', 'disabled')
        self.wait_for_silence()

    def diagnostic(self, name: str, key: str) -> str:
        """Return the newest value of a key of the status whose name ends so; '' without one."""
        for message in reversed(self.diagnostics):
            for status in message.status:
                if status.name.endswith(name):
                    return {v.key: v.value for v in status.values}.get(key, '')
        return ''

    def wait_for_diagnostic(self, name: str, key: str, text: str) -> None:
        """Wait until the newest value of that key contains `text`."""

        def instead() -> str:
            statuses = self.diagnostics[-1].status if self.diagnostics else []
            told = [f'{s.name} ({", ".join(f"{v.key}: {v.value}" for v in s.values)})'
                    for s in statuses]  # fmt: skip
            return f'{len(self.diagnostics)} diagnostics, the last: {"; ".join(told)}'

        self.bench.spin_until(
            lambda: text in self.diagnostic(name, key), f'{key}: {text}', instead
        )

    def stamp(self) -> Time:
        """Return what sensors stamp their messages with."""
        now = self.bench.client.get_clock().now() + Duration(nanoseconds=self.clock_ahead_ns)
        stamp: Time = now.to_msg()
        return stamp

    def publish_joints(self) -> None:
        """Publish the joint state, if joints work."""
        if self.joints_work:
            self.stand_in.publish('state')

    def publish_image(self) -> None:
        """Publish an image, if the camera works."""
        if self.camera_works:
            self.stand_in.publish('top')

    def image_of(self, name: str) -> np.ndarray:
        """Return a grey image."""
        camera = self.robot.cameras[name]
        image = np.full((camera.height, camera.width, 3), self.grey, dtype=np.uint8)
        # One byte differs from image to image, as those of a living camera do.
        self.images += 1
        image[0, 0, 0] = 60 + self.images % 60
        return image

    def _hear_command(self, _topic: JointTopic, message: Any, origin: Origin) -> None:
        self.take_command(message, origin.stamp_ns or 0)

    def take_command(self, message: Any, sent_ns: int) -> None:
        """Note a command and obey."""
        self.commands.add(np.array(message.data), sent_ns)
        self.joints.command(self.commands[-1])


def stand_before_policy(
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Callable[..., Any]], Callable[..., Any]],
    *names: str,
) -> None:
    """Let every policy that a node loads have `change(method)` for its methods of these names."""
    load = policy_node.load_policy

    def load_changed(*args: Any) -> Any:
        policy = load(*args)
        for name in names:
            setattr(policy, name, change(getattr(policy, name)))
        return policy

    monkeypatch.setattr(policy_node, 'load_policy', load_changed)


def end_on_the_way(
    arm: FakeArm,
    parameters: dict[str, Any],
    sent: signal.Signals | Callable[[subprocess.Popen[str]], None],
    log_dir: Path,
) -> None:
    """Start the arm's node as a process, let it move, end it by a signal: the arm must be held.

    A function instead of the signal is called with the process and has to end it.
    """
    command = [sys.executable, '-m', f'motion_policy.nodes.{arm.node_name}', '--ros-args']
    for name, value in {**parameters, **LOSSLESS}.items():
        command += ['-p', f'{name}:={value}']
    environment = {**os.environ, 'ROS_LOG_DIR': str(log_dir)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            arm.enable_when_ready()
            arm.hear(50)
            if isinstance(sent, signal.Signals):
                process.send_signal(sent)
            else:
                sent(process)
            arm.bench.spin_until(lambda: process.poll() is not None, 'the end of the node')
        finally:
            process.kill()  # where the test failed
        arm.wait_for_silence()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.returncode == 0, f'{process.returncode}: {said}'
        assert 'Traceback' not in said
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    assert_safe(arm.commands, arm.robot)


def save_random_policy(
    folder: Path, robot: RobotSpec, rate: float = 10.0, seed: int = 0, *, effort: bool = False
) -> Path:
    """Save a small SARNN with random weights whose targets lie in the middle of the limits."""
    torch.manual_seed(seed)
    low, high = robot.joints.limits.position_array().T
    span = MinMax(min=tuple(0.5 * low), max=tuple(0.5 * high))
    camera = robot.cameras['top']
    spec = PolicySpec(
        kind='sarnn',
        rate=rate,
        cameras=('top',),
        image_size=(camera.height, camera.width),
        hyper={'rec_dim': 8, 'k_dim': 2},
        effort=effort,
        normalisation=Normalisation(qpos=span, action=span, effort=span),
        robot=robot,
    )
    return save_policy(make_policy(spec), folder)


def save_random_chunk_policy(folder: Path, robot: RobotSpec, rows: int) -> Path:
    """Save a small ACT with random weights for three joints, at the rate of the robot."""
    torch.manual_seed(0)
    spread = MeanStd(mean=(0.1, 0.1, 0.1), std=(0.2, 0.2, 0.2))
    hyper = {
        'chunk': rows, 'hidden_dim': 32, 'heads': 2, 'feedforward_dim': 32, 'encoder_layers': 1,
        'backbone': 'small', 'posterior': False,
    }  # fmt: skip
    spec = PolicySpec(
        kind='act',
        rate=robot.rate,
        cameras=('top',),
        image_size=(96, 128),
        hyper=hyper,
        normalisation=Normalisation(qpos=spread, action=spread),
        robot=robot,
    )
    return save_policy(make_policy(spec), folder)


def assert_safe(
    commands: Commands,
    robot: RobotSpec,
    start: np.ndarray | None = None,
    simulated_time: bool = False,
    steps_only: bool = False,
) -> None:
    """Every command is finite and keeps every limit in the time since the one before.

    With `simulated_time` that is a control period for each, whatever it took; `steps_only` leaves
    out accelerations, for a test in which some took more or less.
    """
    drive = Drive(np.full(len(robot.joints.names), HOME) if start is None else start)
    for number, (position, sent_ns) in enumerate(zip(commands, commands.sent_ns, strict=True)):
        drive.add(number * robot.period_ns if simulated_time else sent_ns, position)
    limits = robot.joints.limits
    judged = Limits(
        limits.position_array(), limits.velocity_array(), limits.acceleration_array(),
        robot.period_ns,
    )  # fmt: skip
    assert commands
    found = breaches(drive, judged, 0 if simulated_time else SEND_JITTER_NS)
    if steps_only:
        found.pop('acceleration', None)
    assert not found, f'{found} in {[*zip(drive.times_ns, drive.positions, strict=True)]}'


class SimulatedArm(FakeArm):
    """Publishes /clock and stamps with it, in steps of 10 ms, as fast or slow as it is told."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, formula_arm(), publishes=False)
        self.time_ns = 5_000_000_000
        self._clock = bench.client.create_publisher(Clock, '/clock', 10)

    def stamp(self) -> Time:
        """Return the simulated time."""
        seconds, nanoseconds = divmod(self.time_ns, 1_000_000_000)
        return Time(sec=seconds, nanosec=nanoseconds)

    def step(self) -> None:
        """Let 10 ms pass; a joint state every step, an image every fourth."""
        self.time_ns += 10_000_000
        self._clock.publish(Clock(clock=self.stamp()))
        self.publish_joints()
        if self.time_ns % 40_000_000 == 0:
            self.publish_image()
        for _ in range(5):
            self.bench.executor.spin_once(timeout_sec=0.0005)


def set_out_again(arm: FakeArm) -> bool:
    """Whether a disabled arm gets commands without anybody's leave."""
    before = len(arm.commands)
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('control', 'state', 'disabled')
    arm.bench.spin_until(lambda: len(arm.diagnostics) > 3, 'some time')
    return len(arm.commands) > before
