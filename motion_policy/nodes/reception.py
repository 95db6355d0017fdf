# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reception of messages: their times, how many did not come, and taking them later.

Who takes a message at its time of reception, not at that of taking, may let it wait in its queue:
a busy interpreter, a slow disk and a busy machine then shift nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rclpy.clock import Clock
from rclpy.qos import QoSHistoryPolicy

from motion_policy.nodes.bad_messages import BadMessages
from motion_policy.nodes.endpoints import Origin
from motion_policy.nodes.executor import MOST_IN_TURN, take
from motion_policy.robot.spec import CLOCK_STEP_NS, NANOSECONDS_PER_S

# Longer than a message can have waited in any queue here: then its time is of another clock.
MOST_WAITING_NS = 60 * NANOSECONDS_PER_S
MOST_PUBLISHERS = 100  # of one topic, the last heard, that are remembered
MOST_KEPT = 10_000  # messages of a queue without an end that are taken at a time


class Reception:
    """When the messages of one subscription were received, on the clock of their node.

    That is what the middleware says, where it says something that can be true: Cyclone DDS and
    ROS 2 Humble say nothing, and a simulated clock is none of the middleware's. There it is the
    time at which a message is taken.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last_ns = 0  # of the newest message
        self.is_told = True  # by the middleware, of the newest message; expected of the first

    def of(self, origin: Origin, now_ns: int) -> int:
        """The time of the next message [ns], which is taken at `now_ns`."""
        received_ns = origin.received_ns or 0
        is_simulated = getattr(self._clock, 'ros_time_is_active', False)
        self.is_told = not is_simulated and 0 <= now_ns - received_ns <= MOST_WAITING_NS
        if not self.is_told:
            received_ns = now_ns
        # What was there before but stood behind a message that was sent again comes with that.
        if 0 < self.last_ns - received_ns <= max(CLOCK_STEP_NS, now_ns - received_ns):
            received_ns = self.last_ns
        self.last_ns = received_ns
        return received_ns


class MessageNumbers:
    """Counts the messages of one topic that were sent and did not come.

    Publishers number their messages, and the middleware says the number and whose it is: Fast DDS
    does from Kilted on.
    """

    def __init__(self) -> None:
        self._newest: dict[bytes, int] = {}  # by publisher

    def missing_before(self, origin: Origin) -> int | None:
        """How many of its publisher's messages are missing before this one; None: not known.

        -1 for one that comes after later ones: it was counted as missing.
        """
        if origin.publisher is None or origin.number is None:
            return None
        newest = self._newest.pop(origin.publisher, origin.number - 1)
        while len(self._newest) >= MOST_PUBLISHERS:
            del self._newest[next(iter(self._newest))]
        self._newest[origin.publisher] = max(newest, origin.number)
        if origin.number > newest:
            return origin.number - newest - 1
        return -1 if origin.number < newest else 0


class Waiting:
    """The messages that wait at one subscription, which no executor serves (`LeftAlone`)."""

    def __init__(
        self, subscription: Any, reception: Reception, bad: BadMessages, *, is_image: bool
    ) -> None:
        self._subscription = subscription
        self._reception = reception
        self._bad = bad
        qos = subscription.qos_profile
        self._depth = qos.depth if qos.history == QoSHistoryPolicy.KEEP_LAST else MOST_KEPT
        self._found_empty_ns = self._now_ns = 0
        self._left = 0  # of this look
        self.is_image = is_image

    def look(self, now_ns: int) -> None:
        """Begin anew: no more than a queue holds is there."""
        self._now_ns = now_ns
        self._left = self._depth

    def take(self, most: int) -> bool:
        """Take some messages; returns whether any is left that was there at this look."""
        with self._subscription.handle:
            for _ in range(min(most, self._left)):
                self._left -= 1
                newer = self._reception.is_told and self._reception.last_ns >= self._now_ns
                if newer or not self._take_one():
                    self._left = 0
                    break
        if not self._left:
            self._found_empty_ns = self._now_ns
        return self._left > 0

    def _take_one(self) -> bool:
        try:
            return take(self._subscription)
        except Exception as error:
            self._bad.add(self._subscription.topic_name, error)
            return True

    @property
    def until_ns(self) -> int:
        """The time, up to that of this look, before which no message is left."""
        # A clock that was set back leaves others behind.
        return min(max(self._found_empty_ns, self._reception.last_ns), self._now_ns)


def take_waiting(
    subscriptions: Iterable[Waiting], now_ns: int, has_room: Callable[[int], bool]
) -> int:
    """Take the messages that were received by `now_ns`; images only while there is room for them.

    `has_room` is asked with the time before which nothing of that topic is left. Returns the time
    before which none is left at all; one turn of each at a time, so that none waits for the
    others, and first of whose messages have waited longest.
    """
    left = list(subscriptions)
    for each in left:
        each.look(now_ns)
    left.sort(key=lambda each: each.until_ns)
    behind = []
    while left:
        for each in list(left):
            if each.is_image and not has_room(each.until_ns):
                behind.append(each.until_ns)
                left.remove(each)
            elif not each.take(1 if each.is_image else MOST_IN_TURN):
                left.remove(each)
    return min([now_ns, *filter(None, behind)])
