# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A process that records one episode after the other in real time, until it is ended."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crash_campaign.power_cut import DiskTrace
from crash_campaign.scene import PERIODS, TICK_NS, Messages, crash_arm
from motion_policy.episodes.recorder import EpisodeRecorder
from motion_policy.errors import UserError
from motion_policy.streams import Sample

DELAY_NS = 2_000_000
WARM_NS = 200_000_000
RETRY_NS = 100_000_000
SECOND_NS = 1_000_000_000

Tell = Callable[..., None]

# Calls that fail together, as a disk fails.
FAILING = (('pwrite',), ('fdatasync', 'fsync'), ('pwrite', 'ftruncate', 'fdatasync', 'fsync'))


@dataclass(frozen=True)
class Failure:
    """A disk that fails between two times."""

    begin_ns: int
    end_ns: int
    calls: tuple[str, ...]


class Feeding:
    """Feeds a recorder with the messages of the arm, as time goes by.

    Args:
        folder: of the episodes.
        random: lengths of the recordings.
        tell: is given what happens: a word and what belongs to it.
        fed: is given the time up to which all was fed, again and again.
        failure: of the disk.
    """

    def __init__(
        self,
        folder: Path,
        random: np.random.Generator,
        tell: Tell,
        fed: Callable[[int], None],
        failure: Failure | None = None,
    ) -> None:
        self.robot = crash_arm()
        self.recorder = EpisodeRecorder(self.robot)
        self._folder = folder
        self._random = random
        self._tell = tell
        self._fed = fed
        self._failure = failure
        self._healthy: dict[str, Any] = {}
        self._messages = Messages(self.robot)
        self._next_ns = time.time_ns() // TICK_NS * TICK_NS
        self._told_end = False

    def run(self, until_ns: int) -> None:
        """Record until a time."""
        self._feed(time.time_ns() + WARM_NS)
        lengths = iter([float(self._random.uniform(0.3, 1.0))])
        while self._next_ns < until_ns:
            compress = bool(self._random.random() < 0.7)
            try:
                path = self.recorder.start(self._folder, compress=compress)
            except UserError as error:
                self._tell('refused', str(error))
                self._feed(time.time_ns() + RETRY_NS)
                continue
            self._tell('started', path.name, time.time_ns())
            self._told_end = False
            length_ns = int(next(lengths, 6.0) * SECOND_NS)
            self._feed(min(until_ns, time.time_ns() + length_ns), path.name)
            if self._next_ns < until_ns:
                self._stop(path)

    def _stop(self, path: Path) -> None:
        self._tell('stopping', path.name, self._next_ns)
        try:
            self.recorder.stop()
        except UserError as error:
            self._tell('stopped', path.name, str(error))
        if path.exists():
            self._tell('finished', path.name, hashlib.sha256(path.read_bytes()).hexdigest())

    def _feed(self, until_ns: int, name: str = '') -> None:
        while self._next_ns < until_ns:
            time.sleep(max(0, self._next_ns - time.time_ns()) / 1e9)
            self._fail_or_heal()
            for stream, period in PERIODS.items():
                if self._next_ns // TICK_NS % period == 0:
                    value = self._messages.make(stream, self._next_ns)
                    sample = Sample(self._next_ns, self._next_ns + DELAY_NS, value)
                    self.recorder.push(stream, sample)
            self._next_ns += TICK_NS
            self.recorder.advance(self._next_ns)
            self._fed(self._next_ns)
            current = self.recorder.current
            if name and current is not None and current.ended and not self._told_end:
                self._told_end = True
                self._tell('ended', name, self._next_ns, current.ended)
                return

    def _fail_or_heal(self) -> None:
        """Let the calls of the disk fail while it is time."""
        failure = self._failure
        if failure is None:
            return
        if not self._healthy and failure.begin_ns <= self._next_ns < failure.end_ns:
            for name in failure.calls:
                self._healthy[name] = getattr(os, name)
                setattr(os, name, _fail)
        elif self._healthy and self._next_ns >= failure.end_ns:
            for name, call in self._healthy.items():
                setattr(os, name, call)
            self._failure = None


def _fail(*_arguments: Any, **_named: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def tell_to(descriptor: int) -> Tell:
    """Tell by a pipe, a line of JSON each."""
    return lambda *what: _written(descriptor, json.dumps(what))


def _written(descriptor: int, line: str) -> None:
    os.write(descriptor, f'{line}\n'.encode())


def record_with_power_cuts(
    folder: Path, left: Path, cuts: int, seconds: float, random: np.random.Generator
) -> list[tuple[Path, int, list[Any]]]:
    """Record for a while, then make what so many power cuts may leave of it in folders of `left`.

    Returns for each: the folder, up to what time all was fed by then, and what was told.
    """
    trace, told, fed = DiskTrace(folder), [], [0]

    def note() -> None:
        trace.note((fed[0], list(told)))

    def tell(*what: Any) -> None:
        told.append(what)
        note()

    def feed_up_to(now_ns: int) -> None:
        fed[0] = now_ns
        note()

    with trace.watching():
        feeding = Feeding(folder, random, tell, feed_up_to)
        feeding.run(time.time_ns() + int(seconds * SECOND_NS))
        # What follows is no part of it: the power failed before.
        count = len(trace.events)
        feeding.recorder.close()
    made = []
    for number in range(cuts):
        moment = int(random.integers(1, count + 1))
        now_ns, said = trace.noted(moment) or (0, [])
        place = left / f'cut_{number}'
        trace.left_at(moment, random, place)
        made.append((place, now_ns, said))
    return made
