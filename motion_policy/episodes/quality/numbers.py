# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an episode that is judged: joints, stamps and counters, without its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.motion import (
    WINDOW_NS,
    gripper_like,
    joint_ranges,
    joint_times_ns,
)
from motion_policy.episodes.reader import EpisodeReader, StreamStamps
from motion_policy.robot import RobotSpec
from motion_policy.robot.placeholder import PLACEHOLDER
from motion_policy.robot.spec import NANOSECONDS_PER_S

Array = npt.NDArray[Any]

IDLE_SPEED = 0.01  # of a joint's velocity limit: a slower arm stands


@dataclass(frozen=True)
class EpisodeNumbers:
    """Joints of T rows and J joints, and what is known of the streams.

    Attributes:
        robot: the robot of the episode.
        time_ns: row times (T,).
        qpos: measured positions (T, J).
        action: commanded positions (T, J); None where they are only those of the next row.
        streams: stamps and counters of every stream.
        sim: whether it was simulated.
        counted_in_rows: streams whose counters are of samples in rows, not of all messages.
    """

    robot: RobotSpec
    time_ns: Array
    qpos: Array
    action: Array | None
    streams: Mapping[str, StreamStamps]
    sim: bool = False
    counted_in_rows: frozenset[str] = frozenset()

    @classmethod
    def of(cls, episode: EpisodeReader) -> EpisodeNumbers:
        """Those of an episode. Raises EpisodeError: they cannot be read."""
        names = episode.robot.stream_names
        return cls(
            episode.robot,
            episode.time_ns,
            episode.qpos.astype(np.float64),
            episode.action.astype(np.float64) if episode.has_commands else None,
            {name: episode.stamps(name) for name in names},
            episode.sim,
            frozenset(name for name in names if episode.counts_rows(name)),
        )

    @property
    def length(self) -> int:
        """The number of rows, T."""
        return len(self.time_ns)

    @property
    def period_s(self) -> float:
        """The time between two rows."""
        return self.robot.period_ns / NANOSECONDS_PER_S

    @property
    def duration_s(self) -> float:
        """The time of all rows."""
        return self.length * self.period_s

    @property
    def window(self) -> int:
        """As many rows as there are in 0.1 s, at least 1."""
        return max(1, round(WINDOW_NS / self.robot.period_ns))

    @cached_property
    def arm(self) -> list[int]:
        """The joints that are no grippers, nor velocities of a base."""
        joints = self.robot.joints.position_columns
        return [joint for joint in joints if not gripper_like(joint, self.robot)]

    @cached_property
    def limits_are_known(self) -> bool:
        """Whether the robot spec has limits that are not guessed from data."""
        return self.robot.name != PLACEHOLDER

    @cached_property
    def ranges(self) -> Array:
        """The ranges of the joints (J,), by their limits."""
        return joint_ranges(self.robot)

    def times_ns(self, role: Any) -> Array:
        """The times (T, J) of the samples of each joint; `role` is 'state' or 'leader'."""
        ages_ns = {name: self.streams[name].age_ns for name, _ in self.robot.joint_streams(role)}
        return joint_times_ns(self.time_ns, ages_ns, self.robot, role)

    @cached_property
    def moving(self) -> Array:
        """Whether arm or leader move in each row, (T,) bool."""
        moving = np.zeros(self.length, dtype=bool)
        rows = self.window
        if self.length <= rows:
            return moving
        slowest = IDLE_SPEED * self.robot.joints.limits.velocity_array() * rows * self.period_s
        for values in (self.qpos, self.action):
            if values is None:
                continue
            fast = (np.abs(values[rows:] - values[:-rows]) > slowest).any(axis=1)
            for shift in range(rows + 1):
                moving[shift : shift + len(fast)] |= fast
            drives = np.abs(values) > self.robot.joints.creeping
            moving |= (drives & self.robot.joints.are_velocities).any(axis=1)
        return moving

    @property
    def idle_s(self) -> tuple[float, float]:
        """How long nothing moves at the beginning, and at the end; 0 where nothing ever does."""
        rows = np.flatnonzero(self.moving)
        if not len(rows):
            return 0.0, 0.0
        return float(rows[0]) * self.period_s, float(self.length - 1 - rows[-1]) * self.period_s
