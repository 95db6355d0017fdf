# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Cache of compiled back ends per machine, outside the checkpoint.

An entry is data, not code; one that is damaged, or was left half written, is built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from motion_policy import __version__
from motion_policy.files import FileError, new_file
from motion_policy.policies.base import Policy

KEPT = 8  # entries; the one that was not used for longest goes first
MAGIC = b'motion_policy/built/1\n'
DIGEST_SIZE = hashlib.sha256().digest_size


def cache_dir() -> Path:
    """Where entries lie: `motion_policy/` in $XDG_CACHE_HOME, or in ~/.cache."""
    named = os.environ.get('XDG_CACHE_HOME', '')
    home = Path(named) if os.path.isabs(named) else Path.home() / '.cache'
    return home / 'motion_policy' / 'built'


def policy_digest(policy: Policy, *versions: str) -> str:
    """What an entry is found by: it changes with weights, spec, and the versions of the tools."""
    digest = hashlib.sha256()
    spec = policy.spec.model_dump_json(exclude={'training', 'metrics', 'data', 'software'})
    for text in (__version__, *versions, spec):
        digest.update(text.encode() + b'\0')
    for name, values in policy.state_dict().items():
        digest.update(f'{name} {values.dtype} {tuple(values.shape)}\0'.encode())
        digest.update(values.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def cached(key: str, build: Callable[[], bytes], *, anew: bool = False) -> bytes:
    """The entry of `key`, or what `build` returns, which then becomes the entry.

    Where nothing can be kept (a full or read-only disk), it is built every time.

    Args:
        key: hexadecimal digits.
        build: makes the content.
        anew: build it although there is one.
    """
    path = cache_dir() / key
    content = None if anew else _read(path)
    if content is None:
        content = build()
        with contextlib.suppress(OSError, FileError):
            _write(path, content)
            _drop_oldest(path.parent)
    return content


def _read(path: Path) -> bytes | None:
    try:
        whole = memoryview(path.read_bytes())
        os.utime(path)
    except OSError:
        return None
    start = len(MAGIC) + DIGEST_SIZE
    content = whole[start:]
    expected = MAGIC + hashlib.sha256(content).digest()
    return bytes(content) if whole[:start] == expected else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with new_file(path) as part, part.open('wb') as file:
        file.write(MAGIC + hashlib.sha256(content).digest())
        file.write(content)


def _drop_oldest(folder: Path) -> None:
    entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for path in entries[:-KEPT]:
        path.unlink(missing_ok=True)
