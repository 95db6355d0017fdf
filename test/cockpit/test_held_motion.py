# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The dead-man key of the page is held only as long as the server's own clock says so."""

from __future__ import annotations

from motion_policy.cockpit.held_motion import HELD_S, HeldMotion

FORWARD = (0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_a_key_is_held_while_ticks_come_back_in_time() -> None:
    held = HeldMotion()
    for step in range(50):
        now_s = 0.04 * step
        held.hold(1, held.tick(now_s), FORWARD, now_s + 0.03)
        wanted = held.wanted(now_s + 0.035)
        assert wanted is not None and wanted.shares == FORWARD
    assert held.wanted(now_s + HELD_S - 0.001) is not None
    assert held.wanted(now_s + HELD_S + 0.001) is None
    assert held.reason == 'released: nothing was heard of the page for 0.2 s; press again'


def test_a_press_that_is_over_moves_nothing_again_whatever_is_heard_of_it() -> None:
    held = HeldMotion()
    held.hold(1, held.tick(0.0), FORWARD, 0.01)
    assert held.wanted(1.0) is None
    held.hold(1, held.tick(1.0), FORWARD, 1.01)
    assert held.wanted(1.02) is None
    held.hold(2, held.tick(1.1), FORWARD, 1.11)
    assert held.wanted(1.12) is not None
    held.release()
    held.hold(2, held.tick(1.2), FORWARD, 1.21)
    assert held.wanted(1.22) is None and held.reason == ''


def test_what_was_held_up_on_its_way_is_too_old() -> None:
    held = HeldMotion()
    early = [held.tick(0.04 * n) for n in range(20)]
    for number in early[:10]:  # all of them come at once, a second later
        held.hold(1, number, FORWARD, 1.5)
    assert held.wanted(1.5) is None
    held.hold(1, 999, FORWARD, 1.5)  # a tick that was never sent
    assert held.wanted(1.5) is None


def test_an_older_word_does_not_take_the_place_of_a_newer_one() -> None:
    held = HeldMotion()
    first, second = held.tick(0.0), held.tick(0.04)
    held.hold(1, second, FORWARD, 0.05)
    held.hold(1, first, (-1.0,) * 6, 0.06)
    wanted = held.wanted(0.07)
    assert wanted is not None and wanted.shares == FORWARD


def test_who_sits_down_begins_anew() -> None:
    held = HeldMotion()
    held.hold(7, held.tick(0.0), FORWARD, 0.01)
    held.release('released: STOP')
    old = held.tick(0.02)
    held.begin()
    held.hold(1, old, FORWARD, 0.03)
    assert held.wanted(0.03) is None
    held.hold(1, held.tick(0.04), FORWARD, 0.05)
    assert held.wanted(0.05) is not None
