# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Who is let in to the cockpit: hosts, origins, tokens, and how often one may try."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_policy.cockpit.access import (
    MOST_SESSIONS,
    SESSION_S,
    Access,
    RateLimits,
    clean_name,
    read_token,
)
from motion_policy.errors import UserError

TOKEN = 'a' * 20


@pytest.mark.parametrize(
    ('host', 'local', 'fits'),
    [
        ('localhost:8500', '127.0.0.1', True),
        ('LOCALHOST', '127.0.0.1', True),
        ('127.0.0.1:8500', '127.0.0.1', True),
        ('[::1]:8500', '::1', True),
        ('192.168.1.7:8500', '192.168.1.7', True),
        ('192.168.1.8:8500', '192.168.1.7', False),
        ('evil.example:8500', '127.0.0.1', False),  # a name that leads here: DNS rebinding
        ('localhost.evil.example', '127.0.0.1', False),
        ('127.0.0.1.evil.example', '127.0.0.1', False),
        ('', '', False),
    ],
)
def test_only_names_of_this_host_are_served(host: str, local: str, fits: bool) -> None:
    access = Access(['localhost', '127.0.0.1', '::1'], None, secure=False)
    assert (access.host_problem(host, local) == '') is fits


@pytest.mark.parametrize(
    ('origin', 'fits'),
    [
        ('https://arm:8500', True),
        ('http://arm:8500', False),
        ('https://arm:8501', False),
        ('https://arm:8500.evil.example', False),
        ('null', False),
        (None, False),
    ],
)
def test_only_the_page_itself_may_change_something(origin: str | None, fits: bool) -> None:
    access = Access(['arm'], None, secure=True)
    assert (access.origin_problem(origin, 'arm:8500') == '') is fits


def test_a_session_needs_the_token_and_ends() -> None:
    access = Access([], TOKEN, secure=False)
    assert not access.is_in('', 0.0)
    for wrong in ('', TOKEN[:-1], TOKEN + 'a', 'ä' * 20):
        with pytest.raises(UserError, match='wrong token'):
            access.log_in(wrong, 'somewhere', 0.0)
    identity = access.log_in(TOKEN, 'elsewhere', 0.0)
    assert access.is_in(identity, SESSION_S - 1) and not access.is_in(identity, SESSION_S + 1)
    access.log_out(identity)
    assert not access.is_in(identity, 1.0)
    others = [access.log_in(TOKEN, f'address {n}', 1.0) for n in range(MOST_SESSIONS + 1)]
    assert not access.is_in(others[0], 2.0) and access.is_in(others[-1], 2.0)


def test_guessing_a_token_is_slow_even_for_who_is_right_at_last() -> None:
    access = Access([], TOKEN, secure=False)
    for _ in range(5):
        with pytest.raises(UserError, match='wrong token'):
            access.log_in('b' * 20, 'guesser', 100.0)
    with pytest.raises(UserError, match='too many tries'):
        access.log_in(TOKEN, 'guesser', 100.0)
    assert access.log_in(TOKEN, 'another', 100.0)
    assert access.log_in(TOKEN, 'guesser', 120.0)


def test_an_address_that_asks_too_often_waits_and_others_do_not() -> None:
    limits = RateLimits(10.0, 3.0)
    assert [limits.allows('one', 5.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert limits.allows('other', 5.0)
    assert limits.allows('one', 5.2)


@pytest.mark.parametrize('text', ['short', '', 'x' * 201, 'ä' * 20])
def test_a_token_that_is_none_is_refused_without_being_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'token'
    path.write_text(text)
    with pytest.raises(UserError, match=f'token: holds {len(text)} characters') as refused:
        read_token(path)
    assert not text or text not in str(refused.value)


def test_a_name_is_one_short_line() -> None:
    assert clean_name(' Anna\n[ERROR] x') == 'Anna\\n[ERROR] x'
    assert clean_name('') == 'somebody'
    assert len(clean_name('\0' * 100)) <= 40
