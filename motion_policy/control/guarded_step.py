# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A motion step after which the arm can still brake within its position limits.

Joints do not reach their targets together, nor do they brake together: the way there, and the way
to rest from there, may lead elsewhere than straight. So both are looked at in every step. The way
to rest of the step before was; it is what remains when no other way is allowed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motion_policy.control.collision import CollisionGuard
from motion_policy.control.motion_limiter import Float64Array, Motion, MotionLimiter, Speed
from motion_policy.control.tool_speed import ToolSpeedLimit
from motion_policy.control.workspace import Workspace

BRAKING_POINTS = 24  # of a long way to rest that are looked at for the box of the tool
BISECTIONS = 2  # between the step that is wanted and braking
# Ticks come up to half a period early, or a period late: while the arm brakes, each joint is then
# up to its velocity times so many periods beside the way that was looked at.
STRAY_PERIODS = 0.5
REACH_PERIODS = 4  # of full speed: targets further away than these and the way to rest can wait
OUTSIDE = 'workspace: the tool would leave its box'


class GuardedStep:
    """Takes steps of `limiter` so that workspace, collision and tool speed are kept.

    Where a step is not allowed, one between it and braking is, or braking.
    """

    def __init__(
        self,
        limiter: MotionLimiter,
        period_ns: int,
        workspace: Workspace | None = None,
        collision: CollisionGuard | None = None,
        tool_speed: ToolSpeedLimit | None = None,
    ) -> None:
        self._limiter = limiter
        self._period_ns = period_ns
        self.workspace = workspace
        self.collision = collision
        self.tool_speed = tool_speed
        self._watches = any(part is not None for part in (workspace, collision, tool_speed))

    def nearest_clear(self, target: Float64Array) -> tuple[Float64Array, str]:
        """Return how far one can go straight to a target (J,), and what is in the way, or ''."""
        if self.collision is None:
            return target, ''
        limiter = self._limiter
        period_s = self._period_ns * 1e-9
        reach = limiter.velocity**2 / (2 * limiter.max_acceleration)
        reach += REACH_PERIODS * period_s * (
            np.abs(limiter.velocity) + limiter.max_acceleration * period_s
        )  # fmt: skip
        clear, near = self.collision.nearest_clear(limiter.position, target, reach)
        return clear, f'collision: {near}' if near else ''

    def shares(self, target: Float64Array) -> Float64Array | None:
        """Return the share of its velocity limit (J,) for each joint; None: all may have all."""
        if self.tool_speed is None or not self.tool_speed.limit:
            return None
        limiter = self._limiter
        shares = self.tool_speed.shares(limiter.position, target, limiter.max_velocity)
        return shares if (shares < 1.0).any() else None

    def take(self, target: Float64Array, dt_ns: int, speed: Speed) -> tuple[Motion, str]:
        """Step towards a target (J,); also what was in the way: the stage and more, or ''."""
        limiter = self._limiter
        if not self._watches:
            return limiter.step(target, dt_ns, speed), ''
        bring_back = limiter.snapshot()
        before = limiter.position
        motion = limiter.step(target, dt_ns, speed)
        problem = self._problem(before, dt_ns)
        if not problem:
            return motion, ''
        fastest = motion.velocity
        bring_back()
        slowest = limiter.stop(dt_ns).velocity
        allowed, forbidden = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (allowed + forbidden) / 2
            bring_back()
            limiter.follow(slowest + middle * (fastest - slowest), dt_ns)
            if self._problem(before, dt_ns):
                forbidden = middle
            else:
                allowed = middle
        bring_back()
        if allowed:
            slower = limiter.follow(slowest + allowed * (fastest - slowest), dt_ns)
            limiter.expect(target)
        else:
            slower = limiter.stop(dt_ns)
        return replace(motion, position=slower.position, velocity=slower.velocity), problem

    def _problem(self, before: Float64Array, dt_ns: int) -> str:
        """What is wrong with the step from `before` (J,), and with braking after it; or ''."""
        limiter = self._limiter
        dt_ns = min(dt_ns, self._period_ns)
        braking = limiter.longest_braking_positions(dt_ns)
        if self.workspace is not None:
            on_time = limiter.braking_positions(dt_ns)
            if not all(self._stays_in(self.workspace, way) for way in (on_time, braking)):
                return OUTSIDE
        if self.tool_speed is not None and self.tool_speed.exceeds(
            before, limiter.position, limiter.velocity, limiter.max_acceleration, dt_ns * 1e-9
        ):
            return 'tool_speed: the tool would be too fast'
        if self.collision is not None:
            way = np.concatenate((before[None], limiter.position[None], braking))
            stray = STRAY_PERIODS * self._period_ns * 1e-9 * np.abs(limiter.velocity)
            blocked = self.collision.blocked(way, stray)
            if blocked:
                return f'collision: {blocked}'
        return ''

    def _stays_in(self, workspace: Workspace, braking: Float64Array) -> bool:
        # From the end backwards: there it leaves first.
        ahead = braking[:: -max(1, len(braking) // BRAKING_POINTS)]
        return all(workspace.contains(position) for position in (*ahead, self._limiter.position))
