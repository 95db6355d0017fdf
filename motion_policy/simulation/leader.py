# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The leader arm in the teacher's hands: where it stands at any time, and whether it leads.

Rule: outside a demonstration the leader never jumps ahead of the follower. It keeps its last
pose until the follower is taken away from it (a scene reset), then it stands where that stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from motion_policy.simulation.expert import GraspExpert, Trajectory

Array = np.ndarray[Any, np.dtype[np.float64]]

LEFT_BEHIND_RAD = 0.2  # more than a follower lags, far less than a reset moves it


class LeaderArm:
    """Plays demonstrations of the scripted expert.

    Args:
        seed: fixes the variation between demonstrations.
    """

    def __init__(self, seed: int = 0) -> None:
        self._expert = GraspExpert(seed)
        self._trajectory: Trajectory | None = None
        self._start_ns = 0
        self._kept: Array | None = None
        self._follower: Array | None = None

    @property
    def playing(self) -> bool:
        """Whether a demonstration is under way."""
        return self._trajectory is not None

    @property
    def follower(self) -> Array | None:
        """Where the nudged follower was sent at the last `target` of a demonstration, (5,)."""
        return self._follower

    def start(self, now_ns: int, cube_xy: Array, qpos: Array) -> Trajectory:
        """Plan a demonstration from the follower's `qpos` (5,) and play it from now on.

        Raises:
            UserError: the cube is out of reach.
        """
        self._trajectory = self._expert.plan(np.asarray(cube_xy, np.float64), qpos)
        self._start_ns = now_ns
        return self._trajectory

    def target(self, now_ns: int, qpos: Array) -> Array:
        """Return where the leader stands now, (5,), beside a follower at `qpos`."""
        if self._trajectory is not None:
            elapsed_ns = now_ns - self._start_ns
            self._kept = self._trajectory(elapsed_ns / 1e9)
            self._follower = self._trajectory.follower(elapsed_ns / 1e9)
            if elapsed_ns >= self._trajectory.duration_s * 1e9:
                self._trajectory = None
            return self._kept
        if self._kept is not None and np.abs(self._kept - qpos)[:4].max() > LEFT_BEHIND_RAD:
            self._kept = None
        return np.array(qpos) if self._kept is None else self._kept
