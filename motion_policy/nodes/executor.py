# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A single-threaded executor that takes messages at once and leaves the core to others.

One rule: a message is taken as soon as it is there; services, timers and the rest may wait for
50 ms.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from motion_policy.nodes.bad_messages import BadMessages
from motion_policy.nodes.transports import subscriptions_of_images

MOST_IN_TURN = 200  # messages of a subscription before the next one is looked at: 10 ms or so
REST_PERIOD_S = 0.05  # how soon a service is served, a timer called, a signal noticed


class Stop:
    """Whether to end. Signals set it, also several at a time.

    An Event would take a lock for that: the second signal would wait for the first for ever, and
    with it the thread that hears of an emergency stop.
    """

    def __init__(self) -> None:
        self._asked = False

    def set(self) -> None:
        """Ask for the end."""
        self._asked = True

    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._asked


class LeftAlone(CallbackGroup):
    """Subscriptions whose messages no executor takes while `is_left`: their node does."""

    def __init__(self, is_left: Callable[[], bool]) -> None:
        super().__init__()
        self.is_left = is_left

    def can_execute(self, entity: Any) -> bool:
        """Only what tells of a subscription's events."""
        return not isinstance(entity, Subscription)

    def beginning_execution(self, _entity: Any) -> bool:
        """As of every callback group."""
        return True

    def ending_execution(self, _entity: Any) -> None:
        """As of every callback group."""


class Unendable(SingleThreadedExecutor):
    """An executor that goes on after whatever may come from outside.

    A message, request or answer that cannot be read, or at which a callback fails, is dropped and
    counted. The errors of timers, which nobody outside can cause, still end it.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(context=node.context)
        self._bad = BadMessages.of(node)
        self._entity: Any = None
        self.add_node(node)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """As of every executor."""
        try:
            super().spin_once(timeout_sec)
        except (ExternalShutdownException, InvalidHandle):
            raise
        except Exception as error:
            if isinstance(self._entity, Timer):
                raise
            self._drop(self._entity, error)

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As of every executor."""
        self._entity = None
        ready = super().wait_for_ready_callbacks(*args, **kwargs)
        self._entity = ready[1]
        return ready

    # A take that raised would leave the callbacks of its group waiting for its end for ever.
    def _take_subscription(self, entity: Any) -> Any:
        return self._taken(super()._take_subscription, entity)

    def _take_service(self, entity: Any) -> Any:
        return self._taken(super()._take_service, entity)

    def _take_client(self, entity: Any) -> Any:
        return self._taken(super()._take_client, entity)

    def _taken(self, take: Callable[[Any], Any], entity: Any) -> Any:
        try:
            return take(entity)
        except Exception as error:
            self._drop(entity, error)
            return None

    def _drop(self, entity: Any, error: Exception) -> None:
        names = (getattr(entity, name, None) for name in ('topic_name', 'srv_name'))
        self._bad.add(next(filter(None, names), type(entity).__name__), error)


class MessagesFirst(Unendable):
    """Waits for messages only, and looks at everything else 20 times a second.

    Each wait tells the middleware, piece by piece, all that is waited for. A lifecycle node has a
    dozen services and as many events, which nearly never come: naming them for every message cost
    more than the messages. Between a message and its callback there is no task and no coroutine
    either: the wait is that of `rclpy.wait_for_message`, the same from Humble on. A subscription
    whose callback is a coroutine function is part of the rest.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._node = node
        self._found = False
        self._rest_due_s = 0.0
        self._wait_set: Any = None
        self._room = 0  # subscriptions that the wait set takes

    def serve(self, longest_s: float = REST_PERIOD_S) -> None:
        """Run what is ready, or wait at most `longest_s`, up to 50 ms, for a message.

        Of every subscription one message is taken in turn. (`spin_once` takes one in all, and
        where its time-out is another each time, always of the first that has any.)
        """
        now_s = time.monotonic()
        if now_s >= self._rest_due_s:
            self._rest_due_s = now_s + REST_PERIOD_S
            self._found = True
            while self._found and time.monotonic() < self._rest_due_s:  # a flood has no end
                self._found = False
                self.spin_once(timeout_sec=0)
        if self.context.ok():
            rest_s = max(0.0, self._rest_due_s - time.monotonic())
            self._serve_messages(min(rest_s, longest_s))

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As of every executor."""
        ready = super().wait_for_ready_callbacks(*args, **kwargs)
        self._found = True
        return ready

    def _serve_messages(self, timeout_s: float) -> None:
        with ExitStack() as held:
            there = (*self._node.subscriptions, *subscriptions_of_images())
            subscriptions = [s for s in there if usable(s, held)]
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
                    self._serve_messages_of(subscription)

    def _serve_messages_of(self, subscription: Any) -> None:
        """Take what waits there, up to `MOST_IN_TURN`: a wait for each costs as much as itself."""
        for _ in range(MOST_IN_TURN):
            try:
                if not take(subscription):
                    return
            except Exception as error:
                self._drop(subscription, error)

    def _cleared_wait_set(self, room: int) -> Any:
        if room != self._room:
            context = self.context.handle
            self._wait_set = rclpy_implementation.WaitSet(room, 0, 0, 0, 0, 0, context)
            self._room = room
        self._wait_set.clear_entities()
        return self._wait_set


def usable(entity: Any, held: ExitStack) -> bool:
    """Whether it can be waited for; if so it is not destroyed while it is held."""
    if inspect.iscoroutinefunction(getattr(entity, 'callback', None)):
        return False
    group = getattr(entity, 'callback_group', None)
    if isinstance(group, LeftAlone) and group.is_left():
        return False
    try:
        held.enter_context(entity.handle)
    except InvalidHandle:
        return False
    return True


def take(subscription: Any) -> bool:
    """Hand its next message to its callback, with what is known of it where that is wanted.

    Returns whether there was one.
    """
    taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    if taken is None:
        return False
    wanted = getattr(subscription, '_callback_type', None)  # Humble gives messages only
    alone = wanted is None or wanted.name == 'MessageOnly'
    subscription.callback(*(taken[:1] if alone else taken))
    return True


def take_answer(client: Any) -> None:
    """Hand the next answer to a client's request to who waits for it, while nobody spins."""
    with client.handle:
        header, response = client.handle.take_response(client.srv_type.Response)
    if header is not None:
        with suppress(KeyError):  # nobody waits for it any more
            sequence = header.request_id.sequence_number
            client.get_pending_request(sequence).set_result(response)


def spin_until_stopped(node: Node, stop: Stop) -> None:
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
