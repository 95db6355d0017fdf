# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of vectors are finite, move, and are what the sampler reads of their messages."""

from __future__ import annotations

import numpy as np
import pytest
from bag_files import T

from motion_policy.episodes.formats.ros_types import usual_fields_of
from motion_policy.rehearsal.numbers import VectorNumbers
from motion_policy.robot import RobotSpec
from motion_policy.robot.load import robot_spec_from
from motion_policy.streams.message_fields import with_known_fields
from motion_policy.streams.vectors import VectorReader

VECTORS = {
    'wrench': ('geometry_msgs/msg/WrenchStamped', ['wrench']),
    'tcp': ('geometry_msgs/msg/PoseStamped', ['pose.position', 'pose.orientation']),
    'imu': ('sensor_msgs/msg/Imu', ['linear_acceleration', 'orientation_covariance']),
    'skin': ('std_msgs/msg/UInt8MultiArray', ['data[16]']),
    'flag': ('std_msgs/msg/Bool', ['data']),
}


def robot() -> RobotSpec:
    from control_robots import formula_arm

    data = formula_arm().model_dump(mode='json', exclude_none=True)
    data['vectors'] = {
        name: {'topic': name, 'type': kind, 'fields': fields}
        for name, (kind, fields) in VECTORS.items()
    }
    return with_known_fields(robot_spec_from(data, 'r'), usual_fields_of)


def blank(kind: str) -> object:
    """A message of this type whose fields are there."""
    from types import SimpleNamespace

    def make(name: str) -> object:
        known = usual_fields_of(name)
        return SimpleNamespace(
            **{f: make(t.base) if t.is_message and t.size is None else 0 for f, t in known.items()}
        )

    assert kind in T
    return make(kind)


@pytest.mark.parametrize('name', VECTORS)
def test_a_message_is_filled_with_what_its_reader_takes(name: str) -> None:
    spec = robot().vectors[name]
    numbers, reader, message = VectorNumbers(spec, usual_fields_of), VectorReader(spec), None
    rows = []
    for second in np.arange(0, 8, 0.5):
        message = blank(spec.type)
        numbers.fill(message, float(second))
        rows.append(reader.read(message))
    values = np.array(rows)
    assert values.shape == (16, len(spec.columns))
    assert (values.max(axis=0) > values.min(axis=0)).any()
    if name == 'tcp':
        np.testing.assert_allclose(np.linalg.norm(values[:, 3:], axis=1), 1.0)
    if name == 'skin':
        assert values.min() >= 0 and values.max() <= 127
