# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The message types of a bag: those of joints and cameras as they are, others as the bag says.

rosbags makes Python of definitions; it gets only names that are plain ones, and no constants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.ros_types import (
    fields_in,
    is_usual,
    read_field_type,
    usual_fields_of,
    usual_types,
)
from motion_policy.episodes.formats.rosbag.storage import Bag
from motion_policy.streams.message_fields import FieldType
from motion_policy.streams.samples import Unreadable

# rclpy's serialize_message, with which bags are often written, leaves as many bytes behind the end
# of a message with empty lists; rosbags takes up to three.
SURPLUS_BYTES = (0, 4, 8, 12)

MOST_CHARACTERS = 2**20  # of a definition
MOST_ENTRIES = 2**20  # of an array
NAME = re.compile(r'[A-Za-z]\w{0,254}')
BASES = {
    'bool', 'octet', 'char', 'string', 'wstring', 'float32', 'float64',
    *(f'{sign}int{bits}' for sign in ('', 'u') for bits in (8, 16, 32, 64)),
}  # fmt: skip
TYPE_NAME = re.compile(r'[A-Za-z]\w{0,254}/msg/[A-Za-z]\w{0,254}')


class BagTypes:
    """Reads the messages of a bag; of the `defined` types as the bag's own definitions say.

    Raises:
        EpisodeError: a definition is not to be read.
    """

    def __init__(self, bag: Bag, defined: Iterable[str] = ()) -> None:
        self._path = bag.path
        definitions = bag.definitions()
        self._stores = {
            kind: self._store(kind, definitions[kind]) for kind in defined if kind in definitions
        }

    def message(self, kind: str, data: bytes) -> Any:
        """The message of this type in these bytes; `Unreadable` where there is none."""
        failure = ''
        for surplus in SURPLUS_BYTES:
            try:
                store = self._stores.get(kind) or usual_types()
                return store.deserialize_cdr(data[: len(data) - surplus], kind)
            except Exception as error:  # rosbags lets errors of struct and numpy through
                failure = failure or str(error)
        return Unreadable(f'{len(data)} bytes are no {kind}: {failure}')

    def fields_of(self, kind: str) -> dict[str, FieldType]:
        """The fields of a message type.

        Raises:
            EpisodeError: it is not known.
        """
        for store in self._stores.values():
            if kind in store.fielddefs:
                return fields_in(store, kind)
        if is_usual(kind):
            return usual_fields_of(kind)
        raise EpisodeError(
            f"message type '{kind}' is not known here, and the bag does not define it; bags of "
            'mcap do, and those of sqlite3 since Iron'
        )

    def _store(self, kind: str, definition: MessageDefinition) -> Typestore:
        store = get_typestore(Stores.EMPTY)
        is_idl = definition.format == MessageDefinitionFormat.IDL
        try:
            if len(definition.data) > MOST_CHARACTERS:
                raise ValueError(f'it has {len(definition.data)} characters')
            text = definition.data
            types = get_types_from_idl(text) if is_idl else get_types_from_msg(text, kind)
            for name, (_, fields) in types.items():
                _check_names(name, fields)
            store.register({name: ([], fields) for name, (_, fields) in types.items()})
        except Exception as error:  # rosbags' parser has errors of its own
            reason = ' '.join(str(error).split())[:200]
            raise EpisodeError(
                f"{self._path}: its definition of '{kind}' cannot be read: {reason}"
            ) from None
        return store


def _check_names(type_name: str, fields: list[Any]) -> None:
    """ValueError where a type or one of its fields is not plainly named, or too large."""
    found = {name: read_field_type(each) for name, each in fields}
    types = [type_name, *(each.base for each in found.values() if each.base not in BASES)]
    wrong = [name for name in types if not TYPE_NAME.fullmatch(name)]
    wrong += [name for name in found if not NAME.fullmatch(name)]
    if wrong:
        raise ValueError(f"'{wrong[0]}' is no name")
    for name, each in found.items():
        if (each.size or 0) > MOST_ENTRIES:
            raise ValueError(f"'{name}' has {each.size} entries, expected at most {MOST_ENTRIES}")
