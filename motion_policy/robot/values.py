# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Types of single values in a robot spec: what a number or a name must be like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field


def _checked_topic(topic: str) -> str:
    if not re.fullmatch(r'[~/]?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', topic.replace('~/', '~', 1)):
        raise ValueError(f"topic '{topic}', expected a ROS topic name such as 'top/image_raw'")
    return topic


def _checked_frame(frame: str) -> str:
    if not frame or frame.startswith('/') or not frame.isprintable():
        raise ValueError(f"frame '{frame}', expected a name as in tf, without a slash before it")
    return frame


Topic = Annotated[str, AfterValidator(_checked_topic)]
FrameName = Annotated[str, AfterValidator(_checked_frame)]
Hertz = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Stamp = Literal['header', 'receive']


def one_of(value: str, allowed: Sequence[str]) -> str:
    """Return a value that is one of those that are allowed; ValueError: it is none."""
    if value not in allowed:
        raise ValueError(f"'{value}' is not supported, expected {' or '.join(allowed)}")
    return value


def no_repeats(key: str, names: Sequence[str]) -> None:
    """ValueError where a name is in a list more than once."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{key} holds '{repeated[0]}' more than once, expected each name once")
