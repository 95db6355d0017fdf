# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What ROS tests share: nodes of one process, spun together until something holds.

The wait is bounded only so that a broken promise ends the test; no test passes or fails by it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import rclpy
from rclpy.action import ActionClient, ActionServer
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from motion_policy.nodes.executor import Stop, take, usable

PATIENCE_S = 300.0
REST_PERIOD_S = 0.05  # how soon an event, a guard condition, an action is served


class CheapExecutor(SingleThreadedExecutor):
    """Serves several nodes as `SingleThreadedExecutor` does, for less processor time.

    A wait of that one names some fifty events that nearly never come, and a timer costs it more
    than what the timer calls. Here a wait names messages, timers, services and clients; messages
    and timers are served at once, services and clients the usual way, everything else 20 times a
    second. What a callback raises is raised.
    """

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__(context=context)
        self._rest_due_s = 0.0
        self._found = False

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Serve what is ready, or wait so long for something."""
        if self._rest_due_s <= time.monotonic():
            self._serve_the_usual_way()
        left_s = self._rest_due_s - time.monotonic()
        self._serve(max(0.0, left_s if timeout_sec is None else min(left_s, timeout_sec)))

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As of every executor."""
        ready = super().wait_for_ready_callbacks(*args, **kwargs)
        self._found = True
        return ready

    def _serve_the_usual_way(self) -> None:
        self._rest_due_s = time.monotonic() + REST_PERIOD_S
        self._found = True
        while self._found and time.monotonic() < self._rest_due_s:  # a flood has no end
            self._found = False
            super().spin_once(timeout_sec=0)

    def _serve(self, timeout_s: float) -> None:
        with ExitStack() as held:
            nodes = self.get_nodes()
            subscriptions = [s for node in nodes for s in node.subscriptions if usable(s, held)]
            timers = [t for node in nodes for t in node.timers if usable(t, held)]
            services = [s for node in nodes for s in node.services if usable(s, held)]
            clients = [c for node in nodes for c in node.clients if usable(c, held)]
            sizes = len(subscriptions), 0, len(timers), len(clients), len(services), 0
            held.enter_context(self.context.handle)
            wait_set = rclpy_implementation.WaitSet(*sizes, self.context.handle)
            wait_set.clear_entities()
            for subscription in subscriptions:
                wait_set.add_subscription(subscription.handle)
            for timer in timers:
                wait_set.add_timer(timer.handle)
            for client in clients:
                wait_set.add_client(client.handle)
            for service in services:
                wait_set.add_service(service.handle)
            wait_set.wait(round(timeout_s * 1e9))
            if not self.context.ok():
                raise ExternalShutdownException
            due = set(wait_set.get_ready_entities('timer'))
            for timer in timers:
                if timer.handle.pointer in due and timer.handle.is_timer_ready():
                    timer.handle.call_timer()
                    timer.callback()
            ready = set(wait_set.get_ready_entities('subscription'))
            for subscription in subscriptions:
                if subscription.handle.pointer in ready:
                    take(subscription)
            asked = wait_set.get_ready_entities('service')
            answered = wait_set.get_ready_entities('client')
        if asked or answered:
            self._serve_the_usual_way()


class Context(rclpy.Context):
    """Knows every node that was made in it, those too that could not be made to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Node] = []

    def track_node(self, node: Node) -> None:
        """As of every context."""
        super().track_node(node)
        self.made.append(node)


class Bench:
    """One rclpy context with a client node; nodes under test join it."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.executor = CheapExecutor(self.context)
        self.client = Node('test_client', context=self.context, start_parameter_services=False)
        self.executor.add_node(self.client)
        self._threads: list[tuple[threading.Thread, Stop]] = []

    def add(self, node: Node) -> Node:
        """Serve this node together with the client."""
        self.executor.add_node(node)
        return node

    def run_apart(self, make_node: Callable[[], Any]) -> None:
        """Build and run, in a thread of its own, a node that has a loop of its own (`spin`)."""
        stop = Stop()

        def work() -> None:
            node = make_node()
            try:
                node.spin(stop)
            finally:
                node.close()
                destroy(node)

        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append((thread, stop))

    def spin_until(
        self, condition: Callable[[], Any], what: str, instead: Callable[[], str] = str
    ) -> None:
        """Serve callbacks until `condition()` holds; `instead()` tells what was there."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f'waited {PATIENCE_S:.0f} s for {what}; {instead()}'
            self.executor.spin_once(timeout_sec=0.02)

    def spin_for(self, seconds: float) -> None:
        """Serve callbacks for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=max(0.0, end - time.monotonic()))

    def call(self, kind: Any, service: str, request: Any | None = None) -> Any:
        """Call a service and return its response."""
        client = self.client.create_client(kind, service)
        self.spin_until(client.service_is_ready, service)
        future = client.call_async(kind.Request() if request is None else request)
        self.spin_until(future.done, f'an answer of {service}')
        self.client.destroy_client(client)
        return future.result()

    def close(self) -> None:
        """Stop everything that runs here."""
        for thread, stop in self._threads:
            stop.set()
            thread.join()
        for node in list(self.executor.get_nodes()):
            self.executor.remove_node(node)
        for node in self.context.made:
            destroy(node)
        self.executor.shutdown()
        rclpy.try_shutdown(context=self.context)


def destroy(node: Node) -> None:
    """Destroy a node, and let it be gone at once.

    What a lifecycle node of rclpy has of rcl lives on in its state machine, until Python's
    collector breaks the node's reference cycles. As rcl has one publisher on /rosout for each
    name of a logger, the next node of that name gets none, and is not heard there any more as soon
    as the old one is collected, which the start of an inference thread does. Actions live on
    alike, and the node with them: who asks one of that name next may ask this one, in vain.
    """
    for waitable in list(node.waitables):
        if isinstance(waitable, ActionClient | ActionServer):
            waitable.destroy()
    node.destroy_node()
    machine = getattr(node, '_state_machine', None)
    if machine is not None:
        machine.destroy_when_not_in_use()


def shared_memory(pid: int | str = 'self') -> set[str]:
    """What a process has mapped of its participants and those it heard, but for their ports."""
    return shared_memory_in(Path(f'/proc/{pid}/maps').read_text())


def shared_memory_in(maps: str) -> set[str]:
    """The same in what `/proc/PID/maps` said."""
    return {x.split()[-1] for x in maps.splitlines() if '/dev/shm/fast' in x and 'port' not in x}


@contextmanager
def ros_bench() -> Iterator[Bench]:
    """Give a `Bench`, close it, and see that nothing of it is left: later tests would meet it."""
    before = shared_memory()
    bench = Bench()
    own = shared_memory() - before
    try:
        yield bench
    finally:
        bench.close()
    assert not own & shared_memory(), 'a node or an action of this test was not destroyed'
