# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Processes of a policy that are stopped before they have loaded, as if they hung."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest


def alive(pid: int) -> bool:
    """Whether it runs; one that is dead but not waited for does not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


class StoppedWorkers(list[int]):
    """The ids of processes that were stopped; until `go_on`, each that begins is."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()  # a process may begin in another thread
        self.stops = True

    def go_on(self) -> None:
        """Let them all go on, and those that begin from now on."""
        with self.lock:
            self.stops = False
            for pid in self:
                if alive(pid):
                    os.kill(pid, signal.SIGCONT)


def stop_workers(monkeypatch: pytest.MonkeyPatch) -> StoppedWorkers:
    """Stop every process that begins from now on, before it has loaded; return their ids."""
    pids = StoppedWorkers()

    class Stopped(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            with pids.lock:
                super().__init__(*arguments, **options)
                if pids.stops:
                    os.kill(self.pid, signal.SIGSTOP)
                    pids.append(self.pid)

    monkeypatch.setattr('motion_policy.inference.worker_process.subprocess.Popen', Stopped)
    return pids
