# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Collision guard: self-collision and boxes along a joint-space path; distances by coal.

Rule: a way counts as clear only where distances prove it. Nothing is jumped over, however thin.

The proof: when a joint moves by x, no point of a link moves further than x times its lever, the
length of the chain from the joint to that point. So between two configurations that are dq apart
the distance of two links changes by at most lever * |dq|, on any way between them on which no
joint turns back. A way is followed from one configuration to another as far as the distances
found there allow. Where they allow less than half the margin, it is followed by so much all the
same: at both ends at least that distance is found, so there is no contact between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.control.collision_geometry import CollisionGeometry, Pair
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.kinematics import Kinematics

URDF = 'collision.urdf'
LEAST_MARGIN, MOST_MARGIN = 0.001, 1.0  # m
# Of distances on one way: one that needs more counts as blocked where they end. So the arm gets
# slower where it passes by things closely, and the cost of a step is bounded.
EVALUATIONS = 16
STRETCH = 1.8  # of the way that the distances at its start alone prove: those at its end may help
EVALUATIONS_OF_TARGET = 8  # likewise, of the straight way to a target
SAMPLES = 200  # of configurations, to find what always collides
SLACK = 0.02  # of a joint's range: so far outside of its limits it may begin
ROUNDING = 1e-6  # m, of coal's distances


@dataclass(frozen=True)
class _Clear:
    """How far a way is clear, in steps of it; the pair that ends that, and its distance [m].

    Without a pair the whole way is.
    """

    steps: float
    pair: int | None = None
    distance: float = 0.0


class CollisionGuard:
    """Keeps a margin between the links of a robot, and to boxes in the frame of its root link.

    Links that a joint connects may touch, and so may what no joint moves against each other.
    Nearer than the margin, where the robot may begin, it may only move away.

    Args:
        urdf: the robot, with collision geometry; meshes are replaced by their convex hulls.
        robot: its spec, whose joints' order and limits hold.
        boxes: six numbers [m] for each: x min, x max, y min, y max, z min, z max.
        margin: the distance that is kept [m].
        self_collision: False: only boxes count.
        ignore: links that are not checked, 'finger', and two that may touch, 'link1 link3'. The
            boxes are called box:1, box:2, ...
        srdf: whose <disable_collisions> may touch, too; '': none.
        package_dirs: folders with the packages of package:// meshes.

    Raises:
        UserError: a file or mesh is missing, a number makes no sense, a joint that is not one of
            the robot's moves a link, or links are always nearer than the margin.
    """

    def __init__(
        self,
        urdf: str | Path,
        robot: RobotSpec,
        *,
        boxes: Sequence[float] = (),
        margin: float = 0.01,
        self_collision: bool = True,
        ignore: Sequence[str] = (),
        srdf: str | Path = '',
        package_dirs: Sequence[str] = (),
    ) -> None:
        if not LEAST_MARGIN <= margin <= MOST_MARGIN:  # so that NaN is none, either
            raise UserError(
                f'collision.margin is {margin}, expected {LEAST_MARGIN:g} to {MOST_MARGIN:g} m'
            )
        self.margin = margin
        limits = robot.joints.limits.position_array()
        slack = SLACK * (limits[:, 1] - limits[:, 0])
        kinematics = Kinematics(urdf, robot.joints.names, URDF)
        self._geometry = CollisionGeometry(
            kinematics, package_dirs, boxes, ignore, srdf, self_collision
        )
        slides = kinematics.slides(limits[:, 0] - slack, limits[:, 1] + slack)
        self._levers = self._geometry.levers(slides)
        self.pairs: tuple[Pair, ...] = self._geometry.pairs
        self._known: Float64Array = np.full(len(self.pairs), -np.inf)
        self._known_at: Float64Array = limits[:, 0]
        self._check_pairs(limits)

    def distances(self, joints: Float64Array) -> Float64Array:
        """Return the distance [m] of each of the `pairs` when the joints (J,) are there.

        0 or less: they touch.
        """
        return self._geometry.distances(joints, range(len(self.pairs)))

    def describe(self, joints: Float64Array, share: float = 0.5) -> str:
        """Say what is nearer than that share of the margin at joints (J,); '' if nothing is.

        Where half of it is left one may begin, and with all of it arrive.
        """
        distances = self.distances(joints)
        nearest = int(distances.argmin())
        if distances[nearest] >= share * self.margin:
            return ''
        return self._told(nearest, distances[nearest])

    def blocked(self, way: Float64Array, stray: Float64Array) -> str:
        """Say what a way (n, J), from where the joints are, leads too near to; '' if nothing.

        Nothing touches either when every joint is up to `stray` (J,) beside the way.
        """
        clear = self._follow(way, self._levers @ stray, EVALUATIONS)
        return '' if clear.pair is None else self._told(clear.pair, clear.distance)

    def nearest_clear(
        self, start: Float64Array, target: Float64Array, reach: Float64Array
    ) -> tuple[Float64Array, str]:
        """Return how far one can go straight to a target (J,), and what ends that; '' if nothing.

        What is further away than `reach` (J,) for every joint does not matter yet.
        """
        gap = target - start
        far = np.abs(gap) > reach
        share = float((reach[far] / np.abs(gap[far])).max()) if far.any() else 1.0
        way = np.stack((start, start + share * gap))
        clear = self._follow(way, np.zeros(len(self.pairs)), EVALUATIONS_OF_TARGET)
        # What is not known to be in the way is for the steps there to find out.
        if clear.pair is None or clear.distance >= self.margin:
            return target, ''
        return start + clear.steps * share * gap, self._told(clear.pair, clear.distance)

    def _follow(self, way: Float64Array, stray: Float64Array, evaluations: int) -> _Clear:
        """Find how far a way is clear, even for what is `stray` (P,) [m] beside it."""
        half = self.margin / 2
        travel = _travel(way, self._levers)
        pairs, distances, needed = self._begin(way[0], travel[-1], half + stray)
        travel = travel[:, pairs]
        at, here, room, stretch = 0.0, np.zeros(len(pairs)), distances - needed, STRETCH
        if (room < 0).any():
            return self._ended(0.0, pairs, room, needed)
        for _ in range(evaluations):
            left = room < travel[-1] - here
            if not left.any():
                return _Clear(len(way) - 1.0)
            pairs, needed, room = pairs[left], needed[left], room[left]
            here, travel = here[left], travel[:, left]
            after = _advance(travel, here + np.maximum(stretch * room, half))
            found = self._geometry.distances(_row(way, after), pairs.tolist()) - needed
            if (found < 0).any():
                return self._ended(at, pairs, found, needed)
            there = _row(travel, after)
            if (there - here > np.maximum(room + found, half)).any():
                stretch = 1.0  # something gets nearer: go only as far as is sure from here
            else:
                at, here, room = after, there, found
        return self._ended(at, pairs, room, needed)

    def _ended(
        self, at: float, pairs: npt.NDArray[np.intp], room: Float64Array, needed: Float64Array
    ) -> _Clear:
        worst = int(room.argmin())
        return _Clear(at, int(pairs[worst]), float(room[worst] + needed[worst]))

    def _begin(
        self, joints: Float64Array, travel: Float64Array, least: Float64Array
    ) -> tuple[npt.NDArray[np.intp], Float64Array, Float64Array]:
        """Return the pairs that may get too near on a way of so much `travel` (P,) [m], their
        distances where it begins, and those that are needed: `least` (P,), or the margin.

        The distances found last, and how far the joints are from there, leave most pairs out.
        """
        bounds = self._known - self._levers @ np.abs(joints - self._known_at)
        pairs = np.flatnonzero(bounds - travel < np.maximum(least, self.margin))
        distances = self._geometry.distances(joints, pairs.tolist())
        bounds[pairs] = distances
        self._known, self._known_at = bounds, joints
        # Within the margin it may go on, but not nearer.
        needed = np.maximum(np.minimum(distances - ROUNDING, self.margin), least[pairs])
        return pairs, distances, needed

    def _check_pairs(self, limits: Float64Array) -> None:
        """Refuse pairs that nothing but an explicit word can be meant for."""
        random = np.random.default_rng(0)
        samples = random.uniform(limits[:, 0], limits[:, 1], (SAMPLES, len(limits)))
        nearest = np.max([self.distances(joints) for joints in samples], axis=0)
        always = {self.pairs[pair].links for pair in np.flatnonzero(nearest < self.margin)}
        if always:
            pairs = ', '.join(f"'{first} {second}'" for first, second in sorted(always))
            raise UserError(
                f'collision.ignore: always nearer than the margin of {self.margin:g} m: {pairs}, '
                'expected these in collision.ignore if they may be'
            )

    def _told(self, pair: int, distance: float) -> str:
        first, second = self.pairs[pair].links
        if distance <= 0:
            return f"'{first}' touches '{second}'"
        if distance >= self.margin:
            return f"'{first}' passes by '{second}' too closely for its speed"
        return f"'{first}' is {distance:.4f} m from '{second}', margin {self.margin:g} m"


def _travel(way: Float64Array, levers: Float64Array) -> Float64Array:
    """How far (n, P) [m] pairs have moved against each other at most, at each point of a way."""
    travel = np.zeros((len(way), len(levers)))
    np.cumsum(np.abs(np.diff(way, axis=0)) @ levers.T, axis=0, out=travel[1:])
    return travel


def _row(rows: Float64Array, at: float) -> Float64Array:
    """The row at a number of steps that need not be whole."""
    index = min(int(at), len(rows) - 2)
    row: Float64Array = rows[index] + (at - index) * (rows[index + 1] - rows[index])
    return row


def _advance(travel: Float64Array, bound: Float64Array) -> float:
    """How far one can go, in steps of the way, until a pair has a travel of its bound (P,)."""
    beyond = travel > bound
    index = int(beyond.any(axis=1).argmax())  # of the first point that is too far
    if not index:
        return len(travel) - 1.0
    over = beyond[index]
    before = travel[index - 1, over]
    share = (bound[over] - before) / (travel[index, over] - before)
    return index - 1 + max(0.0, float(share.min()))
