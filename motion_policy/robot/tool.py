# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tool of a robot spec: a link, and the kinematics that say where it is, as text in the spec.

Rule: what a file says of the tool needs no other file. A URDF is reduced to joints and links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pydantic import Field

from motion_policy.declared import Declared
from motion_policy.robot.errors import RobotSpecError
from motion_policy.robot.urdf import is_urdf_text, path_of_urdf, urdf_root

# What moves links, of all that a <joint> may say.
KEPT = ('parent', 'child', 'origin', 'axis', 'limit', 'mimic')
MOST_JOINTS = 1000  # of a URDF, fixed ones too
MOST_MOVING = 150  # the memory that a model of them takes grows with a power of their number
ONE_WAY = ('revolute', 'continuous', 'prismatic')


class ToolSpec(Declared):
    """The link whose pose counts, and the text of a URDF that says where it is."""

    link: str = Field(min_length=1)
    urdf: str = Field(min_length=1)


def with_tool(data: dict[str, Any], source: str | Path) -> dict[str, Any]:
    """Replace `tool` of a robot spec, or of a training, by its link and the text of its URDF.

    Args:
        data: what YAML says; `tool: LINK` is short for the URDF of `joints.limits`.
        source: the file, for errors and relative paths.

    Raises:
        RobotSpecError: no such file, no URDF, or none is named.
    """
    tool = data.get('tool')
    if isinstance(tool, str):
        tool = {'link': tool}
    if not isinstance(tool, Mapping) or not isinstance(tool.get('link'), str):
        return data  # validation tells
    urdf = tool.get('urdf', _urdf_of_limits(data))
    if urdf is None:
        more = ' or joints.limits.urdf' if 'joints' in data else ''
        raise RobotSpecError(
            f"{source}: tool: '{tool['link']}' without a URDF, expected tool: {{link: "
            f'{tool["link"]}, urdf: PATH}}{more}'
        )
    if not is_urdf_text(urdf):
        urdf = path_of_urdf(urdf, source, 'tool.urdf')
    return {**data, 'tool': {**tool, 'urdf': reduced_urdf(urdf, f'{source}: tool.urdf: ')}}


def reduced_urdf(urdf: str | Path, where: str) -> str:
    """Return the text of a URDF without all that does not move links, in one line.

    `where` begins the line of an error, a RobotSpecError.
    """
    root = urdf_root(urdf, where)
    kinds = [joint.get('type') for joint in root.findall('joint')]
    moving = len(kinds) - kinds.count('fixed')
    if len(kinds) > MOST_JOINTS or moving > MOST_MOVING:
        raise RobotSpecError(
            f'{where}the URDF has {len(kinds)} joints, {moving} of which move, expected at most '
            f'{MOST_JOINTS} and {MOST_MOVING}'
        )
    reduced = ElementTree.Element('robot', {'name': root.get('name', 'robot')})
    for link in root.findall('link'):
        ElementTree.SubElement(reduced, 'link', {'name': link.get('name', '')})
    for joint in root.findall('joint'):
        kept = ElementTree.SubElement(
            reduced, 'joint', {'name': joint.get('name', ''), 'type': joint.get('type', '')}
        )
        for key in KEPT:
            if (part := joint.find(key)) is not None:
                ElementTree.SubElement(kept, key, dict(part.attrib))
    return ElementTree.tostring(reduced, encoding='unicode')


def tool_movers(tool: ToolSpec, names: Sequence[str], source: str | Path) -> tuple[str, ...]:
    """Return which of the joints `names` move the tool, in their order.

    RobotSpecError: there is no such link, or something else moves it, too.
    """
    where = f'{source}: tool: '
    root = urdf_root(tool.urdf, where)
    links = [link.get('name', '') for link in root.findall('link')]
    if tool.link not in links:
        raise RobotSpecError(
            f"{where}the URDF has no link '{tool.link}', expected one of: {', '.join(links)}"
        )
    above = {_end(joint, 'child'): joint for joint in root.findall('joint')}
    joints = {joint.get('name', ''): joint for joint in root.findall('joint')}
    link, passed, moving = tool.link, set[str](), set[str]()
    while link in above and link not in passed:
        passed.add(link)
        joint = above[link]
        name, kind = joint.get('name', ''), joint.get('type', '')
        leader = _leader(name, joints, names)
        if kind != 'fixed':
            moving.add(leader)
            if leader not in names:
                raise RobotSpecError(
                    f"{where}joint '{name}' moves '{tool.link}', expected only joints of the "
                    f'robot: {", ".join(names)}'
                )
            if kind not in ONE_WAY:
                raise RobotSpecError(
                    f"{where}joint '{name}' is {kind}, expected {' or '.join(ONE_WAY)}"
                )
        link = _end(joint, 'parent')
    if link in passed:
        raise RobotSpecError(f"{where}the joints above '{tool.link}' go round in a circle")
    if not moving:
        raise RobotSpecError(f"{where}no joint moves '{tool.link}', expected a link that moves")
    return tuple(name for name in names if name in moving)


def _leader(name: str, joints: Mapping[str, ElementTree.Element], names: Sequence[str]) -> str:
    """Return the joint that another one follows in the end."""
    passed = set[str]()
    while name not in names and name in joints and name not in passed:
        passed.add(name)
        mimic = joints[name].find('mimic')
        if mimic is None:
            break
        name = mimic.get('joint', '')
    return name


def _end(joint: ElementTree.Element, end: str) -> str:
    found = joint.find(end)
    return '' if found is None else found.get('link', '')


def _urdf_of_limits(data: Mapping[str, Any]) -> Any:
    joints = data.get('joints')
    limits = joints.get('limits') if isinstance(joints, Mapping) else None
    return limits.get('urdf') if isinstance(limits, Mapping) else None
