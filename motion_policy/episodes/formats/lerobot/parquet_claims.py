# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads Parquet footers in a separate process, which it may end: the client.

pyarrow aborts the whole process on some damaged footers; `parquet_footers` is the program.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_policy.documents import json_mapping
from motion_policy.episodes.formats.lerobot import parquet_footers


@dataclass(frozen=True)
class Claims:
    """Number of rows, and of every column the number of values and of bytes when unpacked."""

    rows: int
    columns: dict[str, tuple[int, int]]

    def of(self, name: str) -> tuple[int, int]:
        """Values and bytes of a column, with all that is nested in it."""
        parts = [size for path, size in self.columns.items() if f'{path}.'.startswith(f'{name}.')]
        return sum(values for values, _ in parts), sum(size for _, size in parts)


def claims_of(file: Path) -> Claims:
    """Return what a file claims.

    Raises:
        ValueError: its footer cannot be read.
    """
    answer = reader.ask(str(file.absolute()))
    if 'rows' not in answer:
        raise ValueError(answer['error'])
    columns = {name: (values, size) for name, values, size in answer['columns']}
    return Claims(answer['rows'], columns)


class _Reader:
    """The process that reads footers; begun when it is needed, and anew after it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, path: str) -> dict[str, Any]:
        process = self._process or self._begin()
        assert process.stdin is not None and process.stdout is not None
        line = ''
        with contextlib.suppress(OSError):
            process.stdin.write(os.fsencode(path).hex() + '\n')
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            self.end()
            return {'error': 'its footer is damaged'}
        return json_mapping(line, path)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _begin(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, '-I', parquet_footers.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self._process


reader = _Reader()
atexit.register(reader.end)
