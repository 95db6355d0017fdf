# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Ties a process to the one that started it, for it must not outlive that (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int, number: signal.Signals) -> None:
    """Get that signal when the thread of the parent that started this process has ended.

    SystemExit where that is so already.
    """
    if sys.platform.startswith('linux'):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent_pid:
        raise SystemExit(1)
