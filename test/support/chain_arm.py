# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Arms of revolute joints in a row as URDF, with a gripper of two fingers beside the tool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from motion_policy.robot import RobotSpec, load_robot_spec

# Axis of each joint and where it stands on the link before [m]: a spherical wrist, seven joints.
SIX = (
    ('0 0 1', '0 0 0.2'), ('0 1 0', '0 0.05 0.1'), ('0 1 0', '0 0 0.4'),
    ('1 0 0', '0.1 0 0.05'), ('0 1 0', '0.3 0 0'), ('1 0 0', '0 0 0'),
)  # fmt: skip
SIX_NAMES = tuple(f'joint{number}' for number in range(1, 7))
SEVEN = (
    ('0 0 1', '0 0 0.3'), ('0 1 0', '0 0 0'), ('0 0 1', '0 0 0.3'), ('0 -1 0', '0.08 0 0'),
    ('0 0 1', '-0.08 0 0.38'), ('0 -1 0', '0 0 0'), ('0 0 -1', '0.09 0 0'),
)  # fmt: skip
GRIPPER = """
  <joint name="gripper" type="prismatic"><parent link="{tool}"/><child link="left"/>
    <axis xyz="0 1 0"/><limit lower="0" upper="0.04" velocity="0.2" effort="1"/></joint>
  <joint name="follower" type="prismatic"><parent link="{tool}"/><child link="right"/>
    <axis xyz="0 -1 0"/><mimic joint="gripper"/>
    <limit lower="0" upper="0.04" velocity="0.2" effort="1"/></joint>"""


def chain_urdf(
    path: Path, chain: Sequence[tuple[str, str]] = SIX, limit: float = 2.5, kind: str = 'revolute'
) -> Path:
    """Joints `joint1`, ... up to the link `tool`, and behind it `gripper` with its `follower`."""
    text = '<link name="base"/><link name="tool"/><link name="left"/><link name="right"/>'
    for number, (axis, place) in enumerate(chain, 1):
        parent = f'link{number - 1}' if number > 1 else 'base'
        text += (
            f'<link name="link{number}"><visual><geometry>'
            f'<mesh filename="package://nowhere/link{number}.stl"/></geometry></visual></link>'
            f'<joint name="joint{number}" type="{kind}"><parent link="{parent}"/>'
            f'<child link="link{number}"/><origin xyz="{place}"/><axis xyz="{axis}"/>'
            f'<limit lower="{-limit}" upper="{limit}" velocity="2" effort="1"/></joint>'
        )
    text += (
        f'<joint name="tool" type="fixed"><parent link="link{len(chain)}"/><child link="tool"/>'
        '<origin xyz="0.1 0 0.02" rpy="0.3 0 0.2"/></joint>'
    )
    path.write_text(f'<robot name="chain">{text}{GRIPPER.format(tool="tool")}</robot>')
    return path


def tool_arm(
    folder: Path, kind: str, more: str = '', joints: Sequence[str] = SIX_NAMES
) -> RobotSpec:
    """Six joints that are sent as commands of the tool, of a message type, and a gripper.

    `more` stands in the entry of their topic; `joints` are those that it carries, others have
    topics of their own.
    """
    path = folder / 'tool_arm.yaml'
    chain_urdf(folder / 'arm.urdf')
    tool = f'topic: tool_command, type: {kind}, joints: {list(joints)}, {more}'
    topics = [f'{{{tool.rstrip(", ")}}}']
    topics += [
        f'{{topic: {name}, type: std_msgs/msg/Float64, joints: [{name}]}}'
        for name in (*SIX_NAMES, 'gripper')
        if name not in joints
    ]
    path.write_text(f"""
name: tool_arm
rate: 50
joints:
  names: {[*SIX_NAMES, 'gripper']}
  state: {{topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 1.0}}
  command: [{', '.join(topics)}]
  limits:
    position: {[[-2.5, 2.5]] * 6 + [[0.0, 0.04]]}
    velocity: {[2.0] * 7}
    acceleration: {[8.0] * 7}
home: [0.3, -0.4, 0.9, 0.2, 0.6, -0.3, 0.01]
tool: {{link: tool, urdf: arm.urdf}}
""")
    return load_robot_spec(path)
