# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of a simulated arm: the wrench in its wrist, as often as sim_node publishes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S, WRENCH
from motion_policy.streams import Sample

Float64Array = npt.NDArray[np.float64]

RATE_HZ = 100.0
NEVER_NS = 2**62


class FeelingSimulation(Protocol):
    """What is needed of a simulated arm."""

    @property
    def wrench(self) -> Float64Array | None:
        """Force [N] and torque [N m] in the wrist, (6,); None without a sensor."""


@dataclass(frozen=True)
class Vector3:
    """x, y and z, as in geometry_msgs."""

    x: float
    y: float
    z: float


@dataclass(frozen=True)
class Wrench:
    """Force [N] and torque [N m], as in geometry_msgs."""

    force: Vector3
    torque: Vector3


@dataclass(frozen=True)
class WrenchMessage:
    """A WrenchStamped as the sensor would publish it."""

    wrench: Wrench


class SimulatedVectors:
    """When the sensors of a simulated arm speak next, and what they say then.

    Args:
        sim: the arm.
        robot: its spec, of which all vectors are sampled.

    Raises:
        UserError: a vector is of another type than a WrenchStamped, or the arm feels none.
    """

    def __init__(self, sim: FeelingSimulation, robot: RobotSpec) -> None:
        for name, vector in robot.vectors.items():
            if vector.type != WRENCH or sim.wrench is None:
                known = 'none' if sim.wrench is None else WRENCH
                raise UserError(
                    f"robot '{robot.name}': vector '{name}' is a {vector.type}, but the "
                    f'simulated arm publishes: {known}'
                )
        self._sim = sim
        self._names = tuple(robot.vectors)
        self._period_ns = round(NANOSECONDS_PER_S / RATE_HZ)
        self.next_ns = 0 if self._names else NEVER_NS

    def read(self, stamp_ns: int) -> list[tuple[str, Sample]]:
        """What every vector says now, by the name of its stream; the next is due a period on."""
        assert self._sim.wrench is not None
        self.next_ns += self._period_ns
        values = self._sim.wrench.tolist()
        message = WrenchMessage(Wrench(Vector3(*values[:3]), Vector3(*values[3:])))
        return [(name, Sample(stamp_ns, stamp_ns, message)) for name in self._names]
