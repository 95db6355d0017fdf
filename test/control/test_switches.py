# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a pressed, a released, a silent and a lost switch each stop the arm.

They say which they are; no word of one publisher, old or late, hides what another has said.
"""

from __future__ import annotations

import random

import pytest

from motion_policy.control.switches import (
    COPIES_NS,
    DISCOVERY_NS,
    LATCHED_NS,
    DeadManSwitch,
    EmergencyStop,
    Speakers,
)

MS = 1_000_000
SECOND = 1000 * MS
NOW = 10 * SECOND  # long after the stop began to listen
LEFT, RIGHT, AGAIN = b'left', b'right', b'left again'
NAMES = {LEFT: '/left', RIGHT: '/right'}
NONE: tuple[bytes, ...] = ()


def emergency_stop(
    *present: bytes, required: bool = False, timeout_s: float = 0.0
) -> EmergencyStop:
    stop = EmergencyStop('/emergency_stop', 0, required, timeout_s)
    stop.see({publisher: NAMES[publisher] for publisher in present}, NONE, NOW)
    return stop


def test_a_pressed_stop_blocks_until_it_is_released() -> None:
    stop = emergency_stop(LEFT)
    assert stop.problem(NOW) == '' and not stop.heard
    stop.tell(True, NOW, LEFT)
    assert stop.fault(NOW) == 'the emergency stop is pressed (/emergency_stop by /left)'
    assert stop.problem(NOW) == stop.fault(NOW)
    stop.tell(False, NOW, LEFT)
    assert stop.problem(NOW) == stop.fault(NOW) == ''
    stop.tell(True, NOW, LEFT)
    assert 'pressed' in stop.fault(NOW)


@pytest.mark.parametrize('seed', range(20))
def test_any_pressed_button_counts_whatever_the_others_say_and_until_itself_is_released(
    seed: int,
) -> None:
    rng = random.Random(seed)
    stop = emergency_stop(LEFT, RIGHT)
    stop.tell(True, NOW, LEFT)
    for number in range(200):
        publisher, pressed = rng.choice([(LEFT, True), (RIGHT, False)])
        stop.tell(pressed, NOW + number * MS, publisher, NOW + number * MS)
        assert 'by /left' in stop.fault(NOW + number * MS)
    stop.tell(False, NOW + SECOND, LEFT, NOW + SECOND)
    assert stop.fault(NOW + SECOND) == ''


def test_an_old_word_that_comes_late_does_not_release_the_stop() -> None:
    stop = emergency_stop(LEFT)
    stop.tell(False, NOW, LEFT, 100)
    stop.tell(True, NOW, LEFT, 200)
    stop.tell(False, NOW, LEFT, 100)  # by another way
    assert 'pressed' in stop.fault(NOW)
    stop.tell(False, NOW, LEFT, 300)
    assert stop.fault(NOW) == ''
    stop.tell(True, NOW, LEFT, 200)  # a copy of what was taken back since
    assert stop.fault(NOW) == ''
    stop.tell(True, NOW, LEFT, 50)  # its clock went back
    assert 'pressed' in stop.fault(NOW)


def test_a_clock_that_was_set_back_does_not_hold_the_stop_for_ever() -> None:
    stop = emergency_stop(LEFT)
    stop.tell(True, NOW, LEFT, 3600 * SECOND)
    stop.tell(False, NOW + COPIES_NS, LEFT, SECOND)
    assert 'pressed' in stop.fault(NOW + COPIES_NS)
    stop.tell(False, NOW + COPIES_NS + 1, LEFT, SECOND)
    assert stop.fault(NOW + COPIES_NS + 1) == ''


def test_a_stop_without_stamps_is_what_it_said_last() -> None:
    stop = emergency_stop(LEFT)
    for pressed in (True, False, True, False):
        stop.tell(pressed, NOW, LEFT, 0)
        assert bool(stop.fault(NOW)) == pressed


def test_a_publisher_that_was_heard_must_stay() -> None:
    stop = emergency_stop(LEFT, RIGHT)
    stop.tell(False, NOW, LEFT)
    stop.tell(False, NOW, RIGHT)
    stop.see({RIGHT: '/right'}, NONE, NOW)
    assert stop.fault(NOW) == (
        'the emergency stop has lost its publisher '
        '(/emergency_stop by /left, which is gone: ~/reset forgets it)'
    )
    stop.forget_gone()
    assert stop.problem(NOW) == ''
    stop.see({}, NONE, NOW)
    assert 'by /right, which is gone' in stop.problem(NOW)


def test_a_publisher_that_was_never_heard_may_go() -> None:
    stop = emergency_stop(LEFT)
    stop.see({}, NONE, NOW)
    assert stop.problem(NOW) == ''


def test_a_message_may_come_before_the_graph_knows_its_publisher() -> None:
    stop = emergency_stop()
    stop.tell(False, NOW, LEFT)
    stop.see({}, NONE, NOW)
    assert stop.fault(NOW) == ''
    stop.see(NAMES, NONE, NOW + DISCOVERY_NS)
    assert stop.fault(NOW + DISCOVERY_NS) == ''
    never_seen = emergency_stop()
    never_seen.tell(False, NOW, LEFT)
    never_seen.see({}, NONE, NOW + DISCOVERY_NS + 1)
    assert 'is gone' in never_seen.fault(NOW + DISCOVERY_NS + 1)


def test_a_stop_stays_pressed_when_its_publisher_dies_until_a_node_of_that_name_speaks() -> None:
    stop = emergency_stop(LEFT, RIGHT)
    stop.tell(False, NOW, RIGHT)
    stop.tell(True, NOW, LEFT)
    stop.see({RIGHT: '/right'}, NONE, NOW)
    stop.tell(False, NOW + SECOND, RIGHT)
    assert stop.fault(NOW) == (
        'the emergency stop is pressed '
        '(/emergency_stop by /left, which is gone: ~/reset forgets it)'
    )
    now_ns = NOW + 2 * SECOND
    present = {RIGHT: '/right', AGAIN: '/left'}
    stop.see(present, NONE, now_ns)
    assert 'pressed' in stop.fault(now_ns)  # it is there, but has said nothing
    stop.tell(False, now_ns, AGAIN)
    stop.see(present, NONE, now_ns)
    assert stop.fault(now_ns) == ''


def test_another_button_of_the_same_node_is_no_successor() -> None:
    stop = EmergencyStop('/emergency_stop', 0)
    both = {LEFT: '/panel', RIGHT: '/panel'}
    stop.see(both, NONE, NOW)
    stop.tell(False, NOW, RIGHT)
    stop.tell(True, NOW + 1, LEFT)
    stop.see({RIGHT: '/panel'}, NONE, NOW + 2)
    stop.tell(False, NOW + 3, RIGHT)
    assert 'pressed' in stop.fault(NOW + 3)
    stop.forget_gone()
    assert stop.fault(NOW + 3) == ''


def test_only_what_is_gone_is_forgotten() -> None:
    stop = emergency_stop(LEFT)
    stop.tell(True, NOW, LEFT)
    stop.forget_gone()
    assert 'pressed' in stop.fault(NOW)


def test_a_silent_publisher_stops_the_arm_though_another_speaks() -> None:
    stop = emergency_stop(LEFT, RIGHT, timeout_s=0.5)
    assert 'nothing is heard' in stop.problem(NOW)
    stop.tell(False, NOW, LEFT)
    stop.tell(False, NOW + 600 * MS, RIGHT)
    assert stop.fault(NOW + 500 * MS) == ''
    assert stop.fault(NOW + 600 * MS) == (
        'the emergency stop is silent for 0.60 s, limit 0.5 s (/emergency_stop by /left)'
    )
    stop.tell(False, NOW + 700 * MS, LEFT)
    assert stop.problem(NOW + 700 * MS) == ''


def test_a_required_emergency_stop_must_have_been_heard_of() -> None:
    stop = emergency_stop(LEFT, required=True)
    assert stop.fault(NOW) == ''
    assert 'nothing is heard of the emergency stop (/emergency_stop)' in stop.problem(NOW)
    stop.tell(False, NOW, LEFT)
    assert stop.problem(NOW) == ''


def test_a_young_node_waits_for_who_publishes_and_for_latched_messages_but_not_for_ever() -> None:
    stop = EmergencyStop('/emergency_stop', NOW)
    assert 'waiting for the emergency stop (/emergency_stop)' in stop.problem(NOW)
    assert stop.fault(NOW) == ''
    late = NOW + DISCOVERY_NS
    assert stop.problem(late) == ''
    stop.see(NAMES, [LEFT], late)
    assert 'waiting for the emergency stop (/emergency_stop): /left' in stop.problem(late)
    later = late + LATCHED_NS
    assert stop.problem(later) == ''  # it has never said anything
    stop.see(NAMES, [LEFT], later)
    assert stop.problem(later) == ''
    stop.see({b'new': '/new', **NAMES}, [LEFT, b'new'], later)
    assert stop.problem(later) == (
        'waiting for the emergency stop (/emergency_stop): /new; ask again'
    )
    stop.tell(False, later, b'new')
    assert stop.problem(later) == ''


def test_publishers_that_cannot_be_told_apart_must_be_one() -> None:
    stop = emergency_stop(LEFT, RIGHT)
    stop.tell(False, NOW)
    assert 'has 2 publishers, expected one' in stop.fault(NOW)
    stop.tell(True, NOW)
    assert 'pressed' in stop.fault(NOW)


def dead_man(timeout_s: float = 0.5) -> DeadManSwitch:
    return DeadManSwitch('/joy, button 1', 1, timeout_s)


UP, DOWN = [0, 0], [0, 1]


def test_the_dead_man_switch_must_be_held_and_heard_of() -> None:
    switch = dead_man()
    assert 'nothing is heard' in switch.problem(SECOND)
    switch.tell(UP, SECOND)
    assert switch.problem(SECOND) == 'the dead-man switch is released (/joy, button 1)'
    switch.tell(DOWN, SECOND)
    assert switch.problem(SECOND + SECOND // 2) == ''
    assert 'silent for 0.60 s, limit 0.5 s (/joy, button 1)' in switch.problem(
        SECOND + 6 * SECOND // 10
    )
    switch.tell(UP, 2 * SECOND)
    assert switch.problem(2 * SECOND) == 'the dead-man switch is released (/joy, button 1)'


@pytest.mark.parametrize('begin_ns', [0, SECOND])  # a simulation's clock begins at 0
def test_a_button_that_is_held_from_the_first_must_be_let_go_first(begin_ns: int) -> None:
    switch = dead_man()
    for number in range(10):
        now_ns = begin_ns + number * 100 * MS
        switch.tell(DOWN, now_ns)
        assert 'held before it was seen released' in switch.problem(now_ns)
    switch.tell(UP, 2 * SECOND)
    switch.tell(DOWN, 2 * SECOND)
    assert switch.problem(2 * SECOND) == ''


def test_after_a_silence_it_must_be_let_go_again() -> None:
    switch = dead_man()
    switch.tell(UP, SECOND)
    switch.tell(DOWN, SECOND)
    switch.tell(DOWN, 2 * SECOND)
    assert 'held before it was seen released' in switch.problem(2 * SECOND)


def test_with_another_publisher_it_must_be_let_go_again() -> None:
    switch = dead_man()
    switch.tell(UP, SECOND, 0, LEFT)
    switch.tell(DOWN, SECOND, 0, LEFT)
    for number in range(1, 9):
        switch.tell(DOWN, SECOND + number * 100 * MS, 0, AGAIN)  # it began anew
    assert 'held before it was seen released' in switch.problem(SECOND + 900 * MS)


def test_a_message_that_is_repeated_says_nothing_but_a_release_always_does() -> None:
    switch = dead_man()
    switch.tell(UP, SECOND, 1)
    switch.tell(DOWN, SECOND, 2)
    for number in range(1, 11):
        switch.tell(DOWN, SECOND + number * 100 * MS, 2)
    assert switch.problem(SECOND + 500 * MS) == ''
    assert switch.problem(2 * SECOND) == (
        'the dead-man switch repeats one message, with one stamp, for 1.00 s, '
        'limit 0.5 s (/joy, button 1)'
    )
    switch.tell(UP, 2 * SECOND, 2)
    assert switch.problem(2 * SECOND) == 'the dead-man switch is released (/joy, button 1)'
    switch.tell(DOWN, 2 * SECOND, 2)
    assert 'released' in switch.problem(2 * SECOND)
    switch.tell(DOWN, 2 * SECOND, 3)
    assert switch.problem(2 * SECOND) == ''


def test_without_stamps_reception_counts() -> None:
    switch = dead_man()
    switch.tell(UP, SECOND)
    for number in range(1, 21):
        switch.tell(DOWN, SECOND + number * 100 * MS)
        assert switch.problem(SECOND + number * 100 * MS) == ''


def test_a_message_without_the_button_is_neither_held_nor_released() -> None:
    switch = dead_man()
    switch.tell([1], SECOND)
    assert switch.problem(SECOND) == (
        'the dead-man switch is not there (/joy, button 1): the message has 1 buttons'
    )
    switch.tell(DOWN, SECOND)
    assert 'held before it was seen released' in switch.problem(SECOND)


@pytest.mark.parametrize('between', [[], [0], [0, 1, 0]])
def test_a_button_that_was_not_there_meanwhile_must_be_let_go_first(between: list[int]) -> None:
    switch = dead_man()
    for buttons in (UP, DOWN, between, DOWN):
        switch.tell(buttons, SECOND)
    assert 'held before it was seen released' in switch.problem(SECOND)
    switch.tell(UP, SECOND)
    switch.tell(DOWN, SECOND)
    assert switch.problem(SECOND) == ''


def test_two_that_speak_within_the_timeout_are_several() -> None:
    speakers = Speakers(0.5)
    for now_ns in range(0, SECOND, SECOND // 10):
        speakers.tell(b'one', now_ns)
        assert not speakers.several(now_ns)
    speakers.tell(b'other', SECOND)
    assert speakers.several(SECOND)
    assert not speakers.several(SECOND + SECOND // 2)  # the first is silent for longer
    speakers.tell(b'other', 2 * SECOND)
    assert not speakers.several(2 * SECOND)


def test_two_that_speak_of_one_button_are_a_fault() -> None:
    switch = dead_man()
    for number in range(20):
        switch.tell(DOWN if number else UP, SECOND + number * 20 * MS, 0, LEFT)
        switch.tell(DOWN, SECOND + number * 20 * MS, 0, RIGHT)
    assert 'several publishers' in switch.problem(SECOND + 400 * MS)
    for number in range(100):
        switch.tell(DOWN, 2 * SECOND + number * 20 * MS, 0, RIGHT)
    assert 'several' not in switch.problem(4 * SECOND)
