# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Position, velocity and effort of all joints, gathered from the topics of one role.

A joint that a message lacks or that is NaN is a fault of its stream, never a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from motion_policy.robot.joint_topic import JointTopic
from motion_policy.robot.spec import RobotSpec
from motion_policy.streams.errors import StreamError
from motion_policy.streams.joints import (
    Float64Array,
    Int64Array,
    JointReading,
    read_joint_message,
)
from motion_policy.streams.sampler import Sample

Float32Array = npt.NDArray[np.float32]
# Positions, velocities and efforts (J,); without efforts where not every joint has one.
JointVectors = tuple[Float32Array, Float32Array, Float32Array | None]


class JointValues:
    """The joints of a role as their newest messages say, each message read once.

    `faults` are by stream, of messages that do not hold their joints, until a sound one comes.
    """

    def __init__(self, robot: RobotSpec, role: Literal['state', 'leader']) -> None:
        self.topics = dict(robot.joint_streams(role))
        self.faults: dict[str, str] = {}
        self._names = robot.joints.names
        self._are_velocities = robot.joints.are_velocities
        place = {joint: index for index, joint in enumerate(self._names)}
        self._columns = {
            name: [place[joint] for joint in topic.joints] for name, topic in self.topics.items()
        }
        self._samples: dict[str, Sample] = {}
        self._fields = {f: np.full(len(place), np.nan) for f in ('position', 'velocity', 'effort')}
        self._held: dict[str, tuple[str, ...]] = {}
        self._newer_ns: Int64Array = np.zeros(len(place), np.int64)

    def update(self, samples: Mapping[str, Sample]) -> None:
        """Read what is new among these samples by stream."""
        for name, topic in self.topics.items():
            sample = samples.get(name)
            if sample is not None and sample is not self._samples.get(name):
                self._samples[name] = sample
                self._read(name, topic, sample)

    def arrays(self) -> JointVectors:
        """Positions, velocities or zeros, and efforts or None, (J,) each, as in an observation."""
        velocity, effort = self.velocity, self.effort
        position = self.position.astype(np.float32)
        return (
            position,
            np.zeros_like(position) if velocity is None else velocity.astype(np.float32),
            None if effort is None else effort.astype(np.float32),
        )

    def ages_ns(self, of_streams: Mapping[str, int]) -> Int64Array:
        """Ages (J,) of the joints, of which the oldest of each stream are so old."""
        ages_ns = -self._newer_ns
        for name, columns in self._columns.items():
            ages_ns[columns] += of_streams.get(name, 0)
        return ages_ns

    @property
    def position(self) -> Float64Array:
        """Positions (J,) [rad or m] in the order of the robot's joints."""
        return self._fields['position'].copy()

    @property
    def velocity(self) -> Float64Array | None:
        """Velocities (J,) [rad/s or m/s]; None where not every joint has one."""
        values = self._fields['velocity']
        return None if np.isnan(values).any() else values.copy()

    @property
    def effort(self) -> Float64Array | None:
        """Efforts (J,) [N m or N]; None where not every joint has one.

        Of velocities nobody measures any: theirs are 0.
        """
        effort = self._fields['effort'].copy()
        if not self._are_velocities.all():
            effort[self._are_velocities] = 0.0
        return None if np.isnan(effort).any() else effort

    @property
    def held(self) -> frozenset[str]:
        """Fields of which some joints have the value of an earlier message."""
        return frozenset(field for fields in self._held.values() for field in fields)

    @property
    def efforts(self) -> Float64Array | None:
        """Efforts (J,) [N m or N], NaN for joints that have none; None where no joint has one."""
        effort = self._fields['effort']
        return None if np.isnan(effort).all() else effort.copy()

    @property
    def lacking(self) -> dict[str, tuple[str, ...]]:
        """Which joints have no velocity or effort, by that field, where others have one.

        Of a base the one is its value and the other not looked for.
        """
        found: dict[str, tuple[str, ...]] = {}
        for field in ('velocity', 'effort'):
            without = np.isnan(self._fields[field]) & ~self._are_velocities
            if without.any() and not without[~self._are_velocities].all():
                pairs = zip(self._names, without, strict=True)
                found[field] = tuple(name for name, lacks in pairs if lacks)
        return found

    def _read(self, name: str, topic: JointTopic, sample: Sample) -> None:
        try:
            reading = joints_in(sample, topic)
        except StreamError as error:
            self.faults[name] = str(error)
            return
        self._held[name] = reading.held
        newer_ns = reading.newer_ns
        self._newer_ns[self._columns[name]] = 0 if newer_ns is None else newer_ns
        for field, whole in self._fields.items():
            part = getattr(reading, field)
            whole[self._columns[name]] = np.nan if part is None else part
        self.faults.pop(name, None)


def joints_in(sample: Sample, topic: JointTopic) -> JointReading:
    """The joints of a topic in the sample that stands in a row.

    Raises:
        StreamError: the sample is a message that does not hold them all.
    """
    value = sample.value
    return value if isinstance(value, JointReading) else read_joint_message(value, topic)
