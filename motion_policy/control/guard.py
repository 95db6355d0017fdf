# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The guard chain: every target passes it before it becomes a command, and every stage counts.

finite -> width -> position limits -> following error -> workspace -> jerk -> velocity and
acceleration. The motion limiter is last because it must have the last word: whatever a stage
before it changes, what is sent never breaks a position, velocity or acceleration limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from motion_policy.control.motion_limiter import (
    BoolArray,
    Float64Array,
    Motion,
    MotionLimiter,
    within,
)
from motion_policy.control.smoothing import JerkLimiter
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
    'jerk',
)
# Of these the user chooses what a violation leads to; smoothing cannot be violated.
CLAMPING_STAGES = STAGES[2:-1]
BRAKING_POINTS = 24  # of a long way to rest that are looked at


@dataclass(frozen=True)
class GuardResult:
    """What to send: position (J,), its velocity (J,), joints clamped or smoothed per stage.

    The workspace counts once, not per joint. `stopped_by` names the stage and the joint that made
    the arm brake instead; '' if none did.
    """

    position: Float64Array
    velocity: Float64Array
    violations: Mapping[str, int] = field(default_factory=dict)
    stopped_by: str = ''


def all_finite(values: Float64Array) -> bool:
    """Stage finite: no NaN and no infinity."""
    return bool(np.isfinite(values).all())


def right_width(values: Float64Array, joints: int) -> bool:
    """Stage width: one value per joint in the last axis."""
    return values.ndim >= 1 and values.size > 0 and values.shape[-1] == joints


def clamp_position(
    target: Float64Array, lower: Float64Array, upper: Float64Array
) -> tuple[Float64Array, BoolArray]:
    """Stage position: the target inside the limits, and the joints that were outside."""
    return within(target, lower, upper), (target < lower) | (target > upper)


def clamp_following(
    target: Float64Array,
    measured: Float64Array,
    sent: Float64Array,
    reach: Float64Array,
    max_error: Float64Array,
) -> tuple[Float64Array, BoolArray]:
    """Stage following_error: the target within `max_error` of the measured position.

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
    one number or one per joint, smooths the motion; None leaves that out. `workspace` is where
    the tool may be.
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
    ) -> None:
        self.joint_names = robot.joints.names
        self.limiter = MotionLimiter(robot.joints.limits, position_margin)
        self.workspace = workspace
        self._smoothing: JerkLimiter | None = None
        if max_jerk is not None:
            self._smoothing = JerkLimiter(self.limiter, max_jerk, robot.period_ns)
        # From open to closed in one step is meant so, and no violation.
        self._steady = np.array([name not in robot.joints.grippers for name in self.joint_names])
        self.counts: Counter[str] = Counter(dict.fromkeys(STAGES, 0))
        self._max_error = _per_joint(max_following_error, len(self.joint_names))
        self._reactions = _reactions(on_violation or {})

    @property
    def sent(self) -> Float64Array:
        """The last command sent, (J,)."""
        return self.limiter.position

    def reaction(self, stage: str) -> Literal['clamped', 'stopped', 'smoothed']:
        """What a violation of this stage leads to; smoothing is none, it changes commands."""
        if stage == 'jerk':
            return 'smoothed'
        return 'clamped' if self._reactions.get(stage) == 'clamp' else 'stopped'

    def start(self, measured: Float64Array) -> None:
        """Begin at rest at the measured position (J,); UserError where the tool must not be."""
        outside = self.workspace.describe(measured) if self.workspace else ''
        if outside:
            raise UserError(f'workspace: {outside}: move it there first')
        self.limiter.start(measured)
        if self._smoothing is not None:
            self._smoothing.forget()

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
        """Return the command towards `target` (J,); `speed` < 1 slows the motion on purpose.

        Slowed motion is a plan, not a violation: velocity and acceleration then do not count.
        """
        problem = self.chunk_problem(target[None] if target.ndim == 1 else target)
        if problem:
            return self._stopped(dt_ns, problem, {})
        masks: dict[str, BoolArray] = {}
        limiter = self.limiter
        target, masks['position'] = clamp_position(target, limiter.lower, limiter.upper)
        if self._max_error is not None and measured is not None:
            reach = limiter.max_velocity * speed * dt_ns * 1e-9
            target, masks['following_error'] = clamp_following(
                target, measured, self.sent, reach, self._max_error
            )
            target = within(target, limiter.lower, limiter.upper)
        if self.workspace is not None:
            inside = self.workspace.nearest_inside(self.sent, target)
            masks['workspace'] = np.array([inside is not target])
            target = inside
        stopped_by = self._stopping_stage(masks)
        if stopped_by:
            return self._stopped(dt_ns, stopped_by, masks)
        return self._limited(target, dt_ns, speed, masks)

    def stop(self, dt_ns: int) -> GuardResult:
        """Return the command that brakes with the whole acceleration, then holds."""
        return self._stopped(dt_ns, '', {})

    def _limited(
        self, target: Float64Array, dt_ns: int, speed: float, masks: dict[str, BoolArray]
    ) -> GuardResult:
        if self._smoothing is not None:
            target, masks['jerk'] = self._smoothing.step(target, speed)
            target = within(target, self.limiter.lower, self.limiter.upper)
        motion = self._step_inside(target, dt_ns, speed)
        if speed >= 1.0:
            masks['velocity'] = motion.over_velocity & self._steady
            masks['acceleration'] = motion.over_acceleration & self._steady
        return GuardResult(
            motion.position, motion.velocity, self._count(masks), self._stopping_stage(masks)
        )

    def _step_inside(self, target: Float64Array, dt_ns: int, speed: float) -> Motion:
        """One limited step after which the arm can still be braked inside the workspace.

        Joints do not reach their targets together, so the way there may lead outside.
        """
        bring_back = self.limiter.snapshot()
        motion = self.limiter.step(target, dt_ns, speed)
        if self.workspace is None:
            return motion
        braking = self.limiter.braking_positions(dt_ns)
        # From the end backwards: there it leaves first.
        ahead = braking[:: -max(1, len(braking) // BRAKING_POINTS)]
        if all(self.workspace.contains(position) for position in (*ahead, motion.position)):
            return motion
        bring_back()
        return self.limiter.stop(dt_ns)

    def _stopped(self, dt_ns: int, reason: str, masks: Mapping[str, BoolArray]) -> GuardResult:
        motion = self.limiter.stop(dt_ns)
        if self._smoothing is not None:
            self._smoothing.forget()
        return GuardResult(motion.position, motion.velocity, self._count(masks), reason)

    def _count(self, masks: Mapping[str, BoolArray]) -> dict[str, int]:
        # For as few joints as an arm has, Python's sum of a list is faster than NumPy's.
        counted = {stage: sum(mask.tolist()) for stage, mask in masks.items()}
        violations = {stage: count for stage, count in counted.items() if count}
        if violations:
            self.counts.update(violations)
        return violations

    def _stopping_stage(self, masks: Mapping[str, BoolArray]) -> str:
        for stage, mask in masks.items():
            if self._reactions.get(stage) == 'stop' and mask.any():
                if stage == 'workspace':
                    return 'workspace: the tool would leave its box'
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
