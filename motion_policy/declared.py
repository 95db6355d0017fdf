# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Base of everything declared in YAML: unknown keys are refused, numbers are numbers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeGuard, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

UNKNOWN_KEY: Literal['unknown_key'] = 'unknown_key'


class Declared(BaseModel):
    """Frozen. An unknown key is an error, infinity and NaN are no numbers, and true is not 1."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    @model_validator(mode='before')
    @classmethod
    def _keys_are_known(cls, data: Any) -> Any:
        unknown = [key for key in data if key not in cls.model_fields] if _is_mapping(data) else []
        if unknown:
            raise unknown_key(unknown[0], data[unknown[0]], list(cls.model_fields))
        return data

    @field_validator('*', mode='before')
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation: Any = cls.model_fields[str(info.field_name)].annotation
        if _holds_bool(value) and _is_of_numbers(annotation):
            raise ValueError('found true or false, expected a number')
        return value


def unknown_key(key: Any, value: Any, known: list[str]) -> PydanticCustomError:
    """What to raise for a key that is not known: of type UNKNOWN_KEY, with the keys meant."""
    close = difflib.get_close_matches(str(key), known, n=3, cutoff=0.65)
    context = {'key': key, 'value': value, 'expected': ' or '.join(close) or _one_of(known)}
    return PydanticCustomError(UNKNOWN_KEY, 'unknown key, expected {expected}', context)


def _one_of(known: list[str]) -> str:
    return f'one of: {", ".join(known)}' if known else 'no key'


def _is_mapping(data: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(data, Mapping)


def _holds_bool(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_bool, value))
    if isinstance(value, dict):
        return any(map(_holds_bool, value.values()))
    return isinstance(value, bool)


@cache
def _is_of_numbers(annotation: Any) -> bool:
    """Whether a type is made of numbers, with no place for true and false in it."""
    types: set[Any] = set(_parts(annotation))
    return bool(types & {int, float}) and not types & {bool, Any}


def _parts(annotation: Any) -> list[Any]:
    return [annotation, *(part for one in get_args(annotation) for part in _parts(one))]
