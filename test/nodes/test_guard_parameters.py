# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The guard chain's parameters make the stages they name; what would have no effect is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from control_robots import formula_arm
from random_arms import rods

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_testing import Bench

from motion_policy.control import GuardChain
from motion_policy.errors import UserError
from motion_policy.nodes.guard_parameters import declare_guard_parameters, make_guard
from motion_policy.nodes.parameters.arm import GuardParameters
from motion_policy.nodes.parameters.declaring import read_group

ROBOT = formula_arm()
WALL = [0.3, 0.31, -0.8, -0.3, -1.0, 1.0]


def node_with(bench: Bench, **values: Any) -> Node:
    parameters = [
        Parameter(name.replace('__', '.'), value=value) for name, value in values.items()
    ]
    node = Node('guarded', context=bench.context, parameter_overrides=parameters)
    declare_guard_parameters(node)
    return bench.add(node)


def guard_of(node: Node) -> GuardChain:
    return make_guard(read_group(node, GuardParameters), ROBOT)


def test_no_parameter_no_stage(bench: Bench) -> None:
    guard = guard_of(node_with(bench))
    assert (guard.workspace, guard.collision, guard.tool_speed) == (None, None, None)


def test_collisions_and_tool_speed_come_from_parameters(bench: Bench, tmp_path: Path) -> None:
    urdf = str(rods(tmp_path))
    node = node_with(
        bench, collision__urdf=urdf, collision__boxes=WALL, collision__margin=0.02,
        collision__ignore=['rod1 rod3'], workspace__urdf=urdf, workspace__tool='rod3',
        tool_speed_limit=0.25, on_violation__collision='stop',
    )  # fmt: skip
    guard = guard_of(node)
    assert guard.collision is not None and guard.tool_speed is not None
    assert [pair.links for pair in guard.collision.pairs] == [
        (f'rod{number}', 'box:1') for number in (1, 2, 3)
    ]
    assert guard.collision.margin == 0.02
    assert guard.tool_speed.limit == 0.25
    assert guard.workspace is None
    assert guard.reaction('collision') == 'stopped'
    assert guard.limit_tool_speed(0.5) and not guard.limit_tool_speed(0.5)


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'collision__boxes': WALL}, 'collision.urdf is empty'),
        ({'tool_speed_limit': 0.25}, 'tool_speed_limit needs workspace.urdf'),
        ({'workspace__tool': 'rod3'}, 'workspace.urdf is empty'),
        ({'collision__urdf': 'none.urdf'}, 'collision.urdf: none.urdf: no such file'),
    ],
)
def test_a_stage_without_its_urdf_is_refused(
    bench: Bench, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        guard_of(node_with(bench, **values))


def test_a_tool_speed_that_would_have_no_effect_is_refused(bench: Bench) -> None:
    node = node_with(bench)
    (result,) = node.set_parameters([Parameter('tool_speed_limit', value=0.25)])
    assert isinstance(result, SetParametersResult) and not result.successful
    assert 'workspace.urdf' in result.reason


def test_the_tool_speed_of_a_node_that_drives_changes(
    arm: FakeArm, make_node: MakeNode, tmp_path: Path
) -> None:
    urdf = str(rods(tmp_path))
    parameters = {'workspace.urdf': urdf, 'workspace.tool': 'rod3', 'tool_speed_limit': 0.25}
    node = make_node(**parameters)
    guard = node._driver.controller.guard
    assert guard.tool_speed.limit == 0.25
    node.set_parameters([Parameter('tool_speed_limit', value=0.1)])
    arm.bench.spin_until(lambda: guard.tool_speed.limit == 0.1, 'the new limit')


def test_an_arm_that_stands_in_something_is_not_enabled(
    arm: FakeArm, make_node: MakeNode, tmp_path: Path
) -> None:
    around = [0.3, 0.5, -0.5, 0.5, -0.5, 0.5]
    make_node(**{'collision.urdf': str(rods(tmp_path)), 'collision.boxes': around})
    named = "not enabled: collision: 'rod1' touches 'box:1'"
    arm.bench.spin_until(lambda: named in arm.enable().message, named)
    assert arm.commands == []
