# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Where an arm is to be whose tool a person moves by velocities.

Rule: the tool goes in the direction that is wanted, as fast as every joint can follow; where one
cannot, all are slower. The guards have the last word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from motion_policy.control.guard import all_finite
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.velocity_follower import VelocityFollower
from motion_policy.robot import RobotSpec
from motion_policy.robot.kinematics import Kinematics
from motion_policy.robot.teleop import TeleopSpec

POSITIONS, ROTATIONS, ALL = slice(0, 3), slice(3, 6), slice(0, 6)
LEVERS = np.array([1.0, 1.0, 1.0, 0.3, 0.3, 0.3])  # m per m or rad: of what a tool carries
# Near a singularity the tool would leave its direction: from so much of its speed on it goes
# slower, and stands where it would go so much to the side.
STRAY, BENT = 0.1, 0.5
LOOK_S = 0.1
STANDS = 1e-6  # m/s or rad/s: a velocity of so little is none, as what a filter lets fade away
FULL = 6  # joints that can move a tool in every direction


class ToolFollower(VelocityFollower):
    """Moves the joints that move the tool, at most `linear` [m/s] and `angular` [rad/s] fast.

    An arm of fewer than six joints keeps to what of the velocity is wanted: for a way alone the
    tool turns as it must.

    Attributes:
        in_tool: whether velocities are along the axes of the tool; else of the root link.

    Raises:
        UserError: the URDF does not say how the joints move the tool, or the gripper moves it.
    """

    def __init__(
        self, robot: RobotSpec, teleop: TeleopSpec, linear: float, angular: float, *,
        in_tool: bool = False,
    ) -> None:  # fmt: skip
        assert robot.tool is not None
        names = robot.joints.names
        self._kinematics = Kinematics(robot.tool.urdf, names, 'tool')
        self._link = self._kinematics.link(robot.tool.link, 'tool')
        movers = self._kinematics.movers(self._link).tolist()
        super().__init__(robot, teleop, [j for j in movers if j in robot.joints.position_columns])
        self._linear, self._angular = linear, angular
        self.in_tool = in_tool
        self._wanted = np.zeros(6)

    @property
    def moving(self) -> bool:
        """Whether any motion is wanted."""
        return bool(self._wanted.any())

    @property
    def wanted(self) -> Float64Array:
        """The velocity (6,) that is wanted of the tool [m/s, rad/s], within its limits."""
        return self._wanted

    def see(self, twist: Float64Array) -> None:
        """Take the velocity (6,) that is wanted [m/s, rad/s]; none where it is not finite."""
        if not all_finite(twist):
            twist = np.zeros(6)
        self._wanted = np.concatenate((
            _no_longer(twist[POSITIONS], self._linear),
            _no_longer(twist[ROTATIONS], self._angular),
        ))  # fmt: skip

    def _velocity(self, joints: Float64Array, pace: float) -> Float64Array:
        """The velocities (n,) of the joints that move the tool, from where they are (J,)."""
        wanted = self._wanted
        if not wanted.any():
            self.slowed = ''
            return np.zeros(len(self._columns))
        if self.in_tool:
            _, (rotation,) = self._kinematics.poses(self._link, joints[None])
            wanted = np.concatenate((rotation @ wanted[POSITIONS], rotation @ wanted[ROTATIONS]))
        rows = self._rows(wanted)
        velocity = self._kinematics.joint_velocity(self._link, joints, wanted, self._columns, rows)
        jacobian = self._kinematics.twist_jacobian(self._link, joints)[rows, self._columns]
        asked, done = LEVERS[rows] * wanted[rows], LEVERS[rows] * (jacobian @ velocity)
        along = float(done @ asked / (asked @ asked))
        across = float(np.linalg.norm(done - along * asked) / np.linalg.norm(asked))
        straight = min(max((BENT * along - across) / max((BENT - STRAY) * along, 1e-9), 0.0), 1.0)
        if straight < 1.0 and self._leaves_singularity(joints, velocity, rows):
            straight = 1.0
        shares = self.shares(joints[self._columns], straight * velocity, pace)
        joint = int(shares.argmin())
        share = min(1.0, float(shares[joint]))
        self.slowed = self.told(straight * along, share, joint, pace)
        return straight * share * velocity

    def _leaves_singularity(
        self, joints: Float64Array, velocity: Float64Array, rows: slice
    ) -> bool:
        """Whether joints at (J,) with a velocity (n,) come to where the tool moves more freely."""
        ahead = joints.copy()
        ahead[self._columns] += LOOK_S * velocity
        here, there = (
            np.linalg.svd(
                self._kinematics.twist_jacobian(self._link, at)[rows, self._columns],
                compute_uv=False,
            )[-1]
            for at in (joints, ahead)
        )
        return bool(there > here)

    def _rows(self, wanted: Float64Array) -> slice:
        if len(self._columns) >= FULL:
            return ALL
        if not wanted[ROTATIONS].any():
            return POSITIONS
        return ALL if wanted[POSITIONS].any() else ROTATIONS


def _no_longer(vector: Float64Array, most: float) -> Float64Array:
    length = float(np.linalg.norm(vector))
    if length < STANDS:
        return np.zeros(len(vector))
    return vector * (most / length) if length > most else vector


class JointFollower(VelocityFollower):
    """Moves joints by velocities of their own."""

    def __init__(self, robot: RobotSpec, teleop: TeleopSpec, joints: Sequence[str]) -> None:
        super().__init__(robot, teleop, [robot.joints.names.index(joint) for joint in joints])
        self._wanted = np.zeros(len(joints))

    @property
    def moving(self) -> bool:
        """Whether any motion is wanted."""
        return bool(self._wanted.any())

    def see(self, shares: Float64Array) -> None:
        """Take the shares (n,) of full speed that are wanted, from -1 to 1; none if not finite."""
        known = all_finite(shares)
        self._wanted = np.clip(shares, -1.0, 1.0) if known else np.zeros(len(shares))

    def _velocity(self, joints: Float64Array, pace: float) -> Float64Array:
        """The velocities (n,) of the joints that are moved, from where all are (J,)."""
        velocity = self._wanted * self._velocity_limit
        shares = self.shares(joints[self._columns], velocity, pace)
        self.slowed = ''
        if not self.moving:
            return velocity
        joint = int(shares.argmin())
        share = min(1.0, float(shares[joint]))
        self.slowed = self.told(1.0, share, joint, pace)
        return share * velocity
