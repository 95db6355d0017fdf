# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Joint limits of a URDF, and joints that follow another.

What the robot spec itself says goes first. A continuous joint has no position limits here: how
far it may turn is for the spec to say.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from motion_policy.files import FileError, read_bytes
from motion_policy.robot.errors import RobotSpecError

MOST_BYTES = 64 * 2**20


def limits_from_urdf(
    urdf: Any, names: Sequence[str], source: str | Path, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `position` [[lo, hi], ...] and `velocity` [...] of the named joints, SI units.

    Args:
        urdf: path of the URDF, relative to the robot spec, or `package://PACKAGE/PATH`.
        names: joints, in order.
        source: the robot spec, for errors and relative paths.
        given: limits that the spec gives itself; these are not looked up.

    Raises:
        RobotSpecError: no such file, no URDF, or a joint or limit is missing from it.
    """
    wanted = [kind for kind in ('position', 'velocity') if kind not in given]
    file = path_of_urdf(urdf, source)
    joints = joint_elements(file, f'{source}: joints.limits.urdf: ')
    found: dict[str, Any] = {kind: [] for kind in wanted}
    for name in names:
        if name not in joints:
            raise RobotSpecError(f"{source}: joints.limits.urdf: {file} has no joint '{name}'")
        if 'position' in wanted and joints[name].get('type') == 'continuous':
            raise RobotSpecError(
                f"{source}: joints.limits.urdf: joint '{name}' in {file} is continuous, which "
                'limits nothing, expected joints.limits.position in the spec: how far it may turn'
            )
        limit = joints[name].find('limit')
        attributes = {} if limit is None else dict(limit.attrib)
        for kind in wanted:
            found[kind].append(_limit(kind, attributes, name, file, source))
    return found


@dataclass(frozen=True)
class Mimic:
    """A joint stands at `multiplier` times the position of `joint`, plus `offset` [rad or m]."""

    joint: str
    multiplier: float
    offset: float


def urdf_name(urdf: str | Path) -> str | Path:
    """Return what messages call a URDF: its path, or `the URDF` where its text is given."""
    return 'the URDF' if is_urdf_text(urdf) else urdf


def is_urdf_text(urdf: str | Path) -> bool:
    """Whether this is the text of a URDF and not its path: it begins with `<`."""
    return isinstance(urdf, str) and urdf.lstrip().startswith('<')


def mimic_joints(urdf: str | Path) -> dict[str, Mimic]:
    """Return the joints of a URDF, a file or text, that follow another one.

    RobotSpecError for nonsense.
    """
    found = {}
    for name, joint in joint_elements(urdf, '').items():
        mimic = joint.find('mimic')
        if mimic is None:
            continue
        try:
            values = [float(mimic.get(key, default)) for key, default in _MIMIC_DEFAULTS]
        except ValueError:
            values = [math.nan]
        if not all(math.isfinite(value) for value in values):
            raise RobotSpecError(
                f"{urdf_name(urdf)}: <mimic> of joint '{name}' has {dict(mimic.attrib)}, "
                'expected numbers'
            )
        found[name] = Mimic(mimic.get('joint', ''), *values)
    return found


@dataclass(frozen=True)
class UrdfJoint:
    """A joint that moves, as a URDF has it: its limits [rad or m], None where it gives none.

    A `continuous` one has no position limits. `follows` is the joint that it mimics; ''.
    """

    lower: float | None
    upper: float | None
    velocity: float | None
    continuous: bool
    follows: str


def moving_joints(urdf: str | Path) -> dict[str, UrdfJoint]:
    """Return the joints of a URDF, a file or text, that move, in its order.

    Raises:
        RobotSpecError: it is no URDF.
    """
    found = {}
    for name, joint in joint_elements(urdf, '').items():
        kind = joint.get('type')
        if kind not in ('revolute', 'prismatic', 'continuous'):
            continue
        limit, mimic = joint.find('limit'), joint.find('mimic')
        found[name] = UrdfJoint(
            lower=_number(limit, 'lower'),
            upper=_number(limit, 'upper'),
            velocity=_number(limit, 'velocity'),
            continuous=kind == 'continuous',
            follows='' if mimic is None else mimic.get('joint', ''),
        )
    return found


def _number(limit: ElementTree.Element | None, key: str) -> float | None:
    try:
        value = float('nan' if limit is None else limit.get(key, 'nan'))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def joined_links(urdf: str | Path) -> set[frozenset[str]]:
    """Return the pairs of links that a joint of a URDF file connects."""
    joined = set()
    for joint in joint_elements(urdf, '').values():
        ends = [joint.find(end) for end in ('parent', 'child')]
        joined.add(frozenset(end.get('link', '') for end in ends if end is not None))
    return joined


_MIMIC_DEFAULTS = (('multiplier', '1'), ('offset', '0'))


def _limit(
    kind: str, attributes: Mapping[str, str], name: str, file: Path, source: str | Path
) -> float | list[float]:
    keys = ('lower', 'upper') if kind == 'position' else ('velocity',)
    try:
        values = [float(attributes[key]) for key in keys]
    except (KeyError, ValueError):
        raise RobotSpecError(
            f"{source}: joints.limits.urdf: joint '{name}' in {file} has no <limit> with "
            f'{" and ".join(keys)}, expected numbers there or joints.limits.{kind} in the spec'
        ) from None
    return values if kind == 'position' else values[0]


def joint_elements(urdf: str | Path, where: str) -> dict[str, ElementTree.Element]:
    """Return the joints by name; `where` begins the line of an error."""
    # <ros2_control>, <transmission> and <gazebo> have elements of the same name inside.
    return {joint.get('name', ''): joint for joint in urdf_root(urdf, where).findall('joint')}


def urdf_root(urdf: str | Path, where: str) -> ElementTree.Element:
    """Return `<robot>` of a URDF, a file or text; `where` begins the line of an error."""
    name = urdf_name(urdf)
    try:
        if is_urdf_text(urdf):
            root = ElementTree.fromstring(str(urdf))
        else:
            root = ElementTree.fromstring(read_bytes(Path(urdf), MOST_BYTES, 'a URDF file'))
    except FileError as error:
        raise RobotSpecError(f'{where}{error}') from None
    except ElementTree.ParseError as error:
        raise RobotSpecError(f'{where}{name} is not XML: {error}') from None
    if root.tag != 'robot':
        raise RobotSpecError(f'{where}{name} holds <{root.tag}>, expected <robot>')
    return root


def path_of_urdf(urdf: Any, source: str | Path, key: str = 'joints.limits.urdf') -> Path:
    """Where the URDF is that a robot spec `source` names. RobotSpecError: it names none."""
    if not isinstance(urdf, str):
        raise RobotSpecError(f'{source}: {key}: found {urdf!r}, expected a path')
    if not urdf.startswith('package://'):
        return Path(source).parent / urdf
    package, _, inside = urdf.removeprefix('package://').partition('/')
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        folder = Path(prefix) / 'share' / package
        if prefix and folder.is_dir():
            return folder / inside
    raise RobotSpecError(
        f"{source}: {key}: package '{package}' is not in AMENT_PREFIX_PATH, "
        'expected a sourced ROS 2 installation that has it'
    )
