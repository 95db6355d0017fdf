# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: an arm that guards keep from where it is sent says so, and waits for an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from controlled_arm import ROBOT, TICK_NS, Arm
from random_arms import rods

from motion_policy.control import GuardChain
from motion_policy.control.collision import CollisionGuard
from motion_policy.control.workspace import Workspace
from motion_policy.errors import UserError

BEGIN = np.array([-0.3, 0.4, 0.0])
BEYOND = np.array([0.9, 0.4, 0.0])
BEHIND = np.array([0.9, 1.3, 0.0])  # of the wall, on the straight way
BOX = (-1.0, 1.3, -1.0, 0.6, -1.0, 1.0)
WALL = [0.75, 0.76, 0.2, 0.6, -1.0, 1.0]


def guarded(
    kind: str, folder: Path, home: np.ndarray, on_violation: Any = None, **options: Any
) -> Arm:
    """An arm at `BEGIN` in a box of its tool, or before a wall."""
    urdf = rods(folder)
    robot = ROBOT.model_copy(update={'home': tuple(home)})
    stages: dict[str, Any] = {}
    if kind == 'workspace':
        stages['workspace'] = Workspace(urdf, 'rod3', BOX, robot.joints.names)
    elif kind == 'collision':
        stages['collision'] = CollisionGuard(urdf, robot, boxes=WALL, self_collision=False)
    else:
        stages['max_following_error'] = 0.1
    return Arm(
        BEGIN, robot=robot, guard=GuardChain(robot, on_violation=on_violation, **stages), **options
    )


@pytest.mark.parametrize('auto_resume_s', [1.0, 60.0])
@pytest.mark.parametrize(
    ('kind', 'by'),
    [
        ('workspace', 'the policy'),
        ('collision', 'the policy'),
        ('following_error', 'the policy'),
        ('collision', 'home'),
        ('following_error', 'home'),
    ],
)
def test_a_ramp_that_comes_no_nearer_ends_disabled_with_what_is_in_its_way(
    tmp_path: Path, kind: str, by: str, auto_resume_s: float
) -> None:
    target = BEHIND if kind == 'collision' else BEYOND
    arm = guarded(kind, tmp_path, target, ramp_speed=0.5, auto_resume_s=auto_resume_s)
    if by == 'home':
        arm.go_home()
    else:
        arm.enable()
    arm.follows = kind != 'following_error'  # an arm that is blocked, within its tolerance
    commands = arm.run(400, lambda now_ns, measured: target[None])
    assert {c.state for c in commands} == {'ramp', 'brake'} and len(commands) < 300
    assert arm.controller.state == 'disabled'
    reason = arm.controller.reason
    goal = 'home' if by == 'home' else 'first target'
    assert reason.startswith(f'{goal} out of reach: {kind}'), reason
    assert f'and was to go to {target[0]:.3f}' in reason
    if kind == 'workspace':
        assert "'rod3' at y = " in reason
    elif kind == 'collision':
        assert 'rod' in reason and 'box:1' in reason
    arm.assert_safe()


def test_a_home_where_the_arm_must_not_be_is_refused_at_the_call(tmp_path: Path) -> None:
    arm = guarded('workspace', tmp_path, BEYOND)
    with pytest.raises(UserError, match=r"home: workspace: 'rod3' at y = .*within \[-1, 0.6\]"):
        arm.go_home()
    assert arm.controller.state == 'disabled'
    inside_the_wall = np.array([0.5, 0.0, 0.0])
    arm = guarded('collision', tmp_path, inside_the_wall)
    with pytest.raises(UserError, match=r'home: collision: .*box:1'):
        arm.go_home()


@pytest.mark.parametrize('auto_resume_s', [0.0, 1.0, 3.0])
def test_a_way_home_that_a_violation_stops_ends_disabled(
    tmp_path: Path, auto_resume_s: float
) -> None:
    on_violation: Any = {'collision': 'stop'}
    arm = guarded(
        'collision', tmp_path, BEHIND, auto_resume_s=auto_resume_s, on_violation=on_violation
    )
    arm.go_home()
    arm.run(400, None)
    assert arm.controller.state == 'disabled'
    assert arm.controller.reason.startswith('collision: ')
    arm.assert_safe()


@pytest.mark.slow
@pytest.mark.parametrize('speed', [1.0, 0.01])
def test_a_ramp_that_is_only_slow_is_not_given_up(tmp_path: Path, speed: float) -> None:
    home = BEGIN + 0.05
    arm = guarded('workspace', tmp_path, home, ramp_speed=0.05, speed=speed)
    arm.go_home()
    arm.run(20, None)
    arm.controller.speed = 0.0
    arm.run(200, None)
    assert arm.controller.state == 'ramp'
    arm.controller.speed = speed
    arm.run(100 + round(0.06 / (0.05 * speed) * 1e9 / TICK_NS), None)
    assert arm.controller.state == 'disabled' and arm.controller.reason == ''
    np.testing.assert_allclose(arm.measured, home, atol=1e-6)
