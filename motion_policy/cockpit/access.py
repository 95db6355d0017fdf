# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Who may speak to the cockpit: names of this host, tokens, sessions, and how often.

Time is an argument. No token is in any line, and every comparison with one takes the same time.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from motion_policy.errors import UserError
from motion_policy.files import read_text, shown

LOOPBACK_NAMES = ('localhost', '127.0.0.1', '::1')
SHORTEST_TOKEN, LONGEST_TOKEN = 16, 200
SESSION_S = 12 * 3600.0
MOST_SESSIONS = 64
LOGINS_PER_S, LOGIN_BURST = 0.1, 5  # of one address
MOST_ADDRESSES = 1000
LONGEST_NAME = 40


def read_token(path: Path) -> str:
    """The token in a file; UserError where it is none, or too short to be one."""
    token = read_text(path, 4096, 'a token').strip()
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isascii():
        raise UserError(
            f'{shown(path)}: holds {len(token)} characters, expected a token of '
            f'{SHORTEST_TOKEN} to {LONGEST_TOKEN}, in ASCII: openssl rand -hex 16 > {shown(path)}'
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether a server that is bound there is heard on this machine only."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.strip().lower()
    if name.startswith('['):
        return name[1:].partition(']')[0]
    return name.partition(':')[0]


def clean_name(text: object) -> str:
    """What somebody calls himself, as it may stand in a line."""
    return shown(str(text).strip()[:LONGEST_NAME]).strip()[:LONGEST_NAME] or 'somebody'


@dataclass
class RateLimit:
    """Lets `rate` things per second through, and `burst` at once."""

    rate: float
    burst: float
    left: float = field(init=False)
    last_s: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.burst

    def allows(self, now_s: float) -> bool:
        """Whether one more may pass now."""
        self.left = min(self.burst, self.left + self.rate * max(0.0, now_s - self.last_s))
        self.last_s = now_s
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class RateLimits:
    """One `RateLimit` for each address; the one that was longest silent is forgotten first."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._limits: dict[str, RateLimit] = {}

    def allows(self, address: str, now_s: float) -> bool:
        """Whether that address may do one more now."""
        limit = self._limits.pop(address, None) or RateLimit(self._rate, self._burst, now_s)
        self._limits[address] = limit
        while len(self._limits) > MOST_ADDRESSES:
            del self._limits[next(iter(self._limits))]
        return limit.allows(now_s)


class Access:
    """Decides who is let in; `token` None: everybody who reaches the server.

    `hosts` are the names under which it may be addressed, beside the address at which a
    connection arrives. Any other name would be one that somebody else gave to that address.
    """

    def __init__(self, hosts: Iterable[str], token: str | None, *, secure: bool) -> None:
        self._hosts = {name.lower() for name in hosts}
        self._token = token
        self._scheme = 'https' if secure else 'http'
        self._sessions: dict[str, float] = {}  # by their identity, when they end
        self._logins = RateLimits(LOGINS_PER_S, LOGIN_BURST)

    @property
    def needs_token(self) -> bool:
        """Whether a token is demanded."""
        return self._token is not None

    def host_problem(self, header: str, local_address: str) -> str:
        """Why a Host header is refused, '' if it is not."""
        name = host_name(header)
        if name in self._hosts or (name and name == local_address.partition('%')[0]):
            return ''
        return f'this is not {shown(name)[:80]}: use the address, or start it with --host NAME'

    def origin_problem(self, origin: str | None, host_header: str) -> str:
        """Why the Origin of something that changes a state is refused, '' if it is not."""
        if origin is not None and origin.lower() == f'{self._scheme}://{host_header.lower()}':
            return ''
        return 'only the page itself may ask for that (Origin)'

    def log_in(self, token: str, address: str, now_s: float) -> str:
        """The identity of a new session; UserError where the token is wrong."""
        # Asked first: or who tries often would learn which one was right.
        if not self._logins.allows(address, now_s):
            raise UserError('too many tries from this address: wait a minute')
        expected = self._token or ''
        if not expected or not hmac.compare_digest(token.encode(), expected.encode()):
            raise UserError('wrong token')
        self._sessions = {one: ends for one, ends in self._sessions.items() if ends > now_s}
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        identity = secrets.token_urlsafe(32)
        self._sessions[identity] = now_s + SESSION_S
        return identity

    def is_in(self, cookie: str, now_s: float) -> bool:
        """Whether a cookie is that of somebody who was let in."""
        return self._token is None or self._sessions.get(cookie, 0.0) > now_s

    def log_out(self, cookie: str) -> None:
        """End a session."""
        self._sessions.pop(cookie, None)
