# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Non-blocking stdout and stderr: a full pipe or a stopped terminal costs lines, never time.

rclpy writes each line from C while no other thread can run, so that one line that cannot be
written would stop the control tick. Both outputs therefore lead to a process of their own
(`log_drain`), which also delivers the last words of a node that crashed, and has a second one
that takes over should it be stopped.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from motion_policy.inference.child_process import start_child
from motion_policy.inference.shared_frames import unnamed_memory
from motion_policy.nodes import log_drain

STDIN, STDOUT, STDERR = 0, 1, 2
PIPE_BYTES = 1 << 20  # the most that Linux gives to everybody
FLUSH_S = 2.0  # for which the end of a node waits until all it said was taken
COLOURS = 'RCUTILS_COLORIZED_OUTPUT'

_counts: list[mmap.mmap] = []


def dropped_log_lines() -> int:
    """How many lines of this process's output were dropped because nobody took them."""
    return sum(log_drain.dropped_lines(memory) for memory in _counts)


@contextmanager
def patient_output() -> Iterator[None]:
    """Let whatever this process and its children write to stdout and stderr never block.

    At the end all of it is delivered, or, when nobody takes it for `FLUSH_S`, given up.
    """
    _open_what_is_closed()
    originals = {fd: os.dup(fd) for fd in (STDOUT, STDERR)}
    _keep_colours()
    process = _redirect(originals)
    try:
        yield
    finally:
        _flush_python()
        _end(process, originals)


def _open_what_is_closed() -> None:
    # Or the next file that is opened would be taken for an output.
    for fd in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)


def _keep_colours() -> None:
    # rclpy colours what it writes to a terminal, which the pipe is not.
    if os.isatty(STDERR):
        os.environ.setdefault(COLOURS, '1')


def _redirect(originals: dict[int, int]) -> subprocess.Popen[bytes]:
    memory, size = unnamed_memory(), len(originals) * log_drain.COUNTS_BYTES
    os.ftruncate(memory, size)
    _counts.append(mmap.mmap(memory, size))
    pipes: dict[object, tuple[int, int]] = {}
    words, passed = [str(memory)], [memory]
    for fd, original in originals.items():
        # One pipe for both where both are the same, so that their lines keep their order.
        status = os.fstat(fd)
        same = (status.st_dev, status.st_ino)
        if same not in pipes:
            pipes[same] = read_end, write_end = os.pipe()
            with suppress(OSError):
                fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            words += [str(read_end), str(original)]
            passed += [read_end, original]
        os.dup2(pipes[same][1], fd)
    script = str(Path(log_drain.__file__))
    # Isolated and without site: it needs the standard library only, and at once.
    process = start_child(
        [sys.executable, '-I', '-S', script, *words],
        pass_fds=passed,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for fd in (memory, *(end for ends in pipes.values() for end in ends)):
        os.close(fd)
    return process


def _flush_python() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _end(process: subprocess.Popen[bytes], originals: dict[int, int]) -> None:
    """Close the pipes, wait until they are empty, and give the outputs back if they take more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in originals:
        os.dup2(nowhere, fd)
    os.close(nowhere)
    try:
        process.wait(FLUSH_S)
        for fd, original in originals.items():
            os.dup2(original, fd)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for original in originals.values():
        os.close(original)
