# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The start position at enable: the measured position, or the one that was held.

Controllers of arms keep their last command. A start elsewhere would be a jump for them, and an
arm that sags below it would be let down a little more with every start.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from motion_policy.control.motion_limiter import BoolArray, Float64Array
from motion_policy.control.turns import whole_turn_away
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec

START_TOLERANCE = 0.01  # of a joint's range: how far outside its limits it may stand at enable
SETTLING_NS = 1_000_000_000  # after the last command an arm is at rest
SETTLING_PERIODS = 2  # of travel: how far it may be behind that command, or sag below it
# Of motion at full speed: further, no joint comes from one tick to the next.
JUMP_S, JUMP_PERIODS = 0.1, 3
JUMPED_S = 0.5  # after a jump nobody knows where the arm stands
# An arm stands that has moved no further, in s of full speed, in so long, or in the age that its
# joint states may have: more than encoders swing, less than a start may be beside it.
STILL_S, LOOK_S = 0.01, 0.2


class RestMonitor:
    """Remembers where an arm was measured of late: a start while it moves would be a jump for it.

    Two publishers that say where one joint is, one after the other, let it jump all the time.
    `watched` (J,): joints that are not may move, as a gripper does that closes on an object. A
    base may be as fast as it likes between two ticks, but not at a start.
    """

    def __init__(self, robot: RobotSpec, watched: BoolArray) -> None:
        self._robot, self._watched = robot, watched
        self._names, self._rate = robot.joints.names, robot.rate
        velocity = robot.joints.limits.velocity_array()
        self._velocities = robot.joints.are_velocities
        jump = velocity * max(JUMP_S, JUMP_PERIODS / self._rate)
        self._jump = np.where(self._velocities, np.inf, jump)
        still = watched & ~self._velocities
        self._still = np.where(still, velocity * STILL_S, np.inf)
        self._stands = robot.joints.creeping
        max_age_s = max(topic.max_age for _, topic in robot.joint_streams('state'))
        self._ticks = round(max(LOOK_S, max_age_s) * self._rate) + 1
        self._jump_ticks = round(JUMPED_S * self._rate) + 1
        self._measured: deque[Float64Array] = deque(maxlen=max(self._ticks, self._jump_ticks))

    def look(self, measured: Float64Array | None) -> None:
        """Take where it is measured (J,) in a tick; None: nowhere."""
        if measured is None:
            self._measured.clear()
        else:
            self._measured.append(measured)

    def start(
        self,
        position: Float64Array,
        measured: Float64Array,
        sent: Float64Array,
        silent_ns: int | None,
    ) -> Float64Array:
        """Return where to start (J,): at `position`, or at the last command `sent`.

        As of `start_position`; None: nobody knows whether it is still held there. UserError for
        an arm that does not stand.
        """
        problem = self.rolling(measured) or self.jumped()
        if not problem and silent_ns is not None:
            position = start_position(self._robot, position, sent, silent_ns, self._watched)
        if not problem and position is not sent:
            problem = self.moving()
        if problem:
            raise UserError(problem)
        return position

    def jumped(self) -> str:
        """Why nobody knows where the arm stands; ''."""
        measured = self._newest(self._jump_ticks)
        steps = np.abs(np.diff(measured, axis=0)) - self._jump
        if not len(steps) or steps.max() <= 0:
            return ''
        tick, joint = np.unravel_index(steps.argmax(), steps.shape)
        return (
            f"joint '{self._names[joint]}' jumped from {measured[tick, joint]:.3f} to "
            f'{measured[tick + 1, joint]:.3f}: do two nodes publish it? ask again when it stands'
        )

    def rolling(self, measured: Float64Array) -> str:
        """Which velocity of the base, of those measured (J,), is not zero; '' if it stands."""
        rolls = self._velocities & (np.abs(measured) > self._stands)
        if not rolls.any():
            return ''
        joint = int(rolls.argmax())
        return (
            f"joint '{self._names[joint]}' moves at {measured[joint]:.3f} m/s or rad/s, expected "
            f'at most {self._stands[joint]:.3g}: ask again when the base stands'
        )

    def moving(self) -> str:
        """Which joint still moves, and how fast; '' if the arm stands."""
        measured = self._newest(self._ticks)
        if len(measured) < 2:
            return ''
        moved = np.ptp(measured, axis=0)
        joint = int((moved - self._still).argmax())
        if moved[joint] <= self._still[joint]:
            return ''
        speed = moved[joint] * self._rate / (len(measured) - 1)
        return (
            f"joint '{self._names[joint]}' still moves at {speed:.2g} rad/s or m/s; "
            'ask again when it stands'
        )

    def _newest(self, count: int) -> Float64Array:
        """Of the last `count` ticks, those in which it was measured at all (n, J)."""
        measured = np.array(self._measured).reshape(-1, len(self._names))[-count:]
        return measured[np.isfinite(measured).all(axis=1)]


def checked_start(robot: RobotSpec, measured: Float64Array) -> Float64Array:
    """Return the measured position (J,); UserError naming a joint that no start is allowed from.

    A joint slightly outside its limits may only come in from there. Velocities of a base are 0: it
    starts at rest.
    """
    names = robot.joints.names
    measured = np.asarray(measured, dtype=np.float64)
    if measured.shape != (len(names),):
        raise UserError(f'measured position has shape {measured.shape}, expected {len(names)}')
    velocities = robot.joints.are_velocities
    if velocities.any():
        measured = np.where(velocities & np.isfinite(measured), 0.0, measured)
    limits = robot.joints.limits.position_array()
    slack = START_TOLERANCE * (limits[:, 1] - limits[:, 0])
    turned = whole_turn_away(names, measured, limits[:, 0] - slack, limits[:, 1] + slack)
    if turned:
        raise UserError(turned)
    for name, value, (low, high), more in zip(names, measured, limits, slack, strict=True):
        if not low - more <= value <= high + more:
            raise UserError(
                f"joint '{name}' stands at {value:.4f}, expected within its limits "
                f'[{low}, {high}]: move it there first'
            )
    return measured


def start_position(
    robot: RobotSpec,
    measured: Float64Array,
    sent: Float64Array,
    silent_ns: int,
    watched: BoolArray | None = None,
) -> Float64Array:
    """Return the last command `sent` (J,) if the arm is held there, else where it is measured.

    `silent_ns` is how long ago that was the last one. Joints that are not `watched` (J,) may be
    away from it: a gripper that holds an object. UserError while the arm is still on its way.
    """
    reach = robot.joints.limits.velocity_array() * robot.period_ns * 1e-9 * SETTLING_PERIODS
    if watched is not None:
        reach = np.where(watched, reach, np.inf)
    far = np.flatnonzero(np.abs(measured - sent) > reach)
    if not len(far):
        return sent
    # Whoever enables may have read the clock before the last tick did.
    if abs(silent_ns) > SETTLING_NS:
        return measured
    name, wait_s = robot.joints.names[far[0]], (SETTLING_NS - silent_ns) * 1e-9
    raise UserError(
        f"joint '{name}' stands at {measured[far[0]]:.3f} and was told {sent[far[0]]:.3f} a "
        f'moment ago: it is on its way, or was moved; ask again in {wait_s:.1f} s'
    )
