# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Joint limits from the <limit> elements of a URDF; what the robot spec itself says goes first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from motion_policy.robot.errors import RobotSpecError


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
    file = _resolve(urdf, source)
    joints = _joints(file, source)
    found: dict[str, Any] = {kind: [] for kind in wanted}
    for name in names:
        if name not in joints:
            raise RobotSpecError(f"{source}: joints.limits.urdf: {file} has no joint '{name}'")
        limit = joints[name].find('limit')
        attributes = {} if limit is None else dict(limit.attrib)
        for kind in wanted:
            found[kind].append(_limit(kind, attributes, name, file, source))
    return found


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


def _joints(file: Path, source: str | Path) -> dict[str, ElementTree.Element]:
    try:
        root = ElementTree.parse(file).getroot()
    except OSError:
        raise RobotSpecError(
            f'{source}: joints.limits.urdf: {file} cannot be read, expected a URDF file'
        ) from None
    except ElementTree.ParseError as error:
        raise RobotSpecError(f'{source}: joints.limits.urdf: {file} is not XML: {error}') from None
    if root.tag != 'robot':
        raise RobotSpecError(
            f'{source}: joints.limits.urdf: {file} holds <{root.tag}>, expected <robot>'
        )
    return {joint.get('name', ''): joint for joint in root.iter('joint')}


def _resolve(urdf: Any, source: str | Path) -> Path:
    if not isinstance(urdf, str):
        raise RobotSpecError(f'{source}: joints.limits.urdf: found {urdf!r}, expected a path')
    if not urdf.startswith('package://'):
        return Path(source).parent / urdf
    package, _, inside = urdf.removeprefix('package://').partition('/')
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        folder = Path(prefix) / 'share' / package
        if prefix and folder.is_dir():
            return folder / inside
    raise RobotSpecError(
        f"{source}: joints.limits.urdf: package '{package}' is not in AMENT_PREFIX_PATH, "
        'expected a sourced ROS 2 installation that has it'
    )
