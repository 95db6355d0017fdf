# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a browser may say, read and bounded before anything is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

from motion_policy.cockpit.held_motion import FIELDS
from motion_policy.documents import json_mapping
from motion_policy.errors import UserError

LONGEST_MESSAGE = 2048  # bytes
MOST_CAMERAS = 32
MOST_NUMBER = 2**53  # that a page counts to

# What may be asked of a node that drives, and of the recorder, and with what value.
OF_DRIVERS: dict[str, type | None] = {
    'enable': None, 'disable': None, 'home': None, 'reset': None, 'speed': float,
    'takeover': bool, 'gripper': bool,
}  # fmt: skip
OF_RECORDER: dict[str, type | None] = dict.fromkeys(
    ('start', 'stop', 'discard', 'mark_success', 'mark_failure')
)


@dataclass(frozen=True)
class NodeCommand:
    """Something to ask of a node; `number` is the page's, for the answer."""

    number: int
    node: str
    what: str
    value: Any = None


@dataclass(frozen=True)
class Hold:
    """The dead-man key is held, as `HeldMotion.hold` has it."""

    press: int
    echo: int
    shares: tuple[float, ...]


def read_request(text: str) -> dict[str, Any]:
    """The names and values in a message; UserError where it is none."""
    if len(text) > LONGEST_MESSAGE:
        raise UserError(f'a message has {len(text)} characters, at most {LONGEST_MESSAGE}')
    return json_mapping(text, 'message of a page')


def read_command(request: dict[str, Any]) -> NodeCommand:
    """The command in a request; UserError where there is none that is known."""
    number, node, what = request.get('number'), request.get('node'), request.get('what')
    known = {**OF_DRIVERS, **OF_RECORDER}
    if not (_is_count(number) and isinstance(node, str) and isinstance(what, str)):
        raise UserError('a command needs number, node and what')
    if what not in known:
        raise UserError(f'a command is none of: {", ".join(known)}')
    kind, value = known[what], request.get('value')
    if kind is bool and not isinstance(value, bool):
        raise UserError(f'{what} needs a value, expected true or false')
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise UserError(f'{what} needs a value, expected a number from 0 to 1')
        value = float(value)
    return NodeCommand(number, node[:200], what, value if kind else None)


def read_hold(request: dict[str, Any]) -> Hold:
    """What is held in a request; UserError where that is not said in full."""
    press, echo, shares = request.get('press'), request.get('echo'), request.get('shares')
    if not _is_count(press) or not _is_count(echo) or not isinstance(shares, list):
        raise UserError('hold needs press, echo and shares')
    numbers = [s for s in shares if isinstance(s, (int, float)) and not isinstance(s, bool)]
    if len(numbers) != FIELDS or len(shares) != FIELDS or any(abs(s) > 1 for s in numbers):
        raise UserError(f'hold needs {FIELDS} shares from -1 to 1')
    return Hold(press, echo, tuple(map(float, numbers)))


def read_cameras(request: dict[str, Any]) -> frozenset[str]:
    """The cameras in a request; UserError where they are no list of names."""
    cameras = request.get('cameras')
    if not isinstance(cameras, list) or len(cameras) > MOST_CAMERAS:
        raise UserError(f'cameras is no list of at most {MOST_CAMERAS} names')
    return frozenset(name for name in cameras if isinstance(name, str))


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_NUMBER
