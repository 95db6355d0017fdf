# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Where an arm is to be that a person moves by velocities, of its joints or of its tool.

Rule: all joints are as slow as the one that can follow least, so that the arm keeps its direction.
The guards have the last word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import TeleopSpec

SPARE = 0.98  # of a joint's limits: what the guards keep exactly shall not bend a straight line
SHORT = 0.9  # of what was wanted: when the arm is slower, people are told


class VelocityFollower:
    """Targets (J,) for each control tick of an arm of which some joints, `columns`, are moved.

    The others stay, those of a base at 0, and a gripper until somebody opens or closes it.

    Attributes:
        slowed: why the arm is slower than wanted; ''.

    Raises:
        UserError: a gripper is one of the joints that are moved.
    """

    def __init__(self, robot: RobotSpec, teleop: TeleopSpec, columns: Sequence[int]) -> None:
        joints = robot.joints
        self._names = names = joints.names
        self._columns = list(columns)
        limits = joints.limits
        self._lower, self._upper = limits.position_array().T
        self._velocity_limit = limits.velocity_array()[self._columns]
        self._acceleration = limits.acceleration_array()[self._columns]
        self._period_s = robot.period_ns * 1e-9
        self._base = joints.are_velocities
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
            self._grippers[names.index(gripper.joint)] = gripper.open, gripper.closed
        for joint in self._grippers:
            if joint in self._columns:
                raise UserError(
                    f"robot '{robot.name}': the gripper '{names[joint]}' is moved by velocities, "
                    'too, expected another joint'
                )
        self._target = np.zeros(len(names))  # of joints that are not moved
        self._sent: Float64Array | None = None  # in the tick before, while it follows
        self.slowed = ''

    @property
    def moving(self) -> bool:
        """Whether any motion is wanted."""
        raise NotImplementedError

    def _velocity(self, joints: Float64Array, pace: float) -> Float64Array:
        """The velocities (n,) of the joints that are moved, from where all are (J,)."""
        raise NotImplementedError

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

    def shares(self, at: Float64Array, velocity: Float64Array, pace: float) -> Float64Array:
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

    def told(self, done: float, share: float, joint: int, pace: float) -> str:
        if done * share >= SHORT * pace:
            return ''
        name, part = self._names[self._columns[joint]], max(done * share, 0.0)
        why = [f"joint '{name}' is at a limit"] if share < SHORT else []
        why += ['near a singularity, or a direction that the arm has not'] if done < SHORT else []
        return f'the arm moves at {part:.0%} of what is wanted: {", ".join(why)}'

    def _standing(self) -> Float64Array:
        target = np.where(self._base, 0.0, self._target)
        for joint, position in {**self._neutral, **self._gripped}.items():
            target[joint] = position
        return target
