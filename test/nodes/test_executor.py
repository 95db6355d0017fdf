# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A node is served message by message, and neither services nor timers are forgotten for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rclpy.duration import Duration
from rclpy.node import Node
from ros_testing import PATIENCE_S, Bench
from std_msgs.msg import Int64
from std_srvs.srv import Trigger

from motion_policy.nodes import executor
from motion_policy.nodes.executor import MessagesFirst, Stop, spin_until_stopped

MESSAGES = 400


class Served:
    """A node in a thread of its own, which notes what it was given."""

    def __init__(self, bench: Bench) -> None:
        self.node = Node('served', context=bench.context)
        self.numbers: list[int] = []
        self.threads: set[int] = set()
        self.ticks = 0
        self.node.create_subscription(Int64, 'numbers', self._take, MESSAGES)
        self.node.create_service(Trigger, 'ask', self._answer)
        self.node.create_timer(0.02, self._tick)
        self._stop = Stop()
        arguments = (self.node, self._stop)
        self._thread = threading.Thread(target=spin_until_stopped, args=arguments, daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Ask it to stop; whether it did."""
        self._stop.set()
        self._thread.join(10)
        return not self._thread.is_alive()

    def close(self) -> bool:
        """Stop it and be done with it; whether it stopped."""
        ended = self.stop()
        self.node.destroy_node()
        return ended

    def _take(self, message: Int64) -> None:
        self.numbers.append(message.data)
        self.threads.add(threading.get_ident())

    def _answer(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.threads.add(threading.get_ident())
        response.success = True
        return response

    def _tick(self) -> None:
        self.ticks += 1
        self.threads.add(threading.get_ident())


def test_every_subscription_has_its_turn_however_long_each_wait_may_be(bench: Bench) -> None:
    node = Node('crowded', context=bench.context)
    topics = [f'topic{number}' for number in range(5)]
    counts = dict.fromkeys(topics, 0)

    def counted(topic: str) -> Callable[[Int64], None]:
        def count(_message: Int64) -> None:
            counts[topic] += 1

        return count

    for topic in topics:
        node.create_subscription(Int64, topic, counted(topic), MESSAGES)
    publishers = [bench.client.create_publisher(Int64, topic, MESSAGES) for topic in topics]
    bench.spin_until(lambda: all(p.get_subscription_count() for p in publishers), 'all')
    for _ in range(50):
        for publisher in publishers:
            publisher.publish(Int64())
    serving = MessagesFirst(node)
    deadline = time.monotonic() + PATIENCE_S
    while min(counts.values()) < 10:
        assert max(counts.values()) < 40, counts
        assert time.monotonic() < deadline, counts
        serving.serve(0.01 + 0.001 * sum(counts.values()))
    serving.shutdown()
    node.destroy_node()


def test_what_waits_is_taken_in_one_turn_up_to_a_share_of_each(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, 'REST_PERIOD_S', 1e6)  # the rest takes messages as well
    node, counts = Node('backlog', context=bench.context), {'many': 0, 'few': 0}

    def counted(topic: str) -> Callable[[Int64], None]:
        def count(_message: Int64) -> None:
            counts[topic] += 1

        return count

    for topic in counts:
        node.create_subscription(Int64, topic, counted(topic), MESSAGES)
    serving = MessagesFirst(node)
    serving.serve(0)
    publishers = {t: bench.client.create_publisher(Int64, t, MESSAGES) for t in counts}
    for topic, number in (('many', executor.MOST_IN_TURN + 1), ('few', 3)):
        publisher = publishers[topic]
        bench.spin_until(publisher.get_subscription_count, topic)
        for _ in range(number):
            publisher.publish(Int64())
        assert publisher.wait_for_all_acked(Duration(seconds=PATIENCE_S))
    serving.serve(0)
    assert counts == {'many': executor.MOST_IN_TURN, 'few': 3}
    serving.serve(0)
    assert counts['many'] == executor.MOST_IN_TURN + 1
    serving.shutdown()
    node.destroy_node()


@pytest.fixture
def served(bench: Bench) -> Iterator[Served]:
    node = Served(bench)
    yield node
    assert node.close()


def test_messages_services_and_timers_are_served_in_one_thread(
    bench: Bench, served: Served
) -> None:
    publisher = bench.client.create_publisher(Int64, 'numbers', MESSAGES)
    bench.spin_until(lambda: publisher.get_subscription_count() == 1, 'the subscription')
    for number in range(MESSAGES):
        publisher.publish(Int64(data=number))
    assert bench.call(Trigger, 'ask').success
    bench.spin_until(lambda: len(served.numbers) == MESSAGES, 'all messages')
    bench.spin_until(lambda: served.ticks > 3, 'the timer')
    assert served.numbers == list(range(MESSAGES))
    assert len(served.threads) == 1


def test_a_service_is_served_and_an_end_noticed_while_messages_never_end(
    bench: Bench, served: Served
) -> None:
    publisher = bench.client.create_publisher(Int64, 'numbers', MESSAGES)
    bench.spin_until(lambda: publisher.get_subscription_count() == 1, 'the subscription')
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(0.0002):
            publisher.publish(Int64(data=0))

    flood = threading.Thread(target=publish, daemon=True)
    flood.start()
    try:
        bench.spin_until(lambda: len(served.numbers) > MESSAGES, 'messages')
        ticks = served.ticks
        assert bench.call(Trigger, 'ask').success
        bench.spin_until(lambda: served.ticks > ticks + 2, 'the timer')
        assert served.stop(), 'it went on serving'
    finally:
        ended.set()
        flood.join(10)


def test_what_is_made_later_is_served_too(bench: Bench, served: Served) -> None:
    later: list[int] = []
    served.node.create_subscription(Int64, 'later', lambda m: later.append(m.data), 10)
    served.node.create_service(Trigger, 'late', lambda _request, response: response)
    publisher = bench.client.create_publisher(Int64, 'later', 10)
    bench.spin_until(lambda: publisher.get_subscription_count() == 1, 'the subscription')
    publisher.publish(Int64(data=7))
    bench.spin_until(lambda: later == [7], 'the message')
    bench.call(Trigger, 'late')


def test_a_callback_may_want_facts_of_its_message_or_be_a_coroutine(
    bench: Bench, served: Served
) -> None:
    facts: list[tuple[int, Any]] = []
    awaited: list[int] = []

    def note(message: Int64, info: Any) -> None:
        facts.append((message.data, info))

    async def wait_for_it(message: Int64) -> None:
        awaited.append(message.data)

    served.node.create_subscription(Int64, 'noted', note, 10)
    served.node.create_subscription(Int64, 'noted', wait_for_it, 10)
    publisher = bench.client.create_publisher(Int64, 'noted', 10)
    bench.spin_until(lambda: publisher.get_subscription_count() == 2, 'the subscriptions')
    publisher.publish(Int64(data=7))
    bench.spin_until(lambda: bool(facts and awaited), 'the message')
    assert facts[0][0] == 7 and 'source_timestamp' in facts[0][1]
    assert awaited == [7]
