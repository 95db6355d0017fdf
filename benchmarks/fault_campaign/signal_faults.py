# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of a gripper's action, of depth, of vectors, and of the clock of a whole driver."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.action import ActionClient
from std_msgs.msg import Float32MultiArray
from test_msgs.action import NestedMessage

from fault_campaign.camera_faults import (
    AHEAD_TOP,
    FROZEN_PATIENCE_S,
    IMAGE_PATIENCE_S,
    looked_at,
)
from fault_campaign.fault import HOLDS_S, Evidence, Fault, Inject, disables, lasting_ns
from fault_campaign.harness import Harness
from fault_campaign.joint_faults import AHEAD_STATE, LOOK_NS, STALE_STATE
from fault_campaign.scene import time_message
from fault_campaign.setups import HAND, HAND_TIMEOUT_S
from fault_campaign.signals import Fault as SignalFault
from fault_campaign.signals import Hand, Mode, Signals, depth_message
from motion_policy.nodes.acting_grippers import ANSWER_S
from motion_policy.streams import stamp_ns

GOAL_PATIENCE_S = 5.0
JUMP_NS = 10_000_000_000
HELD = r'(hold|brake|disabled): .*gripper gripper: '
AGAIN_S = 0.5  # so long a server is gone that comes back
LAST_S = 1.0  # of a fault that nobody can know


def _goal(harness: Harness, mode: Mode) -> int | None:
    """Let the policy close the hand, or open one that is closed; return when the goal came."""
    hand = harness.signals.hand
    hand.mode, first = mode, len(hand.goals)
    closed = bool(hand.goals) and hand.goals[-1][1] < 0
    harness.ask_policy('open' if closed else 'grip', 1000)
    harness.spin_until(lambda: len(hand.goals) > first, GOAL_PATIENCE_S)
    harness.ask_policy('', 0)
    return hand.goals[-1][0] if len(hand.goals) > first else None


def _of_goal(mode: Mode, after_s: float) -> Inject:
    """A goal of which nothing good becomes, which can be known `after_s` later."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        came_ns = _goal(harness, mode)
        problem = '' if came_ns else 'no goal came'
        known_ns = (came_ns or begin_ns) + round(after_s * 1e9) + LOOK_NS
        harness.spin_to(known_ns + lasting_ns(rng))
        harness.signals.hand.make_safe()
        return Evidence(begin_ns, known_ns, time.time_ns(), problem)

    return inject


def _slow(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """A goal that takes its time, but no more than it may."""
    begin_ns = time.time_ns()
    problem = '' if _goal(harness, 'slow') else 'no goal came'
    harness.spin(HAND_TIMEOUT_S)
    harness.signals.hand.make_safe()
    return Evidence(begin_ns, begin_ns, time.time_ns(), problem)


def _dies(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """The server goes while nothing is under way, and comes back."""
    begin_ns = time.time_ns()
    harness.signals.hand.go()
    known_ns = time.time_ns() + LOOK_NS
    harness.spin_to(known_ns + round(AGAIN_S * 1e9))
    harness.signals.hand.make_safe()
    return Evidence(begin_ns, known_ns, time.time_ns())


def _dies_at_work(harness: Harness, rng: np.random.Generator) -> Evidence:
    """The server goes with a goal under way."""
    begin_ns, hand = time.time_ns(), harness.signals.hand
    problem = '' if _goal(harness, 'hangs') else 'no goal came'
    harness.spin(0.2)
    hand.go()
    known_ns = time.time_ns() + LOOK_NS
    harness.spin_to(known_ns + lasting_ns(rng))
    hand.make_safe()
    return Evidence(begin_ns, known_ns, time.time_ns(), problem)


def _moved_by_another(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """Another node sends the hand a goal."""
    begin_ns, node = time.time_ns(), harness.new_node('other_hand')
    hand, client = harness.signals.hand, ActionClient(node, NestedMessage, HAND.name)
    harness.spin_until(client.server_is_ready, GOAL_PATIENCE_S)
    hand.mode, first = 'slow', len(hand.goals)
    client.send_goal_async(NestedMessage.Goal())
    came = harness.spin_until(lambda: len(hand.goals) > first, GOAL_PATIENCE_S)
    known_ns = time.time_ns() + LOOK_NS
    harness.spin(1.0)
    hand.make_safe()
    client.destroy()
    harness.remove_node(node)
    return Evidence(begin_ns, known_ns, time.time_ns(), '' if came else 'no goal came')


def _two_servers(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """The arm is to be enabled while two nodes serve its hand."""
    harness.disable()
    begin_ns, node = time.time_ns(), harness.new_node('second_hand')
    second = Hand(node, HAND.name)
    harness.spin(0.5)  # until the endpoints know each other
    problem = harness.granted()
    over_ns = time.time_ns()
    second.go()
    harness.remove_node(node)
    return Evidence(begin_ns, begin_ns, over_ns, problem)


def _stream(
    stream: str, make: Callable[[Signals], SignalFault], *, at_once: bool = False
) -> Inject:
    """A stream whose messages are corrupted; `at_once`: to be known from the first of them."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        signals, begin_ns = harness.signals, time.time_ns()
        good_ns = signals.last_ns[stream]
        signals.faults[stream] = make(signals)
        known_ns = good_ns + signals.max_age_ns(stream)
        if at_once:
            signals.publish(stream)
            known_ns = time.time_ns()
        harness.spin_to(known_ns + lasting_ns(rng))
        return Evidence(begin_ns, known_ns, _mend(harness, stream))

    return inject


def _unknown(stream: str, make: Callable[[Signals], SignalFault]) -> Inject:
    """Messages that are in order, as far as anybody can know."""

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        harness.signals.faults[stream] = make(harness.signals)
        harness.spin(LAST_S)
        return Evidence(begin_ns, None, _mend(harness, stream))

    return inject


def _depth(make: Callable[[Signals], SignalFault], patience_s: float) -> Inject:
    """Depth whose messages are in order while its images are not."""

    def begin(harness: Harness) -> None:
        harness.signals.faults['depth_top'] = make(harness.signals)

    return looked_at(begin, lambda harness: _mend(harness, 'depth_top'), patience_s)


def _mend(harness: Harness, stream: str) -> int:
    del harness.signals.faults[stream]
    over_ns = time.time_ns()
    harness.signals.publish(stream)
    return over_ns


def _nothing(_signals: Signals) -> SignalFault:
    return lambda message: []


def _same_message(stream: str) -> Callable[[Signals], SignalFault]:
    def make(signals: Signals) -> SignalFault:
        frozen = signals.last[stream]
        return lambda message: [frozen]

    return make


def _same_numbers(stream: str) -> Callable[[Signals], SignalFault]:
    """The last message, with new stamps."""

    def make(signals: Signals) -> SignalFault:
        frozen = copy.deepcopy(signals.last[stream])

        def repeat(message: Any) -> list[Any]:
            frozen.header.stamp = message.header.stamp
            return [frozen]

        return repeat

    return make


def _stamped(by_ns: int) -> Callable[[Signals], SignalFault]:
    def make(_signals: Signals) -> SignalFault:
        def shift(message: Any) -> list[Any]:
            message.header.stamp = time_message(stamp_ns(message) + by_ns)
            return [message]

        return shift

    return make


def _no_force(value: float) -> Callable[[Signals], SignalFault]:
    def make(_signals: Signals) -> SignalFault:
        def spoil(message: Any) -> list[Any]:
            message.wrench.force.y = value
            return [message]

        return spoil

    return make


def _of_length(count: int) -> Callable[[Signals], SignalFault]:
    return lambda signals: lambda message: [Float32MultiArray(data=[1.0] * count)]


def _image(shape: Callable[[int, int], tuple[int, int]], value: int) -> Any:
    def make(_signals: Signals) -> SignalFault:
        def replace(message: Any) -> list[Any]:
            image = np.full(shape(message.height, message.width), value, np.uint16)
            return [depth_message(image, message.header.stamp)]

        return replace

    return make


def _clock(ahead_s: float, *, at_once: bool = False, lasts_s: float | None = None) -> Inject:
    """The clock of the computer that everything comes from is off."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        scene, begin_ns = harness.scene, time.time_ns()
        known_ns: int | None = scene.last_stamps_ns['state'] + round(
            scene.robot.joints.state[0].max_age * 1e9
        )
        scene.driver_ahead_ns = round(ahead_s * 1e9)
        if at_once:
            scene.publish_joints()
            known_ns = time.time_ns()
        if lasts_s is not None:
            known_ns = None
            harness.spin(lasts_s)
        else:
            harness.spin_to((known_ns or begin_ns) + lasting_ns(rng))
        scene.driver_ahead_ns = 0
        over_ns = time.time_ns()
        scene.publish_joints()
        return Evidence(begin_ns, known_ns, over_ns)

    return inject


def _hand(name: str, named: str, inject: Inject) -> Fault:
    return disables(f'gripper: {name}', 'signals', HELD + named, inject, holds_s=HOLDS_S)


def _stale(stream: str) -> str:
    return rf"(stream '{stream}'|(hold|brake|disabled): .*{stream}:).*(stale|missing)"


def _ahead(stream: str) -> str:
    return rf"(stream '{stream}'|(brake|disabled): .*{stream}:).*clocks disagree by"


def _holds(name: str, stream: str, inject: Inject, said: str = '') -> Fault:
    return Fault(name, 'signals', 'hold', _stale(stream) + said, inject)


LOOKED_AT = r"hold: .*camera 'depth_top'.*"
SIGNAL_FAULTS = (
    Fault('gripper: its server dies', 'signals', 'hold', HELD + 'nobody serves', _dies),
    _hand('its server dies at work', '.*went away', _dies_at_work),
    _hand('rejects', '.*rejected the goal', _of_goal('rejects', 0.0)),
    _hand('aborts', '.*was aborted', _of_goal('aborts', 0.1)),
    _hand('hangs', '.*no result', _of_goal('hangs', HAND_TIMEOUT_S)),
    _hand('never answers', '.*no answer', _of_goal('is silent', ANSWER_S)),
    Fault(
        'gripper: is slow', 'signals', 'go on', r'gripper gripper: (closed|opened)', _slow,
    ),
    disables(
        'gripper: a goal of another node', 'signals', 'disabled: .*a goal of another node',
        _moved_by_another,
    ),
    Fault(
        'gripper: two servers at enable', 'signals', 'silence', 'not enabled: .*is served by',
        _two_servers, 'operator', every=2,
    ),
    _holds('depth: stops', 'depth_top', _stream('depth_top', _nothing)),
    _holds(
        'depth: same message again', 'depth_top',
        _stream('depth_top', _same_message('depth_top')),
    ),
    _holds(
        'depth: another size', 'depth_top',
        _stream('depth_top', _image(lambda height, width: (height // 2, width // 2), 700)),
    ),
    _holds('depth: stamps 10 s behind', 'depth_top', _stream('depth_top', _stamped(-JUMP_NS))),
    Fault(
        'depth: zero everywhere', 'signals', 'hold', LOOKED_AT + 'nothing is measured',
        _depth(_image(lambda *size: size, 0), IMAGE_PATIENCE_S),
    ),
    Fault(
        'depth: same image, new stamps', 'signals', 'hold', LOOKED_AT + 'same image',
        _depth(_same_numbers('depth_top'), FROZEN_PATIENCE_S), every=2,
    ),
    _holds('vector: stops', 'wrench', _stream('wrench', _nothing)),
    _holds('vector: same message again', 'wrench', _stream('wrench', _same_message('wrench'))),
    _holds('vector: NaN', 'wrench', _stream('wrench', _no_force(float('nan')))),
    _holds('vector: infinite', 'wrench', _stream('wrench', _no_force(float('inf')))),
    _holds('vector: a number less', 'skin', _stream('skin', _of_length(3))),
    _holds('vector: a number more', 'skin', _stream('skin', _of_length(5))),
    _holds('vector: no numbers', 'skin', _stream('skin', _of_length(0))),
    Fault(
        'vector: same numbers, new stamps', 'signals', 'go on', '',
        _unknown('wrench', _same_numbers('wrench')),
    ),
    disables(
        'vector: stamps 0.5 s ahead', 'signals', _ahead('wrench'),
        _stream('wrench', _stamped(500_000_000), at_once=True),
    ),
    disables(
        'driver: its clock 0.5 s ahead', 'signals',
        f"{AHEAD_STATE}|{AHEAD_TOP}|{_ahead('wrench')}|{_ahead('depth_top')}",
        _clock(0.5, at_once=True),
    ),
    disables('driver: its clock 10 s behind', 'signals', STALE_STATE, _clock(-10.0)),
    Fault(
        'driver: its clock 0.05 s behind', 'signals', 'go on', '', _clock(-0.05, lasts_s=LAST_S),
    ),
)  # fmt: skip
