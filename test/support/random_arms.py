# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Arms for tests of collisions: random ones of capsules, by a formula of our own, and rods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from control_robots import FORWARD, SPEC

from motion_policy.robot import RobotSpec, robot_spec_from_yaml

AXES = np.eye(3)
RADIUS = 0.04
POINTS = 25  # along the axis of a link
ROD = (
    '<collision><origin xyz="0.2 0 0"/><geometry><box size="0.4 0.04 0.04"/></geometry>'
    '</collision>'
)


@dataclass(frozen=True)
class RandomArm:
    """Links of some `lengths` (J,) along their x axis; joint j turns about the axis `axes[j]`.

    Each link is a capsule from its joint to the next. `order` are the joints of the spec in the
    order of the URDF.
    """

    lengths: np.ndarray
    axes: np.ndarray
    order: np.ndarray
    robot: RobotSpec

    def ends(self, joints: np.ndarray) -> np.ndarray:
        """Where the joints and the tip are at each of (..., J) joints, (..., J + 1, 3)."""
        rotation, points = np.eye(3), [np.zeros((*joints.shape[:-1], 3))]
        for axis, place, length in zip(self.axes, self.order, self.lengths, strict=True):
            rotation = rotation @ turned(AXES[axis], joints[..., place])
            points.append(points[-1] + length * rotation[..., 0])
        return np.stack(points, axis=-2)

    def links(self, joints: np.ndarray) -> np.ndarray:
        """Points on the axes of the links at each of (..., J) joints, (..., J, POINTS, 3)."""
        ends = self.ends(joints)[..., None, :]
        share = np.linspace(0, 1, POINTS)[:, None]
        return ends[..., :-1, :, :] + share * (ends[..., 1:, :, :] - ends[..., :-1, :, :])

    def touches(self, joints: np.ndarray, boxes: np.ndarray, apart: int = 2) -> np.ndarray:
        """Whether a link is in one of the boxes (B, 6), or in one that is not its neighbour.

        At each of (..., J) joints, (...).
        """
        links = self.links(joints)
        squares = np.square(links).sum(-1)
        found = np.zeros(joints.shape[:-1], bool)
        for box in boxes:
            outside = np.maximum(np.maximum(box[0::2] - links, links - box[1::2]), 0.0)
            found |= (np.square(outside).sum(-1) < RADIUS**2).any((-2, -1))
        for first in range(links.shape[-3]):
            for second in range(first + apart, links.shape[-3]):
                one, other = links[..., first, :, :], links[..., second, :, :]
                apart_squared = squares[..., first, :, None] + squares[..., second, None, :]
                apart_squared -= 2 * one @ other.swapaxes(-2, -1)
                found |= (apart_squared < (2 * RADIUS) ** 2).any((-2, -1))
        return found


def turned(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """The rotations about an axis by angles (...), by Rodrigues' formula, (..., 3, 3)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * cross @ cross


def random_arm(random: np.random.Generator, rate: float = 50.0) -> RandomArm:
    """3 to 5 joints, of which the spec has another order than the URDF, and fast."""
    joints = int(random.integers(3, 6))
    axes = random.integers(0, 3, joints)
    axes[1:] = np.where((axes[1:] == 0) & (axes[:-1] == 0), 1, axes[1:])
    names = random.permutation(joints)
    text = SPEC.format(
        rate=rate,
        names=', '.join(f'joint{number}' for number in names),
        command=FORWARD,
        grippers='{}',
        position=[[-2.9, 2.9]] * joints,
        velocity=random.uniform(1.0, 4.0, joints).round(3).tolist(),
        acceleration=random.uniform(4.0, 25.0, joints).round(3).tolist(),
    )
    robot = robot_spec_from_yaml(text, 'random_arm.yaml')
    order = np.array([list(names).index(number) for number in range(joints)])
    return RandomArm(random.uniform(0.1, 0.4, joints), axes, order, robot)


def write_urdf(arm: RandomArm, path: Path) -> Path:
    """Write the arm: a base without shape, capsules of a cylinder and two spheres, and a tip."""
    shape = (
        '<collision><origin xyz="{x} 0 0" rpy="0 {pitch} 0"/><geometry>{kind}</geometry>'
        '</collision>'
    )
    text = '<link name="base"/>'
    for number, length in enumerate(arm.lengths):
        sphere = f'<sphere radius="{RADIUS}"/>'
        cylinder = f'<cylinder radius="{RADIUS}" length="{length}"/>'
        shapes = ''.join(
            shape.format(x=x, pitch=np.pi / 2, kind=kind)
            for x, kind in ((0.0, sphere), (length, sphere), (length / 2, cylinder))
        )
        text += f'<link name="link{number}">{shapes}</link>'
        parent = 'base' if number == 0 else f'link{number - 1}'
        before = 0.0 if number == 0 else arm.lengths[number - 1]
        axis = ' '.join(str(value) for value in AXES[arm.axes[number]])
        text += (
            f'<joint name="joint{number}" type="revolute"><parent link="{parent}"/>'
            f'<child link="link{number}"/><axis xyz="{axis}"/><origin xyz="{before} 0 0"/>'
            '<limit lower="-3" upper="3" velocity="9" effort="1"/></joint>'
        )
    last = len(arm.lengths) - 1
    text += (
        '<link name="tip"/><joint name="flange" type="fixed">'
        f'<parent link="link{last}"/><child link="tip"/>'
        f'<origin xyz="{arm.lengths[-1]} 0 0"/></joint>'
    )
    path.write_text(f'<robot name="random_arm">{text}</robot>')
    return path


def rods(
    folder: Path, joints: Sequence[str] = ('joint1', 'joint2', 'joint3'), shape: str = ROD,
    base: str = '', more: str = '', second: str = 'revolute',
) -> Path:  # fmt: skip
    """Rods of 0.4 m, each turning about z at the end of the one before; the base has no shape."""
    text = f'<link name="base">{base}</link>'
    for number, name in enumerate(joints):
        kind = second if number == 1 else 'revolute'
        text += (
            f'<link name="rod{number + 1}">{shape}</link>'
            f'<joint name="{name}" type="{kind}"><axis xyz="0 0 1"/>'
            f'<parent link="{"base" if number == 0 else f"rod{number}"}"/>'
            f'<child link="rod{number + 1}"/><origin xyz="{0.42 if number else 0} 0 0"/>'
            '<limit lower="-3" upper="3" velocity="2" effort="1"/></joint>'
        )
    file = folder / 'rods.urdf'
    file.write_text(f'<robot name="rods">{text}{more}</robot>')
    return file
