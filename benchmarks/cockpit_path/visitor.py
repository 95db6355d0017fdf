# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Somebody at a cockpit, without a browser: takes images as a page does, drives, presses STOP."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import aiohttp

WIDTH = 640
PATIENCE_S = 60.0


class Visitor:
    """A connection that is served by a thread of its own; a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.frames = self.bytes = 0
        self.newest: dict[str, dict[str, Any]] = {}  # by kind
        self.stops = 0
        self._shares: list[float] | None = None
        self._presses = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Visitor:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._connect(), self._loop).result(PATIENCE_S)
        self.wait(lambda: 'state' in self.newest and 'about' in self.newest, 'a state')
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def say(self, **content: Any) -> None:
        """Send a message of the page."""
        work = self._socket.send_json(content)
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def look(self) -> None:
        """Look at all cameras."""
        cameras = [camera['name'] for camera in self.newest['about']['cameras']]
        self.say(do='look', cameras=cameras, width=WIDTH)

    def drive(self, shares: list[float] | None) -> None:
        """Hold the dead-man key, with these shares of full speed; None: let it go."""
        self._presses += 1
        self._shares = shares

    def wait(self, condition: Any, what: str) -> None:
        """Wait until it holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end_s:
                raise RuntimeError(f'waited {PATIENCE_S:g} s for {what}: {self.newest}')
            time.sleep(0.002)

    async def _connect(self) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(
            f'{self._url}/socket?name=bench', headers={'Origin': self._url}, max_msg_size=0
        )
        self._works = [asyncio.ensure_future(work) for work in (self._read(), self._live())]

    async def _close(self) -> None:
        for work in self._works:
            work.cancel()
        await self._session.close()

    async def _live(self) -> None:
        while True:
            await self._socket.send_json({'do': 'alive'})
            await asyncio.sleep(0.5)

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                self.frames, self.bytes = self.frames + 1, self.bytes + len(message.data)
                continue
            content = message.json()
            kind = content['kind']
            self.newest[kind] = content
            self.stops += kind == 'stopped'
            if kind == 'round':
                await self._socket.send_json({'do': 'seen', 'number': content['number']})
            elif kind == 'tick' and self._shares is not None:
                hold = {'do': 'hold', 'press': self._presses, 'echo': content['number']}
                await self._socket.send_json({**hold, 'shares': self._shares})
