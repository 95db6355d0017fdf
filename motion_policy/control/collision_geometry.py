# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Collision geometry of a URDF and of boxes: collision pairs and their distances.

Shapes are convex: distances of convex shapes take a microsecond, those of meshes a thousand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot.kinematics import Kinematics, checked_box
from motion_policy.robot.urdf import joined_links

BOX_NUMBERS = 6


@dataclass(frozen=True)
class Pair:
    """Two objects by number, and what they belong to: links, or boxes (box:1)."""

    first: int
    second: int
    links: tuple[str, str]


class CollisionGeometry:
    """Objects and the pairs of them that may not touch; see CollisionGuard for the arguments.

    Raises:
        UserError: as CollisionGuard.
    """

    def __init__(
        self,
        kinematics: Kinematics,
        package_dirs: Sequence[str],
        boxes: Sequence[float],
        ignore: Sequence[str],
        srdf: str | Path,
        self_collision: bool,
    ) -> None:
        self._kinematics = kinematics
        self._pinocchio = kinematics.pinocchio
        self._model = _loaded(kinematics, package_dirs)
        _make_convex(self._model)
        frames = kinematics.model.frames
        self._owners = [frames[item.parentFrame].name for item in self._model.geometryObjects]
        links = len(self._owners)
        self._add_boxes(boxes)
        names = [*kinematics.links(), *self._owners[links:]]
        self._ignored = _ignored(ignore, names) | _disabled(srdf)
        self._check_movers()
        self._self_collision = self_collision
        self.pairs = tuple(self._moving_pairs(links))
        if not self.pairs:
            raise UserError(
                f'collision.urdf: {kinematics.urdf}: nothing that could collide, expected links '
                'with <collision>'
            )
        for pair in self.pairs:
            self._model.addCollisionPair(self._pinocchio.CollisionPair(pair.first, pair.second))
        self._data = self._model.createData()

    def distances(self, joints: Float64Array, pairs: Iterable[int]) -> Float64Array:
        """Return the distances [m] of some pairs when the joints (J,) are there."""
        pinocchio, model, data = self._pinocchio, self._model, self._data
        kinematics = self._kinematics
        pinocchio.updateGeometryPlacements(
            kinematics.model, kinematics.data, model, data, kinematics.configuration(joints)
        )
        measure = pinocchio.computeDistance
        return np.array([measure(model, data, pair).min_distance for pair in pairs])

    def levers(self, slides: Float64Array) -> Float64Array:
        """Return how far (P, J) [m per rad or m] the points of a pair move at most against each
        other, when a joint moves by 1. `slides`: see Kinematics.lever.
        """
        kinematics = self._kinematics
        levers = [
            kinematics.lever(item.parentJoint, _corners(item), slides)
            for item in self._model.geometryObjects
        ]
        rows = []
        for pair in self.pairs:
            first, second = levers[pair.first], levers[pair.second]
            # A joint that moves both moves neither against the other.
            rows.append(np.where((first > 0) & (second > 0), 0.0, first + second))
        matrix: Float64Array = np.array(rows) @ np.abs(kinematics.factors)
        return matrix

    def _add_boxes(self, boxes: Sequence[float]) -> None:
        if len(boxes) % BOX_NUMBERS:
            raise UserError(
                f'collision.boxes: found {len(boxes)} numbers, expected 6 for each box: x min, '
                'x max, y min, y max, z min, z max'
            )
        shapes = _shapes()
        for number, begin in enumerate(range(0, len(boxes), BOX_NUMBERS), start=1):
            name = f'box:{number}'
            low, high = checked_box(boxes[begin : begin + BOX_NUMBERS], f'collision.boxes: {name}')
            place = self._pinocchio.SE3(np.eye(3), (low + high) / 2)
            shape = shapes.Box(*(high - low))
            self._model.addGeometryObject(_fixed(self._pinocchio, name, place, shape))
            self._owners.append(name)

    def _check_movers(self) -> None:
        for owner, item in zip(self._owners, self._model.geometryObjects, strict=True):
            mover = self._kinematics.unknown_mover(item.parentJoint)
            if mover and frozenset((owner,)) not in self._ignored:
                raise UserError(
                    f"collision.urdf: {self._kinematics.urdf}: joint '{mover}' moves '{owner}', "
                    "and is none of the robot spec's, expected it there, fixed, or "
                    f"'{owner}' in collision.ignore"
                )

    def _moving_pairs(self, links: int) -> Iterable[Pair]:
        """Yield the pairs that joints move against each other and nobody ignores."""
        objects, supports = self._model.geometryObjects, self._kinematics.model.supports
        joined = joined_links(self._kinematics.urdf)
        for second in range(len(objects)):
            for first in range(min(second, links)):
                owners = (self._owners[first], self._owners[second])
                movers = [set(supports[objects[index].parentJoint]) for index in (first, second)]
                if movers[0] == movers[1] or frozenset(owners) in joined:
                    continue
                if second < links and not self._self_collision:
                    continue
                if any(
                    frozenset(some) in self._ignored for some in (owners, owners[:1], owners[1:])
                ):
                    continue
                yield Pair(first, second, owners)


def _shapes() -> Any:
    """The library of shapes that came with Pinocchio, which was called hppfcl before 3.3."""
    try:
        import coal
    except ImportError:
        import hppfcl as coal
    return coal


def _fixed(pinocchio: Any, name: str, place: Any, shape: Any) -> Any:
    """An object that no joint moves."""
    try:
        return pinocchio.GeometryObject(name, 0, place, shape)
    except TypeError:  # before Pinocchio 3 the shape came first
        return pinocchio.GeometryObject(name, 0, shape, place)


def _corners(item: Any) -> Float64Array:
    """Points (n, 3) [m] whose hull holds an object, in the frame of the joint that moves it."""
    shape = item.geometry
    if hasattr(shape, 'points'):
        points = np.array(shape.points())
    else:
        shape.computeLocalAABB()
        low, high = shape.aabb_local.min_, shape.aabb_local.max_
        points = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    corners: Float64Array = points @ item.placement.rotation.T + item.placement.translation
    return corners


def _loaded(kinematics: Kinematics, package_dirs: Sequence[str]) -> Any:
    pinocchio = kinematics.pinocchio
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    folders = [*package_dirs, *(f'{prefix}/share' for prefix in prefixes if prefix)]
    try:
        return pinocchio.buildGeomFromUrdf(
            kinematics.model, str(kinematics.urdf), pinocchio.GeometryType.COLLISION,
            package_dirs=folders,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        line = ' '.join(str(error).split())[:250]
        raise UserError(
            f'collision.urdf: {kinematics.urdf}: {line} Expected the folders of packages in '
            f'collision.package_dirs: {", ".join(folders) or "there are none"}'
        ) from None


def _make_convex(model: Any) -> None:
    for item in model.geometryObjects:
        if not hasattr(item.geometry, 'buildConvexHull'):
            continue
        try:
            item.geometry.buildConvexHull(True, 'Qt')
        except (RuntimeError, ValueError):
            raise UserError(
                f'collision.urdf: {item.meshPath}: has no convex hull, expected a mesh with some '
                'volume'
            ) from None
        item.geometry = item.geometry.convex


def _ignored(entries: Sequence[str], names: Sequence[str]) -> set[frozenset[str]]:
    """Return links that are not checked, and pairs of links that may touch."""
    ignored = set()
    for entry in entries:
        some = entry.split()
        if len(some) not in (1, 2) or len(set(some)) < len(some):
            raise UserError(f"collision.ignore: found '{entry}', expected 'LINK' or 'LINK1 LINK2'")
        for name in some:
            if name not in names:
                raise UserError(
                    f"collision.ignore: found '{name}', expected one of: {', '.join(names)}"
                )
        ignored.add(frozenset(some))
    return ignored


def _disabled(srdf: str | Path) -> set[frozenset[str]]:
    """Return the pairs of links that an SRDF lets touch, of which it may know others, too."""
    if not str(srdf):
        return set()
    try:
        root = ElementTree.parse(srdf).getroot()
    except OSError:
        raise UserError(f'collision.srdf: {srdf} cannot be read, expected an SRDF file') from None
    except ElementTree.ParseError as error:
        raise UserError(f'collision.srdf: {srdf} is not XML: {error}') from None
    if root.tag != 'robot':
        raise UserError(f'collision.srdf: {srdf} holds <{root.tag}>, expected <robot>')
    pairs = (
        frozenset((item.get('link1', ''), item.get('link2', '')))
        for item in root.findall('disable_collisions')
    )
    return {pair for pair in pairs if len(pair) > 1}
