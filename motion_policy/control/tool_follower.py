# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Where an arm is to be whose tool a person moves by velocities.

Rule: the tool goes in the direction that is wanted, as fast as every joint can follow; where one
cannot, all are slower. The guards have the last word.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.guard import all_finite
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.kinematics import Kinematics
from motion_policy.robot.teleop import TeleopSpec

SPARE = 0.98  # of a joint's limits: what the guards keep exactly shall not bend a straight line
POSITIONS, ROTATIONS, ALL = slice(0, 3), slice(3, 6), slice(0, 6)
FULL = 6  # joints that can move a tool in every direction
SHORT = 0.9  # of what was wanted: when the tool is slower, people are told


class ToolFollower:
    """Targets (J,) for each control tick of an arm whose tool `teleop.twist` moves.

    Only the joints that move the tool move; the others stay, those of a base at 0, and a gripper
    until somebody opens or closes it. An arm of fewer than six joints keeps to what of the
    velocity is wanted: for a way alone the tool turns as it must.

    Attributes:
        slowed: why the tool is slower than wanted; ''.

    Raises:
        UserError: the URDF does not say how the joints move the tool, or the gripper moves it.
    """

    def __init__(self, robot: RobotSpec, teleop: TeleopSpec) -> None:
        assert robot.tool is not None and teleop.twist is not None
        joints = robot.joints
        self._names = names = joints.names
        self._kinematics = Kinematics(robot.tool.urdf, names, 'tool')
        self._link = self._kinematics.link(robot.tool.link, 'tool')
        movers = self._kinematics.movers(self._link)
        self._columns = [j for j in movers.tolist() if names[j] not in joints.velocities]
        limits = joints.limits
        self._lower, self._upper = limits.position_array().T
        self._velocity_limit = limits.velocity_array()[self._columns]
        self._acceleration = limits.acceleration_array()[self._columns]
        self._period_s = robot.period_ns * 1e-9
        self._base = joints.are_velocities
        self._linear, self._angular = teleop.twist.linear, teleop.twist.angular
        self._in_tool = teleop.twist.axes == 'tool'
        self._grippers = {
            names.index(name): (gripper.open, gripper.closed)
            for name, gripper in joints.grippers.items()
        }
        self._neutral = {  # where a gripper stays as it is
            names.index(name): (gripper.open_at + gripper.close_at) / 2
            for name, gripper in joints.grippers.items()
        }
        self._gripped: dict[int, float] = {}  # where somebody wants them
        if teleop.gripper is not None:
            gripper = teleop.gripper
            if names.index(gripper.joint) in self._columns:
                raise UserError(
                    f"robot '{robot.name}': teleop.gripper '{gripper.joint}' moves the tool, "
                    'expected a joint that does not'
                )
            self._grippers[names.index(gripper.joint)] = gripper.open, gripper.closed
        self._wanted = np.zeros(6)
        self._target = np.zeros(len(names))  # of joints that do not move the tool
        self._sent: Float64Array | None = None  # in the tick before, while it follows
        self.slowed = ''

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

    def grip(self, close: bool) -> str:
        """Open or close what can be; return what that is, UserError where there is nothing."""
        if not self._grippers:
            raise UserError('there is no gripper, expected joints.grippers or teleop.gripper')
        self._gripped = {j: each[1 if close else 0] for j, each in self._grippers.items()}
        named = ', '.join(self._names[joint] for joint in self._grippers)
        return f'{"closing" if close else "opening"} {named}'

    def stop(self, rest: Float64Array) -> None:
        """The arm, which will rest at (J,), is led by nobody, and its grippers stay."""
        self._gripped = {}
        self.pause(rest)

    def pause(self, rest: Float64Array) -> Float64Array:
        """The arm follows nobody and will rest at (J,); return that as a target."""
        self._sent, self.slowed = None, ''
        self._target = np.clip(rest, self._lower, self._upper)
        return self._standing()

    def target(self, sent: Float64Array, rest: Float64Array, pace: float = 1.0) -> Float64Array:
        """Return where the arm (J,) is to be that was `sent` to (J,); `pace` of its speed."""
        before = sent if self._sent is None else self._sent
        self._sent = sent
        columns, step = self._columns, self._period_s
        moves = (sent - before)[columns] / step
        change = self._velocity(sent, pace) - moves
        most = SPARE * self._acceleration * step
        change *= min(1.0, 1.0 / max(float((np.abs(change) / most).max()), 1e-9))
        target = self._standing()
        target[columns] = sent[columns] + (moves + change) * step
        return target

    def _velocity(self, joints: Float64Array, pace: float) -> Float64Array:
        """The velocities (n,) of the joints that move the tool, from where they are (J,)."""
        wanted = self._wanted
        if not wanted.any():
            self.slowed = ''
            return np.zeros(len(self._columns))
        if self._in_tool:
            _, (rotation,) = self._kinematics.poses(self._link, joints[None])
            wanted = np.concatenate((rotation @ wanted[POSITIONS], rotation @ wanted[ROTATIONS]))
        rows = self._rows(wanted)
        velocity = self._kinematics.joint_velocity(self._link, joints, wanted, self._columns, rows)
        jacobian = self._kinematics.twist_jacobian(self._link, joints)[rows, self._columns]
        asked = wanted[rows]
        done = float((jacobian @ velocity) @ asked / (asked @ asked))
        shares = self._shares(joints[self._columns], velocity, pace)
        joint = int(shares.argmin())
        share = min(1.0, float(shares[joint]))
        self.slowed = self._told(done, share, joint, pace)
        return share * velocity

    def _rows(self, wanted: Float64Array) -> slice:
        if len(self._columns) >= FULL:
            return ALL
        if not wanted[ROTATIONS].any():
            return POSITIONS
        return ALL if wanted[POSITIONS].any() else ROTATIONS

    def _shares(self, at: Float64Array, velocity: Float64Array, pace: float) -> Float64Array:
        """How much of its velocity (n,) each joint may have at (n,), by its limits."""
        room = np.where(
            velocity > 0, self._upper[self._columns] - at, at - self._lower[self._columns]
        )
        slower = self._acceleration * self._period_s
        braking = np.sqrt(slower**2 + 2 * SPARE * self._acceleration * np.maximum(room, 0.0))
        most = np.minimum(SPARE * pace * self._velocity_limit, np.maximum(braking - slower, 0.0))
        speed = np.abs(velocity)
        shares = np.full(len(speed), np.inf)
        np.divide(most, speed, out=shares, where=speed > 1e-9)
        return shares

    def _told(self, done: float, share: float, joint: int, pace: float) -> str:
        if done * share >= SHORT * pace:
            return ''
        name, part = self._names[self._columns[joint]], max(done * share, 0.0)
        why = [f"joint '{name}' is at a limit"] if share < SHORT else []
        why += ['near a singularity, or a direction that the arm has not'] if done < SHORT else []
        return f'the tool moves at {part:.0%} of what is wanted: {", ".join(why)}'

    def _standing(self) -> Float64Array:
        target = np.where(self._base, 0.0, self._target)
        for joint, position in {**self._neutral, **self._gripped}.items():
            target[joint] = position
        return target


def _no_longer(vector: Float64Array, most: float) -> Float64Array:
    length = float(np.linalg.norm(vector))
    return vector * (most / length) if length > most else vector
