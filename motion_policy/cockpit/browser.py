# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One browser that is connected: what it is sent, and never more than it takes.

Of a state or an image only the newest waits; a browser that takes nothing holds up nobody.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Hashable
from typing import Any

from aiohttp import web

from motion_policy.cockpit.access import RateLimit
from motion_policy.cockpit.seat import Person

MESSAGES_PER_S, MESSAGE_BURST = 100.0, 200.0
COMMANDS_PER_S, COMMAND_BURST = 5.0, 10.0
MOST_WAITING = 50  # answers and lines
MOST_ROUNDS = 2  # of images that were sent and not yet seen
SEND_S = 5.0


class Browser:
    """Sends to one WebSocket; `cameras` are those that it shows, `width` how wide [pixels]."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, person: Person
    ) -> None:
        self.socket = socket
        self._transport = transport
        self.person = person
        self.cameras: frozenset[str] = frozenset()
        self.width = 0
        self.messages = RateLimit(MESSAGES_PER_S, MESSAGE_BURST)
        self.commands = RateLimit(COMMANDS_PER_S, COMMAND_BURST)
        self.sent_frames: dict[str, int] = {}
        self._rounds = self._seen_rounds = 0
        self._newest: dict[Hashable, bytes | str] = {}
        self._lines: deque[str] = deque(maxlen=MOST_WAITING)
        self._wake = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether it has seen enough of the images that it was sent."""
        return self._rounds - self._seen_rounds < MOST_ROUNDS

    def seen(self, round_number: int) -> None:
        """It has shown all images up to that round."""
        self._seen_rounds = max(self._seen_rounds, min(round_number, self._rounds))

    def say(self, kind: str, **content: Any) -> None:
        """Send something that must come through, in its order."""
        self._lines.append(_text(kind, content))
        self._wake.set()

    def show(self, kind: str, **content: Any) -> None:
        """Send something in place of what waits of that kind."""
        self._newest[kind] = _text(kind, content)
        self._wake.set()

    def show_frames(self, frames: dict[int, bytes]) -> None:
        """Send the images of some cameras, by their place in the list of all."""
        self._rounds += 1
        for place, jpeg in frames.items():
            self._newest['frame', place] = bytes([place]) + jpeg
        self._newest['round'] = _text('round', {'number': self._rounds})
        self._wake.set()

    async def send(self) -> None:
        """Send what there is until the connection ends; ends it where nothing is taken."""
        while not self.socket.closed:
            await self._wake.wait()
            self._wake.clear()
            while self._lines or self._newest:
                try:
                    await asyncio.wait_for(self._send_one(self._next()), SEND_S)
                except (asyncio.TimeoutError, ConnectionError, RuntimeError):
                    self.drop()
                    return

    def drop(self) -> None:
        """Cut the connection, whatever the other side says."""
        self._transport.abort()

    def _next(self) -> bytes | str:
        if 'tick' in self._newest:  # somebody holds the dead-man key
            return self._newest.pop('tick')
        if self._lines:
            return self._lines.popleft()
        return self._newest.pop(next(iter(self._newest)))

    async def _send_one(self, content: bytes | str) -> None:
        if isinstance(content, bytes):
            await self.socket.send_bytes(content)
        else:
            await self.socket.send_str(content)


def _text(kind: str, content: dict[str, Any]) -> str:
    return json.dumps({'kind': kind, **content}, allow_nan=False, separators=(',', ':'))
