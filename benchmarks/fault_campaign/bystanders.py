# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that listen beside the arm: viewers that are stopped, and a controller.

The controller notes when commands really come. It takes part in nobody's shared memory, so that a
viewer can hold it up only through the node. Run as a module: `view TYPE TOPIC` or
`listen TYPE TOPIC TYPE TOPIC ...`; each line that comes in is answered by the longest wait for a
message of each topic since the last, in s.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node

from fault_campaign.held_ports import hold_ports
from motion_policy.inference.environment import PROFILE_VARIABLES
from motion_policy.nodes.transports import transports

VIEW, LISTEN = 'view', 'listen'
DEPTH = 1000
SPIN_S = 0.02
THERE = b'there\n'


class Bystander:
    """One of these processes."""

    def __init__(self, role: str, *topics: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in PROFILE_VARIABLES}
        paths = [str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH', '')]
        environment['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'fault_campaign.bystanders', role, *topics],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def answered(self) -> bool:
        """Whether a line is there to be read; the first says that a message came."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def read(self) -> bytes:
        """Read that line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def ask(self) -> None:
        """Ask for the longest waits."""
        assert self._process.stdin is not None
        self._process.stdin.write(b'\n')
        self._process.stdin.flush()

    def stop(self) -> int:
        """Stop it as if it were just taking a message; return how many locks it holds."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)
        return hold_ports(self._process.pid)

    def kill(self) -> None:
        """End it as the system does."""
        self._process.kill()
        self._process.wait()


def main(role: str, *topics: str) -> None:
    """Listen until stdin ends."""
    if role == VIEW:
        _listen(topics, 1)
    else:
        with transports('none'):
            _listen(topics, DEPTH)


def _listen(topics: Sequence[str], depth: int) -> None:
    rclpy.init()
    node = Node(f'bystander_{os.getpid()}')
    waits = [_Waits() for _ in topics[::2]]
    for type_name, topic, its in zip(topics[::2], topics[1::2], waits, strict=True):
        package, kind, name = type_name.split('/')
        message = getattr(importlib.import_module(f'{package}.{kind}'), name)
        node.create_subscription(message, topic, its.take, depth)
    _spin(node, lambda: all(its.last_s is not None for its in waits))
    _say(THERE)
    while True:
        _spin(node, lambda: bool(select.select([sys.stdin], [], [], 0)[0]))
        if not sys.stdin.readline():
            return
        _say(f'{" ".join(str(its.longest()) for its in waits)}\n'.encode())


class _Waits:
    def __init__(self) -> None:
        self.last_s: float | None = None
        self._longest_s = 0.0

    def take(self, _message: Any) -> None:
        now_s = time.monotonic()
        if self.last_s is not None:
            self._longest_s = max(self._longest_s, now_s - self.last_s)
        self.last_s = now_s

    def longest(self) -> float:
        """The longest since it was asked last, the one that still goes on included."""
        self.take(None)
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s


def _spin(node: Node, until: Callable[[], bool]) -> None:
    while not until():
        rclpy.spin_once(node, timeout_sec=SPIN_S)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == '__main__':
    main(*sys.argv[1:])
