# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Serving a node's callbacks in one thread, at a price that leaves the core to others.

One rule: a message is taken as soon as it is there; services, timers and the rest may wait for
50 ms.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

REST_PERIOD_S = 0.05  # how soon a service is served, a timer called, a signal noticed


class MessagesFirst(SingleThreadedExecutor):
    """Waits for messages only, and looks at everything else 20 times a second.

    Each wait tells the middleware, piece by piece, all that is waited for. A lifecycle node has a
    dozen services and as many events, which nearly never come: naming them for every message cost
    more than the messages.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(context=node.context)
        self._subscriber: list[Any] = [_Subscriber(node)]
        self._messages_only = False
        self._found = False
        self._rest_due_s = 0.0
        self.add_node(node)

    def serve(self) -> None:
        """Run what is ready, or wait at most 50 ms for a message."""
        now_s = time.monotonic()
        if now_s >= self._rest_due_s:
            self._rest_due_s = now_s + REST_PERIOD_S
            self._found = True
            while self._found and time.monotonic() < self._rest_due_s:  # a flood has no end
                self._found = False
                self.spin_once(timeout_sec=0)
        self._messages_only = True
        try:
            self.spin_once(timeout_sec=max(0.0, self._rest_due_s - time.monotonic()))
        finally:
            self._messages_only = False

    def get_nodes(self) -> list[Any]:
        """What to wait for."""
        return self._subscriber if self._messages_only else super().get_nodes()

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As of every executor."""
        ready = super().wait_for_ready_callbacks(*args, **kwargs)
        self._found = True
        return ready


class _Subscriber:
    """A node as if it had subscriptions and nothing else."""

    timers = clients = services = guards = waitables = ()

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def subscriptions(self) -> Any:
        return self._node.subscriptions


def spin_until_stopped(node: Node, stop: threading.Event) -> None:
    """Serve the node's callbacks in this thread until `stop` is set or its context ends.

    A single-threaded executor, one wait after the other: the one way of spinning that neither
    loses images nor starves in any of the supported distributions.
    """
    executor = MessagesFirst(node)
    try:
        while node.context.ok() and not stop.is_set():
            executor.serve()
    finally:
        executor.remove_node(node)
        executor.shutdown()
