# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The process in which a policy thinks apart from the node: `python -m` this module.

It ends when the node does, however that ends: with the connection, or by the kernel's signal.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from motion_policy.control.policy_runner import PolicyRunner
from motion_policy.errors import UserError
from motion_policy.nodes.policy_setup import PolicySetup
from motion_policy.nodes.shared_frames import SharedFrames
from motion_policy.policies.allocator import keep_freed_memory
from motion_policy.streams import Observation

PR_SET_PDEATHSIG = 1


def main(connection_fd: int, frames_fd: int, node_pid: int) -> None:
    """Serve one node until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to us too; the node decides
    _end_with(node_pid)
    keep_freed_memory()
    connection = Connection(connection_fd)
    try:
        serve(connection, frames_fd)
    except (EOFError, ConnectionError):  # the node is gone
        return


def serve(connection: Connection, frames_fd: int) -> None:
    """Make the runner that the first message describes, then answer every request."""
    setup: PolicySetup = connection.recv()
    with _told(connection) as done:
        runner = setup.make_runner(lambda line: connection.send(('said', line)))
        runner.warm_up()
        gc.collect()
        gc.freeze()
        done.append(runner.facts)
    if not done:
        return
    frames = SharedFrames(setup.robot, runner.policy.cameras, frames_fd)
    while True:
        what, *arguments = connection.recv()
        if what == 'reset':
            runner.reset()
            continue
        with _told(connection) as done:
            done.append(_step(runner, frames, *arguments))


def _step(
    runner: PolicyRunner, frames: SharedFrames, joints: dict[str, Any], *arguments: Any
) -> tuple[Any, Any, int]:
    begin_ns = time.perf_counter_ns()
    observation = Observation(images=frames.images, action=None, **joints)
    chunk, extras = runner.infer(observation, *arguments)
    return chunk, extras, time.perf_counter_ns() - begin_ns


@contextmanager
def _told(connection: Connection) -> Iterator[list[Any]]:
    """Send what is in the list at the end, or what went wrong instead."""
    done: list[Any] = []
    try:
        yield done
    except (EOFError, ConnectionError):
        raise
    except UserError as error:
        connection.send(('user_error', str(error)))
        done.clear()
    except Exception as error:
        connection.send(('error', f'{type(error).__name__}: {error}'))
        done.clear()
    else:
        connection.send(('done', done[0]))


def _end_with(node_pid: int) -> None:
    """Be killed when the node's thread that started this process ends."""
    if sys.platform.startswith('linux'):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != node_pid:
        raise SystemExit


if __name__ == '__main__':
    main(*map(int, sys.argv[1:4]))
