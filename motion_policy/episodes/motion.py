# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Motion that no arm makes: joints that are far faster than the robot spec says they can be.

It shows that two nodes publish one joint, that units are others, or that time is wrong.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot import RobotSpec
from motion_policy.robot.placeholder import PLACEHOLDER
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Row

Array = npt.NDArray[Any]

FAR_BEYOND = 3.0  # times the velocity limit
LEAST_SHARE = 0.02  # of a joint's range: less may be an encoder's jitter
MOST_VALUES = 3  # of a joint that are kept: more than open and closed
GRIPPER_WORDS = ('gripper', 'finger', 'hand')


class MotionWatch:
    """Looks at rows one after the other; each joint's speed is that between its own samples.

    A joint that had only two values so far may be a gripper that is told open or closed: it is
    named once it has a third.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._before: tuple[Array, Array] | None = None
        self._values: list[set[float]] = [set() for _ in robot.joints.names]
        self._steps: dict[int, str] = {}  # of joints with two values

    @property
    def open_or_closed(self) -> list[str]:
        """A line for each joint that steps from one of its only two values to the other."""
        return [
            f"joint '{self._robot.joints.names[joint]}' is only {low:g} or {high:g}: taken as a "
            'gripper that is open or closed'
            for joint in sorted(self._steps)
            for low, high in [sorted(self._values[joint])]
        ]

    def look(self, row: Row, qpos: Array) -> str | None:
        """Say which joint moved impossibly since the row before; `qpos` is (J,)."""
        ages = [
            np.full(len(topic.joints), row.ages_ns.get(name, 0))
            for name, topic in self._robot.joint_streams('state')
        ]
        times_ns = row.time_ns - np.concatenate(ages)[_order(self._robot)]
        before, self._before = self._before, (qpos, times_ns)
        self._note_values(qpos)
        found = {}
        if before is not None:
            steps = _impossible(np.stack([before[0], qpos]), np.stack([before[1], times_ns]),
                                self._robot)  # fmt: skip
            found = {joint: line for joint, (_, line) in steps.items()}
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
    open or closed: its state may be told so, too.

    `qpos` (T, J) are positions, `times_ns` (T, J) the times of the samples that they are of.
    """
    return sorted(
        found
        for joint, found in _impossible(qpos, times_ns, robot).items()
        if not _open_or_closed(np.unique(qpos[:, joint]).tolist(), joint, robot)
    )


def _impossible(qpos: Array, times_ns: Array, robot: RobotSpec) -> dict[int, tuple[int, str]]:
    """By joint its first impossible step, whatever values it has."""
    if robot.name == PLACEHOLDER:
        return {}
    limits = robot.joints.limits
    moved = np.abs(np.diff(qpos.astype(np.float64), axis=0))
    # What came early is no faster for that.
    elapsed_s = np.maximum(np.diff(times_ns, axis=0), robot.period_ns) / NANOSECONDS_PER_S
    ranges = np.diff(limits.position_array(), axis=1)[:, 0]
    beyond = moved > FAR_BEYOND * limits.velocity_array() * elapsed_s
    beyond &= moved > LEAST_SHARE * ranges
    found = {}
    for joint, name in enumerate(robot.joints.names):
        rows = np.flatnonzero(beyond[:, joint])
        if not len(rows) or name in robot.joints.grippers:
            continue
        first = int(rows[0])
        step, seconds = moved[first, joint], elapsed_s[first, joint]
        found[joint] = (
            first + 1,
            f"joint '{name}' moves by {step:.3g} in {seconds:.3f} s, {step / seconds:.3g} per "
            f'second at a limit of {limits.velocity[joint]:g}'
            + (f' ({len(rows)} such steps)' if len(rows) > 1 else '')
            + ': other units, or several nodes that publish it?',
        )
    return found


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


def joint_times_ns(time_ns: Array, ages_ns: dict[str, Array], robot: RobotSpec) -> Array:
    """The times (T, J) of the samples of each joint, by the ages (T,) of the state's streams."""
    columns = [
        time_ns - ages_ns[name]
        for name, topic in robot.joint_streams('state')
        for _ in topic.joints
    ]
    return np.stack(columns, axis=1)[:, _order(robot)]


def _order(robot: RobotSpec) -> list[int]:
    """Where each joint is among those of the state's topics, one after the other."""
    names = [joint for topic in robot.joints.state for joint in topic.joints]
    return [names.index(joint) for joint in robot.joints.names]
