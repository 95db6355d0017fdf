# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Disturbances of a simulated trial: cube removed, camera covered, arm pushed.

A seed fixes the moment and everything that is drawn.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError

Float64Array = npt.NDArray[np.float64]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

NANOSECONDS_PER_S = 1_000_000_000
PUSH_S = 0.3
# Of 255. What lies over a lens still lets some light through: it is neither black nor even.
COVER_GREY, COVER_TINT, COVER_SLOPE = (50.0, 190.0), 12.0, 15.0


class Disturbable(Protocol):
    """What a simulation lets others do to it."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the J joints."""

    def remove_cube(self) -> None:
        """Take the cube away at once."""

    def push(self, torque: Float64Array) -> None:
        """Push the joints (J,) from outside from now on [N m, N]."""


class Disturbance:
    """Nothing happens; what is to happen from `begin_ns` on is said by those below.

    Attributes:
        begin_ns: simulated time since the reset.
    """

    def __init__(self, begin_ns: int) -> None:
        self.begin_ns = begin_ns

    def act(self, time_ns: int) -> None:
        """Do to the scene what is due at `time_ns`; called once per control tick."""

    def seen(self, time_ns: int, image: RgbImage) -> RgbImage:
        """Return what a camera gives in place of `image` (H, W, 3)."""
        return image


class CubeRemoved(Disturbance):
    """The cube is taken away, once and for good."""

    def __init__(self, begin_ns: int, sim: Disturbable) -> None:
        super().__init__(begin_ns)
        self._sim = sim
        self._done = False

    def act(self, time_ns: int) -> None:
        """Take it away when it is time."""
        if time_ns >= self.begin_ns and not self._done:
            self._sim.remove_cube()
            self._done = True


class ArmPushed(Disturbance):
    """A torque from outside turns some joints for 0.3 s, against their servos."""

    def __init__(self, begin_ns: int, sim: Disturbable, torque: Float64Array) -> None:
        super().__init__(begin_ns)
        self._sim = sim
        self._torque = torque
        self._end_ns = begin_ns + round(PUSH_S * NANOSECONDS_PER_S)

    def act(self, time_ns: int) -> None:
        """Push while it is time."""
        pushing = self.begin_ns <= time_ns < self._end_ns
        self._sim.push(self._torque if pushing else np.zeros_like(self._torque))


class CameraCovered(Disturbance):
    """Something grey lies over the lens from now on; not black, which other watches tell."""

    def __init__(self, begin_ns: int, rng: np.random.Generator) -> None:
        super().__init__(begin_ns)
        tint = rng.uniform(-COVER_TINT, COVER_TINT, 3)
        self._colour = rng.uniform(*COVER_GREY) + tint
        self._slope = rng.uniform(-COVER_SLOPE, COVER_SLOPE, 2)

    def seen(self, time_ns: int, image: RgbImage) -> RgbImage:
        """Return the cover, a little brighter on one side, once it is there."""
        if time_ns < self.begin_ns:
            return image
        height, width = image.shape[:2]
        down = np.linspace(-1, 1, height)[:, None] * self._slope[0]
        across = np.linspace(-1, 1, width)[None] * self._slope[1]
        shade = (down + across)[..., None] + self._colour
        return shade.clip(0, 255).round().astype(np.uint8)


def make_disturbance(
    name: str,
    sim: Disturbable,
    reach_s: tuple[float, float],
    pushes: tuple[tuple[str, float], ...],
    seed: int,
) -> Disturbance:
    """Return a disturbance that begins while the arm reaches for the cube.

    Args:
        name: 'cube-removed', 'camera-covered' or 'arm-pushed'.
        sim: what it happens to.
        reach_s: when it begins, at any time between.
        pushes: joints of which one is pushed, each with its torque [N m], to either side.
        seed: fixes the moment, which is the same for all, and the rest.

    Raises:
        UserError: there is none of that name.
    """
    rng = np.random.default_rng([seed, len(pushes)])
    begin_ns = round(rng.uniform(*reach_s) * NANOSECONDS_PER_S)
    if name == 'cube-removed':
        return CubeRemoved(begin_ns, sim)
    if name == 'camera-covered':
        return CameraCovered(begin_ns, rng)
    if name == 'arm-pushed':
        joint, torque = pushes[rng.integers(len(pushes))]
        torques = np.zeros(len(sim.joint_names))
        torques[sim.joint_names.index(joint)] = torque * rng.choice((-1.0, 1.0))
        return ArmPushed(begin_ns, sim, torques)
    raise UserError(f"disturbance '{name}': not known")
