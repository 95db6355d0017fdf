# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node with a policy that fails on request; all else of the node is real.

What is asked for comes on `fault` as JSON, {"kind", "count"}; a count of 0 takes it back. Every
step of the policy is told on `fault/steps`, so that the bench knows when a fault could be known.
A policy that computes in a process of its own gets its faults by a file.
"""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rclpy.logging import get_logger
from std_msgs.msg import String

from motion_policy.control import Controller
from motion_policy.control.policy_runner import PolicyRunner
from motion_policy.inference import worker_process
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.nodes import policy_node
from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.nodes.shell import run_node
from motion_policy.streams import Row

DEPTH = 100
REJECTED = 'rejected'
HANG_S = 0.7
BEYOND_S = 0.3  # more than two periods of the shipped policy
SLOWER = 10
FAR_RAD = 2.0  # of joint 1
UNDECIDED_M, GRIP_M, OPEN_M = 0.006, -0.008, 0.015  # of the gripper
BLOCK_BYTES = 4 << 20
SPARE_BYTES = 64 << 20
TOO_MANY_BYTES = 1 << 46
FAULT_FILE = 'MOTION_POLICY_BENCH_FAULT'  # the variable that names it
WORKER = 'fault_campaign.worker_with_faults'
WAVES_HZ, WAVES_SHARE = 0.4, 0.05  # of a joint's range

TICK_FAULTS = TICK_RAISES, TICK_ENDS, TICK_HANGS = 'tick raises', 'tick ends', 'tick hangs'
TICK_HANGS_S = 3.0  # it is to be noticed after 0.5 s
TALKS = 'talks'
TALK_LINES, TALK_CHARACTERS, TALK_PAUSE_S = 2500, 1000, 0.001  # more than a pipe holds

Chunk = Any


class FaultyPolicyNode(PolicyNode):
    """Listens for faults; built only once a step of its policy asks it."""

    def __init__(self, **options: Any) -> None:
        wrap_runner(self.next_fault, self.tell)
        _wrap_process(self)
        self._tick_faults = wrap_tick(self.tell)
        self._faults: list[str] = []
        self._faults_lock = threading.Lock()
        self._steps_told: Any = None
        super().__init__(**options)
        self._steps_told = self.create_publisher(String, 'fault/steps', DEPTH)
        self.create_subscription(String, 'fault', self._take_fault, DEPTH)

    def next_fault(self) -> str:
        """What this step of the policy has to do; '' is its usual work."""
        with self._faults_lock:
            return self._faults.pop(0) if self._faults else ''

    def put_back(self, kind: str) -> None:
        """A fault that was not done after all is the next one again."""
        with self._faults_lock:
            if kind:
                self._faults.insert(0, kind)

    def tell(self, kind: str, observation_ns: int | None, begin_ns: int) -> None:
        """Say that a step ends now, in a word and in ROS time and system time."""
        if self._steps_told is None or observation_ns is None:
            return
        times = {'seen_ns': observation_ns, 'begin_ns': begin_ns, 'end_ns': time.time_ns()}
        self._steps_told.publish(String(data=json.dumps({'kind': kind, **times})))

    def take_failure(self, reason: str, observation_ns: int) -> None:
        """Tell also of what was seen and rejected, and of steps that raised."""
        self.tell(REJECTED, observation_ns, time.time_ns())
        super().take_failure(reason, observation_ns)

    def _take_fault(self, message: String) -> None:
        wanted = json.loads(message.data)
        if wanted['kind'] in TICK_FAULTS:
            self._tick_faults.append(wanted['kind'])
            return
        if wanted['kind'] == TALKS:
            threading.Thread(target=self._talk, daemon=True).start()
            return
        with self._faults_lock:
            if not wanted['count']:
                self._faults.clear()
            self._faults += [wanted['kind']] * wanted['count']

    def _talk(self) -> None:
        """Say much, as the node says anything, and tell when all of it was said."""
        begin_ns, log = time.time_ns(), get_logger('bench')
        for number in range(TALK_LINES):
            log.info(f'{number} '.ljust(TALK_CHARACTERS, '.'))
            time.sleep(TALK_PAUSE_S)
        self.tell(TALKS, 0, begin_ns)


def corrupt(kind: str, chunk: Chunk, number: int) -> Chunk:
    """Return the chunk (k, J) with the fault in it; variants take turns by `number`."""
    corrupted = np.array(chunk)
    joint = number % corrupted.shape[1]
    if kind == 'nan':
        corrupted[0, joint] = np.nan
    elif kind == 'infinite':
        corrupted[0, joint] = np.inf if number % 2 else -np.inf
    elif kind == 'huge':
        corrupted += (-1) ** number * 10.0 ** (1, 6, 300)[number % 3]
    elif kind == 'far':
        corrupted[:, 0] = FAR_RAD
    elif kind == 'grip':
        corrupted[:, -1] = GRIP_M
    elif kind == 'open':
        corrupted[:, -1] = OPEN_M
    elif kind == 'undecided':
        corrupted[:, -1] = UNDECIDED_M
    elif kind == 'width':
        shapes = (
            corrupted[:, :-1],
            np.hstack((corrupted, corrupted[:, :1])),
            corrupted[0],
            corrupted[:0],
        )
        return shapes[number % len(shapes)]
    return corrupted


def exhaust_memory(number: int) -> None:
    """Really take more memory than there is: too much at once, or bit by bit under a limit."""
    if number % 2:
        torch.empty(TOO_MANY_BYTES, dtype=torch.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    blocks = []
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE_BYTES, hard))
    try:
        while True:
            blocks.append(bytearray(BLOCK_BYTES))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def fault_file() -> Path:
    """Where a process of its own finds what it has to do."""
    return Path(os.environ[FAULT_FILE])


def wrap_runner(next_fault: Callable[[], str], tell: Callable[..., None]) -> None:
    """Let every step of a `PolicyRunner` in this process do what it is told to, and tell of it.

    What a policy of chunks answers is replaced by waves, which never let the arm rest.
    """
    real = PolicyRunner.infer
    counts: dict[str, int] = {}
    standing: list[Chunk] = []

    def infer(runner: PolicyRunner, observation: Any, *args: Any, **named: Any) -> Any:
        time_ns = args[1] if len(args) > 1 else named.get('time_ns')
        kind, begin_ns = next_fault() if time_ns is not None else '', time.time_ns()
        number = counts[kind] = counts.get(kind, -1) + 1

        def work() -> tuple[Chunk, Any]:
            chunk, extras = real(runner, observation, *args, **named)
            return (chunk if len(chunk) == 1 else waves(runner, len(chunk), time_ns)), extras

        try:
            chunk, extras = _step(kind, number, work)
            if kind != 'stay':
                standing.clear()
                return chunk, extras
            # Again and again where the arm is, it would sink.
            standing.append(np.asarray(observation.qpos, dtype=np.float64)[None])
            return standing[0], extras
        finally:
            tell(kind, time_ns, begin_ns)

    PolicyRunner.infer = infer  # type: ignore[method-assign]


def wrap_tick(tell: Callable[..., None]) -> list[str]:
    """Let the next tick of a controller fail as it is told to; return where to tell it.

    One that hangs has the node's lock meanwhile, and tells when it goes on.
    """
    asked: list[str] = []
    real = Controller.look

    def look(controller: Controller, *args: Any, **named: Any) -> None:
        kind = asked.pop() if asked else ''
        if kind == TICK_RAISES:
            raise RuntimeError('fault of the bench in a tick')
        if kind == TICK_ENDS:
            raise SystemExit  # ends a thread without a word
        if kind == TICK_HANGS:
            begin_ns = time.time_ns()
            time.sleep(TICK_HANGS_S)
            tell(kind, 0, begin_ns)
        real(controller, *args, **named)

    Controller.look = look  # type: ignore[method-assign]
    return asked


def waves(runner: PolicyRunner, rows: int, time_ns: int | None) -> Chunk:
    """Targets (k, J) about the middle of the limits; each chunk goes on where the last one is."""
    low, high = runner.robot.joints.limits.position_array().T
    times_s = ((time_ns or 0) + np.arange(rows)[:, None] * runner.policy.period_ns) * 1e-9
    phases = 2 * np.pi * WAVES_HZ * times_s + np.arange(len(low))
    return (low + high) / 2 + WAVES_SHARE * (high - low) * np.sin(phases)


def _wrap_process(node: FaultyPolicyNode) -> None:
    class Faulty(InferenceProcess):
        """Tells its process what to do, and of every step that ends, however it began."""

        _begun: tuple[str, int, int] | None = None

        def infer(self, observation: Any, explain: bool, time_ns: int, since_ns: int) -> Any:
            step = self._next(time_ns)
            try:
                return super().infer(observation, explain, time_ns, since_ns)
            finally:
                node.tell(*step)

        def begin(self, row: Row, *args: Any) -> bool:
            # Nothing takes a fault from the list but what begins.
            self._begun = self._next(row.time_ns)
            begun = super().begin(row, *args)
            if not begun:
                node.put_back(self._begun[0])
                fault_file().unlink(missing_ok=True)
            return begun

        def finish(self) -> Any:
            step = self._begun
            assert step is not None
            try:
                return super().finish()
            finally:
                node.tell(*step)

        def _next(self, time_ns: int) -> tuple[str, int, int]:
            kind = node.next_fault()
            if kind:
                fault_file().write_text(kind, encoding='utf-8')
            return kind, time_ns, time.time_ns()

    policy_node.InferenceProcess = Faulty  # type: ignore[misc]
    worker_process.WORKER = WORKER


def _step(kind: str, number: int, work: Callable[[], tuple[Chunk, Any]]) -> tuple[Chunk, Any]:
    if kind == 'raise':
        raise RuntimeError(f'fault {number} of the bench')
    if kind == 'memory':
        exhaust_memory(number)
    begin = time.monotonic()
    chunk, extras = work()
    taken = time.monotonic() - begin
    pauses = {'hang': HANG_S, 'beyond': BEYOND_S, 'slow': (SLOWER - 1) * taken}
    time.sleep(pauses.get(kind, 0.0))
    return corrupt(kind, chunk, number), extras


if __name__ == '__main__':
    raise SystemExit(run_node(FaultyPolicyNode, images='in'))
