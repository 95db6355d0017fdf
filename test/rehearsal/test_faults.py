# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults are named as one thinks of them, begin and end by the clock or by a key."""

from __future__ import annotations

import pytest

from motion_policy.errors import UserError
from motion_policy.rehearsal.faults import KINDS, Fault, Faults, read_fault
from motion_policy.rehearsal.keys import FAULT_KEYS, KeyFaults
from motion_policy.robot import load_robot_spec

ROBOT = load_robot_spec('tabletop_sim')


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        ('camera:top@5s', Fault('camera', 'top', 5.0, None)),
        ('camera', Fault('camera')),
        ('block:joint2@1.5+2.5s', Fault('block', 'joint2', 1.5, 2.5)),
        ('restart@3', Fault('restart', '', 3.0, 3.0)),
        ('clock+1', Fault('clock', '', 0.0, 1.0)),
        ('joints:state@2s', Fault('joints', 'state', 2.0, None)),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    assert read_fault(text, ROBOT) == fault


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('fire', 'one of: camera, freeze'),
        ('camera:back', "there is no camera 'back', expected one of: top, side"),
        ('block:top', "there is no joint 'top'"),
        ('vector', "'tabletop_sim' has no vector"),
        ('camera:top@5.5.5s', 'expected seconds'),
        ('clock:top', 'expected clock alone'),
        ('', 'expected KIND'),
    ],
)
def test_what_is_no_fault_of_the_robot_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match='fault') as found:
        read_fault(text, ROBOT)
    assert said in str(found.value)


def test_planned_faults_begin_and_end_by_the_clock() -> None:
    faults = Faults([Fault('black', 'top', 2.0, 1.0), Fault('clock', '', 1.0)])
    assert faults.look(0.5) == []
    assert faults.look(1.0) == ['fault: clock (stamps are 0.5 s ahead)']
    [line] = faults.look(2.0)
    assert line.startswith('fault: black top') and faults.has('black', 'top')
    assert not faults.has('black', 'side') and faults.active == ['clock', 'black top']
    assert faults.look(3.1) == ['fault over: black top']
    assert faults.has('clock') and not faults.has('black', 'top')


def test_every_fault_but_the_leaders_has_a_key_that_is_shown_where_the_robot_has_it() -> None:
    assert {*FAULT_KEYS.values(), 'leader'} == set(KINDS)
    keys, faults = KeyFaults(ROBOT), Faults()
    shown = {line[0] for line in keys.help()}
    assert shown == {*'cfbjsrtnmxgq'}  # no vector, no depth
    assert keys.press('c', faults, 0.0) == ['fault: camera top (a camera sends nothing)']
    assert keys.press('n', faults, 0.0) == ['camera: side']
    keys.press('f', faults, 0.0)
    assert faults.active == ['camera top', 'freeze side']
    assert keys.press('v', faults, 0.0) == [] and keys.press('?', faults, 0.0) == []
    keys.press('r', faults, 1.0)
    assert faults.look(4.1) == ['fault over: restart']
    assert keys.press('x', faults, 0.0) == ['faults over'] and faults.active == []
