# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Joint values from messages: which joints a message carries.

A joint is matched by name; one that a message lacks is an error or left to other messages, never
a zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.robot.joint_topic import JointTopic
from motion_policy.robot.twist import TWIST_IN
from motion_policy.streams.errors import StreamError

LAYOUTS = 64  # of joint messages, whose order is remembered
FLOAT32_MAX = float(np.finfo(np.float32).max)  # episodes and policies hold no more
SURELY_SMALL = 1e6

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class JointReading:
    """Joints as messages give them, each (n,) float64; None where they report nothing of them.

    Velocity or effort of a joint that does not report it, though others do, is NaN. The position
    of a joint of a base is its velocity, too.
    `left_out` says why a field is None though the message holds something; else it is empty.
    `newer_ns` (n,) is by how much each is newer than the oldest; None where all came together.
    `held` are the fields of which some joints have what an earlier message said.
    """

    position: Float64Array
    velocity: Float64Array | None
    effort: Float64Array | None
    left_out: str = ''
    held: tuple[str, ...] = ()
    newer_ns: Int64Array | None = None


@dataclass(frozen=True)
class JointPart:
    """What one message says of a topic's joints: which ones, by their places there, and how.

    `names` are all that the message has; `reading` is None where it has none of the topic.
    """

    names: tuple[str, ...]
    columns: tuple[int, ...]
    reading: JointReading | None


def read_joints(message: Any, message_names: Sequence[str]) -> JointReading:
    """Read the named joints from a JointState-like message, in the order of `message_names`.

    Velocities or efforts that are empty or NaN count as not reported: joint_state_broadcaster
    publishes NaN for an interface that the hardware lacks. Those that are not one number per name,
    or infinite, are left out: positions do not depend on them.

    Raises:
        StreamError: a joint is missing, or its position is not a finite number.
    """
    found, wanted = tuple(message.name), tuple(message_names)
    columns, places = _layout(found, wanted)
    _check_all_there(columns, found, wanted)
    return _joint_state(message, places, wanted)


def read_joint_message(message: Any, topic: JointTopic) -> JointReading:
    """Read all joints of `topic` from a message of any joint type that a robot spec may name.

    The positions of a leader are converted as the spec says; its velocities are dropped then.

    Raises:
        StreamError: the message does not hold these joints as finite numbers.
    """
    part = read_joint_part(message, topic)
    _check_all_there(part.columns, part.names, topic.message_names)
    assert part.reading is not None
    return part.reading


def read_joint_part(message: Any, topic: JointTopic) -> JointPart:
    """Read those joints of `topic` that a message carries.

    Raises:
        StreamError: the message names no joint or one of ours twice, or what it says of ours is
            not a finite number for each.
    """
    found = _names_in(message, topic)
    if not found:
        raise StreamError('its list of names is empty')
    columns, places = _layout(found, topic.message_names)
    if not columns:
        return JointPart(found, (), None)
    names = topic.message_names
    if len(columns) < len(names):
        names = tuple(names[column] for column in columns)
    if topic.fields is not None:
        reading = _velocities(message, topic.type, topic.fields, names)
    elif hasattr(message, 'name'):
        reading = _joint_state(message, places, names)
    elif hasattr(message, 'points'):
        reading = _trajectory(message, places, names)
    else:
        reading = _numbers(message, names)
    return JointPart(found, columns, _converted(reading, topic, columns))


def columns_in(message: Any, topic: JointTopic) -> tuple[int, ...]:
    """Which joints of `topic` a message that cannot be used speaks of; () if that is unknown."""
    try:
        found = _names_in(message, topic)
    except Exception:  # bytes that are no such message
        return ()
    return tuple(c for c, name in enumerate(topic.message_names) if name in found)


@lru_cache(maxsize=LAYOUTS)
def _layout(found: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[tuple[int, ...], Places]:
    """Which of the wanted joints a message has, and where; mostly the same again."""
    index = {name: place for place, name in enumerate(found)}
    columns = tuple(column for column, name in enumerate(wanted) if name in index)
    for column in columns:
        times = found.count(wanted[column])
        if times > 1:
            raise StreamError(f"joint '{wanted[column]}' is in the message {times} times")
    return columns, np.array([index[wanted[column]] for column in columns], dtype=np.intp)


def _names_in(message: Any, topic: JointTopic) -> tuple[str, ...]:
    if hasattr(message, 'name'):
        return tuple(message.name)
    if hasattr(message, 'points'):
        return tuple(message.joint_names)
    return topic.message_names  # numbers alone have the order of the spec


def _check_all_there(columns: Sequence[int], found: Sequence[str], wanted: Sequence[str]) -> None:
    if len(columns) < len(wanted):
        missing = next(name for place, name in enumerate(wanted) if place not in columns)
        raise StreamError(
            f"joint '{missing}' is not in the message, found joints: {', '.join(found) or '-'}"
        )


def _joint_state(message: Any, places: Places, names: Sequence[str]) -> JointReading:
    count = len(message.name)
    position = _positions(message.position, places, count, names)
    left_out: list[str] = []
    velocity, effort = (
        _reported(getattr(message, what), places, count, names, what, left_out)
        for what in ('velocity', 'effort')
    )
    return JointReading(position, velocity, effort, '; '.join(left_out))


def _trajectory(message: Any, places: Places, names: Sequence[str]) -> JointReading:
    """Read the first point of a JointTrajectory."""
    if not message.points:
        raise StreamError('the trajectory has no points, expected at least one')
    count = len(message.joint_names)
    return JointReading(_positions(message.points[0].positions, places, count, names), None, None)


def _numbers(message: Any, names: Sequence[str]) -> JointReading:
    position = np.array(message.data, dtype=np.float64, ndmin=1)  # Float64 has one
    if len(position) != len(names):
        raise StreamError(
            f'the message holds {len(position)} numbers, expected {len(names)}, '
            f'one for each of: {", ".join(names)}'
        )
    _check_finite(position, names, 'position')
    return JointReading(position, None, None)


def _velocities(
    message: Any, kind: str, fields: Sequence[str], names: Sequence[str]
) -> JointReading:
    """Read fields of a twist: the value of such a joint is its velocity."""
    values = [_of_twist(kind, field)(message) for field in fields]
    velocity = np.array(values, dtype=np.float64)
    _check_finite(velocity, names, 'velocity')
    return JointReading(velocity, velocity, None)


@lru_cache(maxsize=LAYOUTS)
def _of_twist(kind: str, field: str) -> attrgetter[Any]:
    return attrgetter(TWIST_IN[kind] + field)


def _converted(reading: JointReading, topic: JointTopic, columns: tuple[int, ...]) -> JointReading:
    if not topic.is_converted:
        return reading
    places = list(columns)
    scale, offset = np.array(topic.scale)[places], np.array(topic.offset)[places]
    return JointReading(scale * reading.position + offset, None, None)


def _positions(
    values: Iterable[float], places: Places, count: int, names: Sequence[str]
) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if len(array) != count:
        raise StreamError(
            f'the message holds {len(array)} positions, expected {count}, one per name'
        )
    array = array[places]
    _check_finite(array, names, 'position')
    return array


def _reported(
    values: Sequence[float],
    places: Places,
    count: int,
    names: Sequence[str],
    what: str,
    left_out: list[str],
) -> Float64Array | None:
    """Return the values of our joints, NaN where not reported; None where none of them is.

    Why values that are there cannot be taken is added to `left_out`.
    """
    if len(values) == 0:
        return None
    if len(values) != count:
        left_out.append(f'{what} left out: {len(values)} values for {count} names')
        return None
    array = np.asarray(values, dtype=np.float64)[places]
    if not math.hypot(*array.tolist()) < SURELY_SMALL:
        there = ~np.isnan(array)
        if not there.any():
            return None
        try:
            _check_finite(array[there], [n for n, i in zip(names, there, strict=True) if i], what)
        except StreamError as error:
            left_out.append(f'{what} left out: {error}')
            return None
    return array


def _check_finite(values: Float64Array, names: Sequence[str], what: str) -> None:
    # Their length tells at once, where every value is as small as those of robots are.
    if math.hypot(*values.tolist()) < SURELY_SMALL:
        return
    for name, value in zip(names, values, strict=True):
        if not abs(value) <= FLOAT32_MAX:
            raise StreamError(
                f"joint '{name}': {what} is {value}, expected a finite number of float32"
            )
