# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of a robot spec: numbers of any message type, or the pose of a frame in another."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from motion_policy.declared import Declared
from motion_policy.robot.values import (
    FrameName,
    Hertz,
    Seconds,
    Stamp,
    Topic,
    no_repeats,
    one_of,
)

MOST_NUMBERS = 4096  # of a row
TRANSFORMS = 'tf2_msgs/msg/TFMessage'

# A path within a message, with the size of an array.
FIELD = re.compile(r'[A-Za-z]\w*(\.[A-Za-z]\w*)*(\[[1-9]\d{0,5}\])?')

# What a vector of a transform may hold, as geometry_msgs/msg/Transform calls it.
TRANSLATION = ('translation.x', 'translation.y', 'translation.z')
ROTATION = ('rotation.x', 'rotation.y', 'rotation.z', 'rotation.w')


class VectorSpec(Declared):
    """Numbers of one topic, whatever its message type: forces, poses, tactile arrays.

    A field is the path of a number (`wrench.force.x`), of a message, which stands for all its
    numbers (`wrench.force`), or of an array with its size (`data[16]`). What a field that is a
    message stands for is known where the message type is: see `with_known_fields`.

    With `window: last` a row has the numbers of the last `count` messages, the oldest first.

    With `transform: [frame, child]` it is the pose of the child frame in the other, composed of
    the transforms on `topic` and, of those that do not move, on `static_topic`.
    """

    topic: Topic
    type: str
    fields: tuple[str, ...] = Field(min_length=1)
    window: Literal['newest', 'mean', 'last'] = 'newest'
    count: int | None = Field(default=None, ge=1, le=MOST_NUMBERS)
    max_age: Seconds = 0.2
    stamp: Stamp = 'header'
    rate: Hertz | None = None
    transform: tuple[FrameName, FrameName] | None = None
    static_topic: Topic | None = None

    @model_validator(mode='before')
    @classmethod
    def _fill_transform(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get('transform') is None:
            return data
        defaults = {
            'topic': 'tf', 'static_topic': 'tf_static', 'type': TRANSFORMS,
            'fields': ['translation', 'rotation'],
        }  # fmt: skip
        filled = {**defaults, **data}
        if isinstance(filled['fields'], (list, tuple)):
            whole = {'translation': TRANSLATION, 'rotation': ROTATION}
            parts = [whole.get(field, (field,)) for field in filled['fields']]
            filled['fields'] = [each for part in parts for each in part]
        return filled

    @field_validator('type')
    @classmethod
    def _type(cls, value: str) -> str:
        if not re.fullmatch(r'[a-z]\w*/msg/[A-Z]\w*', value):
            raise ValueError(f"'{value}', expected a type such as geometry_msgs/msg/WrenchStamped")
        return value

    @field_validator('fields')
    @classmethod
    def _fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_fields(value)

    @model_validator(mode='after')
    def _count_of_last(self) -> VectorSpec:
        if (self.count is None) == (self.window == 'last'):
            found = 'none' if self.count is None else f'{self.count}'
            raise ValueError(
                f"count is {found} with window '{self.window}', expected it with window last only"
            )
        check_count(self.fields, self.count)
        return self

    @model_validator(mode='after')
    def _transform_is_whole(self) -> VectorSpec:
        if self.transform is None:
            if self.static_topic is not None:
                raise ValueError('static_topic is there without transform, expected both or none')
            return self
        no_repeats('transform', self.transform)
        one_of(self.type, (TRANSFORMS,))
        if self.static_topic == self.topic:
            raise ValueError(f"static_topic is '{self.topic}', expected another than topic")
        if self.window != 'newest':
            raise ValueError(f"window is '{self.window}' of a transform, expected newest")
        if self.fields not in ((*TRANSLATION, *ROTATION), TRANSLATION, ROTATION):
            raise ValueError(
                f'fields are {", ".join(self.fields)} of a transform, expected translation, '
                'rotation or both, in this order'
            )
        return self

    @property
    def meaning(self) -> str:
        """What its numbers are, where two are compared."""
        frames = '' if self.transform is None else f'{" -> ".join(self.transform)}: '
        return f'{self.kept} of {frames}{", ".join(self.fields)}'

    @property
    def kept(self) -> str:
        """What a row has of the messages: `newest`, `mean` or, say, `last 20`."""
        return self.window if self.count is None else f'{self.window} {self.count}'

    @property
    def shape(self) -> tuple[int, ...]:
        """That of a row: (n,), or (k, n) of the last k messages."""
        width = len(self.columns)
        return (width,) if self.count is None else (self.count, width)

    @property
    def numbers(self) -> tuple[str, ...]:
        """What each number of a row is, one after the other; of the newest message last."""
        if self.count is None:
            return self.columns
        places = range(1 - self.count, 1)
        return tuple(f'{column} ({place})' for place in places for column in self.columns)

    @property
    def paths(self) -> tuple[tuple[str, int | None], ...]:
        """Path and size of every field; None: it is a number."""
        return tuple(map(path_and_size, self.fields))

    @property
    def columns(self) -> tuple[str, ...]:
        """What each of the n numbers is: `wrench.force.x`, or `data[0]` to `data[15]`."""
        return tuple(
            column
            for path, size in self.paths
            for column in (
                [path] if size is None else [f'{path}[{place}]' for place in range(size)]
            )
        )


def checked_fields(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields of a vector. ValueError: one is no path or there twice, or too many."""
    for field in fields:
        if not FIELD.fullmatch(field):
            raise ValueError(
                f"'{field}', expected a path such as wrench.force, wrench.force.x or, of an array "
                'of 16 numbers, data[16]'
            )
    no_repeats('fields', [path for path, _ in map(path_and_size, fields)])
    check_count(fields, None)
    return fields


def check_count(fields: tuple[str, ...], count: int | None) -> None:
    """ValueError where a row would have too many numbers: of `count` messages, if there is one."""
    numbers = sum(size or 1 for _, size in map(path_and_size, fields))
    if count is not None and count * numbers > MOST_NUMBERS:
        raise ValueError(
            f'{count} messages of {numbers} numbers, expected at most {MOST_NUMBERS} together'
        )
    if numbers > MOST_NUMBERS:
        raise ValueError(f'{numbers} numbers, expected at most {MOST_NUMBERS}')


def path_and_size(field: str) -> tuple[str, int | None]:
    """What a field of a vector names: `('data', 16)`, or `('wrench.force.x', None)`."""
    path, bracket, size = field.rstrip(']').partition('[')
    return path, int(size) if bracket else None
