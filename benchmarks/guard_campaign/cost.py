# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Cost of the guard chain per tick, with each of its optional stages: an arm of six joints.

The arm has the size of a UR5e; its links are cylinders. It follows targets that change once a
second, above a table and beside a wall, so that most are near something and some behind it.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from motion_policy.cli.measurement import Measurement
from motion_policy.control import GuardChain
from motion_policy.control.collision import CollisionGuard
from motion_policy.control.tool_speed import ToolSpeedLimit
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

RATE_HZ = 50.0
ALLOWED_US = 1000.0  # of the 20,000 of a tick at 50 Hz
TICKS_PER_S = 500  # that are run per second asked for
TARGET_TICKS = 50
BOXES = [-1.0, 1.0, -1.0, 1.0, -0.2, -0.06, -1.0, 1.0, 0.55, 0.6, -0.2, 1.2]
HOME = np.array([0.0, -1.5, 1.2, -1.2, -1.5, 0.0])
SPREAD = 0.6  # rad, of targets about there
# Axis and length [m] of the links, and the radius of their cylinders.
LINKS = (
    ('0 0 1', 0.15, 0.06),
    ('0 1 0', 0.42, 0.06),
    ('0 1 0', 0.39, 0.05),
    ('0 1 0', 0.11, 0.04),
    ('0 0 1', 0.09, 0.04),
    ('0 1 0', 0.12, 0.03),
)
SPEC = """
name: six_joints
rate: 50.0
joints:
  names: [joint1, joint2, joint3, joint4, joint5, joint6]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits:
    position: [[-3.1, 3.1], [-3.1, 3.1], [-3.1, 3.1], [-3.1, 3.1], [-3.1, 3.1], [-3.1, 3.1]]
    velocity: [2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    acceleration: [5.0, 5.0, 5.0, 5.0, 5.0, 5.0]
"""


def six_joint_urdf() -> str:
    """The arm: each link along z of its joint."""
    text, parent, before = '<link name="base"/>', 'base', 0.0
    for number, (axis, length, radius) in enumerate(LINKS, start=1):
        text += (
            f'<link name="link{number}"><collision><origin xyz="0 0 {length / 2}"/><geometry>'
            f'<cylinder radius="{radius}" length="{length}"/></geometry></collision></link>'
            f'<joint name="joint{number}" type="revolute"><axis xyz="{axis}"/>'
            f'<parent link="{parent}"/><child link="link{number}"/><origin xyz="0 0 {before}"/>'
            '<limit lower="-3.1" upper="3.1" velocity="2" effort="1"/></joint>'
        )
        parent, before = f'link{number}', length
    return f'<robot name="six_joints">{text}</robot>'


def measure(seconds: float) -> list[Measurement]:
    """One line for each stage, and one for all of them together."""
    robot = robot_spec_from_yaml(SPEC, 'six_joints.yaml')
    ticks = max(TARGET_TICKS, round(seconds * TICKS_PER_S))
    with TemporaryDirectory() as folder:
        urdf = Path(folder) / 'six_joints.urdf'
        urdf.write_text(six_joint_urdf(), encoding='utf-8')
        tool_speed = ToolSpeedLimit(urdf, 'link6', 0.25, robot.joints.names)
        collision = CollisionGuard(urdf, robot, boxes=BOXES)
        chains = {
            'no optional stage': GuardChain(robot),
            'tool speed': GuardChain(robot, tool_speed=tool_speed),
            'collision': GuardChain(robot, collision=collision),
            'collision and tool speed': GuardChain(
                robot, collision=collision, tool_speed=tool_speed
            ),
        }
        return [_measured(name, chain, robot, ticks) for name, chain in chains.items()]


def _measured(name: str, chain: GuardChain, robot: RobotSpec, ticks: int) -> Measurement:
    random = np.random.default_rng(0)
    chain.start(HOME)
    target, costs = HOME, []
    for tick in range(ticks):
        if tick % TARGET_TICKS == 0:
            target = HOME + random.uniform(-SPREAD, SPREAD, len(HOME))
        begin_ns = time.thread_time_ns()
        chain.apply(target, None, robot.period_ns)
        costs.append((time.thread_time_ns() - begin_ns) / 1e3)
    return Measurement(
        what=f'guard chain of an arm with 6 joints: {name}',
        ours=float(np.median(costs)),
        reference=ALLOWED_US,
        reference_name=f'allowed for a tick at {RATE_HZ:g} Hz',
        unit='us of CPU time per tick, median',
        target=1.0,
        details={
            'p99_us': float(np.quantile(costs, 0.99)),
            'greatest_us': float(np.max(costs)),
            'ticks': ticks,
            'clamped_by_collision': chain.counts['collision'],
            'slowed_by_tool_speed': chain.counts['tool_speed'],
        },
    )
