# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Ways in which a recording process, its disk or its machine ends at a random moment."""

from __future__ import annotations

import json
import mmap
import os
import resource
import select
import shutil
import signal
import struct
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from crash_campaign.feeding import FAILING, Failure, Feeding, record_with_power_cuts, tell_to
from crash_campaign.judge import Ended, Found, judge
from crash_campaign.node import NodeUnderTest

CUTS = 10  # of one recording
LONGEST_S = 4.0
PATIENCE_S = 60.0
DISK_SIZE = '64m'  # with room to begin a recording
MOST_LEFT = 300_000  # bytes that a full disk still has
FILLER = 'filler'


def killed(folder: Path, random: np.random.Generator) -> list[Found]:
    """SIGKILL."""
    with _recording(folder, random) as child:
        child.wait_for_start()
        time.sleep(random.uniform(0.0, LONGEST_S))
        child.kill()
    return [judge(child.ended('SIGKILL', folder))]


def stopped_and_killed(folder: Path, random: np.random.Generator) -> list[Found]:
    """SIGSTOP, and SIGKILL when nothing moves any more."""
    with _recording(folder, random) as child:
        child.wait_for_start()
        time.sleep(random.uniform(0.0, LONGEST_S))
        os.kill(child.process, signal.SIGSTOP)
        time.sleep(random.uniform(0.05, 0.3))
        child.kill()
    return [judge(child.ended('SIGSTOP, SIGKILL', folder))]


def disk_full(folder: Path, random: np.random.Generator) -> list[Found]:
    """ENOSPC: another process takes the room; later there is some again, and it records on."""
    place = folder / 'disk'
    place.mkdir()
    with small_disk(place) as mounted, _recording(place, random) as child:
        child.wait_for_start()
        time.sleep(random.uniform(0.0, LONGEST_S - 1.0))
        if mounted:
            _fill(place / FILLER, int(random.integers(MOST_LEFT)))
        else:
            most = max((path.stat().st_size for path in place.iterdir()), default=0)
            child.limit(most + int(random.integers(MOST_LEFT)))
        time.sleep(1.0)
        (place / FILLER).unlink(missing_ok=True)
        child.limit(resource.RLIM_INFINITY)
        time.sleep(random.uniform(0.0, 1.0))
        child.kill()
        return [judge(child.ended('ENOSPC' if mounted else 'EFBIG', place))]


def disk_failing(folder: Path, random: np.random.Generator) -> list[Found]:
    """EIO of what writes to the disk, for a while."""
    begin_ns = time.time_ns() + int(random.uniform(0.4, LONGEST_S) * 1e9)
    end_ns = begin_ns + int(random.uniform(0.1, 0.8) * 1e9)
    calls = FAILING[int(random.integers(len(FAILING)))]
    with _recording(folder, random, Failure(begin_ns, end_ns, calls)) as child:
        child.wait_for_start()
        time.sleep(max(0, end_ns - time.time_ns()) / 1e9 + random.uniform(0.0, 1.0))
        child.kill()
    return [judge(child.ended('EIO', folder))]


def power_cut(folder: Path, random: np.random.Generator) -> list[Found]:
    """What was not brought to the disk is there or not, page by page."""
    place, left, notes = folder / 'disk', folder / 'left', folder / 'notes.json'
    for each in (place, left):
        each.mkdir()

    def record() -> None:
        seconds = float(random.uniform(1.5, LONGEST_S))
        made = record_with_power_cuts(place, left, CUTS, seconds, random)
        notes.write_text(json.dumps([(str(path), fed, told) for path, fed, told in made]))

    child = _Child(lambda _tell, _fed: record())
    child.wait()
    if not notes.exists():
        return [Found('power cut', faults=[f'the recording failed: {child.told}'])]
    return [
        judge(Ended('power cut', Path(path), fed_ns, told))
        for path, fed_ns, told in json.loads(notes.read_text())
    ]


def node_killed(folder: Path, random: np.random.Generator) -> list[Found]:
    """SIGKILL of a recorder_node, which records over DDS."""
    with NodeUnderTest(folder) as node:
        node.wait_for_start()
        time.sleep(random.uniform(0.0, LONGEST_S))
        return [judge(node.killed())]


KINDS: dict[str, tuple[Callable[[Path, np.random.Generator], list[Found]], int, float]] = {
    # way, how many ends it makes at once, its share of all
    'killed': (killed, 1, 0.27),
    'stopped': (stopped_and_killed, 1, 0.15),
    'full': (disk_full, 1, 0.15),
    'failing': (disk_failing, 1, 0.15),
    'cut': (power_cut, CUTS, 0.23),
    'node': (node_killed, 1, 0.05),
}


class _Child:
    """A fork of this process that records, and tells by a pipe."""

    def __init__(self, record: Callable[[Any, Callable[[int], None]], None]) -> None:
        self.told: list[Any] = []
        self._fed = mmap.mmap(-1, 8)
        self._pipe, there = os.pipe()
        self._rest = b''
        self.process = os.fork()
        if self.process == 0:
            tell = tell_to(there)
            try:
                os.close(self._pipe)
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                record(tell, lambda now_ns: struct.pack_into('q', self._fed, 0, now_ns))
            except BaseException:
                tell('refused', traceback.format_exc())
            finally:
                os._exit(0)
        os.close(there)

    def wait_for_start(self) -> None:
        """Wait until the first episode was begun."""
        end_s = time.monotonic() + PATIENCE_S
        while not self.told and time.monotonic() < end_s:
            if select.select([self._pipe], [], [], 0.1)[0] and not self._read():
                return

    def limit(self, size: int) -> None:
        """Let no file of it grow beyond a size."""
        with suppress(ProcessLookupError):
            _, hard = resource.prlimit(self.process, resource.RLIMIT_FSIZE)
            resource.prlimit(self.process, resource.RLIMIT_FSIZE, (size, hard))

    def kill(self) -> None:
        """End it at once, and read what it told."""
        os.kill(self.process, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Wait for its end, and read what it told."""
        while self._read():
            pass
        os.waitpid(self.process, 0)
        self.process = 0
        os.close(self._pipe)

    def ended(self, kind: str, folder: Path) -> Ended:
        """How its recordings ended."""
        return Ended(kind, folder, struct.unpack_from('q', self._fed)[0], self.told)

    def _read(self) -> bool:
        data = os.read(self._pipe, 65536)
        *lines, self._rest = (self._rest + data).split(b'\n')
        self.told += [json.loads(line) for line in lines]
        return bool(data)


@contextmanager
def _recording(
    folder: Path, random: np.random.Generator, failure: Failure | None = None
) -> Iterator[_Child]:
    """A process that records to a folder until it is ended, at last with this block."""
    end_ns = time.time_ns() + int(PATIENCE_S * 1e9)
    child = _Child(lambda tell, fed: Feeding(folder, random, tell, fed, failure).run(end_ns))
    try:
        yield child
    finally:
        if child.process:
            child.kill()


@contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """Mount a small file system (tmpfs) at a folder; yield whether that is permitted."""
    command = ['mount', '-t', 'tmpfs', '-o', f'size={DISK_SIZE}', 'tmpfs', str(place)]
    mounted = (
        bool(shutil.which('mount'))
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(['umount', '-l', str(place)], check=True)


def _fill(path: Path, leave: int) -> None:
    """Let a file take the room of a disk, but for some bytes."""
    with path.open('wb') as file:
        end = 0
        for size in (2**23, 2**20, 2**16, 2**12):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size
        os.ftruncate(file.fileno(), max(0, end - leave))
