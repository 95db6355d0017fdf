# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A limit on the speed of the tool, by the Jacobian of the URDF: reduced mode.

It only says how fast the joints may be; the motion limiter then keeps their accelerations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot.kinematics import Kinematics

# The Jacobian changes within a step, and steps are not of one length: both stay below this.
KEPT = 0.99
SLOWEST = 1e-3  # share of its velocity limit that every joint may have on the way to a target


class ToolSpeedLimit:
    """How fast the origin of a link moves, and may move; `limit` [m/s] may change at any time.

    Args:
        urdf: the robot, meshes are not read.
        tool: the link.
        limit: 0: there is none.
        joint_names: in the order of every vector given here.

    Raises:
        UserError: no such file or link, a limit that is not a number >= 0, or a joint that moves
            the tool and is not among the names.
    """

    def __init__(
        self, urdf: str | Path, tool: str, limit: float, joint_names: Sequence[str]
    ) -> None:
        self._kinematics = Kinematics(urdf, joint_names, 'workspace.urdf')
        self._link = self._kinematics.link(tool, 'workspace.tool')
        self.limit = limit

    @property
    def limit(self) -> float:
        """Greatest speed of the tool [m/s]; 0: any."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        if not (math.isfinite(limit) and limit >= 0):
            raise UserError(f'tool_speed_limit is {limit}, expected 0 (none) or more m/s')
        self._limit = limit

    def speed(self, joints: Float64Array, velocity: Float64Array) -> float:
        """Return the tool's speed [m/s] where the joints (J,) are and move like that (J,)."""
        return math.hypot(*(self._kinematics.jacobian(self._link, joints) @ velocity))

    def shares(
        self, joints: Float64Array, target: Float64Array, max_velocity: Float64Array
    ) -> Float64Array:
        """Return the share of its velocity limit (J,) that each joint may have towards a target.

        All of them straight there, so that the tool is as fast as it may be.
        """
        gap = target - joints
        length = self.speed(joints, gap)
        if not self._limit or not length:
            return np.ones(len(gap))
        shares = np.abs(gap) * (KEPT * self._limit / length) / max_velocity
        bounded: Float64Array = np.minimum(np.maximum(shares, SLOWEST), 1.0)
        return bounded

    def exceeds(
        self,
        before: Float64Array,
        joints: Float64Array,
        velocity: Float64Array,
        acceleration: Float64Array,
        period_s: float,
    ) -> bool:
        """Whether the tool is too fast in a step from `before` to `joints` (J,), or in braking.

        The joints are looked at every half `period_s` and whenever one of them comes to rest: as
        ticks may come at any time, and between those times the velocity is linear in time.
        """  # fmt: skip
        if not self._limit:
            return False
        most = KEPT * self._limit
        if self.speed(before, velocity) > most:
            return True
        speeds, signs = np.abs(velocity), np.sign(velocity)
        to_rest = speeds / acceleration
        times = np.concatenate((np.arange(0.0, to_rest.max(), period_s / 2), to_rest))
        moving = np.minimum(times[:, None], to_rest)
        places = joints + signs * moving * (speeds - acceleration * moving / 2)
        velocities = signs * (speeds - acceleration * moving)
        return any(
            self.speed(place, moved) > most
            for place, moved in zip(places, velocities, strict=True)
        )
