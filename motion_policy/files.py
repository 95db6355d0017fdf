# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reading of files, and atomic naming of files and folders.

Read are regular files of a bounded size: nothing that waits or never ends. What is written goes to
a temporary name on the same file system, is brought to the disk and then renamed; after an error
nothing half-written has the name, and what had it before still does.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import re
import shutil
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from motion_policy.errors import UserError

PART_SUFFIX = '.part'
LONGEST_NAME = 255  # bytes, on every file system in use

# File by file up to here; one sync of everything costs less than thousands of small ones.
FILES_SYNCED_ONE_BY_ONE = 100

# What a failing write says that does not name its file.
_WRITE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EPIPE,
}  # fmt: skip
# What a file system says that knows no second name of a file, or not of this one.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
# What a file system says that knows no sync.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
_DESCRIPTOR = re.compile(r'/(?:dev|proc/self)/fd/(\d+)')
_STANDARD = {'/dev/stdout': 1, '/dev/stderr': 2}
_numbers = itertools.count()

# What Git LFS leaves in place of a file that was not fetched.
_LFS_POINTER = b'version https://git-lfs.github.com/spec/v1'
_LFS_MOST_BYTES = 1024


class FileError(UserError):
    """A file that cannot be read or written; the message begins with its path."""


def shown(name: object) -> str:
    """A name from outside in one line: line breaks and control characters are escaped."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def is_there(path: Path) -> bool:
    """Whether something has this name: where a file may be missing, what cannot be read is not."""
    return os.path.lexists(path)


def regular_file(path: Path, what: str = 'a file', most_bytes: int | None = None) -> Path:
    """The path, if it leads to a regular file that is not too large.

    Args:
        path: file.
        what: what was expected there, in words.
        most_bytes: how large it may be.

    Raises:
        FileError: it is missing, a folder, a pipe or a device, too large, or only a pointer of
            Git LFS to the file.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileError(f'{shown(path)}: no such file, expected {what}') from None
    except OSError as error:
        raise FileError(f'{shown(path)}: cannot be read: {error.strerror}') from None
    if stat.S_ISDIR(status.st_mode):
        raise FileError(f'{shown(path)}: is a folder, expected {what}')
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f'{shown(path)}: is a pipe or a device, expected {what}')
    if most_bytes is not None and status.st_size > most_bytes:
        raise _too_large(path, status.st_size, what, most_bytes)
    if status.st_size <= _LFS_MOST_BYTES and _is_lfs_pointer(path):
        raise FileError(
            f'{shown(path)}: is a Git LFS pointer, not the data: `git lfs pull` fetches it'
        )
    return path


def read_bytes(path: Path, most_bytes: int, what: str = 'a file') -> bytes:
    """The content of a regular file. Raises FileError: as `regular_file`, or not readable."""
    regular_file(path, what, most_bytes)
    try:
        with path.open('rb') as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise FileError(f'{shown(path)}: cannot be read: {error.strerror}') from None
    if len(content) > most_bytes:  # grown meanwhile, or one whose size the system does not know
        raise _too_large(path, len(content), what, most_bytes)
    return content


def read_text(path: Path, most_bytes: int, what: str = 'a text file') -> str:
    """The text of a regular file in UTF-8. Raises FileError: as `read_bytes`, or not text."""
    try:
        return read_bytes(path, most_bytes, what).decode('utf-8')
    except UnicodeDecodeError as error:
        raise FileError(
            f'{shown(path)}: cannot be read as text: byte {error.start} is no UTF-8, '
            f'expected {what}'
        ) from None


def write_json(path: Path, content: Any) -> None:
    """Write numbers and names as JSON, NaN and infinity as null. Raises FileError."""
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + '\n')


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8. Raises FileError."""
    write_bytes(path, text.encode('utf-8', 'backslashreplace'))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole; a pipe or a device, as /dev/stdout, is written to as it is.

    Raises:
        FileError: there is no such folder, no room, no permission, or a folder of this name.
    """
    if _is_stream(path):
        _write_to_stream(path, content)
        return
    with new_file(path) as part, part.open('wb') as file:
        file.write(content)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; at the end of the block the file there takes the name `path`.

    Nothing happens when the block has written no file.

    Raises:
        FileError: as `check_output`, or the disk is full.
    """
    final = _final(path)
    part = _part_of(final)
    with naming_errors(path, part):
        _check_place(final, path)
        try:
            yield part
            if part.exists():
                settle(part, final)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, may_hold: Collection[str] = (), what: str = '') -> Iterator[Path]:
    """Give a folder to write in; at the end of the block it takes the name `path`.

    An older folder of this name is replaced as a whole, if it holds nothing but `may_hold`.

    Args:
        path: folder; its parents are made.
        may_hold: names of the files that such a folder has.
        what: what it is, in words: 'a checkpoint'.

    Raises:
        FileError: `path` is a file, holds something else, or cannot be written.
    """
    final = _final(path)
    part = _part_of(final)
    with naming_errors(path, part):
        _check_replaceable(final, path, may_hold, what)
        made = make_folders(final.parent)
        try:
            part.mkdir()
            yield part
            _sync_tree(part)
            _swap_in(part, final)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            remove_empty(made)
            raise


def make_folder(path: Path) -> Path:
    """Make a folder and its parents, where they are missing. Raises FileError."""
    with naming_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def make_folders(path: Path) -> tuple[Path, ...]:
    """Make a folder and its parents; return those that were missing, the deepest first.

    Raises:
        OSError: it cannot be made.
    """
    missing = tuple(each for each in (path, *path.parents) if not os.path.lexists(each))
    try:
        path.mkdir(parents=True, exist_ok=True)
        for each in missing:
            sync_names(each.parent)
    except OSError:
        remove_empty(missing)
        raise
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders, each before its parent, that hold nothing."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def settle(part: Path, path: Path) -> None:
    """Bring a finished file to the disk, then give it its final name there. Raises OSError."""
    _sync(part)
    os.replace(part, path)
    sync_names(path.parent)


def settle_new(part: Path, path: Path) -> None:
    """As `settle`, but never take the name from another file.

    Raises:
        FileExistsError: another file has this name; the finished one is where it was.
        OSError: it cannot.
    """
    _sync(part)
    move_new(part, path)


def sync_data(descriptor: int) -> None:
    """Bring what was written to an open file to the disk. Raises OSError."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def sync_names(folder: Path) -> None:
    """Bring the names in a folder to the disk. Raises OSError."""
    try:
        _sync(folder)
    except OSError as error:
        # Some network file systems know no sync of a folder; they keep names on their own.
        if error.errno not in (*_NO_SYNC, errno.EACCES):
            raise


def keep_also(path: Path, kept: Path) -> None:
    """Let a file have the name `kept`, too, which nobody has yet.

    Where the file system knows no second name the file loses its first.

    Raises:
        OSError: it cannot.
    """
    try:
        os.link(path, kept, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(path, kept)
    sync_names(kept.parent)


def move_new(path: Path, target: Path) -> None:
    """Give a file the name `target` instead of its own, and never take it from another file.

    Raises:
        FileExistsError: another file has this name.
        OSError: it cannot.
    """
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samefile(path, target):  # else it was stopped between two steps
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if is_there(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(path, target)
    sync_names(target.parent)
    path.unlink(missing_ok=True)
    sync_names(path.parent)


def settle_folder(part: Path, path: Path) -> None:
    """Bring a finished folder to the disk, then give it its final name there.

    Raises:
        FileExistsError: something else has this name.
        OSError: it cannot.
    """
    _sync_tree(part)
    move_folder(part, path)


def move_folder(path: Path, target: Path) -> None:
    """Give a folder another name on its disk, that nothing has.

    Raises:
        FileExistsError: something else has this name.
        OSError: it cannot.
    """
    if is_there(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(path, target)
    for folder in {target.parent, path.parent}:
        sync_names(folder)


@contextmanager
def unnamed(path: Path, part: Path) -> Iterator[None]:
    """Let a finished file have the name `part` while it is changed, and its own again afterwards.

    Raises:
        OSError: it cannot be renamed, or not be brought to the disk.
    """
    settle(path, part)
    try:
        yield
    finally:
        settle(part, path)


@contextmanager
def naming_errors(path: Path, part: Path | None = None) -> Iterator[None]:
    """Let what the system says of writing `path` be one line that names it.

    Args:
        path: as the user knows it.
        part: the temporary name, or a folder, through which it is written.

    Raises:
        FileError: instead of an OSError that is about these; others pass.
    """
    try:
        yield
    except OSError as error:
        if not _is_about(error, path, part or path):
            raise
        reason = error.strerror or str(error)
        raise FileError(f'{shown(path)}: cannot be written: {reason}') from None


def check_output(path: Path, inputs: Iterable[Path] = (), folder: Path | None = None) -> None:
    """Refuse now what could not be written later.

    Args:
        path: a file that will be written.
        inputs: what is read; it must not be replaced.
        folder: a folder that will be made before, in which `path` may lie.

    Raises:
        FileError: one of `inputs`, no such folder, no permission, a folder of this name.
    """
    with naming_errors(path):
        _check_not_read(path, inputs, 'file')
        if _is_stream(path):
            if not os.access(path, os.W_OK):
                raise FileError(f'{shown(path)}: cannot be written: Permission denied')
        elif folder is not None and path.absolute().is_relative_to(folder.absolute()):
            check_output_folder(folder)
        else:
            final = _final(path)
            _check_place(final, path)
            _probe(final.parent)


def check_output_folder(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse now a folder that could not be made or written to later.

    Args:
        path: a folder that will be made or written to.
        inputs: what is read; it must not change or be replaced.

    Raises:
        FileError: one of `inputs`, a file in its place, no permission.
    """
    with naming_errors(path):
        _check_not_read(path, inputs, 'folder')
        there = _final(path)
        while not os.path.lexists(there):
            there = there.parent
        if not there.is_dir():
            raise FileError(f'{shown(path)}: cannot be written: Not a directory: {shown(there)}')
        _probe(there)


def _check_not_read(path: Path, inputs: Iterable[Path], kind: str) -> None:
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise FileError(f'{shown(path)}: is read from, expected another {kind} to write to')


def _is_lfs_pointer(path: Path) -> bool:
    try:
        with path.open('rb') as file:
            return file.read(len(_LFS_POINTER)) == _LFS_POINTER
    except OSError:
        return False  # who reads it says so


def _too_large(path: Path, found: int, what: str, most_bytes: int) -> FileError:
    return FileError(f'{shown(path)}: has {found} bytes, expected {what} of at most {most_bytes}')


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _final(path: Path) -> Path:
    """Where links lead: the link stays, what it points to is replaced."""
    return Path(os.path.realpath(os.path.expanduser(path)))


def _part_of(final: Path) -> Path:
    """A name beside `final` that nobody else has and that is no longer than names may be."""
    if not final.name:
        raise FileError(f'{final}: cannot be replaced, expected a name below it')
    own = f'.{os.getpid()}.{next(_numbers)}{PART_SUFFIX}'
    room = LONGEST_NAME - len(own) - 1
    name = os.fsencode(final.name)[:room].decode(errors='ignore')
    return final.with_name(f'.{name}{own}')


def _check_place(final: Path, path: Path) -> None:
    if not final.parent.is_dir():
        if final.parent.exists():
            raise FileError(f'{shown(path)}: {shown(final.parent)} is a file, expected a folder')
        raise FileError(f'{shown(path)}: no such folder {shown(final.parent)}')
    if final.is_dir():
        raise FileError(f'{shown(path)}: is a folder, expected a file or nothing')
    if final.exists() and not final.is_file():
        raise FileError(f'{shown(path)}: is no regular file, expected a file or nothing')


def _check_replaceable(final: Path, path: Path, may_hold: Collection[str], what: str) -> None:
    if os.path.lexists(final) and not final.is_dir():
        raise FileError(f'{shown(path)}: is a file, {what or "expected"} is a folder')
    held = sorted(entry.name for entry in final.iterdir()) if final.is_dir() else []
    foreign = [name for name in held if name not in may_hold]
    if foreign and what:
        raise FileError(
            f"{shown(path)}: holds '{shown(foreign[0])}', which is no part of {what} and would "
            'be lost'
        )
    if foreign:
        raise FileError(f'{shown(path)}: exists already, expected a new or an empty folder')
    if final.is_mount():
        raise FileError(f'{shown(path)}: is where a disk is mounted, expected a folder below it')


def _probe(folder: Path) -> None:
    probe = _part_of(folder / 'probe')
    try:
        probe.touch(exist_ok=False)
    finally:
        probe.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    inside = [folder, *folder.rglob('*')]
    if len(inside) > FILES_SYNCED_ONE_BY_ONE:
        os.sync()
        return
    for path in reversed(inside):
        if path.is_dir():
            sync_names(path)
        else:
            _sync(path)


def _swap_in(part: Path, final: Path) -> None:
    if not final.exists() or not any(final.iterdir()):
        os.replace(part, final)
    else:
        old = _part_of(final)
        os.replace(final, old)
        try:
            os.replace(part, final)
        except OSError:
            os.replace(old, final)
            raise
        shutil.rmtree(old)
    sync_names(final.parent)


def _is_stream(path: Path) -> bool:
    """Whether a path means a pipe or a device, which has no content to replace."""
    if os.path.abspath(path) in _STANDARD or _DESCRIPTOR.fullmatch(os.path.abspath(path)):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _write_to_stream(path: Path, content: bytes) -> None:
    with naming_errors(path):
        name = os.path.abspath(path)
        named = _DESCRIPTOR.fullmatch(name)
        if name in _STANDARD or named:
            sys.stdout.flush()
            descriptor = os.dup(int(named[1]) if named else _STANDARD[name])
        else:
            try:
                # A FIFO that nobody reads would wait for ever.
                descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                raise FileError(f'{shown(path)}: is a pipe that nobody reads') from None
            os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, 'wb') as stream:
            stream.write(content)


def _is_about(error: OSError, path: Path, part: Path) -> bool:
    """Whether an error is of writing `path`, and not of something that was read meanwhile."""
    if not isinstance(error.filename, (str, bytes)):
        return error.errno in _WRITE_ERRORS
    named = Path(os.fsdecode(error.filename))
    if named.name.endswith(PART_SUFFIX) and f'.{os.getpid()}.' in named.name:
        return True
    ways = (part, _final(path), path)
    return any(named.is_relative_to(way) or way.is_relative_to(named) for way in ways)
