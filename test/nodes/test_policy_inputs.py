# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that was trained with a wrench and the pose of the tool holds the arm without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from fake_arm import FakeArm, MakeNode, assert_safe
from geometry_msgs.msg import WrenchStamped
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import Bench
from tf2_type import tf_message_class
from transform_messages import transform_bytes, turned

from motion_policy.policies import PolicySpec, make_policy, save_policy
from motion_policy.policies.normalisation import MinMax, Normalisation
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

pytestmark = pytest.mark.slow

INPUTS = ('wrench', 'forces', 'tcp')
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
VECTORS = """
vectors:
  wrench: {topic: wrench, type: geometry_msgs/msg/WrenchStamped, max_age: 1.0,
    fields: [wrench.force.x, wrench.force.y]}
  forces: {topic: wrench, type: geometry_msgs/msg/WrenchStamped, max_age: 1.0,
    fields: [wrench.force.x], window: last, count: 3}
  tcp: {transform: [base, tool], max_age: 1.0}
  unused: {topic: unused, type: nowhere_msgs/msg/Unknown, fields: [data]}
"""


def feeling_arm(changes: tuple[str, str] = ('', '')) -> RobotSpec:
    text = formula_arm().to_yaml() + VECTORS.replace(*changes)
    return robot_spec_from_yaml(text, 'feeling.yaml')


class Wrench:
    """Publishes forces and the tool's pose at 50 Hz; they can be silenced, or be no numbers."""

    def __init__(self, bench: Bench) -> None:
        self.force: float | None = 5.0
        self.sees = True
        self._bench = bench
        self._publisher = bench.client.create_publisher(WrenchStamped, 'wrench', 10)
        self._tf = bench.client.create_publisher(tf_message_class(), 'tf', 10)
        self._latched = bench.client.create_publisher(tf_message_class(), 'tf_static', LATCHED)
        self._latched.publish(transform_bytes(('link', 'tool', 0, turned([1, 0, 0], 3.1))))
        bench.client.create_timer(0.02, self.publish)

    def publish(self) -> None:
        if self.force is not None:
            message = WrenchStamped()
            message.header.stamp = self._bench.client.get_clock().now().to_msg()
            message.wrench.force.x, message.wrench.force.y = self.force, -self.force
            self._publisher.publish(message)
        if self.sees:
            now_ns = self._bench.client.get_clock().now().nanoseconds
            self._tf.publish(transform_bytes(('base', 'link', now_ns, turned([0, 0, 1], 0.3))))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a random policy that sees the wrench."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    robot = feeling_arm()
    low, high = robot.joints.limits.position_array().T
    span = MinMax(min=tuple(0.5 * low), max=tuple(0.5 * high))
    forces = MinMax(min=(-10.0,) * 5 + (-1.0,) * 7, max=(10.0,) * 5 + (1.0,) * 7)
    spec = PolicySpec(
        kind='sarnn', rate=10.0, cameras=('top',), image_size=(24, 32),
        hyper={'rec_dim': 8, 'k_dim': 2}, inputs=INPUTS,
        normalisation=Normalisation(qpos=span, action=span, inputs=forces), robot=robot,
    )  # fmt: skip
    return save_policy(make_policy(spec), tmp_path_factory.mktemp('models') / 'feeling')


@pytest.fixture
def log(bench: Bench) -> list[str]:
    lines: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: lines.append(m.msg), 100)
    return lines


@pytest.mark.parametrize(
    ('force', 'sees', 'vector'),
    [(None, True, 'wrench'), (float('nan'), True, 'forces'), (5.0, False, 'tcp')],
)
def test_the_arm_moves_while_all_vectors_come_and_is_held_when_one_does_not(
    bench: Bench, arm: FakeArm, make_node: MakeNode, log: list[str], force: Any, sees: bool,
    vector: str,
) -> None:  # fmt: skip
    wrench = Wrench(bench)
    make_node()
    arm.enable_when_ready()
    commands = arm.hear(100)
    assert np.abs(commands[-1] - commands[0]).max() > 0.05
    wrench.force, wrench.sees = force, sees
    bench.spin_until(lambda: any(f"'{vector}'" in x and 'stale' in x for x in log), 'a hold')
    arm.hear(25)
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    wrench.force, wrench.sees = 5.0, True
    arm.wait_for_diagnostic('streams', f'{vector} age [ms]', '.')
    assert_safe(arm.commands, arm.robot)


def test_enable_is_refused_while_nobody_tells_the_wrench(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(lambda: '/wrench' in arm.enable().message, 'a refusal')
    answer = arm.enable()
    assert not answer.success and 'geometry_msgs/msg/WrenchStamped' in answer.message
    assert arm.commands == []


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (('force.x', 'forse.x'), "vectors.wrench: 'wrench.forse.x': geometry_msgs/msg/Wrench has"),
        (('force.x, w', 'torque.x, w'), "needs vector 'wrench' (wrench.force.x, wrench.force.y)"),
        (('wrench: {', 'hand: {'), "needs vector 'wrench' (wrench.force.x, wrench.force.y), but"),
        (('geometry_msgs', 'geometri_msgs'), "package 'geometri_msgs' is not installed"),
        (('base, tool', 'base, hand'), "'tcp' was newest of base -> tool: translation.x, "),
        (('count: 3', 'count: 4'), "'forces' was the last 3 in training, but 'formula_arm' has"),
    ],
)
def test_a_robot_without_that_wrench_is_one_line_when_configured(
    arm: FakeArm,
    make_node: MakeNode,
    tmp_path: Path,
    changes: Any,
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / 'feeling.yaml'
    path.write_text(formula_arm().to_yaml() + VECTORS.replace(*changes))
    node = make_node(autostart=False, robot=str(path))
    capfd.readouterr()
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    (line,) = [x for x in capfd.readouterr().err.splitlines() if 'cannot configure' in x]
    assert words in line
