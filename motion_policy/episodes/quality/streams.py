# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of an episode's streams: how long, how often, how old, what was lost, whose clock."""

from __future__ import annotations

import numpy as np

from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.episodes.quality.verdict import QualityVerdict, verdict_on
from motion_policy.episodes.reader import StreamStamps
from motion_policy.robot import RobotSpec, StreamSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S

LEAST_S = 0.5  # of an episode, to tell a rate
FULL_ROWS = 1.5  # periods of the rows from sample to sample: below, most rows have a new one
LEAST_SAMPLES = 3  # to tell a period: of a static transform there is one


def stream_verdicts(numbers: EpisodeNumbers) -> list[QualityVerdict]:
    """Duration, and rate, gap, age, dropped messages and clock of every stream."""
    robot, seconds = numbers.robot, numbers.duration_s
    found = verdict_on(robot, 'duration', seconds, 's', f'the episode lasts {seconds:.2f} s')
    for stream in robot.streams():
        stamps = numbers.streams[stream.name]
        there = stamps.receive_ns != 0
        if not there.any():
            continue
        if stream.rate is not None:
            found += rate_verdict(robot, stream.name, rate_hz(numbers, stream.name), stream.rate)
        found += _gap(numbers, stream, stamps)
        oldest_s = float(stamps.age_ns[there].max()) / NANOSECONDS_PER_S
        found += verdict_on(
            robot, 'age', oldest_s, 's',
            f"'{stream.name}' is up to {oldest_s:.3f} s old in a row",
            of=stream.name, scale=stream.max_age,
        )  # fmt: skip
        if not _may_pass_rows_by(numbers, stream.name):
            found += _dropped(robot, stream, stamps)
        if stream.stamp == 'header' and (stamps.header_ns[there] != 0).any():
            leads = (stamps.header_ns - stamps.receive_ns)[there & (stamps.header_ns != 0)]
            lead_s = float(leads.max()) / NANOSECONDS_PER_S
            words = f'up to {lead_s:.4f} s after their' if lead_s > 0 else 'before their'
            found += verdict_on(
                robot, 'lead', lead_s, 's',
                f"'{stream.name}' has stamps from {words} reception",
                of=stream.name,
                # A simulated clock goes in steps.
                beyond=numbers.period_s if numbers.sim else 0.0,
            )  # fmt: skip
    return found


def rate_hz(numbers: EpisodeNumbers, stream: str) -> float | None:
    """How many samples of a stream came per second; None where there is too little to tell."""
    stamps = numbers.streams[stream]
    if numbers.duration_s < LEAST_S or not (stamps.receive_ns != 0).any():
        return None
    if _may_pass_rows_by(numbers, stream):
        return None
    came = max(len(_sample_times_ns(numbers, stamps)), stamps.counters.received)
    return came / numbers.duration_s


def rate_verdict(
    robot: RobotSpec, stream: str, found_hz: float | None, expected_hz: float, whose: str = ''
) -> list[QualityVerdict]:
    """The verdict on a rate; `whose` says who expects it, if not the robot spec."""
    if found_hz is None:
        return []
    expected = whose or 'its rate in the robot spec'
    return verdict_on(
        robot, 'rate', found_hz, 'Hz',
        f"'{stream}' came {found_hz:.1f} times per second, {expected} is {expected_hz:.1f}",
        of=stream, scale=expected_hz,
    )  # fmt: skip


def _sample_times_ns(numbers: EpisodeNumbers, stamps: StreamStamps) -> np.ndarray:
    """The times of the samples that stand in the rows, each once, in order."""
    there = stamps.receive_ns != 0
    return np.unique((numbers.time_ns - stamps.age_ns)[there])


def _may_pass_rows_by(numbers: EpisodeNumbers, stream: str) -> bool:
    """Whether there may have been messages that stand in no row, and that no counter knows of.

    So it is where rows were taken away since, and the rows mostly have a new sample each.
    """
    if stream not in numbers.counted_in_rows:
        return False
    steps_ns = np.diff(_sample_times_ns(numbers, numbers.streams[stream]))
    return not len(steps_ns) or bool(np.median(steps_ns) < FULL_ROWS * numbers.robot.period_ns)


def _gap(
    numbers: EpisodeNumbers, stream: StreamSpec, stamps: StreamStamps
) -> list[QualityVerdict]:
    steps_ns = np.diff(_sample_times_ns(numbers, stamps))
    if len(steps_ns) < LEAST_SAMPLES - 1:
        return []
    period_s = float(np.median(steps_ns)) / NANOSECONDS_PER_S
    worst_s = max(int(steps_ns.max()), stamps.counters.max_gap_ns) / NANOSECONDS_PER_S
    return verdict_on(
        numbers.robot, 'gap', worst_s, 's',
        f"'{stream.name}' has a gap of {worst_s:.3f} s, in the rows a new message comes every "
        f'{period_s:.3f} s',
        of=stream.name, scale=stream.max_age, beyond=period_s,
    )  # fmt: skip


def _dropped(robot: RobotSpec, stream: StreamSpec, stamps: StreamStamps) -> list[QualityVerdict]:
    counters = stamps.counters
    sent = counters.received + counters.dropped
    if not sent:
        return []
    return verdict_on(
        robot, 'dropped', counters.dropped / sent, '',
        f"'{stream.name}' lost {counters.dropped} of {sent} messages",
        of=stream.name,
    )  # fmt: skip
