# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the fields of a robot spec's vectors are in the message types that are installed.

Types are asked for by a function that the caller gives, so that rclpy and bags answer alike.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from motion_policy.robot import RobotSpec, VectorSpec
from motion_policy.robot.vector import check_count, checked_fields, path_and_size
from motion_policy.streams.errors import StreamError

NO_NUMBERS = ('string', 'wstring', 'octet')
QUATERNION = 'geometry_msgs/msg/Quaternion'
TIME = 'builtin_interfaces/msg/Time'  # its seconds are too many for float32


@dataclass(frozen=True)
class FieldType:
    """The type of one field: `base` is as IDL writes it, or a message type with its package.

    `size` is that of an array, 0 where that is left to the message; None: it is no array.
    """

    base: str
    size: int | None = None

    @property
    def is_message(self) -> bool:
        """Whether it, or each of the array, is a message."""
        return '/' in self.base

    @property
    def is_numeric(self) -> bool:
        """Whether it, or each of the array, is a number or true or false."""
        return not self.is_message and self.base not in NO_NUMBERS

    def __str__(self) -> str:
        return self.base if self.size is None else f'{self.base}[{self.size or ""}]'


# The fields of a message type such as geometry_msgs/msg/Wrench; UserError where it is not known.
FieldsOf = Callable[[str], Mapping[str, FieldType]]


def field_type(text: str) -> FieldType:
    """Read a type as message classes tell it: `double`, `double[9]`, `sequence<float, 5>`."""
    if sequence := re.fullmatch(r'sequence<(.*?)(?:, \d+)?>', text):
        return FieldType(field_type(sequence[1]).base, 0)
    if array := re.fullmatch(r'(.*)\[(\d+)\]', text):
        return FieldType(field_type(array[1]).base, int(array[2]))
    if '/' in text and '/msg/' not in text:
        return FieldType(text.replace('/', '/msg/'))
    return FieldType(text.partition('<')[0])


def with_known_fields(robot: RobotSpec, fields_of: FieldsOf) -> RobotSpec:
    """The robot whose vectors name every number and array, where the spec may name messages.

    Raises:
        StreamError: a message type is not known, or it has no such field, or that is no number.
    """
    vectors = {}
    for name, vector in robot.vectors.items():
        if vector.transform is not None:  # names its numbers by itself
            vectors[name] = vector
            continue
        try:
            expanded = [_expanded(vector, field, fields_of) for field in vector.fields]
            fields = checked_fields(tuple(itertools.chain.from_iterable(expanded)))
            check_count(fields, vector.count)
        except ValueError as error:  # UserError is one
            raise StreamError(f"robot '{robot.name}': vectors.{name}: {error}") from None
        vectors[name] = vector.model_copy(update={'fields': fields})
    return robot.model_copy(update={'vectors': vectors})


def _expanded(vector: VectorSpec, field: str, fields_of: FieldsOf) -> list[str]:
    """The numbers and arrays that one field stands for."""
    path, size = path_and_size(field)
    found = FieldType(vector.type)
    for part in path.split('.'):
        if not found.is_message or found.size is not None:
            raise StreamError(f"'{field}': there is nothing in a {found}, expected a number of it")
        known = fields_of(found.base)
        if part not in known:
            raise StreamError(
                f"'{field}': {found} has no field '{part}', it has: {', '.join(known)}"
            )
        if found.base == TIME:
            raise StreamError(
                f"'{field}': is of a time, which float32 does not hold, expected other numbers; "
                'the stamp of each message is kept beside them'
            )
        if found.base == QUATERNION and vector.window == 'mean':
            raise StreamError(f"'{field}': a mean of quaternions is none, expected window: newest")
        found = known[part]
    if found.is_message and found.size is None and size is None:
        inner = [f'{path}.{part}' for part in fields_of(found.base)]
        return [each for part in inner for each in _expanded(vector, part, fields_of)]
    return [_number_or_array(path, size, found)]


def _number_or_array(path: str, size: int | None, found: FieldType) -> str:
    field = path if size is None else f'{path}[{size}]'
    if not found.is_numeric:
        raise StreamError(f"'{field}': is {found}, expected numbers")
    if found.size is None:
        if size is not None:
            raise StreamError(f"'{field}': is one {found}, expected it without [{size}]")
        return path
    if found.size == 0 and size is None:
        raise StreamError(f"'{field}': is {found}, expected its size: {path}[N]")
    if found.size and size not in (None, found.size):
        raise StreamError(f"'{field}': is {found}, expected {path}[{found.size}]")
    return f'{path}[{size or found.size}]'
