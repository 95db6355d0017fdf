# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Trials: one damaged input after the other, read by a process that ends at the first harm.

What did harm to a process that had read others before is read again by one of its own, whose
verdict counts.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from damage_campaign.mutations import MUTATIONS, Mutation, copy_input, files_of
from damage_campaign.process import CRASH, HANG, MEMORY, TRACEBACK, ReadingProcess, quiet
from damage_campaign.reader import SPEC, Reader
from damage_campaign.readers import READERS, write_episodes
from motion_policy.cli.main import main

RIGHT, REFUSED = 'right', 'refused in one line'
CHANGED = 'other numbers, which nothing vouches for'
WRONG, UNCLEAR, HALF = 'silently wrong', 'unclear', 'half-written final name'
LOST = 'a file destroyed'
FAILURES = (TRACEBACK, HANG, CRASH, MEMORY, WRONG, UNCLEAR, HALF, LOST)
OUTCOMES = (RIGHT, REFUSED, CHANGED, *FAILURES)

# What a library prints where a line of ours should stand.
_FOREIGN = ('HDF5-DIAG', 'Corrupt JPEG', 'Premature end of JPEG', 'libpng', 'Exception ignored')
_RESULT, _MODULES, _PRINTED = 'result', 'modules', 'printed.txt'
_LEAST_ROOM, _MOST_ROOM = 4_000, 60_000  # bytes of a file


@dataclass(frozen=True)
class Trial:
    """A reader, how its input was damaged, and how it ended."""

    reader: str
    mutation: str
    seed: int
    outcome: str
    words: str


class Campaign:
    """An undamaged input of one reader, and trials with copies of it.

    Args:
        folder: where everything lies; its content is of no use after.
        reader, mutations: what is tried.
    """

    def __init__(
        self, folder: Path, reader: Reader, mutations: Sequence[Mutation] = MUTATIONS
    ) -> None:
        self._folder = folder
        self._reader = reader
        self._mutations = mutations
        self._robot = folder / 'robot.yaml'
        self._robot.write_text(SPEC)
        place = folder / 'input'
        place.mkdir()
        with quiet(folder / 'input.txt'):
            self._source = reader.make(place, write_episodes(folder / 'episodes'), self._robot)
        self._expected = ''
        self._modules: list[str] = []
        self._process: ReadingProcess | None = None

    def suited(self) -> list[Mutation]:
        """Mutations that the input can have."""
        return [
            mutation
            for mutation in self._mutations
            if any(map(mutation.suits, files_of(self._source)))
            if mutation.out is None or _writes(self._reader, self._source)
        ]

    def run(self, count: int, seed: int = 0) -> Iterator[Trial]:
        """Try `count` damaged inputs: all mutations in turn, shuffled anew."""
        mutations = self.suited()
        random = np.random.default_rng(seed)
        try:
            self._expected = self._read(None, 0)[2]
            for number in range(count):
                if number % len(mutations) == 0:
                    order = random.permutation(len(mutations))
                mutation = mutations[order[number % len(mutations)]]
                outcome, words = self._tried(mutation, seed + number)
                yield Trial(self._reader.name, mutation.name, seed + number, outcome, words)
        finally:
            self._end_process()

    def _tried(self, mutation: Mutation, seed: int) -> tuple[str, str]:
        """How a damaged input ends, and what is printed."""
        alone = self._process is None
        outcome, words, _ = self._read(mutation, seed)
        if outcome in FAILURES or mutation.room:  # what could not be written may lie about
            self._end_process()
        if outcome in FAILURES and not alone:
            outcome, words = self._tried(mutation, seed)
        return outcome, words

    def _begin_process(self) -> ReadingProcess:
        """One that has imported what its predecessors imported."""
        for name in self._modules:
            if name not in sys.modules:
                with suppress(ImportError):  # made while it ran, as some are
                    import_module(name)
        return ReadingProcess(self._command_and_result)

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = None

    def _read(self, mutation: Mutation | None, seed: int) -> tuple[str, str, str]:
        place = Path(tempfile.mkdtemp(dir=self._folder))
        inputs = place / 'in'
        inputs.mkdir()
        source, out, room = copy_input(self._source, inputs), place / 'out', None
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
            self._process = self._process or self._begin_process()
            words, outcome = self._process.run((source, out, room, place), place / _PRINTED)
            found = (place / _RESULT).read_text() if (place / _RESULT).exists() else ''
            if mutation is None:
                if not found:
                    how = outcome or 'refused'
                    raise RuntimeError(f'{self._reader.name}, undamaged: {how}: {words}')
                self._modules = (place / _MODULES).read_text().splitlines()
            if not outcome and not all(p.is_file() and p.read_bytes() == kept[p] for p in kept):
                outcome = LOST
            if not outcome:
                new = set(files_of(place)) - before
                outcome = self._judged(mutation, found, words, new)
            return outcome, words, found
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _command_and_result(self, given: tuple[Path, Path, int | None, Path]) -> None:
        """What the process does with an input, the output, the room there is and a folder."""
        source, out, room, place = given
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if room is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            if main(self._reader.command(source, out, self._robot)) == 0:
                (place / _RESULT).write_text(f'r{self._reader.result(source, out)}')
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        if not self._modules:
            (place / _MODULES).write_text('\n'.join(sys.modules))

    def _judged(self, mutation: Mutation | None, found: str, words: str, new: set[Path]) -> str:
        if any(foreign in words for foreign in _FOREIGN):
            return UNCLEAR
        if found:
            if mutation is None:
                return RIGHT
            if found == self._expected:
                return RIGHT
            return WRONG if mutation.detectable else CHANGED
        if any(path.suffix == '.hdf5' and path.parent.name != 'in' for path in new):
            return HALF
        told = [line for line in words.splitlines() if line.startswith(('error:', 'unsound '))]
        return REFUSED if told else UNCLEAR


def all_readers(folder: Path, count: int, seed: int) -> Iterator[list[Trial]]:
    """As many trials of each reader, in their order, as many readers at once as processors."""
    fork = get_context('fork')
    for torch in (False, True):
        if torch:  # once, for all processes to come
            with suppress(ImportError):
                import_module('motion_policy.training.train')
        with ProcessPoolExecutor(os.cpu_count(), fork, initializer=_compute_in_one_thread) as pool:
            numbers = [number for number, one in enumerate(READERS) if one.torch is torch]
            yield from pool.map(_of_reader, numbers, repeat(folder), repeat(count), repeat(seed))


def _compute_in_one_thread() -> None:
    """A fork of a process with threads of OpenMP would wait for them."""
    os.environ['OMP_NUM_THREADS'] = '1'
    if torch := sys.modules.get('torch'):
        torch.set_num_threads(1)


def _of_reader(number: int, folder: Path, count: int, seed: int) -> list[Trial]:
    campaign = Campaign(Path(tempfile.mkdtemp(dir=folder)), READERS[number])
    return list(campaign.run(count, seed))


def _writes(reader: Reader, source: Path) -> bool:
    """Whether what it writes has a place of its own."""
    return any('OUT' in one for one in reader.command(source, Path('OUT'), source))


def table(trials: Sequence[Trial], by: str) -> list[tuple[str, dict[str, int]]]:
    """Counts of outcomes by reader or by mutation."""
    names = dict.fromkeys(getattr(trial, by) for trial in trials)
    return [
        (name, Counter(trial.outcome for trial in trials if getattr(trial, by) == name))
        for name in names
    ]
