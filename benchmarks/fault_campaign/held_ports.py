# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Imitates a process that was stopped while it took a message from shared memory.

A stop has to come within some microseconds for that, which no test can wait for. What is left
then is a lock that stays taken, in the memory of the process's ports.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

RECEIVING = 'dds.shm.'  # the threads of Fast DDS that receive there, with the number of the port
WORDS = struct.Struct('=5i')  # pthread_mutex_t: lock, count, owner, users, kind
SHARED = 128  # the kind of one for several processes
TAKEN = 2  # and somebody may be waiting


def ports_of(pid: int) -> list[Path]:
    """The ports at which a process receives through shared memory."""
    names = [path.read_text().strip() for path in Path(f'/proc/{pid}/task').glob('*/comm')]
    numbers = [name.removeprefix(RECEIVING) for name in names if name.startswith(RECEIVING)]
    maps = Path(f'/proc/{pid}/maps').read_text().split()
    # fastrtps_port7411 up to Jazzy, fastdds_port7411 from Kilted on.
    return [Path(word) for word in sorted({*maps}) if word.partition('_port')[2] in numbers]


def hold_ports(pid: int) -> int:
    """Take the locks of a stopped process's ports, for ever; return how many."""
    return sum(_take_locks(path) for path in ports_of(pid))


def _take_locks(path: Path) -> int:
    taken = 0
    with path.open('r+b') as file, mmap.mmap(file.fileno(), 0) as memory:
        for place in range(0, len(memory) - WORDS.size, 8):
            lock, count, owner, users, kind = WORDS.unpack_from(memory, place)
            if kind == SHARED and (lock, count, owner, users) == (0, 0, 0, 0):
                struct.pack_into('=i', memory, place, TAKEN)
                taken += 1
    return taken
