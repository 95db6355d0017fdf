# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Bring vectors whose columns have names into the order of a robot's joints.

Names that are there decide, and never silently: columns are taken by name, or are refused with
both lists. Only where nothing is named do they go by their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from motion_policy.errors import UserError
from motion_policy.files import shown

# What LeRobot puts around the name of a joint: the quantity behind it, a group before it.
SUFFIXES = ('.pos', '.position', '.vel', '.velocity')
PREFIXES = ('main_',)

_NUMBERED = re.compile(r'(.*?)(\d+)')


def plain_name(name: str) -> str:
    """Return the joint that a column is named after: `shoulder_pan` for `shoulder_pan.pos`."""
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def say_nothing(names: Sequence[str], columns: int) -> bool:
    """True for names that only count the columns: none, one for all, or `m0`, `m1`, ..."""
    if not names or (len(names) == 1 and columns != 1):
        return True
    parts = [_NUMBERED.fullmatch(plain_name(name)) for name in names]
    found = [part for part in parts if part]
    if len(found) != len(names) or len({part[1] for part in found}) != 1:
        return False
    numbers = [int(part[2]) for part in found]
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def joint_order(
    found: Sequence[str],
    joints: Sequence[str],
    where: str,
    renamed: Mapping[str, str] | None = None,
) -> list[int] | None:
    """Return which column each joint is in; None where the names say nothing but the order.

    Args:
        found: names of the columns, () where there are none.
        joints: the robot's names.
        where: file and key, for errors.
        renamed: joint of the robot to its name in the file, where they differ.

    Raises:
        UserError: the names are not those of the joints, or one stands twice.
    """
    renamed = renamed or {}
    columns = [plain_name(name) for name in found]
    wanted = [plain_name(renamed.get(joint, joint)) for joint in joints]
    if len(columns) == len(wanted) and set(columns) == set(wanted):
        if len(set(columns)) == len(columns):
            return [columns.index(name) for name in wanted]
    elif not renamed and say_nothing(found, len(joints)):
        return None
    raise UserError(
        f'{where}: has the names {_listed(found)}; the robot has {_listed(joints)}; expected the '
        'same names, each once, or --joints NAME=NAME_IN_FILE,...'
    )


def _listed(names: Sequence[str]) -> str:
    return ', '.join(shown(name) for name in names) or 'none'
