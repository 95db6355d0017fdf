# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Definitions of message types as text, from the classes that are installed, for bags.

A class says all that a reader of bytes needs; constants and comments of its .msg file it does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from motion_policy.episodes.formats.ros_types import usual_types
from motion_policy.episodes.formats.rosbag.write import BagChannel
from motion_policy.nodes.subscriptions import message_class
from motion_policy.robot import RobotSpec
from motion_policy.robot.vector import TRANSFORMS

# What classes call types, and .msg files.
_BASES = {'boolean': 'bool', 'octet': 'byte', 'float': 'float32', 'double': 'float64'}


def message_definition(type_name: str) -> str:
    """Return the definition of `sensor_msgs/msg/Image` and of all types in it, as ros2msg.

    Raises:
        UserError: the type is not known here.
    """
    if type_name == TRANSFORMS:  # read here by its bytes, whether its package is there or not
        definition, _ = usual_types().generate_msgdef(type_name, ros_version=2)
        return str(definition)
    store = get_typestore(Stores.EMPTY)
    waiting, known = [type_name], {type_name}
    while waiting:
        name = waiting.pop()
        fields = message_class(name).get_fields_and_field_types()
        lines = [f'{_type_in_msg(text)} {field}' for field, text in fields.items()]
        store.register(get_types_from_msg('\n'.join(lines), name))
        nested = {found for text in fields.values() for found in _nested(text)}
        waiting += sorted(nested - known)
        known |= nested
    definition, _ = store.generate_msgdef(type_name, ros_version=2)
    return str(definition)


def bag_channels(robot: RobotSpec, topics: Mapping[str, str]) -> list[BagChannel]:
    """Return the topics of a bag of a robot's messages, under their full names.

    Args:
        robot: whose streams they are.
        topics: the full names by those of the robot spec.
    """
    types = {stream.topic: stream.type for stream in robot.streams()}
    static = {topic: TRANSFORMS for topic in static_topics(robot)}
    definitions = {kind: message_definition(kind) for kind in {*types.values(), *static.values()}}
    channels = {
        topics[topic]: BagChannel(topics[topic], kind, definitions[kind], latched=topic in static)
        for topic, kind in {**types, **static}.items()
    }
    return list(channels.values())


def static_topics(robot: RobotSpec) -> list[str]:
    """Return the topics of a robot spec on which transforms come that do not move."""
    found = [vector.static_topic for vector in robot.vectors.values()]
    return list(dict.fromkeys(topic for topic in found if topic is not None))


def _type_in_msg(text: str) -> str:
    """`sequence<double, 3>` as `float64[<=3]`, `string<10>` as `string<=10`."""
    if sequence := re.fullmatch(r'sequence<(.*?)(?:, (\d+))?>', text):
        bound = f'<={sequence[2]}' if sequence[2] else ''
        return f'{_type_in_msg(sequence[1])}[{bound}]'
    if array := re.fullmatch(r'(.*)\[(\d+)\]', text):
        return f'{_type_in_msg(array[1])}[{array[2]}]'
    if bounded := re.fullmatch(r'(w?string)<(\d+)>', text):
        return f'{bounded[1]}<={bounded[2]}'
    return _BASES.get(text, text)


def _nested(text: str) -> list[str]:
    """The message type in a type, with its full name."""
    return [f'{package}/msg/{name}' for package, name in re.findall(r'(\w+)/(\w+)', text)]
