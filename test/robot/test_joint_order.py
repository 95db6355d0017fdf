# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: columns go to joints by name, and by their order only where names say nothing."""

from __future__ import annotations

import pytest

from motion_policy.errors import UserError
from motion_policy.robot.joint_order import joint_order


@pytest.mark.parametrize(
    ('found', 'joints', 'order'),
    [
        (['c', 'a', 'b'], ['a', 'b', 'c'], [1, 2, 0]),
        (['main_elbow.pos', 'main_pan.pos'], ['pan', 'elbow'], [1, 0]),
        (['pan'], ['pan'], [0]),
        ([], ['a', 'b'], None),
        (['qpos'], ['a', 'b'], None),  # one for all
        (['m0', 'm1'], ['a', 'b'], None),
        (['joint_1.pos', 'joint_2.pos'], ['a', 'b'], None),
        (['m1', 'm0'], ['m0', 'm1'], [1, 0]),
    ],
)
def test_names_decide_and_numbers_only_count(
    found: list[str], joints: list[str], order: list[int] | None
) -> None:
    assert joint_order(found, joints, 'info.json') == order


@pytest.mark.parametrize(
    ('found', 'joints'),
    [
        (['elbow'], ['pan']),  # one joint, and another one
        (['a', 'b'], ['a', 'c']),
        (['a', 'a', 'b'], ['a', 'b']),
        (['a', 'a'], ['a', 'b']),
        (['m1', 'm0'], ['a', 'b']),  # numbers that do not count
        (['m2', 'm3'], ['a', 'b']),
        (['m0', 'n1'], ['a', 'b']),
        (['m0', 'm1', 'grip'], ['a', 'b', 'c']),
    ],
)
def test_other_names_are_refused_with_both_lists(found: list[str], joints: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        joint_order(found, joints, 'info.json: names')
    assert str(caught.value).startswith('info.json: names: has the names ')
    assert f'the robot has {", ".join(joints)};' in str(caught.value)


def test_who_says_which_name_is_which_joint_is_not_answered_by_the_order() -> None:
    renamed = {'pan': 'm1', 'lift': 'm0'}
    assert joint_order(['m0', 'm1'], ['pan', 'lift'], 'x', renamed) == [1, 0]
    with pytest.raises(UserError):
        joint_order(['m0', 'm1'], ['pan', 'lift'], 'x', {'pan': 'm7'})
