# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages that wait count as received when the middleware had them, and none is forgotten."""

from __future__ import annotations

from typing import Any

from rclpy.clock import ClockType, ROSClock
from rclpy.node import Node
from rclpy.time import Time
from ros_testing import Bench
from sensor_msgs.msg import Image, JointState

from motion_policy.nodes.endpoints import Origin
from motion_policy.nodes.reception import MOST_WAITING_NS, MessageNumbers, Reception
from motion_policy.nodes.subscriptions import StreamSubscriptions
from motion_policy.robot import load_robot_spec
from motion_policy.streams import Sample, Sampler

NOW_NS = 1_800_000_000_000_000_000
MS = 1_000_000
ROBOT = load_robot_spec('tabletop_sim')


def received(*pairs: tuple[int | None, int], simulated: bool = False) -> list[int]:
    """When messages count as received, of (what the middleware says, when taken), in ms."""
    clock = ROSClock()
    clock._set_ros_time_is_active(simulated)
    reception = Reception(clock)
    times = []
    for said_ms, taken_ms in pairs:
        said_ns = None if said_ms is None else NOW_NS + said_ms * MS
        time_ns = reception.of(Origin(None, None, said_ns), NOW_NS + taken_ms * MS)
        times.append((time_ns - NOW_NS) // MS)
    return times


def test_a_message_was_received_when_the_middleware_had_it() -> None:
    assert received((10, 500), (20, 501), (30, 502)) == [10, 20, 30]


def test_what_the_middleware_cannot_know_is_the_time_of_taking() -> None:
    assert received((None, 5), (-NOW_NS // MS, 6)) == [5, 6]  # Humble, Cyclone DDS
    assert received((10, 500), simulated=True) == [500]
    later_ms = MOST_WAITING_NS // MS + 1
    assert received((5, 4), (0, later_ms)) == [4, later_ms]  # clocks of others


def test_what_waited_for_a_lost_message_came_with_it() -> None:
    assert received((10, 50), (90, 100), (60, 100), (95, 110)) == [10, 90, 90, 95]


def test_a_clock_that_was_set_back_is_followed() -> None:
    assert received((10, 20), (-10_000, -9_990), (-9_980, -9_970)) == [10, -10_000, -9_980]


def missing(*said: tuple[bytes | None, int | None]) -> list[int | None]:
    """How many are missing before each message, of (publisher, number)."""
    numbers = MessageNumbers()
    return [numbers.missing_before(Origin(who, None, None, number)) for who, number in said]


def test_what_did_not_come_is_counted_by_the_numbers_of_each_publisher() -> None:
    assert missing((b'a', 7), (b'b', 1), (b'a', 8), (b'b', 5), (b'a', 10)) == [0, 0, 0, 3, 1]
    # One that comes behind later ones was counted as missing; one that comes twice was not.
    assert missing((b'a', 1), (b'a', 4), (b'a', 2), (b'a', 4), (b'a', 5)) == [0, 2, -1, 0, 0]
    # A driver that begins anew is another publisher.
    assert missing((b'a', 900), (b'b', 1), (b'b', 2)) == [0, 0, 0]
    assert missing((None, 3), (b'a', None), (b'a', 3)) == [None, None, 0]


class Taken:
    """A sampler that notes what it is given."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, Sample]] = []

    def push(self, name: str, sample: Sample) -> Any:
        self.samples.append((name, sample))

    def times_ns(self, name: str) -> list[int]:
        return [sample.receive_ns for of, sample in self.samples if of == name]


def image_message() -> Image:
    message = Image(height=128, width=128, encoding='rgb8', step=384)
    message.data.frombytes(bytes(128 * 384))
    return message


def test_messages_wait_until_they_are_taken_and_images_until_there_is_room(bench: Bench) -> None:
    """No executor takes them; what is not taken bounds the time before which nothing waits."""
    node, taken = Node('hearing', context=bench.context), Taken()
    bench.add(node)
    streams = StreamSubscriptions(node, ROBOT, taken, left_waiting=True, depth=50, image_depth=50)
    topics = {stream.name: stream.topic for stream in ROBOT.streams()}
    kinds = {'top': Image, 'state': JointState}
    said = {name: bench.client.create_publisher(kind, topics[name], 50)
            for name, kind in kinds.items()}  # fmt: skip
    heard: list[Any] = []
    for name, kind in kinds.items():
        node.create_subscription(kind, topics[name], heard.append, 50)
    bench.spin_until(
        lambda: all(each.get_subscription_count() == 2 for each in said.values()), 'listeners'
    )
    for _ in range(6):
        said['top'].publish(image_message())
        said['state'].publish(JointState(name=['a'], position=[0.0]))
    bench.spin_until(lambda: len(heard) == 12, 'the messages to come')
    assert taken.samples == []
    room = iter([True, True, True, True, False, False])
    until_ns = streams.take_waiting(lambda _until_ns: next(room))
    assert len(taken.times_ns('top')) < 6 == len(taken.times_ns('state'))
    assert until_ns == taken.times_ns('top')[-1] < taken.times_ns('state')[-1]
    before_ns = node.get_clock().now().nanoseconds
    assert streams.take_waiting(lambda _until_ns: True) >= before_ns
    times_ns = taken.times_ns('top')
    assert len(times_ns) == 6 and times_ns == sorted(times_ns) and times_ns[-1] < before_ns

    # A clock of which the middleware knows nothing: all of them are taken now.
    clock = node.get_clock()
    clock._set_ros_time_is_active(True)
    clock.set_ros_time_override(Time(nanoseconds=NOW_NS, clock_type=ClockType.ROS_TIME))
    state = streams._subscriptions['state'][1].callback_group
    assert state.is_left()
    for _ in range(6):
        said['state'].publish(JointState(name=['a'], position=[0.0]))
    bench.spin_until(lambda: len(heard) == 18, 'the messages to come')
    assert streams.take_waiting(lambda _until_ns: True) == NOW_NS
    assert taken.times_ns('state')[6:] == [NOW_NS] * 6
    # From then on an executor takes them at once, images while there is room.
    image = streams._subscriptions['top'][1].callback_group
    assert not state.is_left() and image.is_left()
    said['top'].publish(image_message())
    bench.spin_until(lambda: len(heard) == 19, 'the image to come')
    streams.take_waiting(lambda _until_ns: True)
    assert not image.is_left()
    streams.take_waiting(lambda _until_ns: False)
    assert image.is_left()

    earlier_ns = NOW_NS - 3_600_000_000_000
    clock.set_ros_time_override(Time(nanoseconds=earlier_ns, clock_type=ClockType.ROS_TIME))
    asked: list[int] = []

    def note(until_ns: int) -> bool:
        asked.append(until_ns)
        return True

    assert streams.take_waiting(note) == earlier_ns == max(asked)


def test_sent_is_received_and_dropped_whatever_the_gaps_look_like(bench: Bench) -> None:
    """Bursts, as of a driver that is behind its time, say nothing of how much is missing."""
    node, sampler = Node('hearing', context=bench.context), Sampler(ROBOT.streams())
    bench.add(node)
    streams = StreamSubscriptions(node, ROBOT, sampler, left_waiting=True, depth=50)
    topic = next(stream.topic for stream in ROBOT.streams() if stream.name == 'state')
    heard: list[Any] = []
    node.create_subscription(JointState, topic, heard.append, 200)
    publisher = bench.client.create_publisher(JointState, topic, 200)
    bench.spin_until(lambda: publisher.get_subscription_count() == 2, 'the listeners')
    names, sent = list(ROBOT.joints.names), 0
    for burst in (1, 6, 80, 3, 60, 10):
        for _ in range(burst):
            publisher.publish(JointState(name=names, position=[0.0] * len(names)))
        sent += burst
        bench.spin_until(lambda count=sent: len(heard) == count, 'the messages to come')
        streams.take_waiting(lambda _until_ns: True)
    counted = sampler.counters['state']
    assert counted.received == sent - 30 - 10 and counted.dropped == 30 + 10
