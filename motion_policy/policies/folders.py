# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of a model appears under its name only when it is whole.

One of the same name is replaced as a whole, but never one that holds anything else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from motion_policy.errors import UserError


@contextlib.contextmanager
def whole_folder(path: Path, files: Collection[str], what: str) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `path` at the end of the block.

    Args:
        path: absolute; its parent is made.
        files: what such a folder may hold.
        what: what it is, in words: 'a checkpoint'.

    Raises:
        UserError: there is a file of this name, or a folder with anything that is not in `files`.
    """
    _refuse_foreign(path, files, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    part.mkdir()
    try:
        yield part
        _swap_in(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _refuse_foreign(path: Path, files: Collection[str], what: str) -> None:
    if path.exists() and not path.is_dir():
        raise UserError(f'{path}: is a file, {what} is a folder')
    others = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    foreign = [name for name in others if name not in files]
    if foreign:
        raise UserError(
            f"{path}: holds '{foreign[0]}', which is no part of {what} and would be lost"
        )


def _swap_in(part: Path, path: Path) -> None:
    if not path.exists():
        part.rename(path)
        return
    old = part.with_suffix('.old')
    path.rename(old)
    part.rename(path)
    shutil.rmtree(old)
