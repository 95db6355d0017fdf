# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Detects frames that several publishers send on a topic of tf, where messages say who sent them.

It only tells: the newest transform counts, whoever sent it. Many publish on such a topic, each
frames of its own.
"""

from __future__ import annotations

from rclpy.node import Node

from motion_policy.nodes.endpoints import full_name, publisher_of, publishers
from motion_policy.robot.vector import TRANSFORMS
from motion_policy.streams import StreamError
from motion_policy.streams.buffers import MOST_NAMES
from motion_policy.streams.transforms import TransformLayout, TransformMessage


class TransformPublishers:
    """Call `heard` for each message and `look` about once per second."""

    def __init__(self, node: Node, topic: str) -> None:
        self._node = node
        self._topic = topic
        self._newest: dict[bytes, TransformMessage] = {}  # by publisher, since the last look
        self._before: dict[frozenset[bytes], set[str]] = {}  # frames at the last look
        self._told: set[str] = set()

    def heard(self, publisher: bytes, message: TransformMessage) -> None:
        """Take a message; quick, and nothing is read of it."""
        self._newest[publisher] = message

    def look(self) -> list[str]:
        """A line for those frames that the same publishers sent in two spans in turn, once."""
        newest, self._newest = self._newest, {}
        senders: dict[str, set[bytes]] = {}
        if len(newest) > 1:
            for publisher, message in newest.items():
                for child in _frames_in(message.data):
                    senders.setdefault(child, set()).add(publisher)
        shared: dict[frozenset[bytes], set[str]] = {}
        for child, found in senders.items():
            if len(found) > 1:
                shared.setdefault(frozenset(found), set()).add(child)
        before, self._before = self._before, shared
        lines = []
        for who, frames in shared.items():
            lasting = sorted((frames & before.get(who, set())) - self._told)
            if lasting:
                self._told |= {*lasting}
                lines.append(self._line(who, lasting))
        return lines

    def _line(self, who: frozenset[bytes], frames: list[str]) -> str:
        topic = self._node.resolve_topic_name(self._topic)
        infos = publishers(self._node, topic, TRANSFORMS)
        names = {publisher_of(info): full_name(info) for info in infos}
        told = sorted(names.get(each) or 'an unknown node' for each in who)
        more = f' and {len(frames) - MOST_NAMES} more' * (len(frames) > MOST_NAMES)
        return (
            f'frame{"s" * (len(frames) > 1)} {", ".join(map(repr, frames[:MOST_NAMES]))}{more} '
            f'from several publishers, {" and ".join(told)}: the newest transform counts; '
            'expected each frame from one'
        )


def _frames_in(data: bytes) -> set[str]:
    try:
        return {place.child for place in TransformLayout(data).places}
    except StreamError:  # told as unusable
        return set()
