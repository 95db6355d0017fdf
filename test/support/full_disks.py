# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Disks that are full: a small tmpfs where it may be mounted, and a limit on the size of files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """Mount a disk of this size at `path`; the test is skipped where that is not permitted."""
    path.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f'no mount: {error}')
    if done.returncode:
        pytest.skip(f'mount is not permitted: {done.stderr.strip()}')
    try:
        yield path
    finally:
        subprocess.run(['umount', '-l', str(path)], check=True)


def fill_disk(path: Path) -> None:
    """Let a file take all the room that is left."""
    with path.open('wb') as file:
        end = 0
        for size in (2**23, 2**20, 2**16, 2**12):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as with a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
