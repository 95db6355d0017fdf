# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that tests start: a test that fails does not wait for its process to end by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def killed_at_last(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a process, by `options` of Popen, and kill it in the end, if it still runs."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
