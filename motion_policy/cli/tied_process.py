# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a module in a process that is ended when the process that started it is gone.

    python -m motion_policy.cli.tied_process PARENT_PID MODULE [ARGUMENT ...]

The process ties itself: code between fork and exec, `preexec_fn`, may deadlock in a program with
threads, and a signal that reaches the parent meanwhile is lost.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent (Linux only) and run the module as `python -m` would."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    sys.argv[1:3] = []
    if sys.platform.startswith('linux'):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before
            sys.exit(1)
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
