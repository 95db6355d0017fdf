# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""By what a file is known again: its size, when it was changed, and its SHA-256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

BYTES_AT_ONCE = 2**22


@dataclass(frozen=True)
class FileMark:
    """By what a file is known again: its size, when it was changed, and its SHA-256."""

    size: int
    mtime_ns: int
    sha256: str = ''

    @classmethod
    def of(cls, path: Path, *, digest: str = '') -> FileMark:
        """The mark of a file that has this SHA-256, or one that is not known."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, digest)

    def fits(self, path: Path) -> bool:
        """Whether a file is still this one; where only its time is another, it is read."""
        if not path.is_file():
            return False
        now = FileMark.of(path)
        if (now.size, now.mtime_ns) == (self.size, self.mtime_ns):
            return True
        return now.size == self.size and bool(self.sha256) and file_digest(path) == self.sha256


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(BYTES_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()
