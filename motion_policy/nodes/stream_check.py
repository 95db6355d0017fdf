# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks what topics carry against the robot spec: types, image sizes, joints.

Types are known before any message has come; the rest is told with the first messages, not only
when somebody wants the arm to move.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from motion_policy.errors import UserError
from motion_policy.nodes.subscriptions import StreamSubscriptions


class StreamCheck:
    """Checks the streams of a node; `examine()` says whether it could, or raises UserError.

    Attributes:
        problem: what does not fit, as last found; ''.
    """

    def __init__(
        self, node: Node, subscriptions: StreamSubscriptions, examine: Callable[[], bool]
    ) -> None:
        self._node = node
        self._subscriptions = subscriptions
        self._examine = examine
        self._fits = False
        self.problem = ''

    def check_types(self) -> None:
        """UserError naming a topic on which there are publishers, but none of the spec's type."""
        for name, stream in self._subscriptions.streams.items():
            topic = self._node.resolve_topic_name(stream.topic)
            types = {p.topic_type for p in self._node.get_publishers_info_by_topic(topic)}
            if types and stream.type not in types:
                raise UserError(self._subscriptions.describe(name))

    def look(self) -> None:
        """Examine what has come, until it fits once; log what does not, each thing once."""
        if self._fits or not all(self._subscriptions.received.values()):
            return
        try:
            self._fits, problem = self._examine(), ''
        except UserError as error:
            problem = str(error)
        if problem and problem != self.problem:
            self._node.get_logger().error(f'not fit to be enabled: {problem}')
        self.problem = problem
