# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The processes behind a node's stdout and stderr; started as a script by `log_output`.

What comes in is taken at once, whether or not it can be passed on: lines that find no room are
dropped and counted. A second process, forked from the first, takes what a first one that is
stopped or gone lets lie. Both end when nobody writes any more. Nothing but the standard library.

Arguments: a descriptor of shared memory for the counts of each pair, then pairs of descriptors,
one to read and the one to write what was read.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

COUNT = struct.Struct('=Q')
DROPPED, MISSED, CUT, READS = range(4)  # see `Counts`
COUNTS_BYTES = 4 * COUNT.size  # of one pair
LOOK_S = 0.05
# In so many looks a drain took nothing: one that is stopped or gone, and one that may be slow.
STOPPED_LOOKS, IDLE_LOOKS = 4, 40
STOPPED_STATES = b'TtZX'
PAGE_BYTES = 4096
READ_BYTES = 1 << 16
ROOM_BYTES = 4 << 20  # of what waits to be passed on, per output
NEWLINE = b'\n'


class Counts:
    """The numbers of one pair of descriptors, each with one writer, in memory that all share.

    DROPPED: lines for which the drain had no room. MISSED: lines that the stand-in took, CUT: 1
    when they end within a line. READS: how often the drain took something.
    """

    def __init__(self, memory: mmap.mmap, pair: int) -> None:
        self._memory = memory
        self._begin = pair * COUNTS_BYTES

    def __getitem__(self, which: int) -> int:
        place = self._begin + which * COUNT.size
        return int(COUNT.unpack_from(self._memory, place)[0])

    def __setitem__(self, which: int, value: int) -> None:
        COUNT.pack_into(self._memory, self._begin + which * COUNT.size, value)


def dropped_lines(memory: mmap.mmap) -> int:
    """How many lines of all pairs were dropped, by whomever."""
    pairs = [Counts(memory, pair) for pair in range(len(memory) // COUNTS_BYTES)]
    return sum(counts[DROPPED] + counts[MISSED] for counts in pairs)


class Drain:
    """Takes what comes from `source` and passes it on to `target`, each in a thread of its own."""

    def __init__(self, source: int, target: int, counts: Counts) -> None:
        self._source = source
        self._target = target
        self._counts = counts
        self._counting = threading.Lock()
        self._missed = 0  # of the lines that the stand-in took, those that were told
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
            self._counts[READS] += 1
            with self._changed:
                stood_in = self._heed_stand_in()
                self._keep(data)
                if stood_in and self._open:  # what was to follow may be what the other one took
                    self._append(NEWLINE)
                self._changed.notify()
        with self._changed:
            self._heed_stand_in()
            if self._cut:
                self._drop(NEWLINE)
            self._append(self._note())
            self._ended = True
            self._changed.notify()

    def _heed_stand_in(self) -> bool:
        missed = self._counts[MISSED]
        if missed == self._missed:
            return False
        self._dropped += missed - self._missed
        self._missed = missed
        self._cut = bool(self._counts[CUT])
        return True

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
        self._count(lines)
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
                self._count(bytes(rest).count(NEWLINE))
                return

    def _count(self, lines: int) -> None:
        with self._counting:
            self._counts[DROPPED] += lines


class StandIn:
    """Takes from `source`, and drops, what its drain lets lie: whoever writes must not wait.

    A line may be torn where it begins and where it ends.
    """

    def __init__(self, source: int, counts: Counts, drain: int) -> None:
        self._drain = drain
        # Opened anew: only here a read of nothing must not wait.
        self._source = os.open(f'/proc/self/fd/{source}', os.O_RDONLY | os.O_NONBLOCK)
        self._counts = counts
        self._reads = 0
        self._idle_looks = 0
        # A pipe is full once each of its pages has something: more than half of each two.
        pages = fcntl.fcntl(self._source, fcntl.F_GETPIPE_SZ) // PAGE_BYTES
        self._much = max(pages - 1, 0) * PAGE_BYTES // 2
        self._poll = select.poll()
        self._poll.register(self._source, select.POLLIN)

    def look(self) -> bool:
        """Take what has lain for too long; return whether anybody writes any more."""
        reads, waiting = self._counts[READS], self._waiting()
        if reads != self._reads:
            self._reads, self._idle_looks = reads, 0
        elif waiting:
            self._idle_looks += 1
        looks = self._idle_looks
        lies = looks >= IDLE_LOOKS or (looks >= STOPPED_LOOKS and self._drain_stopped())
        if lies and waiting > self._much:
            self._drop_all()
        return not any(event & select.POLLHUP for _, event in self._poll.poll(0))

    def _drain_stopped(self) -> bool:
        if os.getppid() != self._drain:
            return True
        try:
            with open(f'/proc/{self._drain}/stat', 'rb') as file:
                return file.read().rpartition(b') ')[2][:1] in STOPPED_STATES
        except OSError:
            return True

    def _waiting(self) -> int:
        room = struct.pack('=i', 0)
        return int(struct.unpack('=i', fcntl.ioctl(self._source, termios.FIONREAD, room))[0])

    def _drop_all(self) -> None:
        with suppress(BlockingIOError):
            while data := os.read(self._source, READ_BYTES):
                self._counts[CUT] = not data.endswith(NEWLINE)
                self._counts[MISSED] += data.count(NEWLINE)


def stand_in(sources: Sequence[int], counts: Sequence[Counts], drain: int) -> None:
    """Stand in for the drain, whatever becomes of it, until nobody writes any more."""
    stand_ins = [StandIn(*pair, drain) for pair in zip(sources, counts, strict=True)]
    while any([one.look() for one in stand_ins]):
        time.sleep(LOOK_S)


def main(counts_fd: int, *pairs: int) -> None:
    """Drain each pair of descriptors until nobody writes any more."""
    sources, targets = pairs[::2], pairs[1::2]
    memory = mmap.mmap(counts_fd, len(sources) * COUNTS_BYTES)
    counts = [Counts(memory, pair) for pair in range(len(sources))]
    own = os.getpid()
    other = os.fork()
    if not other:
        os.setsid()  # what stops all of a session stops one of them only
        for target in targets:
            os.close(target)
        stand_in(sources, counts, own)
        os._exit(0)
    drains = [Drain(*each) for each in zip(sources, targets, counts, strict=True)]
    for drain in drains:
        drain.start()
    for drain in drains:
        drain.join()
    # What was begun here ends here: nobody else might look to its end.
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
