# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts nodes as child processes on their own ROS domain; they never outlive the command.

Their output goes to log files, which are kept only when something went wrong.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from motion_policy.inference.environment import middleware_profile

# Higher ids use ports that Linux may give to any program.
DOMAIN_IDS = range(1, 102)
# Each signal and the time that it is given to work.
ENDING = ((signal.SIGINT, 5.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
LOG_LINES_SHOWN = 5
NODE_MODULE = 'motion_policy.nodes.{}'
TIED = 'motion_policy.cli.tied_process'


class NodeDiedError(RuntimeError):
    """A node ended by itself; the message holds its last words and where its log lies."""


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


def claim_domain() -> tuple[IO[str], int]:
    """Return a domain id that no command and no test of this user uses, and the lock on it."""
    for domain_id in random.sample(DOMAIN_IDS, len(DOMAIN_IDS)):
        path = Path(tempfile.gettempdir(), f'motion_policy_domain_{os.getuid()}_{domain_id}.lock')
        lock = path.open('w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock, domain_id
        except OSError:
            lock.close()
    raise RuntimeError('every ROS domain of this machine is in use')


class NodeProcesses:
    """Starts processes and ends them, whatever happens, when the context ends.

    Entering it also moves this process to the private domain, so rclpy must start after it.
    """

    def __init__(self) -> None:
        self.log_dir = Path()
        self.keep_logs = False
        self._children: list[_Child] = []
        self._domain_lock: IO[str] | None = None
        self._saved: dict[str, str | None] = {}
        self._former_handlers: dict[signal.Signals, Any] = {}
        self._ending_signal: int | None = None

    def __enter__(self) -> NodeProcesses:
        self._domain_lock, domain_id = claim_domain()
        self._set_environment(_ros_environment(domain_id))
        self.log_dir = Path(tempfile.mkdtemp(prefix='motion_policy_'))
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former_handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_details: object) -> None:
        self.stop()
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self._set_environment(self._saved)
        if self._domain_lock is not None:
            self._domain_lock.close()
        harmless = kind is None or issubclass(kind, (KeyboardInterrupt, SystemExit))
        if harmless and not self.keep_logs:
            shutil.rmtree(self.log_dir, ignore_errors=True)

    def start_node(
        self,
        node: str,
        parameters: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `motion_policy.nodes.NODE` with ROS parameters and more variables."""
        settings = [f'{name}:={_parameter_text(value)}' for name, value in parameters.items()]
        arguments = ['--ros-args', *(word for line in settings for word in ('-p', line))]
        variables = {**os.environ, **(environment or {})}
        self.start(node, NODE_MODULE.format(node), arguments, env=variables)

    def start(
        self, name: str, module: str, arguments: list[str], **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start `python -m module arguments`; `options` are those of Popen."""
        log = self.log_dir / f'{name}.log'
        with log.open('wb') as file:
            process = subprocess.Popen(
                [sys.executable, '-m', TIED, str(os.getpid()), module, *arguments],
                start_new_session=True,
                **{'stdin': subprocess.DEVNULL, 'stdout': file, 'stderr': file, **options},
            )
        self._children.append(_Child(name, process, log))
        return process

    def check(self) -> None:
        """Raise NodeDiedError if a process has ended by itself; end if a signal asked for it."""
        if self._ending_signal is not None:
            raise _end_by(self._ending_signal)
        for child in self._children:
            if child.process.poll() is not None:
                raise NodeDiedError(
                    f'{child.name} ended with exit code {child.process.returncode}: '
                    f'{self.last_words(child.name)}'
                )

    def last_words(self, name: str) -> str:
        """The last lines of a log and its path, for a message."""
        log = self.log_dir / f'{name}.log'
        text = log.read_text(encoding='utf-8', errors='replace') if log.exists() else ''
        words = ' | '.join([line for line in text.splitlines() if line][-LOG_LINES_SHOWN:])
        return f'{words or "no output"} (log: {log})'

    def stop(self, spared: str = '') -> None:
        """End all processes but `spared`, and what they started: SIGINT, SIGTERM, SIGKILL."""
        ending = [child for child in self._children if child.name != spared]
        for number, patience_s in ENDING:
            waiting = [child for child in ending if child.process.poll() is None]
            for child in waiting:
                _signal_group(child.process.pid, number)
            end_s = time.monotonic() + patience_s
            while time.monotonic() < end_s and any(c.process.poll() is None for c in waiting):
                time.sleep(0.02)
        for child in ending:
            # Grandchildren of a process that ended before them.
            _signal_group(child.process.pid, signal.SIGKILL)
        self._children = [child for child in self._children if child not in ending]

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Python swallows what is raised within a destructor; `check` raises it again.
        self._ending_signal = number
        raise _end_by(number)

    def _set_environment(self, variables: Mapping[str, str | None]) -> None:
        self._saved = {name: os.environ.get(name) for name in variables}
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _ros_environment(domain_id: int) -> dict[str, str | None]:
    variables: dict[str, str | None] = {
        'ROS_DOMAIN_ID': str(domain_id),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        # Ours are small machines and many processes: threads would only wait for each other.
        'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', '1'),
        'LP_NUM_THREADS': os.environ.get('LP_NUM_THREADS', '1'),
        **middleware_profile(),
    }
    if os.environ.get('ROS_DISTRO') == 'humble':
        variables['ROS_LOCALHOST_ONLY'] = '1'
    return variables


def _parameter_text(value: Any) -> str:
    """Return a value as YAML; quoted, a task called 5 stays a word."""
    return json.dumps(value if isinstance(value, (bool, int, float)) else str(value))


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _end_by(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
