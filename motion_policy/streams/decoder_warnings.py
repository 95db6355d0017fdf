# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Captures libjpeg warnings about corrupt data.

It decodes them all the same, and nothing else tells. Only where C's `stderr` can be turned to
another file, which glibc lets us; elsewhere nothing is captured.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Its other lines are about what can be done without.
_DAMAGE = ('Corrupt JPEG', 'Premature end of JPEG')
_UNBUFFERED = 2  # of setvbuf
_MOST_BYTES = 4096

_one_at_a_time = threading.Lock()


@contextmanager
def captured_warnings() -> Iterator[list[str]]:
    """Give a list that holds, after the block, what libjpeg said of damage; others are printed."""
    lines: list[str] = []
    captured = _captured_stderr()
    if captured is None:
        yield lines
        return
    descriptor, stream, stderr = captured
    with _one_at_a_time:
        before, stderr.value = stderr.value, stream
        try:
            yield lines
        finally:
            stderr.value = before
            text = os.pread(descriptor, _MOST_BYTES, 0).decode(errors='replace')
            if text:
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
            for line in text.splitlines():
                if line.startswith(_DAMAGE):
                    lines.append(line)
                else:
                    print(line, file=sys.stderr)


@cache
def _captured_stderr() -> tuple[int, int, ctypes.c_void_p] | None:
    """A file in memory: its descriptor, C's handle of it, and C's variable `stderr`."""
    try:
        libc = ctypes.CDLL(None)
        stderr = ctypes.c_void_p.in_dll(libc, 'stderr')
        descriptor = os.memfd_create('libjpeg')
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    libc.fdopen.restype = ctypes.c_void_p
    libc.setvbuf.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    stream = libc.fdopen(descriptor, b'w')
    if stream is None:
        return None
    libc.setvbuf(stream, None, _UNBUFFERED, 0)
    return descriptor, stream, stderr
