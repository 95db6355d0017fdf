# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of how an arm follows its commands: lag, offset, and how far the two are apart."""

from __future__ import annotations

import numpy as np

from motion_policy.episodes.quality.numbers import Array, EpisodeNumbers
from motion_policy.episodes.quality.verdict import QualityVerdict, verdict_on

LONGEST_LAG_S = 1.5
ALIKE = 0.5  # the correlation at which the two are taken to move alike
FAR = 99.0  # percentile of distances


def following_verdicts(numbers: EpisodeNumbers) -> list[QualityVerdict]:
    """Lag, offset and distance of commands; none where there are no commands."""
    arm, action = numbers.arm, numbers.action
    if action is None or not arm or numbers.length <= 2 * numbers.window:
        return []
    lag_s = lag(numbers)
    found = []
    if lag_s is not None:
        who = 'the arm follows its commands after' if lag_s >= 0 else 'commands follow the arm by'
        found += verdict_on(
            numbers.robot, 'lag', abs(lag_s), 's', f'{who} {abs(lag_s):.3f} s',
            beyond=numbers.period_s,
        )  # fmt: skip
    if not numbers.limits_are_known:
        return found
    rows = round((lag_s or 0.0) / numbers.period_s)
    ahead, behind = action[: numbers.length - max(0, rows)], numbers.qpos[max(0, rows) :]
    offset = np.median(ahead - behind, axis=0)
    found += _worst(
        numbers, 'offset', offset,
        'the command of joint {name} is {value:.3g} from its position, half of the time and more',
    )  # fmt: skip
    apart = np.percentile(np.abs(action - numbers.qpos), FAR, axis=0)
    found += _worst(
        numbers, 'action', apart,
        'the command of joint {name} is up to {value:.3g} from its position',
        ahead_s=numbers.period_s,
    )  # fmt: skip
    return found


def lag(numbers: EpisodeNumbers) -> float | None:
    """How many seconds the arm is behind its commands, by cross-correlation of their speeds.

    None where they do not move alike, or hardly move.
    """
    rows, arm, action = numbers.window, numbers.arm, numbers.action
    if action is None:
        return None
    scale = numbers.robot.joints.limits.velocity_array()
    commanded, measured = (
        ((values[rows:] - values[:-rows]) / scale)[:, arm] for values in (action, numbers.qpos)
    )
    return delay_s(commanded, measured, numbers.period_s)


def delay_s(
    commanded: Array, measured: Array, period_s: float, longest_s: float = LONGEST_LAG_S
) -> float | None:
    """How many seconds measured speeds (T, J) are behind commanded ones, by cross-correlation.

    Both are given every `period_s`, joints in units in which they count alike. None where they do
    not move alike within `longest_s`.
    """
    farthest = min(round(longest_s / period_s), len(measured) // 2)
    shifts = np.arange(-farthest, farthest + 1)
    alike = np.array([_correlation(commanded, measured, int(shift)) for shift in shifts])
    best = int(np.argmax(alike))
    if alike[best] < ALIKE:
        return None
    place = float(shifts[best])
    if 0 < best < len(shifts) - 1:  # between rows, by a parabola
        before, at, after = alike[best - 1 : best + 2]
        bend = before - 2 * at + after
        place += 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(place * period_s)


def _correlation(commanded: Array, measured: Array, shift: int) -> float:
    """How alike the speeds (T, J) are when those that are measured come `shift` rows later."""
    length = len(measured) - abs(shift)
    first, second = commanded[max(0, -shift) :][:length], measured[max(0, shift) :][:length]
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else 0.0


def _worst(
    numbers: EpisodeNumbers, kind: str, values: Array, words: str, ahead_s: float = 0.0
) -> list[QualityVerdict]:
    """The verdict on the joint whose value of (J,) takes it longest at full speed.

    `ahead_s`: so far a command may be ahead.
    """
    speeds = numbers.robot.joints.limits.velocity_array()
    joint = numbers.arm[int(np.argmax((np.abs(values) / speeds)[numbers.arm]))]
    name, speed = numbers.robot.joints.names[joint], float(speeds[joint])
    return verdict_on(
        numbers.robot, kind, abs(float(values[joint])), 'rad or m',
        words.format(name=f"'{name}'", value=abs(values[joint])),
        of=name, scale=speed, beyond=speed * ahead_s,
    )  # fmt: skip
