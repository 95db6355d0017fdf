# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Scheduling is used where it is permitted, and what is not permitted is said with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode
from rcl_interfaces.msg import Log
from ros_testing import Bench
from sensor_msgs.msg import Image

from motion_policy.errors import UserError
from motion_policy.nodes import realtime
from motion_policy.nodes.realtime import RealTime, cpus_named, prepare_tick_thread, use_fifo
from motion_policy.nodes.subscriptions import SerializedMessage

LOCKING = """
import re
from pathlib import Path
from motion_policy.nodes.realtime import lock_memory
problem = lock_memory().problem
kib = int(re.search(r'VmLck:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])
print('locked' if kib else 'not locked', problem)
"""


def permits(statement: str) -> bool:
    """Whether the kernel lets a process do that, asked without our code."""
    code = f'import ctypes, os, sys; sys.exit(0 if ({statement}) else 1)'
    return subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL).returncode == 0


def permits_fifo(priority: int) -> bool:
    given = f'0, os.SCHED_FIFO, os.sched_param({priority})'
    return permits(f'os.sched_setscheduler({given}) is None')


def in_a_thread(work: Any) -> Any:
    """What `work()` returns in a thread of its own, whose scheduling ends with it."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(work()))
    thread.start()
    thread.join()
    return answers[0]


def test_a_tick_thread_has_its_priority_or_says_why_not() -> None:
    def work() -> tuple[str, int, int]:
        outcome = use_fifo(7)
        policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        inherited = in_a_thread(lambda: os.sched_getscheduler(0))
        return outcome.problem, policy, inherited

    problem, policy, inherited = in_a_thread(work)
    permitted = permits_fifo(7)
    assert policy == (os.SCHED_FIFO if permitted else os.SCHED_OTHER)
    assert bool(problem) is not permitted
    assert inherited == os.SCHED_OTHER  # threads of the policy, for instance
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_threads_that_bring_messages_get_the_priority_of_those_beside_the_tick(
    bench: Bench,
) -> None:
    threads = realtime.middleware_threads()
    assert threads, 'no thread of the middleware has a name that is known'

    def prepare() -> str:
        realtime.prepare_thread_beside_tick(RealTime(priority=9))
        return use_fifo(8).problem

    before = [(os.sched_getscheduler(t), os.sched_getparam(t)) for t in threads]
    refused = not permits_fifo(8)
    assert bool(in_a_thread(prepare)) is refused
    try:
        for thread in threads:
            policy = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
            assert policy == (os.SCHED_OTHER if refused else os.SCHED_FIFO)
            assert os.sched_getparam(thread).sched_priority == (0 if refused else 8)
    finally:
        for thread, (policy, parameters) in zip(threads, before, strict=True):
            os.sched_setscheduler(thread, policy, parameters)


def test_what_the_kernel_refuses_names_limit_and_capability(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_arguments: Any) -> None:
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'sched_setscheduler', refuse)
    monkeypatch.setattr(realtime, '_has_capability', lambda number: False)
    monkeypatch.setattr(realtime.resource, 'getrlimit', lambda number: (8 << 20, 8 << 20))
    told = [str(outcome) for outcome in prepare_tick_thread(RealTime(40, True))]
    assert told[0].startswith('SCHED_FIFO 40 not permitted: the limit rtprio is')
    assert told[0].endswith('CAP_SYS_NICE is missing')
    assert told[1] == (
        'memory lock not permitted: the limit memlock is 8192 kB and CAP_IPC_LOCK is missing'
    )


def test_memory_is_locked_or_it_is_said_why_not() -> None:
    answer = subprocess.run([sys.executable, '-c', LOCKING], capture_output=True, text=True)
    state, _, problem = answer.stdout.strip().partition('locked')
    assert answer.returncode == 0
    permitted = permits('ctypes.CDLL(None).mlockall(1 | 2) == 0')  # what is there and will be
    assert state == ('' if permitted else 'not ')
    assert bool(problem.strip()) is not permitted


def test_a_thread_runs_on_the_cores_that_it_was_given() -> None:
    there = sorted(os.sched_getaffinity(0))

    def work() -> set[int]:
        prepare_tick_thread(RealTime(0, False, cpus_named(str(there[-1]), 'realtime.cpus')))
        return os.sched_getaffinity(0)

    assert in_a_thread(work) == {there[-1]}
    assert sorted(os.sched_getaffinity(0)) == there
    assert cpus_named('', 'x') == frozenset()
    assert cpus_named(f'{there[0]}-{there[0]}, {there[0]}', 'x') == {there[0]}


@pytest.mark.parametrize('text', ['a', '0-', '1-b', '-1', '4096', '0;1'])
def test_cores_that_are_not_there_are_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"parameter 'realtime.cpus' is '.*', expected") as error:
        cpus_named(text, 'realtime.cpus')
    assert '\n' not in str(error.value)


def test_log_and_diagnostics_say_how_the_tick_is_scheduled(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    lines: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: lines.append(m.msg), 100)
    make_node(**{'realtime.priority': 3, 'realtime.lock_memory': False})
    arm.wait_for_diagnostic('control', 'scheduling', 'SCHED_FIFO 3')
    bench.spin_until(
        lambda: any(x.startswith('scheduling of the control tick: SCHED_FIFO 3') for x in lines),
        'a line about scheduling',
    )


def test_a_message_that_stays_as_it_came_has_the_fields_and_the_stamp_of_any_other() -> None:
    from rclpy.serialization import serialize_message

    message = Image(height=2, width=3, encoding='rgb8', step=9)
    message.header.stamp.sec, message.header.stamp.nanosec = 1_700_000_000, 123_456_789
    message.data.frombytes(bytes(range(18)))
    kept = SerializedMessage(bytes(serialize_message(message)), Image)
    assert kept.stamp_ns == 1_700_000_000_123_456_789
    assert (kept.height, kept.width, kept.encoding, bytes(kept.data)) == (
        2, 3, 'rgb8', bytes(range(18)),
    )  # fmt: skip
    assert not hasattr(kept, 'format')
