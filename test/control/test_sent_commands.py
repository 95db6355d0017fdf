# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: what a node did not send itself is foreign, and nothing that it sent ever is."""

from __future__ import annotations

import threading

from motion_policy.control.sent_commands import SentCommands

HEADER = b'header'
KEPT = 1000  # positions at least: 2 s of them at 500 Hz
US, THEM = b'us', b'them'


def message(number: int) -> bytes:
    return HEADER + number.to_bytes(8, 'little') + b'rest'


def watch(*numbers: int) -> SentCommands:
    sent = SentCommands(len(HEADER), 8)
    for number in numbers:
        sent.sent(number.to_bytes(8, 'little'))
    return sent


def test_what_was_never_sent_is_foreign() -> None:
    assert not watch().is_ours(message(1))
    sent = watch(1, 2)
    assert sent.is_ours(message(1)) and sent.is_ours(message(2))
    assert not sent.is_ours(message(3))
    assert not sent.is_ours(b'')  # shorter than ours
    assert not sent.is_ours(b'x' + message(1))  # the same numbers, but elsewhere


def test_own_messages_are_known_however_late_they_come() -> None:
    sent = watch(*range(KEPT - 1))
    for oldest in range(5 * KEPT):
        sent.sent((oldest + KEPT - 1).to_bytes(8, 'little'))
        assert sent.is_ours(message(oldest))
    assert not sent.is_ours(message(10 * KEPT))


def test_a_position_is_ours_as_often_as_it_was_sent() -> None:
    sent = watch(1, 1, 2)
    assert sent.is_ours(message(1)) and sent.is_ours(message(1))
    assert not sent.is_ours(message(1))  # another node repeats it
    sent.sent((1).to_bytes(8, 'little'))
    assert sent.is_ours(message(1))
    assert not sent.is_ours(message(1))
    assert sent.is_ours(message(2))


def test_a_position_that_is_sent_again_and_again_among_others_stays_ours() -> None:
    sent = watch()
    for number in range(1, 5 * KEPT):
        sent.sent((0).to_bytes(8, 'little'))
        sent.sent(number.to_bytes(8, 'little'))
        if number > KEPT // 2:  # what comes back is half a generation late
            assert sent.is_ours(message(0)) and sent.is_ours(message(number - KEPT // 2))


def test_a_node_that_plays_the_same_is_foreign_where_messages_name_their_publisher() -> None:
    sent = watch(1, 2)
    assert sent.is_ours(message(1), US)
    assert not sent.is_ours(message(1), THEM)
    assert sent.is_ours(message(2), US)


def test_every_position_is_found_by_another_thread_while_more_are_sent() -> None:
    sent = watch()
    lost: list[int] = []
    newest = [0]

    def look() -> None:
        looked = 0
        while newest[0] < 20 * KEPT:
            number = newest[0]
            found = number == looked or sent.is_ours(message(number))
            looked = number
            # On a busy machine so many may have been sent meanwhile that it is kept no more.
            if not found and newest[0] + 1 - number < KEPT:
                lost.append(number)

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(1, 20 * KEPT + 1):
        sent.sent(number.to_bytes(8, 'little'))
        newest[0] = number
    thread.join()
    assert not lost


def test_a_message_under_another_name_is_foreign_until_ours_told_who_we_are() -> None:
    sent = watch(1, 2)
    assert not sent.is_ours(message(1), THEM, named_otherwise=True)
    assert not sent.knows_itself
    assert sent.is_ours(message(1), US)
    assert sent.knows_itself
