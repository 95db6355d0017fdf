# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Base of everything declared in YAML: unknown keys are refused, numbers are numbers."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Declared(BaseModel):
    """Frozen. An unknown key is an error, infinity and NaN are no numbers, and true is not 1."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    @field_validator('*', mode='before')
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation: Any = cls.model_fields[str(info.field_name)].annotation
        if _holds_bool(value) and _is_of_numbers(annotation):
            raise ValueError('found true or false, expected a number')
        return value


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
