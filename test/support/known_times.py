# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Known times in place of measured ones: which figure of a benchmark is whose can be checked.

What is measured runs all the same; only the clock's word is replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from types import ModuleType
from typing import Any

import pytest
from measuring.turns import TurnProcess

OURS, REFERENCE = 1.0, 2.0


def in_turns(calls: Sequence[Callable[[], object]], *_: Any, **__: Any) -> list[list[float]]:
    """Run every call once; the first took 1 ms, the second 2 ms, and so on."""
    for call in calls:
        call()
    return [[1.0 + index] * 3 for index in range(len(calls))]


class KnownProcess(TurnProcess):
    """A process of one side, which runs; each of its figures is OURS or REFERENCE."""

    def __init__(self, file: str, kind: str, which: str, *sizes: str) -> None:
        super().__init__(file, kind, which, *sizes)
        self._figure = {'ours': OURS, 'reference': REFERENCE}[which]

    def ask(self, what: str) -> list[float]:
        """Ask the process; its figures are those that are known."""
        return [self._figure for measured in super().ask(what) if measured >= 0]


class KnownSide(contextlib.AbstractContextManager['KnownSide']):
    """The same in this process, which has PyTorch already."""

    def __init__(self, module: ModuleType, kind: str, which: str, *sizes: str) -> None:
        self._answer = module.answers(kind, which, *sizes)
        self._figure = {'ours': OURS, 'reference': REFERENCE}[which]

    def __exit__(self, *exception: Any) -> None:
        pass

    def ask(self, what: str) -> list[float]:
        """What `KnownProcess` tells."""
        return [self._figure for measured in self._answer(what) if measured >= 0]


def know_the_times(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, in_processes: Sequence[str] = ()
) -> None:
    """Let a benchmark tell known times; sides of these kinds have processes of their own."""

    def side(file: str, kind: str, *more: str) -> KnownProcess | KnownSide:
        if kind in in_processes:
            return KnownProcess(file, kind, *more)
        return KnownSide(module, kind, *more)

    if hasattr(module, 'interleaved_ms'):
        monkeypatch.setattr(module, 'interleaved_ms', in_turns)
    if hasattr(module, 'TurnProcess'):
        monkeypatch.setattr(module, 'TurnProcess', side)
    if hasattr(module, '_Training'):
        step_ms = module._Training.step_ms

        def known_ms(training: Any, batches: Iterable[Any]) -> float:
            step_ms(training, batches)
            return REFERENCE if isinstance(batches, repeat) else OURS  # one batch, or the loader's

        monkeypatch.setattr(module._Training, 'step_ms', known_ms)
