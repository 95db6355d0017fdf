# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A process that makes one call after the other, and what each call did to it.

It is a fork of this one, so the less this one holds, the sooner it begins. A call that takes
longer than `TIME_LIMIT_S` ends it.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

TIME_LIMIT_S = 20.0
START_KIB = 350 << 10  # of a process that has imported everything
MOST_KIB = 2**20

TRACEBACK, HANG, CRASH, MEMORY = 'traceback', 'hang', 'crash', 'memory'


class ReadingProcess:
    """A fork of this process.

    Args:
        call: what it calls, with what `run` is given.
    """

    def __init__(self, call: Callable[[Any], object]) -> None:
        self._here, there = Pipe()
        self._id = os.fork()
        if self._id == 0:
            self._here.close()
            _serve(call, there)
        there.close()

    def run(self, argument: Any, printed: Path) -> tuple[str, str]:
        """Make one call: what it printed, by way of a file, and how it failed; '' if it returned.

        After a failure this process is of no more use.
        """
        self._here.send((argument, printed))
        start_s = time.monotonic() - _queued_s(self._id)
        hangs = False
        while not self._here.poll(0.1) and not self._has_ended():
            if time.monotonic() - _queued_s(self._id) - start_s > TIME_LIMIT_S and not hangs:
                os.kill(self._id, signal.SIGKILL)
                hangs = True
        raised, grown_kib, ended_by = False, 0, 0
        try:
            if self._has_ended():  # which a child of it, that holds the pipe, can hide
                raise EOFError
            raised, grown_kib = self._here.recv()
        except EOFError:
            ended_by = os.waitstatus_to_exitcode(os.waitpid(self._id, 0)[1])
            self._id = 0
        words = printed.read_text(errors='replace') if printed.exists() else ''
        if hangs:
            return words, HANG
        if ended_by < 0:
            return f'signal {-ended_by}; {words}', CRASH
        if raised or 'Traceback (most' in words:
            return words, TRACEBACK
        return words, MEMORY if grown_kib > MOST_KIB - START_KIB else ''

    def _has_ended(self) -> bool:
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._id, how) is not None

    def end(self) -> None:
        """End it, and wait until it has ended."""
        self._here.close()
        if self._id:
            os.waitpid(self._id, 0)
            self._id = 0


def _serve(call: Callable[[Any], object], connection: Connection) -> None:
    """Make the calls that are asked for until there are no more; does not return."""
    try:
        faulthandler.disable()  # it prints where no one looks
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        gc.freeze()  # what collection touches would have to be copied
        while True:
            argument, printed = connection.recv()
            raised, before_kib = False, _resident_kib()
            _forget_peak()
            with quiet(printed):
                try:
                    call(argument)
                except SystemExit:
                    pass
                except BaseException:
                    traceback.print_exc()
                    raised = True
                gc.collect()  # what it complains of is this call's
            gc.freeze()
            connection.send((raised, _peak_kib() - before_kib))
    finally:
        os._exit(0)


def _queued_s(process: int) -> float:
    """How long a process was ready to run while others had the processors, which is no hang."""
    try:
        return int(Path(f'/proc/{process}/schedstat').read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # it has ended, or this system does not count it
        return 0.0


def _resident_kib() -> int:
    """Memory that this process has now, which may be far less than it once had."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() >> 10


def _forget_peak() -> None:
    """Let the most memory that this process had be what it has now."""
    with suppress(OSError):  # of another system: the peak is of all calls so far
        Path('/proc/self/clear_refs').write_text('5')


def _peak_kib() -> int:
    status = Path('/proc/self/status').read_text()
    return int(status.partition('VmHWM:')[2].split()[0])


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Send what this process prints to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(target)
