# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Smooth numbers for the fields that a spec's vectors name, in messages of any type."""

from __future__ import annotations

import math
from typing import Any

from motion_policy.robot import VectorSpec
from motion_policy.streams.message_fields import QUATERNION, FieldsOf, FieldType

# Middle and reach by what a part of the path is called; [N], [m], [rad/s], ...
USUAL: tuple[tuple[str, float, float], ...] = (
    ('force', 0.0, 5.0),
    ('torque', 0.0, 0.5),
    ('linear_acceleration.z', 9.81, 0.2),
    ('linear_acceleration', 0.0, 0.2),
    ('angular', 0.0, 0.3),
    ('linear', 0.0, 0.2),
    ('position', 0.3, 0.05),
    ('translation', 0.3, 0.05),
)
OTHERS = (0.5, 0.5)
INTEGERS = (50.0, 50.0)  # also in 8 bits
SLOWEST_S, STEP_S = 4.0, 0.37  # periods of the numbers, each a little longer
TURN_RAD = 0.3
REAL = FieldType('double')


class VectorNumbers:
    """Sets the fields of one vector, which name numbers and arrays with their sizes."""

    def __init__(self, spec: VectorSpec, fields_of: FieldsOf) -> None:
        self._entries: list[tuple[list[str], int | None, FieldType]] = []
        self._quaternions: list[list[str]] = []
        for path, size in spec.paths:
            parts = path.split('.')
            owner, kind = _types(spec.type, parts, fields_of)
            if owner == QUATERNION:
                if parts[:-1] not in self._quaternions:
                    self._quaternions.append(parts[:-1])
            else:
                self._entries.append((parts, size, kind))

    def fill(self, message: Any, time_s: float) -> None:
        """Set them in a message as they are at a time."""
        place = 0
        for parts, size, kind in self._entries:
            name = '.'.join(parts)
            count = 1 if size is None else size
            values = [_value(name, place + i, kind, time_s) for i in range(count)]
            place += count
            _set(message, parts, values[0] if size is None else values)
        for number, parts in enumerate(self._quaternions):
            for axis, value in _turned(time_s, number).items():
                _set(message, [*parts, axis], value)


def fill_pose(transform: Any, time_s: float) -> None:
    """Set a geometry_msgs/Transform as it is at a time."""
    for place, axis in enumerate('xyz'):
        _set(transform, ['translation', axis], _value('translation', place, REAL, time_s))
    for axis, value in _turned(time_s, 0).items():
        _set(transform, ['rotation', axis], value)


def _turned(time_s: float, number: int) -> dict[str, float]:
    """A quaternion that turns about z, to and fro."""
    half = TURN_RAD * math.sin(2 * math.pi * time_s / (SLOWEST_S + number * STEP_S)) / 2
    return {'x': 0.0, 'y': 0.0, 'z': math.sin(half), 'w': math.cos(half)}


def _types(kind: str, parts: list[str], fields_of: FieldsOf) -> tuple[str, FieldType]:
    """The message type that a path ends in, and the type of its end."""
    owner, found = kind, FieldType(kind)
    for part in parts:
        owner = found.base
        found = fields_of(owner)[part]
    return owner, found


def _value(name: str, place: int, kind: FieldType, time_s: float) -> float | int | bool:
    wave = math.sin(2 * math.pi * time_s / (SLOWEST_S + place % 16 * STEP_S) + place)
    if kind.base == 'boolean':
        return wave > 0
    if kind.base not in ('float', 'double', 'long double'):
        return round(INTEGERS[0] + INTEGERS[1] * wave)
    usual = next(((middle, reach) for word, middle, reach in USUAL if word in name), OTHERS)
    return usual[0] + usual[1] * wave


def _set(message: Any, parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        message = getattr(message, part)
    setattr(message, parts[-1], value)
