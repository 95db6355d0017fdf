# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a module in a process that is ended when the process that started it is gone.

    python -m motion_policy.cli.tied_process PARENT_PID MODULE [ARGUMENT ...]

The process ties itself: code between fork and exec, `preexec_fn`, may deadlock in a program with
threads, and a signal that reaches the parent meanwhile is lost.
"""

from __future__ import annotations

import runpy
import signal
import sys

from motion_policy.inference.parent_process import end_with_parent


def main() -> None:
    """Tie this process to its parent and run the module as `python -m` would."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    sys.argv[1:3] = []
    end_with_parent(parent, signal.SIGTERM)
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
