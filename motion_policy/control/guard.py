# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The guard chain: every target passes it before it becomes a command, and every stage counts.

finite -> width -> position limits -> following error -> workspace -> collision -> jerk -> tool
speed -> velocity and acceleration. The motion limiter is last because it must have the last word:
whatever a stage before it changes, what is sent never breaks a position, velocity or acceleration
limit, in the time that really passed between two commands. Nothing leaves the chain that is not
finite.

A velocity of a base is slowed down by less of it, not by less acceleration; where workspace or
collision stop the arm, it is as it was wanted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from motion_policy.control.collision import CollisionGuard
from motion_policy.control.guarded_step import OUTSIDE, GuardedStep
from motion_policy.control.motion_limiter import (
    BoolArray,
    Float64Array,
    MotionLimiter,
    Speed,
    within,
)
from motion_policy.control.smoothing import JerkLimiter
from motion_policy.control.tool_speed import ToolSpeedLimit
from motion_policy.control.workspace import Workspace
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec

Reaction = Literal['clamp', 'stop']
STAGES = (
    'finite',
    'width',
    'position',
    'velocity',
    'acceleration',
    'following_error',
    'workspace',
    'collision',
    'jerk',
    'tool_speed',
)
# Of these the user chooses what a violation leads to; what smooths or slows cannot be violated.
CLAMPING_STAGES = STAGES[2:-2]


@dataclass(frozen=True)
class GuardResult:
    """What to send: position (J,), its velocity (J,), joints clamped or smoothed per stage.

    Workspace, collision and tool speed count once, not per joint. `stopped_by` names the stage
    and the joint that made the arm brake instead; '' if none did. `obstacle` says where workspace
    or collision changed the command, and why.
    """

    position: Float64Array
    velocity: Float64Array
    violations: Mapping[str, int] = field(default_factory=dict)
    stopped_by: str = ''
    obstacle: str = ''


def all_finite(values: Float64Array) -> bool:
    """Stage finite: no NaN and no infinity in values (...) of any shape.

    For as few numbers NumPy's calls cost more.
    """
    return all(map(math.isfinite, values.ravel().tolist()))


def right_width(values: Float64Array, joints: int) -> bool:
    """Stage width: whether values are (..., J), one per joint in the last axis."""
    return values.ndim >= 1 and values.size > 0 and values.shape[-1] == joints


def clamp_position(
    target: Float64Array, lower: Float64Array, upper: Float64Array
) -> tuple[Float64Array, BoolArray]:
    """Stage position: the target inside the limits, and the joints that were outside; all (J,)."""
    return within(target, lower, upper), (target < lower) | (target > upper)


def clamp_following(
    target: Float64Array,
    measured: Float64Array,
    sent: Float64Array,
    reach: Float64Array,
    max_error: Float64Array,
) -> tuple[Float64Array, BoolArray]:
    """Stage following_error: the target within `max_error` of the measured position; all (J,).

    A joint counts as violating when the next command, at most `reach` from the one `sent` last,
    would be further away than that: the arm does not follow, or is held.
    """
    following = within(target, measured - max_error, measured + max_error)
    following_step = within(target, sent - reach, sent + reach)
    return following, np.abs(following_step - measured) > max_error


class GuardChain:
    """All stages for one robot; holds the last command sent, from which motion is measured.

    `on_violation` maps a stage to 'clamp' (the default) or 'stop'; finite and width always stop.
    `max_following_error` [rad or m], one number or one per joint; None leaves that stage out.
    `position_margin` [rad or m] is kept from every position limit. `max_jerk` [rad/s^3 or m/s^3],
    one number or one per joint, smooths the motion; None leaves that out. These three hold of
    positions, not of velocities of a base. `workspace` is where
    the tool may be, `collision` what may not touch, `tool_speed` how fast the tool may be.
    """

    def __init__(
        self,
        robot: RobotSpec,
        *,
        max_following_error: float | Sequence[float] | None = None,
        on_violation: Mapping[str, Reaction] | None = None,
        position_margin: float = 0.0,
        max_jerk: float | Sequence[float] | None = None,
        workspace: Workspace | None = None,
        collision: CollisionGuard | None = None,
        tool_speed: ToolSpeedLimit | None = None,
    ) -> None:
        self.joint_names = robot.joints.names
        self._period_ns = robot.period_ns
        are_velocities = robot.joints.are_velocities
        self.limiter = MotionLimiter(
            robot.joints.limits, position_margin, robot.period_ns, are_velocities
        )
        self._velocities = are_velocities if are_velocities.any() else None
        self.workspace = workspace
        self.collision = collision
        self.tool_speed = tool_speed
        self._steps = GuardedStep(self.limiter, robot.period_ns, workspace, collision, tool_speed)
        self._smoothing: JerkLimiter | None = None
        if max_jerk is not None and not are_velocities.all():
            self._smoothing = JerkLimiter(self.limiter, max_jerk, robot.period_ns)
        # From open to closed in one step is meant so, and no violation.
        self._steady = np.array([name not in robot.joints.grippers for name in self.joint_names])
        self.counts: Counter[str] = Counter(dict.fromkeys(STAGES, 0))
        self._max_error = _per_joint(max_following_error, len(self.joint_names))
        if self._max_error is not None:
            self._max_error[are_velocities] = np.inf
        self._reactions = _reactions(on_violation or {})

    @property
    def sent(self) -> Float64Array:
        """The last command sent, (J,)."""
        return self.limiter.position

    def limit_tool_speed(self, limit: float) -> bool:
        """Let the tool be so fast [m/s] from the next step on; return whether that is new."""
        if self.tool_speed is None or self.tool_speed.limit == limit:
            return False
        self.tool_speed.limit = limit
        return True

    def reaction(self, stage: str) -> Literal['clamped', 'stopped', 'smoothed', 'slowed']:
        """What a violation of this stage leads to; smoothing is none, it changes commands."""
        if stage == 'jerk':
            return 'smoothed'
        if stage == 'tool_speed':
            return 'slowed'
        return 'clamped' if self._reactions.get(stage) == 'clamp' else 'stopped'

    def start(self, measured: Float64Array) -> None:
        """Begin at rest at the measured position (J,); UserError where the tool must not be."""
        outside = self.workspace.describe(measured) if self.workspace else ''
        if outside:
            raise UserError(f'workspace: {outside}: move it there first')
        near = self.collision.describe(measured) if self.collision else ''
        if near:
            raise UserError(
                f'collision: {near}: move them apart first, or name both in collision.ignore'
            )
        self.limiter.start(measured)
        if self._smoothing is not None:
            self._smoothing.forget()

    def forbids(self, target: Float64Array) -> str:
        """What is wrong with being at a target (J,), by its stage; '' if nothing is."""
        outside = self.workspace.describe(target) if self.workspace else ''
        if outside:
            return f'workspace: {outside}'
        near = self.collision.describe(target, share=1.0) if self.collision else ''
        return f'collision: {near}' if near else ''

    def checked_goal(self, goal: Float64Array, name: str) -> Float64Array:
        """Return a goal (J,) within the position limits; UserError where it is forbidden."""
        goal = np.clip(goal, self.limiter.lower, self.limiter.upper)
        forbidden = self.forbids(goal)
        if forbidden:
            raise UserError(f'{name}: {forbidden}')
        return goal

    def resume(
        self, position: Float64Array, velocity: Float64Array, smoothed: Float64Array | None
    ) -> None:
        """Go on from a command (J,) that this chain gave before, with the motion it had then."""
        self.limiter.resume(position, velocity)
        if self._smoothing is not None:
            self._smoothing.resume(smoothed)

    def expect(self, target: Float64Array) -> None:
        """Take `target` (J,) for that of the step before, so that the next one tells its speed."""
        self.limiter.expect(target if self._smoothing is None else self.sent)

    @property
    def smoothed(self) -> Float64Array | None:
        """Velocity and acceleration (2, J) after the last step, if that was smoothed."""
        return None if self._smoothing is None else self._smoothing.motion

    def chunk_problem(self, chunk: Float64Array) -> str:
        """Count and describe what stops a whole chunk (k, J): finite or width; '' if nothing."""
        if chunk.dtype.kind not in 'fiu' or not all_finite(chunk):
            self.counts['finite'] += 1
            return 'finite: the action holds NaN or infinity'
        joints = len(self.joint_names)
        if chunk.ndim != 2 or not right_width(chunk, joints):
            self.counts['width'] += 1
            return f'width: the action has shape {chunk.shape}, expected (rows, {joints})'
        return ''

    def apply(
        self,
        target: Float64Array,
        measured: Float64Array | None,
        dt_ns: int,
        speed: float = 1.0,
    ) -> GuardResult:
        """Return the command towards `target` (J,), `dt_ns` after the last one.

        `speed` < 1 slows the motion on purpose, down to standing at 0: that share of the velocity
        limits, and of a base's velocities themselves. That is a plan, not a violation: velocity
        and acceleration then do not count.
        """
        problem = self.chunk_problem(target[None] if target.ndim == 1 else target)
        if not problem and measured is not None and not all_finite(measured):
            problem = 'finite: the measured position holds NaN or infinity'
        if problem:
            return self._stopped(dt_ns, problem, {})
        masks: dict[str, BoolArray] = {}
        limiter = self.limiter
        target, masks['position'] = clamp_position(target, limiter.lower, limiter.upper)
        if self._velocities is not None and speed < 1.0:
            target = np.where(self._velocities, speed * target, target)
        wanted = target
        if self._max_error is not None and measured is not None:
            reach = limiter.max_velocity * speed * min(dt_ns, self._period_ns) * 1e-9
            target, masks['following_error'] = clamp_following(
                target, measured, self.sent, reach, self._max_error
            )
            target = within(target, limiter.lower, limiter.upper)
        if self.workspace is not None:
            inside = self.workspace.nearest_inside(self.sent, target)
            masks['workspace'] = np.array([inside is not target])
            target = inside
        if self.collision is not None:
            target, problem = self._steps.nearest_clear(target)
            masks['collision'] = np.array([bool(problem)])
        if self._velocities is not None:  # these are no part of the way to a pose
            target = np.where(self._velocities, wanted, target)
        stopped_by = self._stopping_stage(masks, problem)
        if stopped_by:
            return self._stopped(dt_ns, stopped_by, masks)
        obstacle = problem or (OUTSIDE if 'workspace' in masks and masks['workspace'][0] else '')
        return self._limited(target, dt_ns, speed, masks, obstacle)

    def stop(self, dt_ns: int) -> GuardResult:
        """Return the command that brakes with the whole acceleration, then holds."""
        return self._stopped(dt_ns, '', {})

    def _limited(
        self,
        target: Float64Array,
        dt_ns: int,
        speed: float,
        masks: dict[str, BoolArray],
        obstacle: str,
    ) -> GuardResult:
        shares = self._steps.shares(target)
        if shares is not None:
            masks['tool_speed'] = np.array([True])
        pace: Speed = speed if shares is None else np.minimum(shares, speed)
        if self._velocities is not None:  # how soon they slow down is no matter of that
            pace = np.where(self._velocities, 1.0, pace)
        if self._smoothing is not None:
            target, masks['jerk'] = self._smoothing.step(target, dt_ns, pace)
            target = within(target, self.limiter.lower, self.limiter.upper)
        before = self.sent
        motion, problem = self._steps.take(target, dt_ns, pace)
        if problem:
            masks[problem.partition(':')[0]] = np.array([True])
        if not all_finite(motion.position):
            return self._not_finite(before)
        if speed >= 1.0 and shares is None:
            masks['velocity'] = motion.over_velocity & self._steady
            masks['acceleration'] = motion.over_acceleration & self._steady
        return GuardResult(
            motion.position,
            motion.velocity,
            self._count(masks),
            self._stopping_stage(masks, problem),
            problem or obstacle,
        )

    def _stopped(self, dt_ns: int, reason: str, masks: Mapping[str, BoolArray]) -> GuardResult:
        before = self.sent
        motion = self.limiter.stop(dt_ns)
        if self._smoothing is not None:
            self._smoothing.forget()
        if not all_finite(motion.position):
            return self._not_finite(before)
        return GuardResult(motion.position, motion.velocity, self._count(masks), reason)

    def _not_finite(self, before: Float64Array) -> GuardResult:
        """The arm stays at its last command: nothing else is known to be safe."""
        self.limiter.start(before)
        self.counts['finite'] += 1
        reason = 'finite: the command would hold NaN or infinity'
        return GuardResult(self.sent, self.limiter.velocity, {}, reason)

    def _count(self, masks: Mapping[str, BoolArray]) -> dict[str, int]:
        # For as few joints as an arm has, Python's sum of a list is faster than NumPy's.
        counted = {stage: sum(mask.tolist()) for stage, mask in masks.items()}
        violations = {stage: count for stage, count in counted.items() if count}
        if violations:
            self.counts.update(violations)
        return violations

    def _stopping_stage(self, masks: Mapping[str, BoolArray], problem: str = '') -> str:
        for stage, mask in masks.items():
            if self._reactions.get(stage) == 'stop' and mask.any():
                if problem.startswith(stage):
                    return problem
                if stage == 'workspace':
                    return OUTSIDE
                return f"{stage}: joint '{self.joint_names[int(mask.argmax())]}' is over its limit"
        return ''


def _per_joint(value: float | Sequence[float] | None, joints: int) -> Float64Array | None:
    if value is None:
        return None
    errors = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if errors.shape not in ((1,), (joints,)) or not (np.isfinite(errors) & (errors > 0)).all():
        raise UserError(
            f'max_following_error is {value}, expected one number > 0 or {joints}, one per joint'
        )
    return errors * np.ones(joints)


def _reactions(given: Mapping[str, Reaction]) -> dict[str, Reaction]:
    reactions: dict[str, Reaction] = dict.fromkeys(CLAMPING_STAGES, 'clamp')
    for stage, reaction in given.items():
        if stage not in reactions or reaction not in ('clamp', 'stop'):
            raise UserError(
                f"on_violation has '{stage}: {reaction}', expected {' or '.join(reactions)} "
                'with clamp or stop'
            )
        reactions[stage] = reaction
    return reactions
