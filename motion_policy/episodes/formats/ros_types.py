# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The message types that come with ROS 2, which need no installation of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from motion_policy.streams.message_fields import FieldType


@cache
def usual_types() -> Typestore:
    """Return the message types; those of a robot spec are the same in every distribution since."""
    return get_typestore(Stores.ROS2_HUMBLE)


def is_usual(kind: str) -> bool:
    """Whether a message type is one of those."""
    return kind in usual_types().fielddefs


def usual_fields_of(kind: str) -> dict[str, FieldType]:
    """The fields of one of those message types."""
    return fields_in(usual_types(), kind)


def fields_in(store: Typestore, kind: str) -> dict[str, FieldType]:
    """The fields of a message type of this store."""
    return {name: read_field_type(found) for name, found in store.fielddefs[kind][1]}


def read_field_type(found: Any) -> FieldType:
    """Read the type of a field as rosbags tells it."""
    node, content = found
    if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        inner, size = content
        return FieldType(read_field_type(inner).base, size if node == Nodetype.ARRAY else 0)
    base = content[0] if node == Nodetype.BASE else content
    return FieldType('octet' if base == 'byte' else base)
