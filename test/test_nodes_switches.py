# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Over real DDS: an emergency stop ends all motion until somebody enables again, a dead-man switch
lets the arm hold until it is held again, and the optional stages of the guard chain are at work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm
from test_control_workspace import planar_urdf

pytest.importorskip('rclpy')

from fake_arm import HOME, FakeArm, MakeNode, assert_safe
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import Bench
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

from motion_policy.errors import UserError
from motion_policy.nodes.policy_node import PolicyNode

ROBOT = formula_arm()


@pytest.mark.parametrize('durability', ['TRANSIENT_LOCAL', 'VOLATILE'])
def test_an_emergency_stop_ends_the_motion_until_it_is_released_and_enabled_again(
    bench: Bench, arm: FakeArm, make_node: MakeNode, durability: str
) -> None:
    qos = QoSProfile(depth=1, durability=QoSDurabilityPolicy[durability])
    button = bench.client.create_publisher(Bool, 'emergency_stop', qos)
    make_node()
    arm.enable_when_ready()
    arm.hear(30)
    bench.spin_until(lambda: button.get_subscription_count() > 0, 'a listener')
    button.publish(Bool(data=True))
    arm.wait_for_idle()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    answer = arm.enable()
    assert not answer.success
    assert 'the emergency stop is pressed (/emergency_stop)' in answer.message
    button.publish(Bool(data=False))
    before = len(arm.commands)
    arm.wait_for_silence()
    assert len(arm.commands) == before  # releasing it moves nothing
    arm.enable_when_ready()
    arm.hear(10)
    assert_safe(arm.commands, ROBOT)


def test_a_stop_that_was_pressed_before_the_node_came_is_heard(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    bench.client.create_publisher(Bool, 'emergency_stop', latched).publish(Bool(data=True))
    make_node()
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(lambda: 'emergency stop is pressed' in arm.enable().message, 'a refusal')
    assert arm.commands == []


def test_a_required_emergency_stop_must_be_there(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    make_node(require_emergency_stop=True)
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    assert 'nothing is heard of the emergency stop' in arm.enable().message
    button = bench.client.create_publisher(Bool, 'emergency_stop', 1)
    bench.spin_until(lambda: button.get_subscription_count() > 0, 'a listener')
    button.publish(Bool(data=False))
    arm.enable_when_ready()


def test_the_arm_moves_only_while_the_dead_man_switch_is_held(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    held = [True]
    joy = bench.client.create_publisher(Joy, 'joy', 1)
    bench.client.create_timer(0.02, lambda: joy.publish(Joy(buttons=[0, int(held[0])])))
    make_node(dead_man_topic='joy', dead_man_button=1, dead_man_timeout=1.0)
    arm.enable_when_ready()
    arm.hear(30)
    held[0] = False
    arm.wait_for_diagnostic('control', 'state', 'hold')
    commands = arm.hear(50)
    np.testing.assert_array_equal(commands[-1], commands[-2])
    assert not arm.enable(False).message.startswith('not')
    arm.wait_for_idle()
    assert 'the dead-man switch is released (/joy, button 1)' in arm.enable().message
    held[0] = True
    arm.enable_when_ready()
    arm.hear(30)
    held[0] = False
    arm.wait_for_diagnostic('control', 'state', 'hold')
    held[0] = True
    arm.wait_for_diagnostic('control', 'state', 'run')  # it goes on by itself
    assert_safe(arm.commands, ROBOT)


def test_the_tool_stays_in_its_box_and_the_joints_within_their_margin(
    arm: FakeArm, make_node: MakeNode, tmp_path: Path
) -> None:
    urdf = planar_urdf(tmp_path / 'planar.urdf')
    box = [0.0, 1.0, -1.0, 0.16, -1.0, 1.0]
    node = make_node(
        position_margin=0.3, max_jerk=200.0,
        **{'workspace.urdf': str(urdf), 'workspace.tool': 'tool', 'workspace.box': box},
    )  # fmt: skip
    arm.enable_when_ready()
    arm.hear(150)
    controller = node._driver.controller  # type: ignore[union-attr]
    workspace = controller.guard.workspace
    assert workspace is not None
    assert all(workspace.contains(command) for command in arm.commands)
    assert np.abs(arm.commands[-1] - HOME).max() > 0.01
    limits = ROBOT.joints.limits.position_array()
    commands = np.array(arm.commands)
    assert (commands >= limits[:, 0] + 0.3).all() and (commands <= limits[:, 1] - 0.3).all()
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'workspace.tool': 'tool'}, 'workspace.urdf is empty'),
        ({'position_margin': 2.5}, r'position_margin is 2.5, expected 0 <= margin < 1'),
        ({'on_violation.velocity': 'ignore'}, r"'on_violation.velocity' is 'ignore'"),
        (
            {'require_emergency_stop': True, 'emergency_stop_topic': ''},
            'emergency_stop_topic is empty',
        ),
    ],
)
def test_a_wrong_parameter_is_one_line(
    bench: Bench, checkpoint: Path, parameters: dict[str, Any], words: str
) -> None:
    values = {'checkpoint': str(checkpoint), **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = None
    with pytest.raises(UserError, match=words):
        node = PolicyNode(context=bench.context, parameter_overrides=overrides)
        node._configure()
    if node is not None:
        node.close()
