# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Where an arm is to be that follows a leader: mapping, ramp to the leader, clutch.

Rule: it gives targets, and the guards have the last word. Whenever leader and arm are apart the
arm comes slowly, and a leader that jumps is followed no more.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from motion_policy.control.motion_limiter import BoolArray, Float64Array
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import APART_S, JUMP_S, TeleopSpec

FollowState = Literal['released', 'meeting', 'following']
MOST_BETWEEN_S = 0.2  # two messages: longer ones allow a leader no further way


class LeaderFollower:
    """Targets (J,) for each control tick of an arm that `teleop` of its spec leads.

    | state     | targets                                                     |
    |-----------|-------------------------------------------------------------|
    | released  | the arm stands, the leader is free                          |
    | meeting   | to the leader at `ramp_speed`, until every joint is there   |
    | following | where the leader is                                         |

    A base stands, and a gripper that is open or closed stays so, but while it follows. Joints that
    the leader does not have stay where they are. `indexes`: pressing the clutch takes over where
    the leader is as where the arm is; else the arm goes to the leader. Grippers, and joints with a
    range, always go to the leader.

    Attributes:
        fault: why the leader is followed no more, until `start`, `stop` or `release`; ''.
    """

    def __init__(
        self, robot: RobotSpec, teleop: TeleopSpec, ramp_speed: float, *, indexes: bool = False
    ) -> None:
        joints = robot.joints
        self._names = names = joints.names
        self._period_s = robot.period_ns * 1e-9
        velocity = joints.limits.velocity_array()
        led = {joint for topic in teleop.leader for joint in topic.joints}
        self._led = _mask(names, led)
        self._base = joints.are_velocities
        self._creeping = joints.creeping
        self._switched = _mask(names, set(joints.grippers))
        ranged = _mask(names, set(teleop.ranges))
        # Of positions that go to the leader, and come there slowly.
        self._meets = self._led & ~self._base & ~self._switched
        self._indexed = self._meets & ~ranged if indexes else np.zeros(len(names), bool)
        watched = self._meets & ~ranged
        self._apart = _limits(teleop.apart, APART_S * velocity, self._led & ~self._base, watched)
        self._jump = jump_limits(robot, teleop)
        self._velocity = velocity
        self._ranges = {names.index(j): (r.leader, r.arm) for j, r in teleop.ranges.items()}
        limits = joints.limits.position_array()
        self._lower, self._upper = limits.T
        # A prediction at which a gripper stays as it is.
        self._neutral = np.zeros(len(names))
        for name, gripper in joints.grippers.items():
            self._neutral[names.index(name)] = (gripper.open_at + gripper.close_at) / 2
        self._acceleration = joints.limits.acceleration_array()
        slow = ramp_speed * velocity
        self._step = slow * self._period_s
        # How far a target may run ahead of an arm that speeds up, or is kept from it.
        self._ahead = slow * (slow / self._acceleration + 2 * self._period_s)
        self._faster = self._acceleration * self._period_s**2
        self._ranged = self._led & ranged & ~self._switched
        # Of hands that were taken over: they stay until the leader's has come to where they are.
        self._kept = np.zeros(len(names), dtype=np.bool_)
        self._side = np.zeros(len(names))
        self._moved = np.zeros(len(names))  # by the target while it meets the leader, per period
        self._wanted_before = np.zeros(len(names))
        self._leader = np.full(len(names), np.nan)  # as ours, without offset
        self._seen_ns = 0
        self._offset = np.zeros(len(names))
        self._target = np.zeros(len(names))  # while it does not follow
        self.state: FollowState = 'released'
        self.fault = ''

    @property
    def leader(self) -> Float64Array:
        """Where the arm would be with the leader (J,); NaN of joints that it does not have."""
        return self._leader + self._offset

    def see(self, leader: Float64Array, seen_ns: int) -> None:
        """Take where the leader is (J,), NaN of joints that it does not have, and since when."""
        before, self._leader = self._leader, self._as_ours(leader)
        passed_s = min(max(seen_ns - self._seen_ns, 0) * 1e-9, MOST_BETWEEN_S)
        self._seen_ns = seen_ns
        if self.state == 'released' or self.fault:
            return
        over = np.abs(self._leader - before) - self._jump - self._velocity * passed_s
        over[~(over > 0)] = 0.0  # NaN too: there was none before
        if over.any():
            joint = int((over / self._velocity).argmax())
            self.fault = (
                f"joint '{self._names[joint]}' of the leader jumped from {before[joint]:.3f} to "
                f'{self._leader[joint]:.3f}, expected at most {self._jump[joint]:.3g} at once: '
                'enable again'
            )

    def too_far(self, position: Float64Array) -> str:
        """Name the joints that keep an arm at `position` (J,) from going to the leader; ''."""
        off = np.abs(self.leader - position)
        told = [
            f"joint '{self._names[joint]}' is at {self.leader[joint]:.3f}, the arm's at "
            f'{position[joint]:.3f}, expected at most {self._apart[joint]:.3g} apart'
            for joint in np.flatnonzero(off > self._apart)
        ]
        return f'the leader is too far off: {"; ".join(told)}' if told else ''

    def drives(self) -> str:
        """Name the velocities of a base with which that would set out at once; ''."""
        wanted = self._leader
        told = [
            f"joint '{self._names[joint]}' at {wanted[joint]:.3f}"
            for joint in np.flatnonzero(self._base & (np.abs(wanted) > self._creeping))
        ]
        return f'the leader drives {", ".join(told)}, expected 0 until it is enabled' * bool(told)

    def start(self, rest: Float64Array, *, pressed: bool = True) -> None:
        """Begin anew with an arm that stands at `rest` (J,): offsets and faults are forgotten."""
        self._offset, self._kept = np.zeros(len(self._names)), np.zeros(len(self._names), bool)
        self.fault = ''
        self.state = 'meeting' if pressed else 'released'
        self._stand(rest)

    def pause(self, rest: Float64Array) -> Float64Array:
        """The arm follows nobody and will rest at (J,); return that as a target.

        What comes after it is a ramp.
        """
        if self.state == 'following':
            self.state = 'meeting'
        self._stand(rest)
        return self._standing()

    def stop(self, rest: Float64Array) -> None:
        """The arm, which will rest at (J,), is led by nobody before the next `start`."""
        self._offset, self._kept = np.zeros(len(self._names)), np.zeros(len(self._names), bool)
        self.release(rest)

    def press(self, rest: Float64Array) -> str:
        """Press the clutch with an arm that will rest at (J,); return why not, or ''."""
        if self.state != 'released':
            return ''
        self._stand(rest)
        offset = np.where(self._indexed, self._target - self._leader, self._offset)
        before, self._offset = self._offset, offset
        problem = self.too_far(self._target)
        if problem:
            self._offset = before
            return problem
        self.state = 'meeting'
        return ''

    def take_over(self, rest: Float64Array) -> str:
        """Begin anew with an arm that may move and will rest at (J,), as `press` does: where it is
        if the clutch `indexes`, else by going to the leader; return why it stands, or ''.

        Grippers and joints with a range stay until the leader's comes by: nothing is dropped.
        """
        self.stop(rest)
        problem = self.press(rest)
        self._kept = self._led & (self._switched | self._ranged)
        self._side = np.sign(self._wanted() - self._target)
        self._stand(rest)
        return problem

    def release(self, rest: Float64Array) -> None:
        """Release the clutch: the arm comes to rest at (J,), and a fault is forgotten."""
        self.state, self.fault = 'released', ''
        self._stand(rest)

    def target(self, sent: Float64Array, rest: Float64Array, pace: float = 1.0) -> Float64Array:
        """Return where the arm (J,) is to be that was `sent` to (J,), and could rest at (J,).

        `pace` is the share of its speed that an override leaves.
        """
        wanted = self._wanted()
        if self._kept.any() and self.state != 'released':
            wanted = self._keep(wanted, sent)
        if self.state == 'following' and self._left_behind(wanted, sent):
            self.state = 'meeting'
            self._stand(rest)
        if self.state == 'meeting':
            self._meet(wanted, sent, rest, pace)
        self._wanted_before = wanted
        standing = self._standing()
        return np.where(self._led, wanted, standing) if self.state == 'following' else standing

    def off(self, sent: Float64Array) -> dict[str, float]:
        """How far the leader is from an arm that was sent to (J,), by joint [rad or m]."""
        off = self.leader - sent
        return {
            self._names[j]: float(off[j]) for j in np.flatnonzero(self._meets & ~np.isnan(off))
        }

    def told(self, sent: Float64Array) -> str:
        """Say in one line how the arm follows that was sent to (J,)."""
        if self.state != 'meeting':
            return self.fault or self.state
        off = np.where(self._meets, self.leader - sent, 0.0)
        far = np.flatnonzero(np.abs(off) > self._step)
        worst = sorted(far, key=lambda j: -abs(off[j]) / self._velocity[j])
        named = ', '.join(f'{self._names[j]} {off[j]:+.3f}' for j in worst)
        return f'meeting the leader: {named or "there"}'

    def _standing(self) -> Float64Array:
        return np.where(self._base, 0.0, np.where(self._switched, self._neutral, self._target))

    def _as_ours(self, leader: Float64Array) -> Float64Array:
        ours = np.array(leader, dtype=np.float64)
        for joint, ((one, other), (at_one, at_other)) in self._ranges.items():
            share = min(max((ours[joint] - one) / (other - one), 0.0), 1.0)
            if not np.isnan(ours[joint]):
                ours[joint] = (1 - share) * at_one + share * at_other
        return ours

    def _wanted(self) -> Float64Array:
        """The leader (J,) within the limits; an arm that it does not lead stays."""
        within = np.clip(self.leader, self._lower, self._upper)
        return np.where(np.isnan(within), self._target, within)

    def _keep(self, wanted: Float64Array, sent: Float64Array) -> Float64Array:
        """What is wanted (J,), but of the hands to which the leader's has not come yet."""
        agrees = np.sign(wanted - self._neutral) == np.sign(sent - self._neutral)
        comes_by = np.sign(wanted - sent) != self._side
        self._kept &= ~np.where(self._switched, agrees, comes_by)
        kept = np.where(self._switched, self._neutral, self._target)
        return np.where(self._kept, kept, wanted)

    def _left_behind(self, wanted: Float64Array, sent: Float64Array) -> bool:
        return bool((self._meets & (np.abs(wanted - sent) > self._apart)).any())

    def _meet(
        self, wanted: Float64Array, sent: Float64Array, rest: Float64Array, pace: float
    ) -> None:
        """Move the target to the leader, as it moves itself, and slowly where that ends.

        An arm that was taken over on its way brakes first: its target waits where it will rest.
        """
        theirs = wanted - self._wanted_before
        gap = wanted - self._target - theirs
        closing = np.minimum(
            np.abs(gap), np.sqrt(np.abs(gap) * self._acceleration) * self._period_s
        )
        most = np.minimum(pace * self._step, np.abs(self._moved) + self._faster)
        self._moved = np.clip(theirs + np.sign(gap) * closing, -most, most)
        low, high = np.minimum(sent, rest) - self._ahead, np.maximum(sent, rest) + self._ahead
        near = np.clip(self._target + self._moved, low, high)
        self._target = np.where(self._meets, near, self._target)
        far = np.abs(wanted - self._target) > self._faster
        far |= np.abs(wanted - sent) > self._ahead
        if not (far & self._meets).any():
            self.state = 'following'

    def _stand(self, rest: Float64Array) -> None:
        self._moved = np.zeros(len(rest))
        self._target = np.clip(rest, self._lower, self._upper)
        self._wanted_before = np.where(self._kept, self._target, self._wanted())


def jump_limits(robot: RobotSpec, teleop: TeleopSpec) -> Float64Array:
    """How far each joint (J,) of a leader may move from one message to the next, beside what it
    does at full speed [rad or m].
    """
    joints = robot.joints
    led = _mask(joints.names, {joint for topic in teleop.leader for joint in topic.joints})
    led &= ~joints.are_velocities
    watched = led & ~_mask(joints.names, {*joints.grippers, *teleop.ranges})
    return _limits(teleop.jump, JUMP_S * joints.limits.velocity_array(), led, watched)


def _mask(names: tuple[str, ...], wanted: set[str]) -> BoolArray:
    return np.array([name in wanted for name in names])


def _limits(
    given: tuple[float, ...] | None, usual: Float64Array, led: BoolArray, watched: BoolArray
) -> Float64Array:
    """Limits (J,) of what is given, else the usual ones of what is watched; infinite of others."""
    if given is None:
        return np.where(watched, usual, np.inf)
    values = np.array(given)
    return np.where(led & (values > 0), values, np.inf)
