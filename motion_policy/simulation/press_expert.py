# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted expert of `press`: reaches over the pad, then goes down as long as it feels too little.

Height and stiffness of the pad are unknown to it: below the hover its speed is in proportion to
what is missing of 5 N (admittance control).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.simulation.expert import NUDGE_RAD, Nudge, ToolKinematics, minimum_jerk
from motion_policy.simulation.press import CLOSED_M, FORCE_N

Float64Array = npt.NDArray[np.float64]

PITCH_RAD = math.radians(65)
HOVER_M = 0.125  # height of the tool, above every pad
LOWEST_M = 0.02
STILL_S, REACH_S, HOVER_S, PRESS_S = 0.3, 1.6, 0.4, 6.2
SPEED_PER_N = 0.0125  # m/s
GREATEST_SPEED = 0.04  # m/s
# It slips: for so long it presses as if too much or too little were right, then corrects that, so
# that its demonstrations show how. None in the last seconds.
SLIP_S, SLIP_N, SLIP_BEGIN_S = (0.3, 0.6), (1.5, 3.0), (1.5, 3.0)
SLIP_SHARE = 0.8  # of the demonstrations
LONGEST_STEP_S = 0.1


def press_teacher(sim: Any, seed: int) -> FeltPress:
    """Return a demonstration in a `PressSim` as it stands."""
    return FeltPress(sim, PressExpert(seed).plan(sim.cube_pose[:2], sim.qpos))


class PressExpert:
    """Plans demonstrations of `press`.

    Args:
        seed: fixes the little variation between demonstrations.
    """

    def __init__(self, seed: int = 0) -> None:
        self._kinematics = ToolKinematics()
        self._rng = np.random.default_rng(seed)

    def plan(self, pad_xy: Float64Array, qpos: Float64Array) -> PressMotion:
        """Return the motion of the leader for a pad at `pad_xy` (2,) [m], from `qpos` (5,)."""
        place = np.asarray(pad_xy, np.float64) + self._rng.uniform(-0.003, 0.003, 2)
        slip_s = self._rng.uniform(*SLIP_BEGIN_S)
        slip_n = self._rng.choice((-1.0, 1.0)) * self._rng.uniform(*SLIP_N)
        if self._rng.random() > SLIP_SHARE:
            slip_n = 0.0
        slip = slip_s, slip_s + self._rng.uniform(*SLIP_S), slip_n
        return PressMotion(self._kinematics, place, qpos, slip, self._nudge())

    def _nudge(self) -> Nudge:
        """Off the way while it reaches; it has faded where the weight of the hand is felt."""
        return Nudge(
            self._rng.uniform(0.3, 1.0, (2, 4)) * NUDGE_RAD,
            self._rng.uniform(0.25, 0.8, (2, 4)),
            self._rng.uniform(0, 2 * math.pi, (2, 4)),
            (0.8, STILL_S + REACH_S - 0.5, STILL_S + REACH_S - 0.1, STILL_S + REACH_S + 0.1),
        )


class PressMotion:
    """Joint targets over time, which depend on the forces that it was told of.

    Times are asked for in their order; the same time again gives the same targets.

    Args:
        kinematics: of the arm.
        place: (2,) where it presses [m].
        qpos: (5,) where the arm stands at the start.
        slip: begin and end of the slip after the hover [s], and by how much it errs [N].
        nudge: what pushes the follower off the leader's way.
    """

    duration_s = STILL_S + REACH_S + HOVER_S + PRESS_S

    def __init__(
        self,
        kinematics: ToolKinematics,
        place: Float64Array,
        qpos: Float64Array,
        slip: tuple[float, float, float],
        nudge: Nudge,
    ) -> None:
        self._kinematics = kinematics
        self._place = place
        self._slip = slip
        self._nudge = nudge
        self._start = np.array(qpos)
        self._height_m = HOVER_M
        self._angles = kinematics.solve(self._tool(), PITCH_RAD, qpos)
        self._above = np.append(self._angles, CLOSED_M)
        self._lift_n = self._weight_n = 0.0
        self._time_s = 0.0

    def feel(self, wrench: Float64Array, qpos: Float64Array) -> None:
        """Take in what the wrist feels: `wrench` (6,) in the frame of the hand, joints (5,)."""
        pitch = float(np.sum(qpos[1:4]))
        self._lift_n = math.cos(pitch) * float(wrench[2]) - math.sin(pitch) * float(wrench[0])

    def __call__(self, time_s: float) -> Float64Array:
        """Return the joint targets (5,) at `time_s`."""
        passed_s = min(time_s - self._time_s, LONGEST_STEP_S)
        self._time_s = max(time_s, self._time_s)
        if time_s < STILL_S + REACH_S:
            way = self._above - self._start
            return np.asarray(self._start + minimum_jerk((time_s - STILL_S) / REACH_S) * way)
        pressing_s = time_s - (STILL_S + REACH_S + HOVER_S)
        if pressing_s < 0:
            self._weight_n = self._lift_n  # nothing is touched yet
        elif passed_s > 0:
            self._press(pressing_s, passed_s)
        return np.append(self._angles, CLOSED_M)

    def follower(self, time_s: float) -> Float64Array:
        """Return the joint targets (5,) of the nudged follower at `time_s`."""
        return self(time_s) + self._nudge(time_s)

    def _press(self, pressing_s: float, passed_s: float) -> None:
        begin_s, end_s, error_n = self._slip
        wanted_n = FORCE_N + (error_n if begin_s <= pressing_s < end_s else 0.0)
        missing_n = wanted_n - (self._lift_n - self._weight_n)
        speed = min(max(SPEED_PER_N * missing_n, -GREATEST_SPEED), GREATEST_SPEED)
        self._height_m = max(self._height_m - speed * passed_s, LOWEST_M)
        self._angles = self._kinematics.solve(self._tool(), PITCH_RAD, self._angles)

    def _tool(self) -> Float64Array:
        return np.append(self._place, self._height_m)


class FeltPress:
    """A demonstration that feels the wrist of a simulated arm as it goes on."""

    duration_s = PressMotion.duration_s

    def __init__(self, sim: Any, motion: PressMotion) -> None:
        self._sim = sim
        self._motion = motion

    def __call__(self, time_s: float) -> Float64Array:
        """Return the joint targets (5,) at `time_s`, which is now."""
        self._motion.feel(self._sim.wrench, self._sim.qpos)
        return self._motion(time_s)

    def follower(self, time_s: float) -> Float64Array:
        """Return the joint targets (5,) of the nudged follower at the `time_s` just asked for."""
        return self._motion.follower(time_s)
