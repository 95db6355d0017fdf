# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A fake arm behind a Cartesian velocity controller, which follows a share of what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import recordings
from fake_arm import FakeArm
from ros_testing import Bench

from motion_policy.episodes import EpisodeWriter
from motion_policy.nodes.endpoints import Origin
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.commands import CommandPort
from motion_policy.robot import JointTopic, RobotSpec
from motion_policy.robot.kinematics import commanded_tool
from motion_policy.streams import Observation

STEP_S = 0.004
LONGEST_NS = 150_000_000  # after a message, in which a controller stops by itself


class SlackJoints(StandInArm):
    """Joints that go a share of every way."""

    obeyed = 1.0

    def command(self, values: Any, columns: Sequence[int] | None = None) -> None:
        """Send the joints of these places, or all, some of the way to finite `values`."""
        places = range(len(self.position)) if columns is None else columns
        there = self.target[list(places)]
        super().command(there + self.obeyed * (np.asarray(values) - there), columns)


class TwistArm(FakeArm):
    """An arm of `chain_arm.tool_arm` whose controller integrates velocities of the tool.

    Or plays trajectories, where its spec says so.

    Attributes:
        twists: every velocity (6,) that came.
        trajectories: every trajectory.
        lines: on limits that were broken, and messages refused.
    """

    def __init__(self, bench: Bench, robot: RobotSpec, obeyed: float = 1.0) -> None:
        super().__init__(bench, robot, 'replay_node')
        self.joints = self.stand_in.arm = SlackJoints(robot, lags=False)
        self.joints.obeyed = obeyed
        self.twists: list[np.ndarray] = []
        self._heard_ns = 0
        self.trajectories: list[Any] = []
        self.lines: list[str] = []
        self.ports = {
            topic: CommandPort(robot, topic, self.joints, self.lines.append)
            for topic in robot.joints.command
        }
        self._kinematics, self._link = commanded_tool(robot.joints.command[0], robot)
        bench.client.create_timer(STEP_S, self.step)

    @property
    def _now_ns(self) -> int:
        return int(self.bench.client.get_clock().now().nanoseconds)

    def step(self) -> None:
        """Let time pass for the controllers; not while messages wait in a process held up."""
        now_ns = min(self._now_ns, self._heard_ns + LONGEST_NS)
        for port in self.ports.values():
            port.step(now_ns)

    def away_m(self, joints: np.ndarray) -> float:
        """How far the tool is from where it is at joints (J,)."""
        missing = self._kinematics.difference(self._link, self.joints.position, joints)
        return float(np.linalg.norm(missing[:3]))

    def _hear_command(self, topic: JointTopic, message: Any, origin: Origin) -> None:
        self._heard_ns = self._now_ns
        self.ports[topic].take(message, self._heard_ns, origin.stamp_ns)
        if hasattr(message, 'points'):
            self.trajectories.append(message)
            self.commands.add(np.array(message.points[0].positions), origin.stamp_ns or 0)
        if hasattr(message, 'twist'):
            linear, angular = message.twist.linear, message.twist.angular
            numbers = [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]
            self.twists.append(np.array(numbers))
            self.commands.add(self.twists[-1], origin.stamp_ns or 0)


def write_way(path: Path, robot: RobotSpec, rows: np.ndarray) -> Path:
    """Write an episode whose actions are the rows (T, J); return its path."""
    with EpisodeWriter(path, robot) as writer:
        for index, joints in enumerate(rows.astype(np.float32)):
            row = recordings.row_at(index, robot)
            writer.append(row.time_ns, Observation(joints, 0 * joints, None, {}, joints), row)
    return path
