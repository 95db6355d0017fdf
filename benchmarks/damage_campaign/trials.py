# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Trials: one damaged input after the other, each read in a process of its own.

The processes are forks of this one, which has imported all that the readers need, so one takes a
few tenths of a second. A process that takes longer than `TIME_LIMIT_S` is ended.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from damage_campaign.mutations import MUTATIONS, Mutation, copy_input, files_of
from damage_campaign.reader import SPEC, Reader
from damage_campaign.readers import READERS, write_episodes
from motion_policy.cli.main import main

TIME_LIMIT_S = 20.0
START_KIB = 350 << 10  # of a process that has imported everything
MOST_KIB = 2**20

RIGHT, REFUSED = 'right', 'refused in one line'
CHANGED = 'other numbers, which nothing vouches for'
TRACEBACK, HANG, CRASH, MEMORY = 'traceback', 'hang', 'crash', 'memory'
WRONG, UNCLEAR, HALF = 'silently wrong', 'unclear', 'half-written final name'
LOST = 'a file destroyed'
FAILURES = (TRACEBACK, HANG, CRASH, MEMORY, WRONG, UNCLEAR, HALF, LOST)
OUTCOMES = (RIGHT, REFUSED, CHANGED, *FAILURES)

# What a library prints where a line of ours should stand.
_FOREIGN = ('HDF5-DIAG', 'Corrupt JPEG', 'Premature end of JPEG', 'libpng', 'Exception ignored')
_RESULT, _MODULES = 'result', 'modules'
_LEAST_ROOM, _MOST_ROOM = 4_000, 60_000  # bytes of a file
_ENDED_BY_AN_EXCEPTION = 70


@dataclass(frozen=True)
class Trial:
    """A reader, how its input was damaged, and how it ended."""

    reader: str
    mutation: str
    seed: int
    outcome: str
    words: str


class Campaign:
    """Inputs of all readers, undamaged, and trials with copies of them.

    Args:
        folder: where everything lies; its content is of no use after.
        readers, mutations: what is tried.
    """

    def __init__(
        self,
        folder: Path,
        readers: Sequence[Reader] = READERS,
        mutations: Sequence[Mutation] = MUTATIONS,
    ) -> None:
        torch.set_num_threads(1)  # a fork of a process with threads of OpenMP waits for them
        self._folder = folder
        self._mutations = mutations
        self._robot = folder / 'robot.yaml'
        self._robot.write_text(SPEC)
        episodes = write_episodes(folder / 'episodes')
        with quiet(folder / 'set.txt'):
            shared = ['export', str(episodes), '--out', str(folder / 'set'), '--to', 'aloha']
            assert main(shared) == 0
            self._sources: dict[Reader, Path] = {}
            for number, reader in enumerate(readers):
                place = folder / f'input_{number}'
                place.mkdir()
                self._sources[reader] = reader.make(place, episodes, self._robot)
        self._expected = {reader: self._read(reader, None, 0)[2] for reader in readers}

    @property
    def readers(self) -> list[Reader]:
        """In the order in which they were given."""
        return list(self._sources)

    def pairs(self) -> list[tuple[Reader, Mutation]]:
        """What suits each other."""
        return [
            (reader, mutation)
            for reader, source in self._sources.items()
            for mutation in self._mutations
            if any(map(mutation.suits, files_of(source)))
            if mutation.out is None or _writes(reader, source)
        ]

    def run(self, count: int, seed: int = 0, of: Reader | None = None) -> Iterator[Trial]:
        """Try `count` damaged inputs of all readers, or one: all pairs in turn, shuffled anew."""
        pairs = [pair for pair in self.pairs() if of in (None, pair[0])]
        random = np.random.default_rng(seed)
        for number in range(count):
            if number % len(pairs) == 0:
                order = random.permutation(len(pairs))
            reader, mutation = pairs[order[number % len(pairs)]]
            outcome, words, _ = self._read(reader, mutation, seed + number)
            yield Trial(reader.name, mutation.name, seed + number, outcome, words)

    def _read(self, reader: Reader, mutation: Mutation | None, seed: int) -> tuple[str, str, str]:
        place = Path(tempfile.mkdtemp(dir=self._folder))
        inputs = place / 'in'
        inputs.mkdir()
        source, out, room = copy_input(self._sources[reader], inputs), place / 'out', None
        if mutation is not None:
            random = np.random.default_rng(seed)
            suited = [path for path in files_of(source) if mutation.suits(path)]
            mutation.change(suited[int(random.integers(len(suited)))], random)
            source = next(inputs.iterdir(), source)  # it may have another name
            room = int(random.integers(_LEAST_ROOM, _MOST_ROOM)) if mutation.room else None
            out = mutation.out(place, source) if mutation.out else out
        before = set(files_of(place))
        kept = {path: path.read_bytes() for path in before if mutation and mutation.out}
        try:
            words, outcome = _in_a_fork(
                lambda: _command_and_result(reader, source, out, self._robot, room, place), place
            )
            found = (place / _RESULT).read_text() if (place / _RESULT).exists() else ''
            if mutation is None:
                if not (place / _MODULES).is_file():
                    how = outcome or 'refused'
                    raise RuntimeError(f'{reader.name}, undamaged: {how}: {words}')
                _import_all((place / _MODULES).read_text().splitlines())
            if not outcome and not all(p.is_file() and p.read_bytes() == kept[p] for p in kept):
                outcome = LOST
            if not outcome:
                new = set(files_of(place)) - before
                outcome = self._judged(reader, mutation, found, words, new)
            return outcome, words, found
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _judged(
        self, reader: Reader, mutation: Mutation | None, found: str, words: str, new: set[Path]
    ) -> str:
        if any(foreign in words for foreign in _FOREIGN):
            return UNCLEAR
        if found:
            if mutation is None:
                return RIGHT
            if found == self._expected[reader]:
                return RIGHT
            return WRONG if mutation.detectable else CHANGED
        if any(path.suffix == '.hdf5' and path.parent.name != 'in' for path in new):
            return HALF
        told = [line for line in words.splitlines() if line.startswith(('error:', 'unsound '))]
        return REFUSED if told else UNCLEAR


_campaigns: list[Campaign] = []  # what a forked process was given; it cannot be sent to one


def all_readers(campaign: Campaign, count: int, seed: int) -> Iterator[list[Trial]]:
    """As many trials of each reader, in their order, as many readers at once as processors."""
    fork = get_context('fork')
    with ProcessPoolExecutor(
        os.cpu_count(), fork, initializer=_begin, initargs=(campaign,)
    ) as pool:
        yield from pool.map(_of_reader, range(len(campaign.readers)), repeat(count), repeat(seed))


def _begin(campaign: Campaign) -> None:
    _campaigns.append(campaign)
    gc.freeze()  # what collection touches, each fork would have to copy


def _of_reader(number: int, count: int, seed: int) -> list[Trial]:
    (campaign,) = _campaigns
    return list(campaign.run(count, seed, campaign.readers[number]))


def _writes(reader: Reader, source: Path) -> bool:
    """Whether what it writes has a place of its own."""
    return any('OUT' in one for one in reader.command(source, Path('OUT'), source))


def _command_and_result(
    reader: Reader, source: Path, out: Path, robot: Path, room: int | None, place: Path
) -> int:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    if room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    code = main(reader.command(source, out, robot))
    if code == 0:
        (place / _RESULT).write_text(f'r{reader.result(source, out)}')
        if room is None:
            (place / _MODULES).write_text('\n'.join(sys.modules))
    return code


def _import_all(modules: Sequence[str]) -> None:
    """Have what a reader imported, so that its next processes begin with it."""
    for name in modules:
        if name not in sys.modules:
            with suppress(ImportError):  # made while it ran, as some are
                import_module(name)


def _in_a_fork(call: Callable[[], int], place: Path) -> tuple[str, str]:
    """What a call printed, and how it failed; '' where it returned."""
    printed = place / 'printed.txt'
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = _ENDED_BY_AN_EXCEPTION
        try:
            # What this process has in memory, but for what only maps a file.
            os.write(tell, b'%d\n' % _resident_kib())
            faulthandler.disable()  # it prints where no one looks
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with quiet(printed):
                try:
                    code = call()
                except SystemExit:
                    code = 1
                except BaseException:
                    traceback.print_exc()
        finally:
            os._exit(code)
    os.close(tell)
    with open(told) as pipe:
        before_kib = int(pipe.readline() or 0)
    start_s = time.monotonic()
    hangs = False
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        took_s = time.monotonic() - start_s
        if took_s > TIME_LIMIT_S and not hangs and took_s - _queued_s(child) > TIME_LIMIT_S:
            os.kill(child, signal.SIGKILL)
            hangs = True
        time.sleep(0.002)
    words = printed.read_text(errors='replace') if printed.exists() else ''
    if hangs:
        return words, HANG
    if os.WIFSIGNALED(status):
        return f'signal {os.WTERMSIG(status)}; {words}', CRASH
    if os.WEXITSTATUS(status) == _ENDED_BY_AN_EXCEPTION or 'Traceback (most' in words:
        return words, TRACEBACK
    grown_kib = usage.ru_maxrss - before_kib
    return words, MEMORY if grown_kib > MOST_KIB - START_KIB else ''


def _queued_s(process: int) -> float:
    """How long a process was ready to run while others had the processors, which is no hang."""
    try:
        return int(Path(f'/proc/{process}/schedstat').read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # it has ended, or this system does not count it
        return 0.0


def _resident_kib() -> int:
    """Memory that this process has now, which may be far less than it once had."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() >> 10


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Send what this process prints to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(target)


def table(trials: Sequence[Trial], by: str) -> list[tuple[str, dict[str, int]]]:
    """Counts of outcomes by reader or by mutation."""
    names = dict.fromkeys(getattr(trial, by) for trial in trials)
    return [
        (name, Counter(trial.outcome for trial in trials if getattr(trial, by) == name))
        for name in names
    ]
