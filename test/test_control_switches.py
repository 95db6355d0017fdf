# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: a pressed, a released and a silent switch each stop the arm, and say which they are."""

from __future__ import annotations

from motion_policy.control.switches import DeadManSwitch, EmergencyStop

SECOND = 1_000_000_000


def test_pressing_the_emergency_stop_disables_once_and_blocks_until_it_is_released() -> None:
    stop = EmergencyStop('/emergency_stop')
    assert stop.problem() == ''
    assert stop.tell(True)
    assert not stop.tell(True)
    assert stop.problem() == 'the emergency stop is pressed (/emergency_stop)'
    assert not stop.tell(False)
    assert stop.problem() == ''
    assert stop.tell(True)


def test_a_required_emergency_stop_must_have_been_heard_of() -> None:
    stop = EmergencyStop('/emergency_stop', required=True)
    assert 'nothing is heard of the emergency stop' in stop.problem()
    stop.tell(False)
    assert stop.problem() == ''


def test_the_dead_man_switch_must_be_held_and_heard_of() -> None:
    switch = DeadManSwitch('/joy, button 4', timeout_s=0.5)
    assert 'nothing is heard' in switch.problem(SECOND)
    switch.tell(True, SECOND)
    assert switch.problem(SECOND + SECOND // 2) == ''
    assert 'silent for 0.60 s, limit 0.5 s (/joy, button 4)' in switch.problem(
        SECOND + 6 * SECOND // 10
    )
    switch.tell(False, 2 * SECOND)
    assert switch.problem(2 * SECOND) == 'the dead-man switch is released (/joy, button 4)'
