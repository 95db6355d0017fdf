# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Serialised tf2_msgs/msg/TFMessage by formula, and poses as matrices to hold others against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.LATEST)
TYPE = 'tf2_msgs/msg/TFMessage'
Transform = tuple[str, str, int, Sequence[float]]  # parent, child, stamp [ns], pose


def transform_bytes(*transforms: Transform) -> bytes:
    """Return a TFMessage in CDR; poses are x, y, z and the quaternion x, y, z, w."""
    types = STORE.types

    def stamped(parent: str, child: str, stamp_ns: int, pose: Sequence[float]) -> Any:
        stamp = types['builtin_interfaces/msg/Time'](stamp_ns // 10**9, stamp_ns % 10**9)
        numbers = [float(number) for number in pose]
        return types['geometry_msgs/msg/TransformStamped'](
            types['std_msgs/msg/Header'](stamp, parent),
            child,
            types['geometry_msgs/msg/Transform'](
                types['geometry_msgs/msg/Vector3'](*numbers[:3]),
                types['geometry_msgs/msg/Quaternion'](*numbers[3:]),
            ),
        )

    message = types[TYPE]([stamped(*each) for each in transforms])
    return bytes(STORE.serialize_cdr(message, TYPE))


def turned(axis: Sequence[float], angle: float, place: Sequence[float] = (0, 0, 0)) -> list[float]:
    """Return the pose at a place, turned about an axis by an angle [rad]."""
    unit = np.array(axis, float) / np.linalg.norm(axis)
    return [*place, *(math.sin(angle / 2) * unit), math.cos(angle / 2)]


def matrix(pose: Sequence[float]) -> np.ndarray:
    """Return a pose as a matrix (4, 4), by Rodrigues' formula and not by quaternions."""
    x, y, z, qx, qy, qz, qw = pose
    axis = np.array([qx, qy, qz])
    sine = np.linalg.norm(axis)
    angle = 2 * math.atan2(sine, qw)
    kx, ky, kz = axis / sine if sine else axis
    cross = np.array([[0, -kz, ky], [kz, 0, -kx], [-ky, kx, 0]])
    found = np.eye(4)
    found[:3, :3] += math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    found[:3, 3] = x, y, z
    return found
