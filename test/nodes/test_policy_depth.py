# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that was trained with depth drives the arm while depth comes, and holds it else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from fake_arm import FakeArm, MakeNode, assert_safe
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from recordings import depth_image
from ros_testing import Bench
from sensor_msgs.msg import Image

from motion_policy.policies import PolicySpec, make_policy, save_policy
from motion_policy.policies.normalisation import MinMax, Normalisation
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 30, 40
DEPTH = f"""
depth:
  top: {{topic: top/depth, width: {WIDTH}, height: {HEIGHT}, max_age: 1.0}}
  unused: {{topic: nowhere, width: {WIDTH}, height: {HEIGHT}}}
"""


def deep_arm(old: str = '', new: str = '') -> RobotSpec:
    return robot_spec_from_yaml(formula_arm().to_yaml() + DEPTH.replace(old, new), 'deep.yaml')


class DepthCamera:
    """Publishes depth at 25 Hz, while it speaks."""

    def __init__(self, bench: Bench) -> None:
        self.speaks, self.tick = True, 0
        self._bench = bench
        self._publisher = bench.client.create_publisher(Image, 'top/depth', 10)
        bench.client.create_timer(0.04, self.publish)

    def publish(self) -> None:
        self.tick += 1
        if not self.speaks:
            return
        pixels = depth_image(self.tick % 500)
        message = Image(height=HEIGHT, width=WIDTH, encoding='16UC1', step=2 * WIDTH)
        message.header.stamp = self._bench.client.get_clock().now().to_msg()
        message.data.frombytes(pixels.astype('<u2').tobytes())
        self._publisher.publish(message)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a random policy that sees depth beside the camera of the same name."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    robot = deep_arm()
    low, high = robot.joints.limits.position_array().T
    span = MinMax(min=tuple(0.5 * low), max=tuple(0.5 * high))
    spec = PolicySpec(
        kind='sarnn', rate=10.0, cameras=('top', 'depth_top'), image_size=(24, 32),
        hyper={'rec_dim': 8, 'k_dim': 2}, depth={'top': (0.5, 1.1)},
        normalisation=Normalisation(qpos=span, action=span), robot=robot,
    )  # fmt: skip
    return save_policy(make_policy(spec), tmp_path_factory.mktemp('models') / 'deep')


def test_the_arm_moves_while_depth_comes_and_is_held_when_it_does_not(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    log: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: log.append(m.msg), 100)
    make_node()
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(lambda: 'depth_top' in arm.enable().message, 'a refusal')
    assert not arm.enable().success and arm.commands == []
    depth = DepthCamera(bench)
    arm.enable_when_ready()
    commands = arm.hear(100)
    assert np.abs(commands[-1] - commands[0]).max() > 0.05
    depth.speaks = False
    bench.spin_until(lambda: any('depth_top' in x and 'stale' in x for x in log), 'a hold')
    arm.hear(25)
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    depth.speaks = True
    arm.wait_for_diagnostic('streams', 'depth_top age [ms]', '.')
    assert_safe(arm.commands, arm.robot)


def test_a_robot_without_that_depth_is_one_line_when_configured(
    arm: FakeArm, make_node: MakeNode, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'deep.yaml'
    path.write_text(deep_arm('  top:', '  side:').to_yaml())
    node = make_node(autostart=False, robot=str(path))
    capfd.readouterr()
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    (line,) = [x for x in capfd.readouterr().err.splitlines() if 'cannot configure' in x]
    assert "needs camera 'depth_top', but" in line
