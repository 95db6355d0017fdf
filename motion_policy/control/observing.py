# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a control tick reads of a row: measured joint positions and the faults of streams.

A joint that a message lacks or that is NaN is a fault of its stream, never a number.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot import RobotSpec
from motion_policy.streams import Row, Sample, StreamError
from motion_policy.streams.messages import Float32Array, joints_in

# Positions, velocities and efforts (J,) as an observation has them.
Joints = tuple[Float32Array, Float32Array, Float32Array | None]


def robot_as_seen(robot: RobotSpec, cameras: Iterable[str]) -> RobotSpec:
    """Return the robot with only these cameras and without a leader: what a policy watches."""
    return robot.model_copy(
        update={
            'cameras': {name: robot.cameras[name] for name in cameras},
            'joints': robot.joints.model_copy(update={'leader': ()}),
        }
    )


class MeasuredJoints:
    """Reads the joints of rows; a message that stands in several rows is read once."""

    def __init__(self, robot: RobotSpec) -> None:
        self._topics = dict(robot.joint_streams('state'))
        place = {joint: index for index, joint in enumerate(robot.joints.names)}
        self._columns = {
            name: [place[joint] for joint in topic.joints] for name, topic in self._topics.items()
        }
        self._samples: dict[str, Sample] = {}
        self._position = np.zeros(len(place))
        self._velocity = np.zeros(len(place))
        self._effort = np.zeros(len(place))
        self._without_velocity: set[str] = set()  # topics
        self._without_effort: set[str] = set()
        self._faults: dict[str, str] = {}

    def read(self, row: Row) -> tuple[Float64Array | None, dict[str, str]]:
        """Return the measured position (J,), None if there is none, and the faults by stream."""
        for name in self._topics:
            sample = row.samples.get(name)
            if sample is not None and sample is not self._samples.get(name):
                self._samples[name] = sample
                self._read(name, sample)
        faults = {**self._faults, **row.faults}
        if any(name in faults for name in self._topics):
            return None, faults
        return self._position.copy(), faults

    def joints(self) -> Joints:
        """What `observation_from_row` would say of the joints of the row that was read last."""
        velocity = np.zeros_like(self._velocity) if self._without_velocity else self._velocity
        effort = None if self._without_effort else self._effort.astype(np.float32)
        return self._position.astype(np.float32), velocity.astype(np.float32), effort

    def effort(self) -> Float64Array | None:
        """Efforts (J,) [N m or N] of the row that was read last; None without one per joint."""
        return None if self._without_effort else self._effort

    def _read(self, name: str, sample: Sample) -> None:
        topic = self._topics[name]
        try:
            reading = joints_in(sample, topic)
        except StreamError as error:
            self._faults[name] = f'{topic.topic}: {error}'
            return
        columns = self._columns[name]
        self._position[columns] = reading.position
        for whole, part, without in (
            (self._velocity, reading.velocity, self._without_velocity),
            (self._effort, reading.effort, self._without_effort),
        ):
            if part is None:
                without.add(name)
            else:
                whole[columns] = part
                without.discard(name)
        self._faults.pop(name, None)
