# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a page says is read and bounded: anything else is refused in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from motion_policy.cockpit.requests import (
    LONGEST_MESSAGE,
    read_cameras,
    read_command,
    read_hold,
    read_request,
)
from motion_policy.errors import UserError

COMMAND = {'number': 1, 'node': 'policy_node', 'what': 'enable'}
HOLD = {'press': 1, 'echo': 2, 'shares': [0.0] * 6}


@pytest.mark.parametrize(
    'text', ['', '[]', '1', '{', '{"do": NaN}', '{"a": 1, "a": 2}', '[' * 2000, 'x' * 3000]
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(UserError) as refused:
        read_request(text)
    assert '\n' not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize(
    'change',
    [
        {'what': 'configure'}, {'what': ['enable']}, {'node': 3}, {'number': -1},
        {'number': True}, {'number': 1e400}, {'what': 'speed'}, {'what': 'speed', 'value': 1.01},
        {'what': 'speed', 'value': True}, {'what': 'speed', 'value': '1'},
        {'what': 'takeover', 'value': 1},
    ],
)  # fmt: skip
def test_a_command_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        read_command({**COMMAND, **change})


def test_a_command_has_no_more_than_it_needs() -> None:
    assert read_command({**COMMAND, 'value': 'rm'}).value is None
    assert read_command({**COMMAND, 'what': 'speed', 'value': 1}).value == 1.0


@pytest.mark.parametrize(
    'change',
    [
        {'shares': [0.0] * 5}, {'shares': [2.0, *[0.0] * 5]}, {'shares': [None] * 6},
        {'shares': {}}, {'press': None}, {'echo': 0.5}, {'press': 2**60},
    ],
)  # fmt: skip
def test_a_hold_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        read_hold({**HOLD, **change})


def test_messages_of_the_page_fit() -> None:
    hold = {'do': 'hold', 'press': 2**53, 'echo': 2**53, 'shares': [-0.1234567890123456] * 6}
    assert len(json.dumps(hold)) < LONGEST_MESSAGE
    assert read_hold(read_request(json.dumps(hold))).shares == (-0.1234567890123456,) * 6
    with pytest.raises(UserError):
        read_cameras({'cameras': ['x'] * 100})
