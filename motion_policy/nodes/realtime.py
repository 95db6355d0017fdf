# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Real-time scheduling of threads: SCHED_FIFO, locked memory, CPU affinity.

Everything is tried and nothing is required: what is not permitted is said, with the reason.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

from motion_policy.errors import UserError
from motion_policy.inference.cpu_affinity import SchedulingRequest, use_cores
from motion_policy.nodes.parameters.arm import PRIORITY, RealtimeParameters

# A thread waits so long for the interpreter before it asks another one to let go of it.
SWITCH_INTERVAL_S = 0.0005
MIDDLEWARE_THREADS = ('dds.', 'recv', 'dq.', 'tev')
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
CAP_IPC_LOCK, CAP_SYS_NICE = 14, 23


@dataclass(frozen=True)
class RealTime:
    """What is wanted: priority of the tick (0: none), locked memory, cores of the tick."""

    priority: int = PRIORITY
    lock_memory: bool = True
    cpus: frozenset[int] = frozenset()


def realtime_settings(parameters: RealtimeParameters) -> RealTime:
    """What the parameters ask for; UserError for cores that are not there."""
    return RealTime(
        priority=parameters.priority,
        lock_memory=parameters.lock_memory,
        cpus=cpus_named(parameters.cpus, 'realtime.cpus'),
    )


def cpus_named(text: str, name: str) -> frozenset[int]:
    """Return the cores that a text like `2-3,5` names; UserError for those that are not there."""
    found: set[int] = set()
    there = os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else set()
    for part in filter(None, text.replace(' ', '').split(',')):
        first, dash, last = part.partition('-')
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"parameter '{name}' is '{text}', expected cores like 1 or 2-3,5")
        wanted = range(int(first), int(last or first) + 1)
        if not wanted or wanted[0] not in there or wanted[-1] not in there:
            raise UserError(
                f"parameter '{name}' is '{text}', expected some of the cores {sorted(there)}"
            )
        found |= set(wanted) & there
    return frozenset(found)


def prepare_tick_thread(wanted: RealTime) -> list[SchedulingRequest]:
    """Give the calling thread what it wants; the memory of the whole process is locked."""
    outcomes = [use_fifo(wanted.priority)] if wanted.priority else []
    if wanted.lock_memory:
        outcomes.append(lock_memory())
    if wanted.cpus:
        outcomes.append(use_cores(wanted.cpus))
    return outcomes


def prepare_thread_beside_tick(wanted: RealTime) -> None:
    """Let the calling thread, which shares the interpreter with the tick, not hold it for long.

    A thread that holds the interpreter while others have its core would keep the tick waiting.
    Those of the middleware, which bring the messages, get its priority too: else an image waits
    for the core on which a policy computes.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if wanted.priority > 1:
        use_fifo(wanted.priority - 1)
        for thread in middleware_threads():
            use_fifo(wanted.priority - 1, thread)


def middleware_threads() -> list[int]:
    """The threads by which Fast DDS or Cyclone DDS receives, as Linux knows them by name."""
    found = []
    for folder in Path('/proc/self/task').glob('*'):
        try:
            name = (folder / 'comm').read_text()
        except OSError:  # it has ended meanwhile
            continue
        if name.startswith(MIDDLEWARE_THREADS):
            found.append(int(folder.name))
    return found


def use_fifo(priority: int, thread: int = 0) -> SchedulingRequest:
    """Schedule a thread (0: the calling one) first in, first out; those it starts are as usual."""
    what = f'SCHED_FIFO {priority}'
    if not hasattr(os, 'sched_setscheduler'):
        return SchedulingRequest(what, f'{sys.platform} has no such call')
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except OSError as error:
        limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
        if _has_capability(CAP_SYS_NICE):
            return SchedulingRequest(what, f'{error.strerror}, although CAP_SYS_NICE is there')
        return SchedulingRequest(what, f'the limit rtprio is {limit} and CAP_SYS_NICE is missing')
    return SchedulingRequest(what)


def lock_memory() -> SchedulingRequest:
    """Keep every page that is or comes into memory there.

    Only without a limit: under one, a later allocation would fail.
    """
    what = 'memory lock'
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != resource.RLIM_INFINITY and not _has_capability(CAP_IPC_LOCK):
        kib = limit // 1024
        return SchedulingRequest(
            what, f'the limit memlock is {kib} kB and CAP_IPC_LOCK is missing'
        )
    lock = getattr(ctypes.CDLL(None, use_errno=True), 'mlockall', None)
    if lock is None or not sys.platform.startswith('linux'):
        return SchedulingRequest(what, f'{sys.platform} has no such call')
    if lock(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        return SchedulingRequest(what, os.strerror(ctypes.get_errno()))
    return SchedulingRequest(what)


def _has_capability(number: int) -> bool:
    """Whether the process may do what capability `number` of linux/capability.h is about."""
    try:
        with open('/proc/self/status') as file:
            line = next(line for line in file if line.startswith('CapEff:'))
    except (OSError, StopIteration):
        return False
    return bool(int(line.split()[1], 16) >> number & 1)
