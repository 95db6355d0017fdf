# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A parameter is what it says, at start and later; what would not take effect is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_testing import Bench

from motion_policy.errors import UserError
from motion_policy.nodes.parameters.arm import GuardParameters
from motion_policy.nodes.parameters.declaring import read_group
from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.nodes.recorder_node import RecorderNode

BOX = [0.0] * 6


def refusal(bench: Bench, node: str, name: str, value: Any) -> str:
    """Set a parameter as `ros2 param set` does; why it was refused, '' if it was not."""
    message = Parameter(name, value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[message])
    [result] = bench.call(SetParameters, f'{node}/set_parameters', request).results
    assert result.successful == (not result.reason)
    return str(result.reason)


@pytest.mark.parametrize(
    ('name', 'value', 'told'),
    [
        ('interpolation', 'spline', "'interpolation' is 'spline'; expected linear or cubic"),
        ('backend', 'quantum', "'backend' is 'quantum'; expected auto or eager"),
        ('precision', 'bf8', "'precision' is 'bf8'; expected float32 or bf16"),
        ('ramp_speed', math.nan, ''),
        ('ramp_speed', math.inf, ''),
        ('ramp_speed', 2.0, ''),
        ('ramp_speed', 'fast', ''),
        ('threads', 0, ''),
        ('workspace.box', BOX[:5], "'workspace.box' has 5 numbers; expected 6"),
        ('workspace.box', [*BOX[:5], math.nan], 'expected finite numbers'),
        ('chunk.ensemble', math.nan, ''),
    ],
)
def test_what_a_parameter_cannot_be_is_refused_at_start_and_later(
    bench: Bench, name: str, value: Any, told: str
) -> None:
    with pytest.raises(UserError, match=name):
        PolicyNode(context=bench.context, parameter_overrides=[Parameter(name, value=value)])
    bench.add(PolicyNode(context=bench.context))
    reason = refusal(bench, 'policy_node', name, value)
    assert reason and told in reason


def test_what_a_configured_node_would_not_heed_is_refused_and_holds_from_the_next_configuration(
    bench: Bench, arm: FakeArm, make_node: MakeNode, checkpoint: Path
) -> None:
    node = make_node(autostart=False, checkpoint='/nowhere')
    assert refusal(bench, 'policy_node', 'checkpoint', str(checkpoint)) == ''
    assert refusal(bench, 'policy_node', 'ramp_speed', 0.5) == ''
    assert node.trigger_configure().name == 'SUCCESS'
    for name, value in (
        ('checkpoint', 'other'),
        ('ramp_speed', 0.1),
        ('on_violation.position', 'stop'),
        ('use_sim_time', True),
    ):
        assert refusal(bench, 'policy_node', name, value) == (
            f"'{name}' cannot change while the node is configured: cleanup first"
        )
    assert refusal(bench, 'policy_node', 'ramp_speed', 0.5) == ''  # which it is already
    assert refusal(bench, 'policy_node', 'publish_attention', False) == ''
    assert refusal(bench, 'policy_node', 'speed', 0.5) == ''
    assert refusal(bench, 'policy_node', 'speed', math.nan) != ''
    assert node.trigger_cleanup().name == 'SUCCESS'
    assert refusal(bench, 'policy_node', 'ramp_speed', 0.1) == ''
    assert refusal(bench, 'policy_node', 'use_sim_time', True) == ''
    assert node.get_clock().ros_time_is_active


def test_a_recorder_heeds_changes_between_recordings_and_refuses_those_it_would_not(
    bench: Bench, tmp_path: Path
) -> None:
    robot = tmp_path / 'robot.yaml'
    robot.write_text(formula_arm().to_yaml())
    overrides = [Parameter('robot', value=str(robot))]
    node = RecorderNode(context=bench.context, parameter_overrides=overrides)
    bench.add(node)
    assert refusal(bench, 'recorder_node', 'task', 'stack cubes') == ''
    assert refusal(bench, 'recorder_node', 'robot', 'aloha') != ''
    assert refusal(bench, 'recorder_node', 'reliable', True) != ''
    assert refusal(bench, 'recorder_node', 'use_sim_time', True) != ''
    node.close()


def test_a_group_is_read_with_its_present_values(bench: Bench) -> None:
    given = [
        Parameter('collision.self', value=False),
        Parameter('collision.ignore', value=['a', 'b c']),
        Parameter('workspace.box', value=[0.5, *BOX[1:]]),
    ]
    node = bench.add(PolicyNode(context=bench.context, parameter_overrides=given))
    before = read_group(node, GuardParameters)
    assert not before.collision.self_collision
    assert before.collision.ignore == ('a', 'b c')
    assert before.workspace.box == (0.5, *BOX[1:])
    assert refusal(bench, 'policy_node', 'position_margin', 0.25) == ''
    assert read_group(node, GuardParameters).position_margin == 0.25
    assert before.position_margin == 0.0
