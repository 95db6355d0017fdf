# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Detects joints that several publishers send on one topic, where messages say who sent them.

It only tells: the newest value counts, whoever sent it, and a broadcaster may well repeat what the
gripper's own driver says.
"""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from motion_policy.nodes.endpoints import full_name, publisher_of, publishers
from motion_policy.robot import JointTopic
from motion_policy.streams import StreamError
from motion_policy.streams.joints import read_joint_part


class JointPublishers:
    """Call `heard` for each message and `look` about once per second."""

    def __init__(self, node: Node, topic: JointTopic) -> None:
        self._node = node
        self._topic = topic
        self._newest: dict[bytes, Any] = {}  # message by publisher, since the last look
        self._before: set[tuple[str, frozenset[bytes]]] = set()  # at the last look
        self._told: set[str] = set()

    def heard(self, publisher: bytes, message: Any) -> None:
        """Take a message; quick, and nothing is read of it."""
        self._newest[publisher] = message

    def look(self) -> list[str]:
        """A line for each joint that several publishers sent between the last looks, once.

        In two spans in turn, or a driver that was begun anew would be told of.
        """
        newest, self._newest = self._newest, {}
        values: dict[str, dict[bytes, float]] = {}
        if len(newest) > 1:
            for publisher, message in newest.items():
                for joint, position in self._positions(message).items():
                    values.setdefault(joint, {})[publisher] = position
        shared = {(j, frozenset(found)): found for j, found in values.items() if len(found) > 1}
        lasting = {key: found for key, found in shared.items() if key in self._before}
        self._before = set(shared)
        lines = []
        for (joint, _), found in lasting.items():
            if joint not in self._told:
                self._told.add(joint)
                lines.append(self._line(joint, found))
        return lines

    def _positions(self, message: Any) -> dict[str, float]:
        try:
            part = read_joint_part(message, self._topic)
        except StreamError:  # told as unusable
            return {}
        if part.reading is None:
            return {}
        joints = (self._topic.joints[column] for column in part.columns)
        return dict(zip(joints, part.reading.position.tolist(), strict=True))

    def _line(self, joint: str, found: dict[bytes, float]) -> str:
        infos = publishers(self._node, self._topic.topic, self._topic.type)
        names = {publisher_of(info): full_name(info) for info in infos}
        told = [f'{names.get(who) or "an unknown node"} ({at:.4g})' for who, at in found.items()]
        return (
            f"joint '{joint}' comes from several publishers, {' and '.join(sorted(told))}: the "
            'newest counts; expected each joint from one driver'
        )
