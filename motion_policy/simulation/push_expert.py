# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted expert of `push`: random pushes of two objects.

Where an object stands is looked up when a push of it begins; a seed fixes every draw.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.simulation.push import (
    CLEARANCE_M,
    HIGH_M,
    LOW_M,
    OBJECTS,
    PUSH_HEIGHT_M,
    PushSim,
    reachable,
)

Float64Array = npt.NDArray[np.float64]

FRAMES, FRAME_S = 30, 0.2
PUSH_SHARE = 0.85  # of what it does; the rest is wandering
STEP_M = (0.012, 0.026)  # per frame
PUSH_M = (0.03, 0.08)  # beyond the middle of the object
AIM_RAD = 0.4  # beside the middle, when it pushes from where it stands
DRAWS = 50


def push_teacher(sim: Any, seed: int) -> RandomPushes:
    """Return a demonstration in a `PushSim` as it stands."""
    return RandomPushes(sim, seed)


class RandomPushes:
    """One sequence of 30 frames: places to go to, as the arm goes there.

    Args:
        sim: the scene, whose objects are looked at as the time goes on.
        seed: fixes the draws.
    """

    duration_s = FRAMES * FRAME_S

    def __init__(self, sim: PushSim, seed: int) -> None:
        self._sim = sim
        self._rng = np.random.default_rng(seed)
        self._waypoints: list[Float64Array] = []
        self._step_m = 0.0
        self._frame = -1
        self._command = sim.command

    def __call__(self, time_s: float) -> Float64Array:
        """Return where the tool is to be one frame after `time_s`, (3,) [m].

        Times are asked for in their order; a frame that was asked for before gives the same.
        """
        frame = int(time_s / FRAME_S + 1e-6)
        while self._frame < frame:
            self._frame += 1
            self._advance()
        return self._command.copy()

    follower = __call__

    def _advance(self) -> None:
        while not self._waypoints:
            self._step_m = self._rng.uniform(*STEP_M)
            pushes = self._rng.random() < PUSH_SHARE
            self._waypoints = self._push() if pushes else self._wander()
        way = self._waypoints[0] - self._command
        distance = float(np.linalg.norm(way))
        if distance <= self._step_m:
            self._command = self._waypoints.pop(0)
        else:
            self._command = self._command + self._step_m / distance * way

    def _wander(self) -> list[Float64Array]:
        raised = self._rng.random() < 0.5
        goal = np.append(self._rng.uniform(LOW_M[:2], HIGH_M[:2]), PUSH_HEIGHT_M)
        goal[2] = self._rng.uniform(PUSH_HEIGHT_M, HIGH_M[2]) if raised else PUSH_HEIGHT_M
        return [reachable(goal)]

    def _push(self) -> list[Float64Array]:
        """The way to an object's side, down, and through the object's place."""
        place = self._sim.object_places[OBJECTS[self._rng.integers(len(OBJECTS))]][:2]
        here = self._command
        beside = float(np.linalg.norm(here[:2] - place)) < 1.4 * CLEARANCE_M
        if beside and here[2] < 2 * PUSH_HEIGHT_M:
            way = place - here[:2]
            angle = math.atan2(way[1], way[0]) + self._rng.uniform(-AIM_RAD, AIM_RAD)
            return [self._end(place, np.array([math.cos(angle), math.sin(angle)]))]
        for _ in range(DRAWS):
            angle = self._rng.uniform(-math.pi, math.pi)
            way = np.array([math.cos(angle), math.sin(angle)])
            start = np.append(place - CLEARANCE_M * way, PUSH_HEIGHT_M)
            if np.allclose(start, reachable(start)):
                above = np.append(start[:2], HIGH_M[2])
                over = np.append(here[:2], HIGH_M[2])
                return [over, above, start, self._end(place, way)]
        return self._wander()

    def _end(self, place: Float64Array, way: Float64Array) -> Float64Array:
        far = self._rng.uniform(*PUSH_M)
        return reachable(np.append(place + far * way, PUSH_HEIGHT_M))
