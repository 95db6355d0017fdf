# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: the robot never touches itself or a box, however thin, fast and late it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from control_robots import formula_arm
from random_arms import RandomArm, random_arm, rods, write_urdf

from motion_policy.control import ActionBuffer, GuardChain
from motion_policy.control.collision import CollisionGuard
from motion_policy.control.lookahead import Lookahead, Plan
from motion_policy.errors import UserError

pytestmark = pytest.mark.slow

MARGIN = 0.01
THIN = 0.001  # m
BETWEEN = 12  # positions between two commands that are looked at
PERIOD_NS = 20_000_000
TABLE = [-1.0, 1.0, -1.0, 1.0, -0.5, -0.1]
WALL = [0.3, 0.31, -0.8, -0.3, -1.0, 1.0]  # beside the arm


def thin_walls(random: np.random.Generator, count: int = 3) -> np.ndarray:
    """Plates of 1 mm, small and large, anywhere within reach."""
    middle = random.uniform(-0.8, 0.8, (count, 3))
    size = random.uniform(0.05, 0.6, (count, 3))
    size[np.arange(count), random.integers(0, 3, count)] = THIN
    boxes = np.empty((count, 6))
    boxes[:, 0::2], boxes[:, 1::2] = middle - size / 2, middle + size / 2
    return boxes


def scene(seed: int, folder: Path) -> tuple[RandomArm, np.ndarray, CollisionGuard, np.ndarray]:
    """An arm, walls, its guard, and where it may begin."""
    random = np.random.default_rng(seed)
    while True:
        arm = random_arm(random)
        urdf = write_urdf(arm, folder / 'arm.urdf')
        joints = len(arm.lengths)
        start = random.uniform(-2.5, 2.5, joints)
        boxes = thin_walls(random)
        # The first link is moved by the first joint alone, and may be in a wall whatever it does.
        try:
            guard = CollisionGuard(urdf, arm.robot, boxes=boxes.ravel().tolist(), margin=MARGIN)
        except UserError:
            continue
        if not guard.describe(start) and guard.distances(start).min() > MARGIN:
            return arm, boxes, guard, start


@pytest.mark.parametrize('seed', range(12))
def test_nothing_that_is_sent_touches_anything(tmp_path: Path, seed: int) -> None:
    arm, boxes, guard, start = scene(seed, tmp_path)
    random = np.random.default_rng(seed)
    period_ns = arm.robot.period_ns
    chain = GuardChain(arm.robot, collision=guard)
    chain.start(start)
    joints, target, before, met = len(start), start, start, 0
    shares = np.linspace(0, 1, BETWEEN + 1)[1:, None]
    for tick in range(200):
        if tick % 25 == 0:
            target = random.uniform(-2.9, 2.9, joints)
        dt_ns = round(period_ns * random.uniform(0.5, 2.0))  # a tick may be early, or late
        braking = tick % 60 > 50
        result = chain.stop(dt_ns) if braking else chain.apply(target, None, dt_ns)
        met += result.violations.get('collision', 0)
        between = before + shares * (result.position - before)
        assert not arm.touches(between, boxes).any(), tick
        before = result.position
    assert chain.counts['collision'] == met


def test_distances_are_those_of_the_formula(tmp_path: Path) -> None:
    guard = CollisionGuard(rods(tmp_path), formula_arm(), boxes=TABLE + WALL)
    links = [pair.links for pair in guard.pairs]
    assert ('rod1', 'rod3') in links
    assert ('rod1', 'rod2') not in links
    assert {('rod1', 'box:1'), ('rod1', 'box:2'), ('rod3', 'box:2')} <= set(links)
    distances = dict(zip(links, guard.distances(np.zeros(3)), strict=True))
    assert distances['rod1', 'rod3'] == pytest.approx(0.44, abs=1e-4)
    assert distances['rod2', 'box:1'] == pytest.approx(0.08, abs=1e-4)
    assert distances['rod1', 'box:2'] == pytest.approx(0.28, abs=1e-4)
    folded = np.array([0.0, np.pi / 2, np.pi / 2])
    distances = dict(zip(links, guard.distances(folded), strict=True))
    assert distances['rod1', 'rod3'] == pytest.approx(0.38, abs=1e-4)


def test_the_way_to_a_target_behind_a_wall_ends_before_it(tmp_path: Path) -> None:
    guard = CollisionGuard(rods(tmp_path), formula_arm(), boxes=WALL)
    chain = GuardChain(formula_arm(), collision=guard)
    chain.start(np.zeros(3))
    for _ in range(150):
        result = chain.apply(np.array([-1.0, 0.0, 0.0]), None, PERIOD_NS)
    distance = guard.distances(result.position).min()
    assert MARGIN <= distance < 2 * MARGIN
    assert not result.velocity.any()
    assert result.violations['collision'] == 1
    chain.apply(np.zeros(3), None, PERIOD_NS)
    assert chain.sent[0] > result.position[0]  # away again


def test_a_target_that_is_clear_is_reached_as_without(tmp_path: Path) -> None:
    guard = CollisionGuard(rods(tmp_path), formula_arm(), boxes=TABLE + WALL)
    chain, free = GuardChain(formula_arm(), collision=guard), GuardChain(formula_arm())
    for one in (chain, free):
        one.start(np.zeros(3))
    for _ in range(100):
        ours, theirs = (one.apply(np.full(3, 0.9), None, PERIOD_NS) for one in (chain, free))
        np.testing.assert_array_equal(ours.position, theirs.position)
    assert chain.counts['collision'] == 0


def test_what_is_in_the_way_stops_where_that_is_asked_for(tmp_path: Path) -> None:
    guard = CollisionGuard(rods(tmp_path), formula_arm(), boxes=WALL)
    chain = GuardChain(formula_arm(), collision=guard, on_violation={'collision': 'stop'})
    chain.start(np.array([-0.6, 0.0, 0.0]))
    stopped = ''
    while not stopped:
        stopped = chain.apply(np.array([-1.0, 0.0, 0.0]), None, PERIOD_NS).stopped_by
    assert stopped.startswith("collision: 'rod")
    assert "'box:1', margin 0.01 m" in stopped


def test_a_robot_that_is_too_near_does_not_start_and_one_within_the_margin_may_leave(
    tmp_path: Path,
) -> None:
    guard = CollisionGuard(rods(tmp_path), formula_arm(), boxes=WALL, margin=0.05)
    chain = GuardChain(formula_arm(), collision=guard)
    with pytest.raises(UserError, match=r"collision: 'rod\d' touches 'box:1': move them apart"):
        chain.start(np.array([-1.0, 0.0, 0.0]))
    turn = 0.0
    while guard.distances(np.array([-turn, 0.0, 0.0])).min() > 0.035:
        turn += 0.001
    start = np.array([-turn, 0.0, 0.0])
    chain.start(start)
    for _ in range(20):
        chain.apply(start - 0.1, None, PERIOD_NS)
        assert guard.distances(chain.sent).min() > guard.distances(start).min() - 1e-4
    for _ in range(80):
        chain.apply(np.zeros(3), None, PERIOD_NS)
    np.testing.assert_allclose(chain.sent, 0.0, atol=1e-6)
    while guard.distances(start).min() > 0.02:
        start[0] -= 0.001
    with pytest.raises(UserError, match=r"collision: 'rod2' is 0.0\d+ m from 'box:1', margin"):
        chain.start(start)


def test_what_always_touches_has_to_be_named(tmp_path: Path) -> None:
    base = '<collision><geometry><sphere radius="0.5"/></geometry></collision>'
    urdf = rods(tmp_path, base=base)
    with pytest.raises(
        UserError, match=r"always nearer than the margin .*: 'base rod2', expected"
    ):
        CollisionGuard(urdf, formula_arm())
    guard = CollisionGuard(urdf, formula_arm(), ignore=['base rod2'])
    assert [pair.links for pair in guard.pairs] == [('base', 'rod3'), ('rod1', 'rod3')]
    srdf = tmp_path / 'rods.srdf'
    srdf.write_text('<robot name="r"><disable_collisions link1="rod2" link2="base"/></robot>')
    assert CollisionGuard(urdf, formula_arm(), srdf=srdf).pairs == guard.pairs
    # No pair: it leaves rod3 with all that it may touch.
    alone = '<disable_collisions link1="rod3" link2="rod3"/></robot>'
    srdf.write_text(srdf.read_text().replace('</robot>', alone))
    assert CollisionGuard(urdf, formula_arm(), srdf=srdf).pairs == guard.pairs
    around = [-9.0, 9.0] * 3
    with pytest.raises(UserError, match=r"'rod1 box:1', 'rod2 box:1', 'rod3 box:1'"):
        CollisionGuard(rods(tmp_path), formula_arm(), boxes=around)


def test_what_no_joint_moves_against_each_other_may_touch(tmp_path: Path) -> None:
    base = '<collision><geometry><box size="1 1 0.1"/></geometry></collision>'
    stand = (
        f'<link name="stand">{base}</link><joint name="on" type="fixed"><parent link="base"/>'
        '<child link="stand"/><origin xyz="0 0 -0.3"/></joint>'
    )
    guard = CollisionGuard(
        rods(tmp_path, more=stand), formula_arm(), boxes=[-1, 1, -1, 1, -2, -0.3]
    )
    links = {frozenset(pair.links) for pair in guard.pairs}
    assert frozenset(('stand', 'box:1')) not in links
    assert {frozenset((f'rod{n}', 'stand')) for n in (1, 2, 3)} <= links


def test_only_boxes_and_links_left_out(tmp_path: Path) -> None:
    urdf = rods(tmp_path)
    guard = CollisionGuard(urdf, formula_arm(), boxes=TABLE, self_collision=False)
    assert [pair.links for pair in guard.pairs] == [(f'rod{n}', 'box:1') for n in (1, 2, 3)]
    guard = CollisionGuard(urdf, formula_arm(), boxes=TABLE, ignore=['rod3', 'rod1 box:1'])
    assert [pair.links for pair in guard.pairs] == [('rod2', 'box:1')]


def test_joints_that_are_not_the_robots(tmp_path: Path) -> None:
    """A joint nobody knows is refused where it moves a shape, one that follows another is not."""
    urdf = rods(tmp_path, joints=('joint1', 'joint2', 'finger'))
    with pytest.raises(UserError, match=r"joint 'finger' moves 'rod3', and is none of the robot"):
        CollisionGuard(urdf, formula_arm(2), boxes=WALL)
    CollisionGuard(urdf, formula_arm(2), boxes=WALL, ignore=['rod3'])
    urdf.write_text(
        urdf.read_text().replace(
            '<joint name="finger" type="revolute">',
            '<joint name="finger" type="revolute"><mimic joint="joint2" multiplier="-1"/>',
        )
    )
    guard = CollisionGuard(urdf, formula_arm(3), boxes=WALL)  # joint3 moves nothing
    links = [pair.links for pair in guard.pairs]
    at = dict(zip(links, guard.distances(np.array([0.0, -1.0, 0.7])), strict=True))
    assert at['rod3', 'box:1'] == pytest.approx(0.42 + 0.42 * np.cos(1.0) - 0.31, abs=1e-3)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    urdf, robot = rods(tmp_path), formula_arm()
    nan, mesh = float('nan'), '<collision><geometry><mesh filename="{}"/></geometry></collision>'
    flat = tmp_path / 'flat.stl'
    flat.write_text(
        'solid flat\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n'
        'vertex 0 1 0\nendloop\nendfacet\nendsolid flat\n'
    )
    cases: list[tuple[dict[str, object], str]] = [
        ({'boxes': [0, 1, 0, 1, 0]}, 'found 5 numbers, expected 6 for each box'),
        ({'boxes': [*TABLE, 0, 1, 0, 1, 0, 0]}, 'box:2: z from 0 to 0, expected min < max'),
        ({'boxes': [0, 1, 0, nan, 0, 1]}, r'box:1: found .*nan.*, expected 6 numbers'),
        ({'margin': 0.0}, 'collision.margin is 0.0, expected 0.001 to 1 m'),
        ({'margin': nan}, 'collision.margin is nan'),
        ({'ignore': ['rod1 hand']}, "collision.ignore: found 'hand', expected one of: base"),
        ({'ignore': ['a b c']}, "collision.ignore: found 'a b c', expected 'LINK' or"),
        ({'ignore': ['rod1 rod1']}, "found 'rod1 rod1', expected 'LINK' or"),
        ({'ignore': ['rod1', 'rod2', 'rod3']}, 'nothing that could collide, expected links'),
        ({'srdf': tmp_path / 'none.srdf'}, r'collision.srdf: .*none.srdf cannot be read'),
        ({'srdf': flat}, r'collision.srdf: .*flat.stl is not XML'),
    ]
    for options, words in cases:
        with pytest.raises(UserError, match=words) as caught:
            CollisionGuard(urdf, robot, **options)  # type: ignore[arg-type]
        assert '\n' not in str(caught.value)
    for name, words in (
        (
            'package://arm/rod.stl',
            r'package://arm/rod.stl .*collision.package_dirs: there are none',
        ),
        (str(tmp_path / 'none.stl'), r'none.stl'),
        (str(flat), r'flat.stl: has no convex hull'),
    ):
        with pytest.raises(UserError, match=words) as caught:
            CollisionGuard(rods(tmp_path, shape=mesh.format(name)), robot)
        assert '\n' not in str(caught.value)


def test_whole_chunks_keep_clear_and_so_does_braking_from_each_of_their_points(
    tmp_path: Path,
) -> None:
    robot = formula_arm()
    guard = CollisionGuard(rods(tmp_path), robot, boxes=WALL)
    lookahead = Lookahead(robot, GuardChain(robot, collision=guard))
    lookahead.rest(0, np.zeros(3))
    buffer = ActionBuffer('linear')
    rows = np.linspace(0, 1, 40)[:, None] * np.array([-1.0, 0.5, -0.5])
    buffer.add(rows, 0, PERIOD_NS, join_position=rows[0])
    planned = lookahead.planned(Plan(1, buffer), 0, lambda: None)
    trajectory = lookahead.take(planned, planned.start_ns)
    assert guard.distances(rows[-1]).min() <= 0
    assert len(trajectory.points) > 10
    for index in range(len(trajectory.points)):
        brakes = lookahead.braked(trajectory.start_ns + index * PERIOD_NS)
        for position in (trajectory.positions[index], *brakes.positions):
            assert guard.distances(position).min() >= MARGIN - 1e-4


def test_boxes_stand_in_the_frame_of_the_root_link_and_slides_count(tmp_path: Path) -> None:
    """The arm is raised by 1 m, turned by 90 degrees, and its second joint slides."""
    urdf = rods(tmp_path, second='prismatic')
    world = (
        '<link name="world"/><joint name="floor" type="fixed"><parent link="world"/>'
        '<child link="base"/><origin xyz="0 0 1" rpy="0 0 1.5707963"/></joint>'
    )
    urdf.write_text(urdf.read_text().replace('</robot>', f'{world}</robot>'))
    guard = CollisionGuard(urdf, formula_arm(), boxes=[-1, 1, -0.3, 2, 1.2, 1.3])
    links = [pair.links for pair in guard.pairs]
    at = dict(zip(links, guard.distances(np.array([0.0, 0.1, 0.0])), strict=True))
    assert at['rod2', 'box:1'] == pytest.approx(0.2 - 0.02 - 0.1, abs=1e-4)
    random, levers = np.random.default_rng(0), guard._levers
    for _ in range(300):
        one, other = random.uniform(-1.0, 1.5, (2, 3))
        other = one + 0.1 * (other - one)
        change = np.abs(guard.distances(other) - guard.distances(one))
        assert (change <= levers @ np.abs(other - one) + 1e-6).all()


@pytest.mark.parametrize('seed', [3, 7, 8])
def test_a_way_that_counts_as_clear_is_clear_all_along(tmp_path: Path, seed: int) -> None:
    """Wide steps: both ends are often beside a plate of 1 mm, or a link that is passed."""
    arm, boxes, guard, start = scene(seed, tmp_path)
    random, still = np.random.default_rng(seed), np.zeros(len(start))
    clear = hidden = 0
    shares = np.linspace(0, 1, 40)[:, None]
    for _ in range(120):
        way = np.stack((start, start + random.normal(0, 0.8, len(start))))
        touches = arm.touches(way[0] + shares * (way[1] - way[0]), boxes)
        blocked = guard.blocked(way, still)
        assert blocked or not touches.any()
        clear += not blocked
        hidden += touches.any() and not touches[-1]
    assert clear > 0
    assert hidden > 0
