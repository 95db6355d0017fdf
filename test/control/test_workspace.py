# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: the tool never leaves its box, however the targets jump and whenever the arm brakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from control_robots import formula_arm
from planar_arm import LENGTHS, planar_urdf

from motion_policy.control import GuardChain
from motion_policy.control.workspace import Workspace
from motion_policy.errors import UserError

PERIOD_NS = 20_000_000
BOX = (0.2, 0.65, -0.3, 0.3, -1.0, 1.0)


def by_formula(joints: np.ndarray) -> np.ndarray:
    a, b, c = joints
    reach = LENGTHS[0] * np.exp(1j * a) + LENGTHS[1] * np.exp(1j * (a + b))
    return np.array([reach.real, reach.imag, c])


def workspace(tmp_path: Path, **options: str) -> Workspace:
    urdf = planar_urdf(tmp_path / 'planar.urdf', **options)
    return Workspace(urdf, 'tool', BOX, ('joint3', 'joint1', 'joint2', 'gripper'))


@pytest.mark.parametrize('second', ['revolute', 'continuous'])
def test_the_tool_is_where_the_formula_has_it(tmp_path: Path, second: str) -> None:
    box = workspace(tmp_path, second=second)
    for joints in np.random.default_rng(0).uniform(-2, 2, (20, 3)):
        ours = np.array([joints[2], joints[0], joints[1], 0.7])  # another order, and a gripper
        np.testing.assert_allclose(box.tool_position(ours), by_formula(joints), atol=1e-9)


def test_the_way_to_a_target_outside_ends_at_the_border(tmp_path: Path) -> None:
    urdf = planar_urdf(tmp_path / 'planar.urdf')
    box = Workspace(urdf, 'tool', BOX, ('joint1', 'joint2', 'joint3'))
    inside, target = np.zeros(3) + [0.0, 1.0, 0.0], np.array([1.5, 0.5, 0.0])
    assert box.nearest_inside(inside, inside) is inside
    reached = box.nearest_inside(inside, target)
    assert box.contains(reached)
    assert by_formula(reached)[1] == pytest.approx(0.3, abs=1e-3)
    assert box.describe(target) == "'tool' at x = -0.097 m, expected within [0.2, 0.65]"


@pytest.mark.parametrize('shortest', [1.0, 0.1])
@pytest.mark.parametrize('seed', range(5))
def test_nothing_that_is_sent_has_the_tool_outside(
    tmp_path: Path, seed: int, shortest: float
) -> None:
    urdf = planar_urdf(tmp_path / 'planar.urdf')
    robot = formula_arm()
    box = Workspace(urdf, 'tool', BOX, robot.joints.names)
    chain = GuardChain(robot, workspace=box)
    chain.start(np.array([-0.2, 1.0, 0.0]))
    random = np.random.default_rng(seed)
    target, far = np.zeros(3), 0
    for tick in range(600):
        if tick % 25 == 0:
            target = random.uniform(-2, 2, 3)
        # A tick may be late, and the one after it so much sooner.
        dt_ns = round(PERIOD_NS * random.uniform(shortest, 2.0 - shortest))
        braking = tick % 60 > 50
        result = chain.stop(dt_ns) if braking else chain.apply(target, None, dt_ns)
        assert box.contains(result.position), tick
        far += result.violations.get('workspace', 0)
    assert far > 0
    assert chain.counts['workspace'] == far
    limiter = chain.limiter
    assert (np.abs(limiter.velocity) <= limiter.max_velocity).all()


def test_a_target_inside_is_reached(tmp_path: Path) -> None:
    urdf = planar_urdf(tmp_path / 'planar.urdf')
    robot = formula_arm()
    chain = GuardChain(robot, workspace=Workspace(urdf, 'tool', BOX, robot.joints.names))
    chain.start(np.array([-0.2, 1.0, 0.0]))
    target = np.array([-0.5, 1.2, 0.3])
    for _ in range(200):
        result = chain.apply(target, None, PERIOD_NS)
    np.testing.assert_allclose(result.position, target, atol=1e-6)
    assert chain.counts['workspace'] == 0


def test_leaving_the_box_stops_where_that_is_asked_for(tmp_path: Path) -> None:
    urdf = planar_urdf(tmp_path / 'planar.urdf')
    robot = formula_arm()
    box = Workspace(urdf, 'tool', BOX, robot.joints.names)
    chain = GuardChain(robot, workspace=box, on_violation={'workspace': 'stop'})
    chain.start(np.array([-0.2, 1.0, 0.0]))
    result = chain.apply(np.array([0.9, 0.5, 0.0]), None, PERIOD_NS)
    assert result.stopped_by == 'workspace: the tool would leave its box'
    assert result.violations == {'workspace': 1}


def test_an_arm_that_stands_outside_does_not_start(tmp_path: Path) -> None:
    urdf = planar_urdf(tmp_path / 'planar.urdf')
    robot = formula_arm()
    chain = GuardChain(robot, workspace=Workspace(urdf, 'tool', BOX, robot.joints.names))
    with pytest.raises(UserError, match=r"workspace: 'tool' at x = 0.700 m, .* move it there"):
        chain.start(np.zeros(3))


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    urdf, names = planar_urdf(tmp_path / 'planar.urdf'), ('joint1', 'joint2', 'joint3')
    for arguments, words in (
        ((tmp_path / 'none.urdf', 'tool', BOX, names), 'none.urdf: no such file'),
        ((urdf, 'hand', BOX, names), r"no link 'hand', expected one of: base"),
        ((urdf, 'tool', BOX[:4], names), 'expected 6 numbers'),
        ((urdf, 'tool', (1, 0, 0, 1, 0, 1), names), 'x from 1 to 0, expected min < max'),
        ((urdf, 'tool', BOX, names[:2]), "joint 'joint3' moves 'tool', expected only joints"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            Workspace(*arguments)
        assert '\n' not in str(caught.value)
    (tmp_path / 'text.urdf').write_text('no robot here')
    with pytest.raises(UserError, match=r'text.urdf: is no URDF'):
        Workspace(tmp_path / 'text.urdf', 'tool', BOX, names)
