# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A process that asks a cockpit for pages and sockets, a thousand times a second."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

PER_S = 1000
SENDERS = 8
REQUESTS = (
    b'GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n'
    b'Content-Length: 2\r\n\r\n{}',
    b'GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n',
    b'GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n',
)


async def _send(port: int, end_s: float) -> int:
    sent, began_s = 0, time.monotonic()
    while time.monotonic() < end_s:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection('127.0.0.1', port)
            reading = asyncio.ensure_future(reader.read(-1))
            while time.monotonic() < end_s and not reading.done():
                writer.write(REQUESTS[sent % len(REQUESTS)])
                await writer.drain()
                sent += 1
                await asyncio.sleep(max(0.0, began_s + sent * SENDERS / PER_S - time.monotonic()))
            writer.close()
        await asyncio.sleep(0.005)
    return sent


async def _flood(port: int, seconds: float) -> int:
    end_s = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_send(port, end_s) for _ in range(SENDERS))))


if __name__ == '__main__':
    print(asyncio.run(_flood(int(sys.argv[1]), float(sys.argv[2]))), flush=True)
