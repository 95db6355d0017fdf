# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Declaration of a group of parameters as a `Declared`, as of all that is declared in YAML.

A field's `Field(default=, ge=, le=, description=)`, its `Literal` and its type say what the
parameter may be; `LIVE`, `READ_ONLY` and `OneOf` in its `Annotated` what pydantic has no word for.
A group within a group gives its parameters a prefix: `urdf` of `workspace` is `workspace.urdf`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from motion_policy.declared import Declared


class Change(Enum):
    """When a parameter may be set to something else."""

    LIVE = 'live'  # at any time
    UNCONFIGURED = 'unconfigured'  # while a lifecycle node is not configured; else at start only
    READ_ONLY = 'start'  # never but at start


TYPES = {str: 'string', bool: 'bool', int: 'integer', float: 'double', Any: 'any'}
LIVE, READ_ONLY = Change.LIVE, Change.READ_ONLY


@dataclass(frozen=True)
class OneOf:
    """The words that a parameter may be, where they are known only as the code runs."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class ParameterEntry:
    """One parameter as its group describes it.

    Attributes:
        name: with the names of the groups around it, joined by points.
        type: as ROS 2 calls it; `any` where values of every type are taken.
        default: None where only the node knows it.
        text: what it is.
        minimum, maximum: of a number; None where it has none.
        choices: the words that it may be; () for any.
        length: of a list; None for any.
        change: when it may change.
    """

    name: str
    type: str
    default: str | bool | int | float | list[Any] | None
    text: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    length: int | None
    change: Change


def entries(group: type[Declared], prefix: str = '') -> Iterator[ParameterEntry]:
    """The parameters of a group and of those within it, in their order."""
    for key, field in group.model_fields.items():
        name = prefix + (field.alias or key)
        within = group_within(field)
        if within is None:
            yield _entry(name, field)
        else:
            yield from entries(within, f'{name}.')


def group_within(field: FieldInfo) -> type[Declared] | None:
    """The group that a field is; None if it is a parameter."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Declared) else None


def _entry(name: str, field: FieldInfo) -> ParameterEntry:
    kind: Any = field.annotation
    default = None if field.is_required() else field.default
    words = get_args(kind) if get_origin(kind) is Literal else ()
    sizes = get_args(kind) if get_origin(kind) is tuple else ()
    minimum: Any = None
    maximum: Any = None
    change = Change.UNCONFIGURED
    for mark in field.metadata:
        if isinstance(mark, OneOf):
            words = mark.words
        elif isinstance(mark, Change):
            change = mark
        elif hasattr(mark, 'ge'):
            minimum = mark.ge
        elif hasattr(mark, 'le'):
            maximum = mark.le
        else:
            raise TypeError(f'{name}: a parameter cannot have {mark}')
    if (minimum is None) != (maximum is None):
        raise TypeError(f'{name}: ROS 2 knows no range with one bound, expected ge and le')
    return ParameterEntry(
        name=name,
        type=_type_name(kind),
        default=list(default) if isinstance(default, tuple) else default,
        text=field.description or '',
        minimum=minimum,
        maximum=maximum,
        choices=words,
        length=len(sizes) if sizes and Ellipsis not in sizes else None,
        change=change,
    )


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return 'string'
    if get_origin(kind) is tuple:
        return f'{_type_name(get_args(kind)[0])} array'
    return TYPES[kind]
