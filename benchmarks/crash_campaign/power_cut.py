# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A disk that loses its power: what a folder may hold then of what was written to it.

Rule: only what was brought to the disk (fsync, fdatasync) is sure to be there. Of what was written
after the begin of the last sync each page of a file is as it was at some moment since, whatever
the others are; the length of a file likewise; and of new, changed and removed names the first so
many are there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PAGES = (512, 4096)  # what a disk, and a system, write as a whole
NAMES = ('create', 'rename', 'unlink')


@dataclass(frozen=True)
class DiskEvent:
    """What was done: to which file (or folder), in which way, and with what."""

    kind: str
    file: int
    place: int = 0
    data: bytes = b''
    names: tuple[str, ...] = ()


class DiskTrace:
    """What this process did to the files of a folder, in its order."""

    def __init__(self, folder: Path) -> None:
        self.events: list[DiskEvent] = []
        self.notes: list[tuple[int, Any]] = []  # how many events there were before each note
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[int, int] = {}  # by inode, in the order in which they were made
        self._synced: list[tuple[int, int, int]] = []  # file, events before its begin and its end

    def note(self, what: Any) -> None:
        """Remember something of now."""
        self.notes.append((len(self.events), what))

    def noted(self, moment: int) -> Any:
        """The last thing that was noted before a moment; None: nothing was."""
        return next((what for at, what in reversed(self.notes) if at <= moment), None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is done in the block, by any thread."""
        watched = {
            'open': self._open, 'pwrite': self._pwrite, 'ftruncate': self._resize,
            'posix_fallocate': self._allocate, 'fdatasync': self._sync, 'fsync': self._sync,
            'replace': self._rename, 'rename': self._rename, 'link': self._link,
            'unlink': self._unlink,
        }  # fmt: skip
        before = {name: getattr(os, name) for name in watched}
        try:
            for name, watch in watched.items():
                setattr(os, name, _watched(watch, before[name]))
            yield
        finally:
            for name, function in before.items():
                setattr(os, name, function)

    def left_at(self, moment: int, random: np.random.Generator, folder: Path) -> None:
        """Write to a new folder what may be there when the power fails after so many events."""
        durable = {0: 0}
        for file, begin, end in self._synced:
            if end <= moment:
                durable[file] = max(durable.get(file, 0), begin)
        events = list(enumerate(self.events[:moment]))
        names = self._names(events, durable, random)
        folder.mkdir()
        page = int(random.choice(PAGES))
        share = float(random.choice([0.0, 0.5, 0.9, 1.0]))
        for name, file in names.items():
            sure = [e for at, e in events if e.file == file and at < durable.get(file, 0)]
            unsure = [e for at, e in events if e.file == file and at >= durable.get(file, 0)]
            (folder / name).write_bytes(_content(sure, unsure, page, share, random))

    def _names(
        self,
        events: list[tuple[int, DiskEvent]],
        durable: dict[int, int],
        random: np.random.Generator,
    ) -> dict[str, int]:
        changes = [(at, event) for at, event in events if event.kind in NAMES]
        sure = sum(at < durable[0] for at, _ in changes)
        names: dict[str, int] = {}
        for _, event in changes[: int(random.integers(sure, len(changes) + 1))]:
            if event.kind == 'create':
                names[event.names[0]] = event.file
            elif event.kind == 'rename' and event.names[0] in names:
                names[event.names[1]] = names.pop(event.names[0])
            elif event.kind == 'unlink':
                names.pop(event.names[0], None)
        return names

    def _add(self, event: DiskEvent) -> None:
        with self._lock:
            self.events.append(event)

    def _file(self, descriptor: int) -> int | None:
        return self._files.get(os.fstat(descriptor).st_ino)

    def _here(self, path: Any) -> bool:
        return Path(os.fsdecode(path)).parent == self._folder

    def _open(
        self, do: Callable[..., int], path: Any, flags: int, *more: Any, **named: Any
    ) -> int:
        is_new = bool(flags & os.O_CREAT) and self._here(path) and not os.path.lexists(path)
        descriptor = do(path, flags, *more, **named)
        if is_new:
            with self._lock:
                # The system gives the number of a file that is gone to another one.
                file = self._files[os.fstat(descriptor).st_ino] = 1 + len(self.events)
            self._add(DiskEvent('create', file, names=(Path(path).name,)))
        return descriptor

    def _pwrite(self, do: Callable[..., int], descriptor: int, data: Any, offset: int) -> int:
        file, kept = self._file(descriptor), bytes(data)
        written = do(descriptor, kept, offset)
        if file is not None:
            self._add(DiskEvent('write', file, offset, kept[:written]))
        return written

    def _resize(self, do: Callable[..., None], descriptor: int, size: int) -> None:
        do(descriptor, size)
        file = self._file(descriptor)
        if file is not None:
            self._add(DiskEvent('resize', file, size))

    def _allocate(self, do: Callable[..., None], descriptor: int, place: int, size: int) -> None:
        before = os.fstat(descriptor).st_size
        do(descriptor, place, size)
        file = self._file(descriptor)
        if file is not None and place + size > before:
            self._add(DiskEvent('resize', file, place + size))

    def _sync(self, do: Callable[..., None], descriptor: int) -> None:
        begin = len(self.events)
        do(descriptor)
        status = os.fstat(descriptor)
        is_folder = status.st_ino == self._folder.stat().st_ino
        file = 0 if is_folder else self._files.get(status.st_ino)
        if file is not None:
            self._synced.append((file, begin, len(self.events)))

    def _rename(self, do: Callable[..., None], old: Any, new: Any, **named: Any) -> None:
        do(old, new, **named)
        if self._here(old) and self._here(new):
            self._add(DiskEvent('rename', 0, names=(Path(old).name, Path(new).name)))

    def _link(self, do: Callable[..., None], old: Any, new: Any, **named: Any) -> None:
        do(old, new, **named)
        if self._here(new):
            file = self._files.get(os.stat(new).st_ino, 0)
            self._add(DiskEvent('create', file, names=(Path(new).name,)))

    def _unlink(self, do: Callable[..., None], path: Any, **named: Any) -> None:
        do(path, **named)
        if self._here(path):
            self._add(DiskEvent('unlink', 0, names=(Path(path).name,)))


def _watched(watch: Callable[..., Any], do: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given, **named: watch(do, *given, **named)


def _content(
    sure: list[DiskEvent],
    unsure: list[DiskEvent],
    page: int,
    share: float,
    random: np.random.Generator,
) -> bytes:
    """A file of which some events are sure, and of the others each page has seen the first few."""
    content = bytearray()
    for event in sure:
        _apply(content, event)
    whole = bytearray(content)
    sizes = [len(whole)]
    for event in unsure:
        _apply(whole, event)
        sizes.append(len(whole))
    length = max(sizes)
    content.extend(bytes(length - len(content)))
    seen = np.where(
        random.random(length // page + 1) < share,
        len(unsure),
        random.integers(0, len(unsure) + 1, length // page + 1),
    )
    for number, event in enumerate(unsure):
        if event.kind != 'write':
            continue
        end = event.place + len(event.data)
        for one in range(event.place // page, (end - 1) // page + 1):
            if number < seen[one]:
                first, last = max(event.place, one * page), min(end, (one + 1) * page)
                content[first:last] = event.data[first - event.place : last - event.place]
    return bytes(content[: sizes[int(random.integers(len(sizes)))]])


def _apply(content: bytearray, event: DiskEvent) -> None:
    if event.kind == 'resize':
        del content[event.place :]
        content.extend(bytes(event.place - len(content)))
    elif event.kind == 'write':
        content.extend(bytes(max(0, event.place - len(content))))
        content[event.place : event.place + len(event.data)] = event.data
