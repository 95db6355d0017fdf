# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated leader arm: its position at any time, and whether it leads.

Rule: outside a demonstration the leader never jumps ahead of the follower. It keeps its last
pose until the follower is taken away from it (a scene reset), then it stands where that stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from motion_policy.simulation.expert import GraspExpert, ScriptedMotion
from motion_policy.simulation.press_expert import PressExpert, PressMotion
from motion_policy.simulation.transfer_expert import BothArms, TransferExpert

Float64Array = npt.NDArray[np.float64]
DemonstratedMotion = ScriptedMotion | BothArms | PressMotion
Planner = Callable[[Float64Array, Float64Array], DemonstratedMotion]

LEFT_BEHIND_RAD = 0.2  # more than a follower lags, far less than a reset moves it


def _plan_grasps(seed: int) -> Planner:
    return GraspExpert(seed).plan


def _plan_transfers(seed: int) -> Planner:
    expert = TransferExpert()
    seeds = np.random.default_rng(seed)
    return lambda cube_xy, qpos: expert.plan(cube_xy, qpos, int(seeds.integers(2**32)))


def _plan_presses(seed: int) -> Planner:
    return PressExpert(seed).plan


# What plans a demonstration of a scene from the object's place and the joint positions.
PLANNERS = {
    'tabletop': _plan_grasps,
    'transfer_cube': _plan_transfers,
    'press': _plan_presses,
}


class LeaderArm:
    """Plays demonstrations of the scripted expert; vectors (J,) are those of the scene.

    Args:
        seed: fixes the variation between demonstrations.
        scene: what is demonstrated, a name of `PLANNERS`.
        grippers: the joints that a follower may leave behind, as it grips.
    """

    def __init__(
        self, seed: int = 0, scene: str = 'tabletop', grippers: Sequence[int] = (4,)
    ) -> None:
        self._plan = PLANNERS[scene](seed)
        self._grippers = list(grippers)
        self._trajectory: DemonstratedMotion | None = None
        self._start_ns = 0
        self._kept: Float64Array | None = None
        self._follower: Float64Array | None = None

    @property
    def playing(self) -> bool:
        """Whether a demonstration is under way."""
        return self._trajectory is not None

    @property
    def follower(self) -> Float64Array | None:
        """Where the nudged follower was sent at the last `target` of a demonstration, (J,)."""
        return self._follower

    def start(self, now_ns: int, cube_xy: Float64Array, qpos: Float64Array) -> DemonstratedMotion:
        """Plan a demonstration from the follower's `qpos` (J,) and play it from now on.

        Raises:
            UserError: the cube is out of reach.
        """
        self._trajectory = self._plan(np.asarray(cube_xy, np.float64), qpos)
        self._start_ns = now_ns
        return self._trajectory

    def target(
        self, now_ns: int, qpos: Float64Array, wrench: Float64Array | None = None
    ) -> Float64Array:
        """Return where the leader stands now, (J,), beside a follower at `qpos`.

        `wrench` (6,) is what the follower's wrist feels [N, N m], where it feels anything.
        """
        if self._trajectory is not None:
            if isinstance(self._trajectory, PressMotion) and wrench is not None:
                self._trajectory.feel(wrench, qpos)
            elapsed_ns = now_ns - self._start_ns
            self._kept = self._trajectory(elapsed_ns / 1e9)
            self._follower = self._trajectory.follower(elapsed_ns / 1e9)
            if elapsed_ns >= self._trajectory.duration_s * 1e9:
                self._trajectory = None
            return self._kept
        if self._kept is not None:
            behind = np.delete(np.abs(self._kept - qpos), self._grippers).max()
            if behind > LEFT_BEHIND_RAD:
                self._kept = None
        return np.array(qpos) if self._kept is None else self._kept
