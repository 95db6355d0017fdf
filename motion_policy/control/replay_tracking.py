# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Tracking error of a replay: how an arm followed an episode, beside how it did when recorded.

What was measured is compared with the recording at the same place of it, whatever the speed: where
the same action was commanded. Each joint counts at the time at which it was measured.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.episodes.quality.following import delay_s
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams.joints import Int64Array

# Of what a joint moves in a control period at full speed: a command that is farther than this from
# what was planned was altered.
ALTERED = 0.01
# Delays are looked for in speeds over so long, of the recording's time, whose spread is at least
# this share of the limit: any delay is as good where a joint moves evenly, or stands.
WINDOW_S = 0.1
LEAST_CHANGE = 0.01
LONGEST_DELAY_S = 0.5
# Of these and fewer rows nothing is told.
FEWEST_ROWS = 10
MOST_ROWS_OF_DELAY = 20_000  # more tell nothing new, and take long


@dataclass(frozen=True)
class Following:
    """How measured positions are away from commanded ones [rad or m; of a base per second].

    `delay_s` is how late they are, by cross-correlation; None where they do not move alike, or
    hardly.
    """

    rmse: float
    max: float
    delay_s: float | None


@dataclass(frozen=True)
class JointTracking:
    """One joint in a replay; distances in [rad or m], of velocities of a base per second.

    Attributes:
        rmse, max: of its measured position from the recording's.
        max_at_s: where in the recording it was farthest [s].
        unit: of the distances, as far as it is known.
        now: how it followed the commands of the replay.
        then: how the recording's measured position follows the recording's action, in the part
            that was played; None where the recording has no commands.
    """

    name: str
    rmse: float
    max: float
    max_at_s: float
    unit: str
    now: Following
    then: Following | None

    def line(self) -> str:
        """Tell it in one line."""
        then = '; the recording has no commands to compare with'
        if self.then is not None:
            then = (
                f'; when recorded {self.then.rmse:.4f}, {self.then.max:.4f}, '
                f'{_delay(self.then.delay_s)}'
            )
        return (
            f"joint '{self.name}': {self.rmse:.4f} {self.unit} from the recording (RMSE), at most "
            f'{self.max:.4f} at {self.max_at_s:.2f} s; from its commands {self.now.rmse:.4f}, at '
            f'most {self.now.max:.4f}, {_delay(self.now.delay_s)}{then}'
        )


@dataclass(frozen=True)
class ReplayReport:
    """How an arm followed an episode.

    Attributes:
        end: why it ended: 'played', 'disabled', or what stopped it.
        begin_s, end_s: the part of the recording that was played [s].
        recording_s: how long the recording is [s].
        least_speed, greatest_speed: of the speed override while it was played.
        commands: how many were sent while the arm followed the episode.
        altered: how many of them are not what the episode wants, by limits and guards.
        guards: how many commands each stage of the guard counted, by its name.
        joints: all of them, the worst first: that which needs longest for its RMSE at full speed.
    """

    end: str
    begin_s: float
    end_s: float
    recording_s: float
    least_speed: float
    greatest_speed: float
    commands: int
    altered: int
    guards: Mapping[str, int]
    joints: tuple[JointTracking, ...]

    @property
    def altered_share(self) -> float:
        """The share of commands that are not what the episode wants, in [0, 1]."""
        return self.altered / self.commands

    def summary(self) -> str:
        """What was played, and the worst joint, in one line."""
        worst = self.joints[0]
        speed = f'{self.greatest_speed:g}'
        if self.least_speed != self.greatest_speed:
            speed = f'{self.least_speed:.3g} to {speed}'
        return (
            f'{self.end}: {self.begin_s:.2f} to {self.end_s:.2f} s of {self.recording_s:.2f} s at '
            f"speed {speed}; worst joint '{worst.name}': {worst.rmse:.4f} {worst.unit} from the "
            f'recording (RMSE); {self.altered} of {self.commands} commands altered by limits and '
            f'guards{_counted(self.guards)}'
        )

    def lines(self) -> list[str]:
        """The summary and a line for each joint, the worst first."""
        return [self.summary(), *(joint.line() for joint in self.joints)]

    def to_json(self) -> dict[str, Any]:
        """Plain values, named as the attributes."""
        return {**asdict(self), 'altered_share': self.altered_share}


class ReplayTrace:
    """What was commanded and measured while the arm followed an episode, tick by tick."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        limits = robot.joints.limits
        self._tolerance = ALTERED * limits.velocity_array() * robot.period_ns / NANOSECONDS_PER_S
        # A gripper that is open or closed is so by a decision, not by a guard.
        self._tolerance[[name in robot.joints.grippers for name in robot.joints.names]] = np.inf
        are_velocities = robot.joints.are_velocities
        acceleration = limits.acceleration_array() * robot.period_ns / NANOSECONDS_PER_S
        self._tolerance[are_velocities] = ALTERED * acceleration[are_velocities]
        self._rows: list[tuple[int, float, float, Float64Array, Int64Array, Float64Array]] = []
        self._begins: list[int] = []  # the rows before which it did not follow the episode
        self._follows = False
        self._altered = 0
        self._guards: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        now_ns: int,
        place: float,
        pace: float,
        measured: Float64Array,
        ages_ns: Int64Array,
        command: Float64Array,
        wanted: Float64Array | None,
        violations: Mapping[str, int],
    ) -> None:
        """Take in a tick in which the arm follows the episode.

        Args:
            now_ns: its time.
            place: the row of the episode whose action is commanded, and share of the next.
            pace: the speed override.
            measured: positions (J,), measured `ages_ns` (J,) before.
            ages_ns: as told.
            command: positions (J,) that were sent.
            wanted: positions (J,) as the episode has them at this speed; None: not known.
            violations: joints that were clamped, by the stage of the guard.
        """
        if not self._follows:
            self._begins.append(len(self._rows))
        self._follows = True
        self._rows.append((now_ns, place, pace, measured, ages_ns, command))
        off = wanted is not None and bool((np.abs(command - wanted) > self._tolerance).any())
        self._altered += off or bool(violations)
        self._guards.update(violations.keys())

    def interrupt(self) -> None:
        """Say that the arm does not follow the episode any more; it may again later."""
        self._follows = False

    def report(self, numbers: EpisodeNumbers, end: str) -> ReplayReport | None:
        """How the arm followed an episode, which ended so; None if it hardly began.

        `numbers` are those of an episode with the joints of the robot at hand.
        """
        if len(self._rows) < FEWEST_ROWS:
            return None
        played = _Played.of(self._rows, self._begins, numbers)
        if played is None:
            return None
        speeds = self._robot.joints.limits.velocity_array()
        joints = [played.joint(joint, self._robot) for joint in range(len(speeds))]
        order = np.argsort(
            [-j.rmse / s for j, s in zip(joints, speeds, strict=True)], kind='stable'
        )
        paces = [row[2] for row in self._rows]
        begin_s, end_s = played.part_s
        return ReplayReport(
            end, begin_s, end_s, (numbers.length - 1) * numbers.period_s, min(paces), max(paces),
            len(self._rows), self._altered, dict(sorted(self._guards.items())),
            tuple(joints[index] for index in order),
        )  # fmt: skip


@dataclass(frozen=True)
class _Played:
    """The ticks (N,) of a replay as arrays, times in s from the first; and the recording."""

    numbers: EpisodeNumbers
    times: Float64Array
    places: Float64Array
    paces: Float64Array
    measured: Float64Array  # (N, J)
    ages: Float64Array  # (N, J)
    commands: Float64Array  # (N, J)
    begins: Float64Array  # (N,): the time at which each tick's part begins
    longest: slice  # of the ticks: the longest part
    state_times: Float64Array  # (T, J), from the first row
    action_times: Float64Array  # (T, J)

    @classmethod
    def of(
        cls,
        rows: list[tuple[int, float, float, Float64Array, Int64Array, Float64Array]],
        begins: list[int],
        numbers: EpisodeNumbers,
    ) -> _Played | None:
        times_ns, places, paces, measured, ages_ns, commands = zip(*rows, strict=True)
        times = (np.array(times_ns) - times_ns[0]) / NANOSECONDS_PER_S
        ends = [*begins[1:], len(rows)]
        longest = max(map(slice, begins, ends), key=lambda part: part.stop - part.start)
        if longest.stop - longest.start < FEWEST_ROWS:
            return None
        lengths = [end - begin for begin, end in zip(begins, ends, strict=True)]
        state, action = (
            (numbers.times_ns(role) - numbers.time_ns[0]) / NANOSECONDS_PER_S
            for role in ('state', 'leader')
        )
        return cls(
            numbers, times, np.array(places), np.array(paces), np.array(measured),
            np.array(ages_ns) / NANOSECONDS_PER_S, np.array(commands),
            np.repeat(times[begins], lengths), longest, state, action,
        )  # fmt: skip

    @property
    def part_s(self) -> tuple[float, float]:
        """The part of the recording that was played [s]."""
        last = self.numbers.length - 1
        first, final = np.clip([self.places.min(), self.places.max()], 0, last)
        return float(first) * self.numbers.period_s, float(final) * self.numbers.period_s

    def joint(self, joint: int, robot: RobotSpec) -> JointTracking:
        """How a joint of the robot at hand followed."""
        numbers = self.numbers
        is_velocity = bool(robot.joints.are_velocities[joint])
        limits = robot.joints.limits
        fastest = limits.velocity[joint]
        if is_velocity:
            fastest = max(map(abs, limits.position[joint]))
        sampled = self.times - self.ages[:, joint]
        places = np.interp(sampled, self.times, self.places)
        # One that was measured before the arm set out is of no place of the episode.
        usable = (sampled >= self.begins) & (places >= 0) & (places <= numbers.length - 1)
        usable[np.flatnonzero(np.diff(sampled, prepend=-np.inf) <= 0)] = False  # told already
        when = np.interp(places, np.arange(numbers.length), self.action_times[:, joint])
        then = self.state_times[:, joint]
        usable &= (when >= then[0]) & (when <= then[-1])
        if not usable.any():
            usable[-1] = True
        sampled, places, when, measured = (
            values[usable] for values in (sampled, places, when, self.measured[:, joint])
        )
        pace = np.interp(sampled, self.times, self.paces) if is_velocity else 1.0
        recorded = _at(when, self.state_times[:, joint], numbers.qpos[:, joint])
        error = np.abs(measured - pace * recorded)
        worst = int(error.argmax())
        away = measured - np.interp(sampled, self.times, self.commands[:, joint])
        speed = max(float(np.median(self.paces)), 0.1)
        part = self.longest
        now = Following(
            _rmse(away), float(np.abs(away).max()),
            _delay_between(
                (self.times[part], self.commands[part, joint]),
                (self.times[part] - self.ages[part, joint], self.measured[part, joint]),
                robot.period_ns / NANOSECONDS_PER_S, 0.0 if is_velocity else WINDOW_S / speed,
                LEAST_CHANGE * fastest * speed,
            ),
        )  # fmt: skip
        return JointTracking(
            robot.joints.names[joint], _rmse(error), float(error[worst]),
            float(places[worst]) * numbers.period_s,
            'rad/s or m/s' if is_velocity else 'rad or m', now,
            self._then(joint, is_velocity, fastest),
        )  # fmt: skip

    def _then(self, joint: int, is_velocity: bool, fastest: float) -> Following | None:
        numbers = self.numbers
        if numbers.action is None:
            return None
        first, final = (round(each / numbers.period_s) for each in self.part_s)
        part = slice(first, max(final, first + 1) + 1)
        sampled, measured = self.state_times[part, joint], numbers.qpos[part, joint]
        acted, action = self.action_times[part, joint], numbers.action[part, joint]
        known = (sampled >= acted[0]) & (sampled <= acted[-1])
        known[-1] |= not known.any()
        away = (measured - _at(sampled, acted, action))[known]
        delay = _delay_between(
            (acted, action), (sampled, measured), numbers.period_s,
            0.0 if is_velocity else WINDOW_S, LEAST_CHANGE * fastest,
        )  # fmt: skip
        return Following(_rmse(away), float(np.abs(away).max()), delay)


def _delay_between(
    commanded: tuple[Float64Array, Float64Array],
    measured: tuple[Float64Array, Float64Array],
    period_s: float,
    window_s: float,
    least_change: float,
) -> float | None:
    """How late what is measured is [s]; both are times and values (N,).

    `window_s` is 0 for velocities; `least_change` is of the speed [rad/s or m/s].
    """
    begin = max(commanded[0][0], measured[0][0])
    end = min(commanded[0][-1], measured[0][-1])
    count = math.floor((end - begin) / period_s) + 1
    grid = begin + period_s * np.arange(min(max(count, 0), MOST_ROWS_OF_DELAY))
    rows = max(1, round(window_s / period_s))
    if len(grid) <= 2 * rows:
        return None
    speeds = [_at(grid, *each) for each in (commanded, measured)]
    if window_s:
        speeds = [(each[rows:] - each[:-rows]) / (rows * period_s) for each in speeds]
    first, second = speeds
    if min(first.std(), second.std()) < least_change:
        return None
    longest_s = min(LONGEST_DELAY_S, len(first) // 4 * period_s)
    return delay_s(first[:, None], second[:, None], period_s, longest_s)


def _at(times: Float64Array, sampled: Float64Array, values: Float64Array) -> Float64Array:
    """The values (N,) at these times, between samples whose times may repeat, or go back."""
    later = np.diff(np.maximum.accumulate(sampled), prepend=-np.inf) > 0
    found: Float64Array = np.interp(times, sampled[later], values[later])
    return found


def _rmse(errors: Float64Array) -> float:
    return float(np.sqrt((errors**2).mean()))


def _delay(seconds: float | None) -> str:
    return 'delay unknown' if seconds is None else f'{seconds:.3f} s late'


def _counted(guards: Mapping[str, int]) -> str:
    told = ', '.join(f'{stage} {count}' for stage, count in guards.items())
    return f' ({told})' if told else ''
