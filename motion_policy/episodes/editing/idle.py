# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Idle head and tail of an episode: the rows in which no joint has left where it was.

Rule: measured joints and commands both stand, since a command goes before the motion.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.reader import EpisodeReader
from motion_policy.robot import RobotSpec

# Of a joint's range: more than an encoder's noise, and less than any motion that is meant.
STILL_SHARE = 0.005
RANGE_WITHOUT_LIMITS = 2 * math.pi


def idle_ends(episode: EpisodeReader) -> tuple[int, int] | None:
    """How many rows are idle at the head and at the tail; None where the arm never moves.

    Raises:
        EpisodeError: the joints cannot be read.
    """
    tracks = [episode.qpos, *([episode.action] if episode.has_commands else [])]
    allowed = still_range(episode.robot)
    joints = episode.robot.joints
    # A base that drives steadily is not idle: it stands at zero only.
    head, tail = (
        min(_still_rows(track[::step], allowed, joints.are_velocities) for track in tracks)
        for step in (1, -1)
    )
    return None if head >= episode.length else (head, tail)


def still_range(robot: RobotSpec) -> npt.NDArray[np.float64]:
    """How far (J,) each joint may be from where it stands and is still idle [rad or m]."""
    low, high = np.asarray(robot.joints.limits.position_array(), dtype=np.float64).T
    span = high - low
    still = STILL_SHARE * np.where(np.isfinite(span), span, RANGE_WITHOUT_LIMITS)
    return np.where(robot.joints.are_velocities, robot.joints.creeping, still)


def _still_rows(
    values: npt.NDArray[Any],
    allowed: npt.NDArray[np.float64],
    are_velocities: npt.NDArray[np.bool_],
) -> int:
    """How many of the first rows of (T, J) are near the first one, velocities near zero."""
    stands = np.where(are_velocities, 0.0, values[0])
    moved = (np.abs(values.astype(np.float64) - stands) > allowed).any(axis=1)
    return int(np.argmax(moved)) if moved.any() else len(values)
