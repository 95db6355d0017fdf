# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy in a process of its own, which looks to its user like a runner in this one.

Pictures go there in shared memory. A process that died or hangs is a failure of the step that
waited for it; the next step begins it anew, and is a failure too: what it saw is old by then.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.policy_runner import PolicyFacts, checked_observation
from motion_policy.errors import UserError
from motion_policy.nodes.policy_setup import PolicySetup
from motion_policy.nodes.shared_frames import SharedFrames, unnamed_memory
from motion_policy.policies.checkpoint import find_checkpoint, read_policy_spec
from motion_policy.streams import Observation

WORKER = 'motion_policy.nodes.inference_worker'
POLL_S = 0.1
END_S = 1.0


class InferenceProcess:
    """Runs the policy of `setup` in a process; `say` gets a line about slow work.

    A step that takes longer than `timeout_s` counts as hung. Made, used and closed in one thread,
    with which the process ends; only `close` may come from another.
    """

    def __init__(self, setup: PolicySetup, say: Callable[[str], None], timeout_s: float) -> None:
        self._setup = setup
        self._say = say
        self._timeout_s = timeout_s
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._ended = ''
        self._memory = unnamed_memory()
        cameras = read_policy_spec(find_checkpoint(setup.checkpoint)).cameras
        self._frames = SharedFrames(setup.robot, cameras, self._memory)
        self.compute_ns = 0  # of the last step, in the process
        self.facts: PolicyFacts = self._begin()

    @property
    def pid(self) -> int | None:
        """Of the process; None when there is none."""
        return None if self._process is None else self._process.pid

    def warm_up(self) -> None:
        """The process has done so by itself."""

    def reset(self) -> None:
        """Forget state and predictions; a process that is begun anew has none."""
        if self._connection is not None:
            try:
                self._connection.send(('reset',))
            except OSError:
                self._end('it was gone at a reset')

    def check_observation(self, observation: Observation) -> None:
        """UserError if the policy cannot work with it."""
        checked_observation(observation, self.facts, self._setup.robot)

    def infer(
        self, observation: Observation, explain: bool, time_ns: int, since_ns: int
    ) -> tuple[Float64Array, dict[str, Any]]:
        """As `PolicyRunner.infer`. RuntimeError names what became of the process."""
        if self._connection is None:
            why = self._ended
            self.facts = self._begin()
            raise RuntimeError(f'the inference process was begun anew: {why}')
        self._frames.write(observation.images)
        joints = {name: getattr(observation, name) for name in ('qpos', 'qvel', 'effort')}
        self._send(('infer', joints, explain, time_ns, since_ns))
        chunk, extras, self.compute_ns = self._answer(time.monotonic() + self._timeout_s)
        return chunk, extras

    def close(self) -> None:
        """End the process; a step that waits for it fails."""
        self._closed = True
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _begin(self) -> PolicyFacts:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            descriptors = (theirs.fileno(), self._memory)
            words = [sys.executable, '-m', WORKER, *map(str, (*descriptors, os.getpid()))]
            self._process = subprocess.Popen(words, pass_fds=descriptors)
            self._connection = Connection(ours.detach())
        try:
            self._send(self._setup)
            facts: PolicyFacts = self._answer(None)
        except BaseException:
            self._end('it could not begin')
            raise
        return facts

    def _send(self, message: Any) -> None:
        assert self._connection is not None
        try:
            self._connection.send(message)
        except OSError:
            self._fail(self._words_of_the_end())

    def _answer(self, until: float | None) -> Any:
        """What the process answers, at the latest at `until` of the monotonic clock."""
        assert self._connection is not None
        while True:
            try:
                if not self._connection.poll(POLL_S):
                    if self._closed:
                        self._fail('it was closed')
                    if until is not None and time.monotonic() > until:
                        self._fail(f'no answer for {self._timeout_s:g} s')
                    continue
                kind, content = self._connection.recv()
            except (EOFError, OSError):
                self._fail(self._words_of_the_end())
            if kind == 'said':
                self._say(content)
            elif kind == 'user_error':
                raise UserError(content)
            elif kind == 'error':
                raise RuntimeError(content)
            else:
                return content

    def _words_of_the_end(self) -> str:
        process = self._process
        if process is None:
            return 'it was closed'
        try:
            code = process.wait(END_S)
        except subprocess.TimeoutExpired:
            return 'it closed its connection'
        return f'signal {-code}' if code < 0 else f'exit code {code}'

    def _fail(self, why: str) -> None:
        self._end(why)
        raise RuntimeError(f'the inference process ended: {why}')

    def _end(self, why: str) -> None:
        self._ended = why
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
