# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What ROS tests share: nodes of one process, spun together until something holds.

The wait is bounded only so that a broken promise ends the test; no test passes or fails by it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from motion_policy.nodes.executor import Stop

PATIENCE_S = 120.0


class Bench:
    """One rclpy context with a client node; nodes under test join it."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
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
                node.destroy_node()

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
            destroy(node)
        self.executor.shutdown()
        rclpy.try_shutdown(context=self.context)


def destroy(node: Node) -> None:
    """Destroy a node, and let it be gone at once.

    What a lifecycle node of rclpy has of rcl lives on in its state machine, until Python's
    collector breaks the node's reference cycles. As rcl has one publisher on /rosout for each
    name of a logger, the next node of that name gets none, and is not heard there any more as soon
    as the old one is collected, which the start of an inference thread does.
    """
    node.destroy_node()
    machine = getattr(node, '_state_machine', None)
    if machine is not None:
        machine.destroy_when_not_in_use()


@contextmanager
def ros_bench() -> Iterator[Bench]:
    """Give a `Bench` and close it."""
    bench = Bench()
    try:
        yield bench
    finally:
        bench.close()
