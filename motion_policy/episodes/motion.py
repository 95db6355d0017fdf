# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Detection of impossible motion: joint speeds far beyond the velocity limits.

It shows that two nodes publish one joint, that units are others, or that time is wrong. What is
told of measured joints is a failure; commands may be ahead of the arm, so that one step of theirs
is none, but there and back at once is. A little too fast is worth a note.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motion_policy.robot import RobotSpec
from motion_policy.robot.placeholder import PLACEHOLDER
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Row

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

FAR_BEYOND = 3.0  # times the velocity limit
A_LITTLE_BEYOND = 1.1  # times the velocity limit, over `WINDOW_NS`
WINDOW_NS = 100_000_000
LEAST_SHARE = 0.02  # of a joint's range: less may be an encoder's jitter
MOST_VALUES = 3  # of a joint that are kept: more than open and closed
GRIPPER_WORDS = ('gripper', 'finger', 'hand')

# A driver that reads nothing for a moment gives all joints of its topic as they were: then these
# move by as much as in all that time. Longer than this an arm that stands is one that stands.
LONGEST_STALL_NS = 150_000_000

# Commands of the first second may begin anywhere: the arm is brought to them.
FIRST_NS = NANOSECONDS_PER_S
# Nobody throws a leader so far and back so quickly.
THERE_AND_BACK_NS = 45_000_000
# Of a hand that shakes the leader the rows before and after go the same way.
OUT_OF_NOWHERE = 0.5  # of the step: what went before it, and goes on after it, is less

FULL_TURN = 2 * math.pi
FULL_TURN_SLACK = 0.5  # what a joint may turn meanwhile

_SEVERAL = 'other units, or several nodes that publish it?'
_WRAPPED = (
    'does its driver begin anew after a full turn (2 pi)? Let it count on, or keep the joint away '
    'from there.'
)


class MotionWatch:
    """Looks at rows one after the other; each joint's speed is that between its own samples.

    A joint that had only two values so far may be a gripper that is told open or closed: it is
    named once it has a third. One that is called a gripper may step as it likes, but not there
    and back at once.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._before: _Standing | None = None
        self._values: list[set[float]] = [set() for _ in robot.joints.names]
        self._steps: dict[int, str] = {}  # of joints with two values
        self._far = np.zeros(len(robot.joints.names))  # the last step, of joints beyond limits

    def look(self, row: Row, qpos: Array) -> str | None:
        """Say which joint moved impossibly since the row before; `qpos` is (J,)."""
        times_ns = _row_times_ns(row, self._robot)
        before = self._before
        self._before = _Standing.after(before, qpos, times_ns, self._robot)
        self._note_values(qpos)
        found = {}
        if before is not None:
            moved = _Steps.of(np.stack([before.qpos, qpos]), np.stack([before.times_ns, times_ns]),
                              self._robot, before.since_ns[None])  # fmt: skip
            far = np.where(moved.beyond, moved.moved, 0)[0]
            back = far * self._far < 0
            self._far = far
            found = {
                joint: moved.line(joint, np.array([0]), self._robot)
                for joint in _watched(self._robot)
                if far[joint] and (back[joint] or not gripper_like(joint, self._robot))
            }
        for joint in [*found, *self._steps]:
            if self._is_open_or_closed(joint):
                self._steps.setdefault(joint, found.get(joint, ''))
            elif joint in self._steps:
                return f'{self._steps.pop(joint)} (in a row before)'
            else:
                return found[joint]
        return None

    def _note_values(self, qpos: Array) -> None:
        for seen, value in zip(self._values, qpos.tolist(), strict=True):
            if len(seen) < MOST_VALUES:
                seen.add(value)

    def _is_open_or_closed(self, joint: int) -> bool:
        return _open_or_closed(self._values[joint], joint, self._robot)


def impossible_steps(qpos: Array, times_ns: Array, robot: RobotSpec) -> list[tuple[int, str]]:
    """The first impossible step of each joint: the row it leads to, and a line.

    Of a placeholder there is none: its limits are guessed from the data. Nor of a gripper that is
    open or closed: its state may be told so, too, or as what it was commanded. But there and back
    at once shows two that tell it.

    `qpos` (T, J) are positions, `times_ns` (T, J) the times of the samples that they are of.
    """
    found = []
    steps, beyond = _beyond(qpos, times_ns, robot)
    for joint, rows in beyond.items():
        if _open_or_closed(_values(qpos, joint), joint, robot):
            continue
        if gripper_like(joint, robot):
            rows = rows[steps.there_and_back(rows, joint)]
        if len(rows):
            found.append((int(rows[0]) + 1, steps.line(joint, rows, robot)))
    return sorted(found)


def stepping_grippers(qpos: Array, times_ns: Array, robot: RobotSpec) -> list[tuple[int, str]]:
    """Joints that step as only a gripper does, or tells: the row, and a line.

    They have two values only, or such a name. `qpos` (T, J) are positions, `times_ns` (T, J) the
    times of the samples that they are of.
    """
    found = []
    steps, beyond = _beyond(qpos, times_ns, robot)
    for joint, rows in beyond.items():
        values, name = _values(qpos, joint), robot.joints.names[joint]
        if _open_or_closed(values, joint, robot):
            low, high = sorted(values)
            line = f"joint '{name}' is only {low:g} or {high:g}: taken as a gripper that is open"
            found.append((int(rows[0]) + 1, f'{line} or closed'))
        elif gripper_like(joint, robot) and not steps.there_and_back(rows, joint).any():
            line = f"joint '{name}' steps far beyond its velocity limit: taken as a gripper"
            found.append((int(rows[0]) + 1, f'{line} that is told so'))
    return found


def impossible_commands(action: Array, times_ns: Array, robot: RobotSpec) -> list[tuple[int, str]]:
    """The first command of each joint that no leader gives: the row, and a line.

    That is one far away for 45 ms at most, or a full turn from the one before. Grippers are
    commanded in steps, and anything may be in the first second.

    `action` (T, J) are positions, `times_ns` (T, J) the times of the samples that they are of.
    """
    found = []
    steps = _Steps.of(action, times_ns, robot)
    for joint, name in enumerate(robot.joints.names):
        if _like_a_gripper(joint, action, robot):
            continue
        rows = np.flatnonzero(steps.beyond[:, joint])
        moved, ends_ns = steps.moved[rows, joint], times_ns[rows + 1, joint]
        before, after = (steps.neighbours(rows, joint, by) * np.sign(moved) for by in (-1, 1))
        sudden, at_once = (each < OUT_OF_NOWHERE * np.abs(moved) for each in (before, after))
        back = np.flatnonzero(
            (moved[:-1] * moved[1:] < 0)
            & sudden[:-1]
            & at_once[1:]
            & (np.diff(ends_ns) <= THERE_AND_BACK_NS)
            & (ends_ns[:-1] - times_ns[0, joint] > FIRST_NS)
        )
        turns = rows[_is_full_turn(moved)]
        if len(turns):
            found.append((int(turns[0]) + 1, steps.line(joint, turns, robot)))
        elif len(back):
            first, limit = back[0], robot.joints.limits.velocity[joint]
            seconds = (ends_ns[first + 1] - ends_ns[first]) / NANOSECONDS_PER_S
            line = (
                f"joint '{name}' moves by {abs(moved[first]):.3g} and back within {seconds:.3f} s "
                f'at a limit of {limit:g} per second{_such_steps(len(back))}: {_SEVERAL}'
            )
            found.append((int(rows[first]) + 1, line))
    return sorted(found)


def fast_motion(
    values: Array, times_ns: Array, robot: RobotSpec, *, commands: bool
) -> tuple[int, str] | None:
    """The joint that is most beyond its velocity limit for 0.1 s: the row, and a line.

    Args:
        values: positions (T, J).
        times_ns: the times (T, J) of the samples that they are of.
        robot: whose limits count; those of a placeholder are guessed.
        commands: what they are; those of the first second may begin anywhere.

    Returns: None where none is. Grippers are as fast as they like, and velocities of a base
    change as they like.
    """
    found = _windowed_speeds(values, times_ns, robot, commands=commands)
    if found is None:
        return None
    rows, moved, elapsed_s, times_the_limit = found
    fast = times_the_limit > A_LITTLE_BEYOND
    if not fast.any():
        return None
    worst = int(np.argmax(np.where(fast, times_the_limit, 0)))
    row, joint = divmod(worst, fast.shape[1])
    others = int(fast.any(axis=0).sum()) - 1
    more = f' (and {others} more joints)' if others else ''
    limit = robot.joints.limits.velocity[joint]
    line = (
        f"joint '{robot.joints.names[joint]}' moves by {moved[row, joint]:.3g} in "
        f'{elapsed_s[row, joint]:.3f} s up to row {row + rows}, '
        f'{moved[row, joint] / elapsed_s[row, joint]:.3g} per second at a limit of {limit:g}{more}'
    )
    return row + rows, line


def speed_ratios(
    values: Array, times_ns: Array, robot: RobotSpec, *, commands: bool
) -> Array | None:
    """How fast each joint is over 0.1 s, in its velocity limits: (T - n, J), n rows in 0.1 s.

    Arguments as of `fast_motion`; 0 where that does not look. None: there are too few rows, or
    the limits of a placeholder.
    """
    found = _windowed_speeds(values, times_ns, robot, commands=commands)
    return None if found is None else found[-1]


def _windowed_speeds(
    values: Array, times_ns: Array, robot: RobotSpec, *, commands: bool
) -> tuple[int, Array, Array, Array] | None:
    """The rows of 0.1 s; what joints move in them, in which time, in how many limits."""
    rows = max(1, round(WINDOW_NS / robot.period_ns))
    if robot.name == PLACEHOLDER or len(values) <= rows:
        return None
    moved = np.abs(values[rows:].astype(np.float64) - values[:-rows])
    elapsed_ns = np.maximum(times_ns[rows:] - times_ns[:-rows], rows * robot.period_ns)
    elapsed_s = elapsed_ns / NANOSECONDS_PER_S
    times_the_limit = moved / elapsed_s / robot.joints.limits.velocity_array()
    times_the_limit[moved <= LEAST_SHARE * joint_ranges(robot)] = 0
    for joint in range(len(robot.joints.names)):
        if _like_a_gripper(joint, values, robot):
            times_the_limit[:, joint] = 0
    times_the_limit[:, robot.joints.are_velocities] = 0  # these may change at once
    if commands:
        times_the_limit[times_ns[:-rows] - times_ns[0] < FIRST_NS] = 0
    return rows, moved, elapsed_s, times_the_limit


def joint_times_ns(
    time_ns: Array,
    ages_ns: dict[str, Array],
    robot: RobotSpec,
    role: Literal['state', 'leader'] = 'state',
) -> Array:
    """The times (T, J) of the samples of each joint, by the ages (T,) of the role's streams."""
    columns = [
        time_ns - ages_ns[name] for name, topic in robot.joint_streams(role) for _ in topic.joints
    ]
    if columns:
        return np.stack(columns, axis=1)[:, _order(robot, role)]
    # A leader that no stream tells of.
    return np.stack([time_ns] * len(robot.joints.names), axis=1)


def gripper_like(joint: int, robot: RobotSpec) -> bool:
    """Whether a joint is a gripper, by the robot spec or by its name."""
    name = robot.joints.names[joint]
    return name in robot.joints.grippers or any(word in name.lower() for word in GRIPPER_WORDS)


@dataclass(frozen=True)
class _Standing:
    """Positions (J,) of a row, the times (J,) of their samples, and since when they stand.

    A joint stands as long as all joints of its topic do, `LONGEST_STALL_NS` at most.
    """

    qpos: Array
    times_ns: Array
    since_ns: Array

    @classmethod
    def after(
        cls, before: _Standing | None, qpos: Array, times_ns: Array, robot: RobotSpec
    ) -> _Standing:
        if before is None:
            return cls(qpos, times_ns, times_ns)
        same = _topics_stand(np.stack([before.qpos, qpos]), robot)[0]
        since_ns = np.where(same, before.since_ns, times_ns)
        return cls(qpos, times_ns, np.maximum(since_ns, times_ns - LONGEST_STALL_NS))


@dataclass(frozen=True)
class _Steps:
    """What joints move from row to row, (T - 1, J) each; `beyond`: far beyond their limits."""

    moved: Array
    elapsed_s: Array
    beyond: Mask

    @classmethod
    def of(
        cls, values: Array, times_ns: Array, robot: RobotSpec, since_ns: Array | None = None
    ) -> _Steps:
        """`since_ns` (T - 1, J): since when each row but the last stands; default: its times."""
        moved = np.diff(values.astype(np.float64), axis=0)
        elapsed_ns = times_ns[1:] - (times_ns[:-1] if since_ns is None else since_ns)
        # What came early is no faster for that.
        elapsed_s = np.maximum(elapsed_ns, robot.period_ns) / NANOSECONDS_PER_S
        beyond = np.abs(moved) > FAR_BEYOND * robot.joints.limits.velocity_array() * elapsed_s
        beyond &= np.abs(moved) > LEAST_SHARE * joint_ranges(robot)
        if robot.name == PLACEHOLDER:
            beyond[:] = False
        beyond[:, robot.joints.are_velocities] = False  # these may change at once
        return cls(moved, elapsed_s, beyond)

    def neighbours(self, rows: Array, joint: int, by: int) -> Array:
        """What a joint moves `by` rows later; 0 beyond the ends."""
        found: Array = np.pad(self.moved[:, joint], 1)[rows + 1 + by]
        return found

    def there_and_back(self, rows: Array, joint: int) -> Mask:
        """Whether each of these steps is taken back, or takes one back, in the row beside it."""
        far = np.where(self.beyond[:, joint], self.moved[:, joint], 0)
        back = np.pad(far[1:] * far[:-1] < 0, 1)
        both: Mask = back[rows] | back[rows + 1]
        return both

    def line(self, joint: int, rows: Array, robot: RobotSpec) -> str:
        """Tell the first of these steps of a joint."""
        step, seconds = abs(self.moved[rows[0], joint]), self.elapsed_s[rows[0], joint]
        return (
            f"joint '{robot.joints.names[joint]}' moves by {step:.3g} in {seconds:.3f} s, "
            f'{step / seconds:.3g} per second at a limit of '
            f'{robot.joints.limits.velocity[joint]:g}{_such_steps(len(rows))}: '
            f'{_WRAPPED if _is_full_turn(step) else _SEVERAL}'
        )


def _row_times_ns(row: Row, robot: RobotSpec) -> Array:
    """The times (J,) of the samples of each measured joint in a row."""
    streams = robot.joint_streams('state')
    ages_ns = {name: np.array([row.ages_ns.get(name, 0)]) for name, _ in streams}
    times_ns: Array = joint_times_ns(np.array([row.time_ns]), ages_ns, robot)[0]
    return times_ns


def _such_steps(count: int) -> str:
    return f' ({count} such steps)' if count > 1 else ''


def _is_full_turn(moved: Array) -> Any:
    return np.abs(np.abs(moved) - FULL_TURN) < FULL_TURN_SLACK


def joint_ranges(robot: RobotSpec) -> Array:
    """The ranges of a robot's joints (J,), by their limits [rad or m]."""
    ranges: Array = np.diff(robot.joints.limits.position_array(), axis=1)[:, 0]
    return ranges


def _beyond(qpos: Array, times_ns: Array, robot: RobotSpec) -> tuple[_Steps, dict[int, Array]]:
    """All steps, and by joint those far beyond its limit, whatever values it has."""
    steps = _Steps.of(qpos, times_ns, robot, _stand_since(qpos, times_ns, robot)[:-1])
    rows = {joint: np.flatnonzero(steps.beyond[:, joint]) for joint in _watched(robot)}
    return steps, {joint: found for joint, found in rows.items() if len(found)}


def _watched(robot: RobotSpec) -> list[int]:
    grippers = robot.joints.grippers
    return [joint for joint, name in enumerate(robot.joints.names) if name not in grippers]


def _topics_stand(qpos: Array, robot: RobotSpec) -> Mask:
    """Whether all joints of its topic stand from row to row, for each joint (T - 1, J)."""
    same: Mask = np.diff(qpos, axis=0) == 0
    for _, topic in robot.joint_streams('state'):
        columns = [robot.joints.names.index(joint) for joint in topic.joints]
        same[:, columns] = same[:, columns].all(axis=1, keepdims=True)
    return same


def _stand_since(qpos: Array, times_ns: Array, robot: RobotSpec) -> Array:
    """As `_Standing.since_ns`, of all rows: (T, J)."""
    rows = np.arange(len(qpos))[:, None]
    same = np.pad(_topics_stand(qpos, robot), ((1, 0), (0, 0)))
    first = np.maximum.accumulate(np.where(same, 0, rows), axis=0)
    stalled_ns = np.take_along_axis(times_ns, first, axis=0)
    since_ns: Array = np.maximum(stalled_ns, times_ns - LONGEST_STALL_NS)
    return since_ns


def _values(values: Array, joint: int) -> list[float]:
    found: list[float] = np.unique(values[:, joint]).tolist()
    return found


def _like_a_gripper(joint: int, values: Array, robot: RobotSpec) -> bool:
    return gripper_like(joint, robot) or _open_or_closed(_values(values, joint), joint, robot)


def _open_or_closed(values: Collection[float], joint: int, robot: RobotSpec) -> bool:
    """Whether a joint with these values only can be a gripper whose state is told as two.

    Those are 0 and 1, -1 and 1, the ends of its range, or any two of a joint with such a name.
    """
    if len(values) != 2:
        return False
    low, high = sorted(values)
    ends = robot.joints.limits.position[joint]
    return (
        (low, high) in ((0.0, 1.0), (-1.0, 1.0))
        or bool(np.allclose((low, high), ends, atol=1e-6))
        or any(word in robot.joints.names[joint].lower() for word in GRIPPER_WORDS)
    )


def _order(robot: RobotSpec, role: Literal['state', 'leader']) -> list[int]:
    """Where each joint is among those of the role's topics, one after the other."""
    names = [joint for topic in getattr(robot.joints, role) for joint in topic.joints]
    return [names.index(joint) for joint in robot.joints.names]
