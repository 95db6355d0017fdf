# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The process behind a node's stdout and stderr; started as a script by `log_output`.

What comes in is taken at once, whether or not it can be passed on: lines that find no room are
dropped and counted. It ends when nobody writes any more. Nothing but the standard library.

Arguments: a descriptor of shared memory for the count of dropped lines, then pairs of descriptors,
one to read and the one to write what was read.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
import sys
import threading
from collections import deque

COUNT = struct.Struct('=Q')
READ_BYTES = 1 << 16
ROOM_BYTES = 4 << 20  # of what waits to be passed on, per output
NEWLINE = b'\n'


class DropCounter:
    """Counts the lines that were dropped, in memory that the node reads."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, COUNT.size)
        self._lock = threading.Lock()

    def add(self, lines: int) -> None:
        """Count these too."""
        with self._lock:
            COUNT.pack_into(self._memory, 0, COUNT.unpack_from(self._memory)[0] + lines)


class Drain:
    """Takes what comes from `source` and passes it on to `target`, each in a thread of its own."""

    def __init__(self, source: int, target: int, count: DropCounter) -> None:
        self._source = source
        self._target = target
        self._count = count
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._dropped = 0  # lines, since the last that found room
        self._cut = False  # whether the last that was dropped goes on in what comes next
        self._open = False  # whether the last that found room ends within a line
        self._passing = threading.Thread(target=self._pass_on, daemon=True)
        self._taking = threading.Thread(target=self._take, daemon=True)

    def start(self) -> None:
        """Start both threads."""
        self._taking.start()
        self._passing.start()

    def join(self) -> None:
        """Wait until all that came has been passed on."""
        self._taking.join()
        self._passing.join()

    def _take(self) -> None:
        while data := os.read(self._source, READ_BYTES):
            with self._changed:
                self._keep(data)
                self._changed.notify()
        with self._changed:
            if self._cut:
                self._drop(NEWLINE)
            self._append(self._note())
            self._ended = True
            self._changed.notify()

    def _keep(self, data: bytes) -> None:
        # Once full, half of the room has to be free: a note after every line would say nothing.
        room = ROOM_BYTES // 2 if self._dropped or self._cut else ROOM_BYTES
        if self._bytes + len(data) > room:
            self._drop(data)
            return
        if self._cut:
            rest, newline, data = data.partition(NEWLINE)
            self._drop(rest + newline)
        if data:
            self._append(self._note() + data)

    def _drop(self, data: bytes) -> None:
        lines = data.count(NEWLINE)
        self._dropped += lines
        self._count.add(lines)
        self._cut = not data.endswith(NEWLINE)

    def _note(self) -> bytes:
        """What is said in place of the lines that were dropped; nothing where none were."""
        if not self._dropped:
            return b''
        lines, self._dropped = self._dropped, 0
        note = b'[%d line(s) of the log were dropped: nobody took them]\n' % lines
        return NEWLINE + note if self._open else note

    def _append(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)
            self._bytes += len(data)
            self._open = not data.endswith(NEWLINE)

    def _pass_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                data = self._waiting[0]
            self._write(data)
            with self._changed:
                self._waiting.popleft()
                self._bytes -= len(data)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:  # who shares the terminal or pipe may have made it so
                poll = select.poll()
                poll.register(self._target, select.POLLOUT)
                poll.poll()
            except OSError:  # closed, or a full disk
                self._count.add(bytes(rest).count(NEWLINE))
                return


def main(count_fd: int, *pairs: int) -> None:
    """Drain each pair of descriptors until nobody writes any more."""
    count = DropCounter(count_fd)
    drains = [Drain(*pair, count) for pair in zip(pairs[::2], pairs[1::2], strict=True)]
    for drain in drains:
        drain.start()
    for drain in drains:
        drain.join()


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
