# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Serving a node's callbacks in one thread, at a price that leaves the core to others.

One rule: a message is taken as soon as it is there; services, timers and the rest may wait for
50 ms.
"""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import ExitStack
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

REST_PERIOD_S = 0.05  # how soon a service is served, a timer called, a signal noticed


class MessagesFirst(SingleThreadedExecutor):
    """Waits for messages only, and looks at everything else 20 times a second.

    Each wait tells the middleware, piece by piece, all that is waited for. A lifecycle node has a
    dozen services and as many events, which nearly never come: naming them for every message cost
    more than the messages. Between a message and its callback there is no task and no coroutine
    either: the wait is that of `rclpy.wait_for_message`, the same from Humble on. A subscription
    whose callback is a coroutine function is part of the rest.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(context=node.context)
        self._node = node
        self._found = False
        self._rest_due_s = 0.0
        self._wait_set: Any = None
        self._room = 0  # subscriptions that the wait set takes
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
        if self.context.ok():
            self._serve_messages(max(0.0, self._rest_due_s - time.monotonic()))

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As of every executor."""
        ready = super().wait_for_ready_callbacks(*args, **kwargs)
        self._found = True
        return ready

    def _serve_messages(self, timeout_s: float) -> None:
        with ExitStack() as held:
            subscriptions = [s for s in self._node.subscriptions if _usable(s, held)]
            if not subscriptions:
                time.sleep(timeout_s)
                return
            wait_set = self._cleared_wait_set(len(subscriptions))
            for subscription in subscriptions:
                wait_set.add_subscription(subscription.handle)
            wait_set.wait(round(timeout_s * 1e9))
            ready = wait_set.get_ready_entities('subscription')
            for subscription in subscriptions:
                if subscription.handle.pointer in ready:
                    _take(subscription)

    def _cleared_wait_set(self, room: int) -> Any:
        if room != self._room:
            context = self.context.handle
            self._wait_set = rclpy_implementation.WaitSet(room, 0, 0, 0, 0, 0, context)
            self._room = room
        self._wait_set.clear_entities()
        return self._wait_set


def _usable(subscription: Any, held: ExitStack) -> bool:
    """Whether it can be waited for; if so it is not destroyed while it is held."""
    if inspect.iscoroutinefunction(subscription.callback):
        return False
    try:
        held.enter_context(subscription.handle)
    except InvalidHandle:
        return False
    return True


def _take(subscription: Any) -> None:
    """Hand its next message to its callback, with what is known of it where that is wanted."""
    taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    if taken is None:
        return
    wanted = getattr(subscription, '_callback_type', None)  # Humble gives messages only
    alone = wanted is None or wanted.name == 'MessageOnly'
    subscription.callback(*(taken[:1] if alone else taken))


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
