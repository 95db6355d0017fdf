# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a rehearsal ends with: whether every limit was kept, as JSON and as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from motion_policy.rehearsal.felt import FeltMotion, JointFelt

COLUMNS = ('joint', 'position', 'speed', 'acceleration', 'jumps', 'verdict')


@dataclass(frozen=True)
class TopicFelt:
    """One command topic, as the node names it, and what was felt of it."""

    topic: str
    type: str
    motion: FeltMotion


@dataclass(frozen=True)
class RehearsalReport:
    """Of one rehearsal of so many seconds; `faults` are lines on what was made to fail.

    `grippers` are the goals of those that an action or a service moves: how many came, and how
    many were refused.
    """

    robot: str
    seconds: float
    topics: Sequence[TopicFelt]
    faults: Sequence[str]
    grippers: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def commanded(self) -> bool:
        """Whether anything was."""
        return any(topic.motion.arrivals.received for topic in self.topics) or any(
            came for came, _ in self.grippers.values()
        )

    @property
    def kept(self) -> bool:
        """Whether every command kept every limit, and none was refused."""
        motions = [topic.motion for topic in self.topics]
        refused = any(motion.arrivals.refused for motion in motions) or any(
            refused for _, refused in self.grippers.values()
        )
        return not refused and all(j.kept for motion in motions for j in motion.joints.values())

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            'robot': self.robot,
            'seconds': self.seconds,
            'kept': self.kept,
            'faults': list(self.faults),
            'joints': {
                name: figures
                for topic in self.topics
                for name, figures in topic.motion.as_json().items()
            },
            'grippers': {
                name: {'goals': came, 'refused': refused}
                for name, (came, refused) in self.grippers.items()
            },
            'topics': {topic.topic: _arrivals(topic) for topic in self.topics},
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A row of COLUMNS for each joint."""
        rows: list[tuple[str, ...]] = []
        for topic in self.topics:
            figures = topic.motion.as_json()
            for name, felt in topic.motion.joints.items():
                rows.append((name, *_cells(felt, figures[name]), _verdict(felt)))
        return rows

    def lines(self) -> list[str]:
        """A line for each command topic, and each gripper with goals of its own."""
        grippers = [
            f'gripper {name}: {came} goals' + (f', {refused} refused' if refused else '')
            for name, (came, refused) in self.grippers.items()
        ]
        return [*map(_line, self.topics), *grippers]


def _arrivals(topic: TopicFelt) -> dict[str, Any]:
    arrivals = topic.motion.arrivals
    return {
        'type': topic.type,
        'received': arrivals.received,
        'rate_hz': arrivals.rate_hz,
        'gaps': arrivals.gaps,
        'longest_gap_s': arrivals.longest_gap_s,
        'latest_s': arrivals.latest_s,
        'refused': arrivals.refused,
    }


def _line(topic: TopicFelt) -> str:
    arrivals = topic.motion.arrivals
    if not arrivals.received:
        return f'{topic.topic}: no command came'
    text = f'{topic.topic}: {arrivals.received} commands'
    if arrivals.rate_hz:
        text += f', {arrivals.rate_hz:.1f} Hz'
    if arrivals.longest_gap_s:
        text += (
            f'; moving, the longest gap was {arrivals.longest_gap_s * 1e3:.0f} ms, '
            f'{arrivals.gaps} over 1.5 periods'
        )
    if arrivals.latest_s:
        text += f'; up to {arrivals.latest_s * 1e3:.1f} ms late'
    for reason, count in arrivals.refused.items():
        text += f'; {count} refused: {reason}'
    return text


def _cells(felt: JointFelt, figures: dict[str, Any]) -> tuple[str, str, str, str]:
    if felt.lowest > felt.highest:
        return '-', '-', '-', '-'
    low, high = figures['position']['limits']
    return (
        f'{felt.lowest:.3f} .. {felt.highest:.3f} [{low:g}, {high:g}]',
        f'{felt.velocity:.3f} / {figures["velocity"]["limit"]:g}',
        f'{felt.acceleration:.2f} / {figures["acceleration"]["limit"]:g}',
        f'{felt.jumps}' + (f' (to {felt.jump:.3f})' if felt.jumps else ''),
    )


def _verdict(felt: JointFelt) -> str:
    if felt.lowest > felt.highest:
        return 'no command'
    found = [
        f'{count} {what}'
        for count, what in (
            (felt.beyond_position, 'beyond position'),
            (felt.beyond_velocity, 'too fast'),
            (felt.beyond_acceleration, 'accelerated too much'),
            (felt.jumps, 'jumps'),
            (felt.left_moving, 'left moving'),
        )
        if count
    ]
    return ', '.join(found) or 'kept'
