# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Process for one side of a comparison, so that memory and caches are its own.

It does nothing but what it is asked for, one line after the other, and answers with numbers.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

FLAG = '--in-turns'  # how a benchmark's file is called for such a process


class TurnProcess:
    """`file` run for its turns with these arguments; use it as a context manager."""

    def __init__(self, file: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, file, FLAG, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> TurnProcess:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, what: str) -> list[float]:
        """Its answer to a line. RuntimeError if it has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f'{what}\n')
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError('the process of one side of the comparison has ended')
        return [float(value) for value in answer.split()]


def turns_wanted() -> list[str] | None:
    """The arguments if this process was begun for its turns; None if not."""
    return sys.argv[2:] if sys.argv[1:2] == [FLAG] else None


def serve_turns(answer: Callable[[str], Sequence[float]]) -> None:
    """Answer lines until there are no more."""
    for line in sys.stdin:
        print(*answer(line.strip()), flush=True)
