# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of an episode's joints: still, at their limits, too fast, jerky."""

from __future__ import annotations

import numpy as np

from motion_policy.episodes.motion import gripper_like, joint_ranges, speed_ratios
from motion_policy.episodes.quality.numbers import Array, EpisodeNumbers
from motion_policy.episodes.quality.verdict import QualityVerdict, verdict_on
from motion_policy.robot import RobotSpec

MOVES = 0.02  # of a joint's range: what some joint of an arm that does something moves
COMMANDED = 0.05  # of a joint's range: a command that moves so far has to move the joint
AT_LIMIT = 0.001  # of a joint's range
LEAST_BLOCKS = 8  # of 0.1 s, to tell a jerk


def joint_verdicts(numbers: EpisodeNumbers) -> list[QualityVerdict]:
    """What is to be said of the joints of one episode."""
    return [
        *_still(numbers),
        *_clipped(numbers),
        *_speed(numbers),
        *_jerk(numbers),
    ]


def still_verdict(
    robot: RobotSpec, moved: Array, expected: Array, whose: str, *, can_fail: bool = True
) -> list[QualityVerdict]:
    """The joint that moves least of what is expected of it; `moved` and `expected` are (J,)."""
    share = np.full(len(moved), np.inf)
    counted = expected > COMMANDED * joint_ranges(robot)
    share[counted] = moved[counted] / expected[counted]
    for joint in range(len(moved)):
        # A gripper that holds something is not where it is told to be.
        if gripper_like(joint, robot) and moved[joint] > 0:
            share[joint] = np.inf
    joint = int(np.argmin(share))
    if not np.isfinite(share[joint]):
        return []
    name = robot.joints.names[joint]
    return verdict_on(
        robot, 'still', float(share[joint]), '',
        f"joint '{name}' moves by {moved[joint]:.3g}, {whose} by {expected[joint]:.3g}",
        of=name, can_fail=can_fail,
    )  # fmt: skip


def _still(numbers: EpisodeNumbers) -> list[QualityVerdict]:
    moved = np.ptp(numbers.qpos, axis=0)
    share = float((moved / numbers.ranges).max())
    found = verdict_on(
        numbers.robot, 'still', share / MOVES, '',
        f'the joint that moves most moves by {100 * share:.2g} % of its range',
    )  # fmt: skip
    if numbers.action is not None:
        expected = np.ptp(numbers.action, axis=0)
        found += still_verdict(numbers.robot, moved, expected, 'its command')
    return found


def _clipped(numbers: EpisodeNumbers) -> list[QualityVerdict]:
    if not numbers.limits_are_known or not numbers.arm:
        return []
    limits = numbers.robot.joints.limits.position_array()
    margin = AT_LIMIT * numbers.ranges
    at_limit = (numbers.qpos <= limits[:, 0] + margin) | (numbers.qpos >= limits[:, 1] - margin)
    share = at_limit[:, numbers.arm].mean(axis=0)
    joint = numbers.arm[int(np.argmax(share))]
    name, worst = numbers.robot.joints.names[joint], float(share.max())
    low, high = limits[joint]
    return verdict_on(
        numbers.robot, 'clipped', worst, '',
        f"joint '{name}' is at a limit of its range [{low:g}, {high:g}] in "
        f'{100 * worst:.3g} % of the rows',
        of=name,
    )  # fmt: skip


def _speed(numbers: EpisodeNumbers) -> list[QualityVerdict]:
    found = []
    for values, role, whose in (
        (numbers.qpos, 'state', ''),
        (numbers.action, 'leader', 'the command of '),
    ):
        if values is None:
            continue
        ratios = speed_ratios(
            values, numbers.times_ns(role), numbers.robot, commands=role == 'leader'
        )
        if ratios is None:
            continue
        worst, joint = float(ratios.max()), int(np.argmax(ratios.max(axis=0)))
        name = numbers.robot.joints.names[joint]
        limit = numbers.robot.joints.limits.velocity[joint]
        # A command may be ahead of the arm.
        found += verdict_on(
            numbers.robot, 'speed', worst, '',
            f"{whose}joint '{name}' moves at {worst:.2f} times its limit of {limit:g} per second",
            of=name, can_fail=role == 'state',
        )  # fmt: skip
    return found


def _jerk(numbers: EpisodeNumbers) -> list[QualityVerdict]:
    """The root mean square of the jerk, of means of 0.1 s, in which the noise is gone."""
    rows = numbers.window
    blocks = numbers.length // rows
    if blocks < LEAST_BLOCKS or not numbers.limits_are_known or not numbers.arm:
        return []
    means = numbers.qpos[: blocks * rows].reshape(blocks, rows, -1).mean(axis=1)
    block_s = rows * numbers.period_s
    jerk = np.diff(means, n=3, axis=0) / block_s**3
    limit = numbers.robot.joints.limits.acceleration_array() / block_s
    ratio = (np.sqrt((jerk**2).mean(axis=0)) / limit)[numbers.arm]
    joint, worst = numbers.arm[int(np.argmax(ratio))], float(ratio.max())
    name = numbers.robot.joints.names[joint]
    return verdict_on(
        numbers.robot, 'jerk', worst, '',
        f"joint '{name}' has a jerk of {worst:.2g} times its acceleration limit within "
        f'{block_s:.2g} s',
        of=name,
    )  # fmt: skip
