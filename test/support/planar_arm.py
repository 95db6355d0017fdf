# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A planar arm of two links and a lift as URDF, whose kinematics is two lines of trigonometry."""

from __future__ import annotations

from pathlib import Path

LENGTHS = (0.4, 0.3)
JOINT = """
  <joint name="{name}" type="{kind}">
    <parent link="{parent}"/><child link="{child}"/><axis xyz="{axis}"/>
    <origin xyz="{x} 0 0"/>{limit}
  </joint>"""
LIMIT = '<limit lower="-3" upper="3" velocity="2" effort="1"/>'


def planar_urdf(path: Path, second: str = 'revolute', second_name: str = 'joint2') -> Path:
    """Two links in the plane and a lift: the tool is at l1 e(a) + l2 e(a + b), height c."""
    links = ('base', 'upper', 'lower', 'wrist', 'tool')
    joints = (
        ('joint1', 'revolute', '0 0 1', 0.0),
        (second_name, second, '0 0 1', LENGTHS[0]),
        ('joint3', 'prismatic', '0 0 1', LENGTHS[1]),
        ('flange', 'fixed', '0 0 1', 0.0),
    )
    text = ''.join(f'<link name="{link}"/>' for link in links)
    for index, (name, kind, axis, x) in enumerate(joints):
        limit = '' if kind in ('fixed', 'continuous') else LIMIT
        text += JOINT.format(
            name=name, kind=kind, axis=axis, x=x, limit=limit,
            parent=links[index], child=links[index + 1],
        )  # fmt: skip
    path.write_text(f'<robot name="planar">{text}</robot>')
    return path
