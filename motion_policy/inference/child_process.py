# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Child processes that ignore the signals which end a node.

A terminal, a service manager and `ros2 launch` signal whole groups of processes; what a node
started must live until the node has braked.
"""

from __future__ import annotations

import signal
import subprocess
from typing import Any

# Of all that would end or stop a process, and that it may handle, these are left: our own errors,
# those that Python ignores, and those that say that a terminal is another job's.
FAULTS = ('SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGABRT', 'SIGTRAP', 'SIGSYS')
IGNORED = ('SIGPIPE', 'SIGXFSZ', 'SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH')
OF_TERMINALS = ('SIGTTIN', 'SIGTTOU')
_NOT_ENDING = {'SIGKILL', 'SIGSTOP', *FAULTS, *IGNORED, *OF_TERMINALS}
# A node that Ctrl-Z stops could not hold its arm, so that this ends it, too.
ENDING_SIGNALS = tuple(
    sorted(signal.valid_signals() - {getattr(signal, name, None) for name in _NOT_ENDING})
)


def start_child(words: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that no such signal reaches; options as of `Popen`."""
    # Signals that are blocked stay so through exec: there is no moment in which one comes too
    # early, as there would be if the process ignored them by itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        return subprocess.Popen(words, **options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
